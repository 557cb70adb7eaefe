# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages name the host as the inventory does."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import identity

ROOT = Path(__file__).resolve().parents[5]
MODULES = sorted(
    path.stem
    for path in (ROOT / "plugins" / "modules").glob("*.py")
    if "  - llmfleet.serving.host\n" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize(("given", "name"), [("gpu1", "gpu1"), ("", platform.node()), (None, platform.node())])
def test_the_name_in_messages(given: str | None, name: str) -> None:
    class Module:
        params = {"host": given}  # noqa: RUF012
        told: dict[str, Any] = {}  # noqa: RUF012

        def fail_json(self, **result: Any) -> None:
            self.told.update(result)

    module = Module()
    identity.fail(module, "it is broken: mend it.", lost=["x"])
    assert module.told == {"msg": f"{name}: it is broken: mend it.", "lost": ["x"]}


def test_a_parameter_is_refused_with_all_parts_of_a_problem() -> None:
    told: dict[str, Any] = {}
    module = SimpleNamespace(params={"host": "gpu1"}, fail_json=told.update)
    identity.refuse(module, "timeout", 0, "it needs time", "give at least 1 second")
    assert told == {"msg": "gpu1: timeout is 0: it needs time; give at least 1 second."}


def test_no_module_names_the_host_by_itself() -> None:
    naming = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "plugins").rglob("*.py")
        # What runs on the control node names that by its own name.
        if path.parent.name != "action"
        for _call in re.findall(r"platform\.node\(|gethostname\(", path.read_text(encoding="utf-8"))
    ]
    assert naming == ["plugins/module_utils/host/identity.py"]


def test_roles_hand_the_name_of_the_inventory() -> None:
    """Each call of a module with the option ``host`` names it first."""
    assert len(MODULES) >= 10
    call = re.compile(rf"llmfleet\.serving\.(?:{'|'.join(MODULES)}):(?: &\w+)?\n( +.*)")
    missing = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in (ROOT / "roles").rglob("tasks/*.yml")
        for line in call.findall(path.read_text(encoding="utf-8"))
        if line.strip() != 'host: "{{ inventory_hostname }}"'
    ]
    assert missing == []
