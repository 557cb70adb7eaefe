# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module as Ansible does: arguments in, one JSON object out."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from types import ModuleType
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils import basic

APART = """
import importlib, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.argv[2].encode()
basic._ANSIBLE_PROFILE = "legacy"
importlib.import_module("ansible_collections.llmfleet.serving.plugins.modules." + sys.argv[1]).main()
"""


def run_apart(module: str, args: dict[str, Any], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a module in a process of its own and return its result.

    :param module: the module's name within the collection.
    :param environment: variables that the process has besides those of this one.
    """
    given = {"ANSIBLE_MODULE_ARGS": {"_ansible_remote_tmp": "/tmp", **args}}
    done = subprocess.run(
        [sys.executable, "-c", APART, module, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path)), **(environment or {})},
    )
    assert done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    return dict(json.loads(done.stdout))


def run_module(
    main: Callable[[], None],
    args: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> dict[str, Any]:
    """Return a module's result, whose ``failed`` must be what its exit status says."""
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode())
    # A module is told how its arguments are serialised.
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
    with pytest.raises(SystemExit) as stop:
        main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert bool(stop.value.code) == bool(result.get("failed"))
    return result


def documented_options(module: ModuleType) -> dict[str, Any]:
    """Return the options that a module documents, with those of the collection's documentation fragments."""
    document = yaml.safe_load(module.DOCUMENTATION)
    fragments = document.get("extends_documentation_fragment") or []
    options: dict[str, Any] = {}
    for name in [fragments] if isinstance(fragments, str) else fragments:
        parts = name.split(".")
        fragment = importlib.import_module(f"ansible_collections.llmfleet.serving.plugins.doc_fragments.{parts[2]}")
        text = getattr(fragment.ModuleDocFragment, parts[3].upper() if parts[3:] else "DOCUMENTATION")
        options.update(yaml.safe_load(text)["options"])
    return {**options, **document["options"]}
