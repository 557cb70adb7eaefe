# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Renders what the role of an application gives to the service role, in one call of the lookup that the role uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_playbook import ROOT, played

SERVICE = "lookup('ansible.builtin.vars', '__{0}_service')"
PROBLEMS = "lookup('ansible.builtin.vars', '__{0}_problems', default=[])"
FILES = "query('llmfleet.serving.rendered_files', *service.files)"
TOLD = "{'content': service | combine({'problems': problems}) | to_json, 'dest': service_config_root ~ '/%s.json'}"


def render_role(application: str, folder: Path, parameters: dict[str, Any]) -> None:
    """Write an application's files below a folder, and into etc/APPLICATION.json the service that its role describes.

    :param parameters: variables of the role and of the service role.
    """
    role = ROOT / "roles" / application
    for name in ("files", "templates"):
        if not (folder / name).exists():
            (folder / name).symlink_to(role / name)
    roots = {"service_config_root": str(folder / "etc"), "service_state_root": str(folder / "var")}
    (folder / "parameters.json").write_text(json.dumps({**parameters, **roots}))
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(role / part / "main.yml") for part in ("defaults", "vars")],
        "vars": {
            "service": f"{{{{ {SERVICE.format(application)} }}}}",
            "problems": f"{{{{ {PROBLEMS.format(application)} }}}}",
        },
        "tasks": [{"write_here": {"files": f"{{{{ {FILES} + [{TOLD % application}] }}}}"}}],
    }
    (folder / "play.json").write_text(json.dumps([play]))
    played("-i", "localhost,", "-e", f"@{folder / 'parameters.json'}", folder / "play.json")
