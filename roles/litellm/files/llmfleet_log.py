# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of failures say what failed and where, and nothing of what clients sent.

LiteLLM quotes answers of engines and whole tracebacks in its errors, and both quote prompts. Only at level DEBUG
records stay as they are.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from typing import Any

# Answers carry it too, so a line can be found from an answer.
CALL = re.compile(r"litellm_call_id=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
TRACEBACK = "Traceback (most recent call last)"


def install() -> None:
    """Shorten what this process logs from now on, by any logger."""
    if os.environ.get("LITELLM_LOG", "").upper() == "DEBUG":
        return
    make = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return shortened(make(*args, **kwargs))

    logging.setLogRecordFactory(factory)
    # LiteLLM prints the tracebacks of some failures past every logger.
    traceback.print_exc = printed


def printed(*_args: object, **_kwargs: object) -> None:
    """Log the failure that is handled now; it takes what `traceback.print_exc` takes."""
    logging.getLogger("LiteLLM").error("an error", stacklevel=2)


def shortened(record: logging.LogRecord) -> logging.LogRecord:
    """Take the text off a record that is made while an exception is handled, or that has a traceback in its text."""
    error = record.exc_info[1] if record.exc_info else sys.exc_info()[1]
    try:
        said = record.getMessage()
    except Exception:  # noqa: BLE001 (a record whose values do not fit its text)
        said = TRACEBACK
    if error is None and TRACEBACK not in said:
        return record
    call = CALL.search(said)
    parts = [f"{record.funcName} failed", described(error) if error else "", call[0] if call else ""]
    record.msg, record.args = ", ".join(filter(None, parts)), ()
    record.exc_info = record.exc_text = record.stack_info = None
    return record


def described(error: BaseException) -> str:
    """The type of an error, its HTTP status if it has one, and where it was raised. Its own text may quote a prompt."""
    status = getattr(error, "status_code", None)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return " ".join(filter(None, [type(error).__name__, str(status) if isinstance(status, int) else "", place]))
