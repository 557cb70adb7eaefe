# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every panel of every dashboard has series in a running fleet.

LLM_PROMETHEUS_URL  the server, e.g. http://127.0.0.1:9090; at least one chat request has gone through the fleet before
"""

from __future__ import annotations

import json
import os
import time
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from panels_asked import absent, expressions


def has_series(url: str, expr: str) -> bool:
    """Whether it had series in the last hour; some have them only while somebody asks."""
    now = int(time.time())
    query = urlencode({"query": expr, "start": now - 3600, "end": now, "step": 15})
    with urlopen(f"{url}/api/v1/query_range?{query}", timeout=20) as answer:
        return bool(json.loads(answer.read())["data"]["result"])


def test_every_panel_has_series() -> None:
    url = os.environ.get("LLM_PROMETHEUS_URL")
    if not url:
        pytest.fail("Set LLM_PROMETHEUS_URL: the top of this file says what it is.", pytrace=False)
    missing = [expr for expr in expressions() if not absent(expr)]
    # A rate needs two scrapes, and a rule of a rule another evaluation.
    for _attempt in range(30):
        missing = [expr for expr in missing if not has_series(url, expr)]
        if not missing:
            return
        time.sleep(3)
    pytest.fail("\n".join(["these have no series:", *missing]), pytrace=False)
