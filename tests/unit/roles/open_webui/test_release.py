# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role has decided on everything that the pinned release could send outside or do unasked.

`release.json` is what tests/open_webui/record.py printed for that release. A new release fails here until somebody has
looked at each new address and switch: set it in the role's vars, or add it to `decided.yml`, to those of its reason.
"""

from __future__ import annotations

import ipaddress
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from ansible_playbook import played

HERE = Path(__file__).resolve().parent
ROLE = HERE.parents[3] / "roles" / "open_webui"
RECORD = json.loads((HERE / "release.json").read_text())
VARS = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
DECIDED = yaml.safe_load((HERE / "decided.yml").read_text())
GATEWAY = "http://127.0.0.1:4000/v1"

PREFIX = "USER_PERMISSIONS_"


def permission(name: str) -> str:
    return name.removeprefix(PREFIX).lower()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a fleet without an embedding model."""
    folder = tmp_path_factory.mktemp("environment")
    names = ("url", "default_models", "embedding_model", "admin_email", "admin_name")
    wanted = {
        **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
        **{f"open_webui_{name}": "" for name in names},
        "open_webui_names_persons": False,
        "open_webui_api_base_url": GATEWAY,
        "service_state_root": "/var/lib/llmfleet",
        "service_config_root": "/etc/llmfleet",
        "result_file": str(folder / "result"),
        "ansible_python_interpreter": sys.executable,
    }
    inventory = folder / "inventory.yml"
    inventory.write_text(json.dumps({"all": {"hosts": {"page": wanted}}}))
    played("-i", inventory, HERE / "environment.yml")
    return {name: str(value) for name, value in json.loads((folder / "result").read_text()).items()}


def is_outside(address: str) -> bool:
    host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host not in ("", "localhost")


def test_the_record_is_of_the_pinned_release() -> None:
    locked = re.search(r"^open-webui==(\S+)", (ROLE / "files" / "open-webui.txt").read_text(), re.MULTILINE)
    assert locked
    assert RECORD["version"] == locked[1], "run tests/open_webui/record.py with the new release and look at what is new"


def test_no_address_is_of_the_outside(made: dict[str, str]) -> None:
    outside = {name for name, default in RECORD["addresses"].items() if is_outside(made.get(name, default))}
    assert outside == set(DECIDED["outside"])


def test_every_address_without_a_default_is_known(made: dict[str, str]) -> None:
    empty = {name for name, default in RECORD["addresses"].items() if not default and name not in made}
    assert empty == set(DECIDED["empty"])


def test_every_switch_that_is_on_is_known(made: dict[str, str]) -> None:
    on = {name for name, default in RECORD["switches"].items() if default and name not in made}
    assert {name for name in on if not name.startswith(PREFIX)} == set().union(*DECIDED["switches"].values())
    assert {permission(name) for name in on if name.startswith(PREFIX)} == set(DECIDED["permissions"])


def test_what_the_role_sets_exists(made: dict[str, str]) -> None:
    """A variable that a release renames would silently lose its effect."""
    known = {*RECORD["addresses"], *RECORD["switches"]}
    guarded = re.compile(r"(USER_PERMISSIONS_\w+|ENABLE_\w+|\w+_(URLS?|ENDPOINT))")
    of_log_ins = {*VARS["__open_webui_provider_settings"], *VARS["__open_webui_password_switches"]}
    assert {name for name in of_log_ins if guarded.fullmatch(name)} <= known
    # Open WebUI reads these two as switches with an empty default.
    assert {name for name in made if guarded.fullmatch(name)} - known == {
        "ENABLE_IMAGE_GENERATION",
        "ENABLE_IMAGE_EDIT",
    }


def test_all_permissions_are_known_by_name() -> None:
    names = {permission(name) for name in RECORD["switches"] if name.startswith(PREFIX)}
    assert set(VARS["__open_webui_known_permissions"]) == names
    assert VARS["__open_webui_allowed_by_default"].keys() <= names


@pytest.mark.parametrize(
    ("address", "outside"),
    [
        ("https://api.openai.com/v1", True),
        ("http://tika:9998", True),
        ("host.docker.internal", True),
        ("http://10.0.0.1:80", True),
        ("http://127.0.0.1:9", False),
        ("http://localhost:11434", False),
        ("", False),
    ],
)
def test_an_address_is_told_from_loopback(address: str, outside: bool) -> None:
    assert is_outside(address) is outside
