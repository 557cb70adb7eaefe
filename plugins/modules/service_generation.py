#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Restore, hold, list and prune generations of a service."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_generation
short_description: Restore, hold, list and prune the generations of a service
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - M(llmfleet.serving.service_state) keeps what a service is started with as a I(generation) - its unit or program, its
    scripts and its configuration, the record of its instance, and what its package and its model were. Files with
    secrets are not kept.
  - A restore writes the files of a generation back, and the record of the instance with them. It starts nothing.
    M(llmfleet.serving.service_state) with RV(service) sees that the running process was started with something else,
    restarts it and waits until it is ready.
  - A restore downloads nothing. Where the environment, the image, the model or the file with secrets of a generation is
    gone, it names what is missing and changes nothing.
  - The restored service is started with the secrets that the host has now, so a key that was rotated since then stays
    rotated. Variables from the inventory that may be secret are in that file too and stay as they are.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Says what it would do and whether anything is missing.}
  diff_mode: {support: full, details: 'Shows each file that a restore changes; none of them holds a secret.'}
  idempotent: {support: full, details: A second call changes nothing.}
options:
  state:
    description:
      - V(restored) writes the files of a generation. V(held) records that the service is held as it is, V(released)
        that it is not any more; both are lines of the ledger, and others decide by them, V(judged) is one more.
      - V(listed) only reads. V(pruned) removes generations that are not kept any more, and those of services that were
        removed. Kept are the present one, the last three good ones and the last one that failed.
    type: str
    choices: [restored, held, released, judged, listed, pruned]
    required: true
  service: {description: 'Name without prefix. V(listed) and V(pruned) take all services without it.', type: str}
  generation:
    description:
      - Number of the generation to restore. By default the present one if a later one did not come up, else the last
        good one before it that no restore has left.
    type: int
  hold: {description: With V(restored) hold the service too., type: bool, default: false}
  why: {description: 'Why it is restored or held, or the verdict; it holds no secret.', type: str, default: ''}
  figures: {description: With V(judged) what the verdict is about., type: dict, default: {}}
  container_program: {description: Client of the container engine; it is asked for the image., type: path}
  record:
    description: File with the instances in force; a restore replaces the record of the instance.
    type: path
    default: /etc/ansible/facts.d/llmfleet_plan.fact
  state_root: {description: Directory of state., type: path, default: /var/lib/llmfleet}
"""

EXAMPLES = r"""
- name: Restore the last good generation of an engine
  llmfleet.serving.service_generation:
    service: vllm-chat-0
    state: restored
  register: restored

- name: Start it
  llmfleet.serving.service_state:
    manager: systemd
    services: ["{{ restored.service }}"]
"""

RETURN = r"""
generations:
  description: The generations of each service after the call, without their files.
  returned: always
  type: dict
present:
  description: Number of the generation of each service that runs, or ran last.
  returned: always
  type: dict
held:
  description: By whom (C(who)), since when (C(since)) and why (C(why)) services are held.
  returned: always
  type: dict
images:
  description: Images that generations refer to.
  returned: always
  type: list
  elements: str
generation:
  description: Number of the generation that was restored.
  returned: with V(restored)
  type: int
service:
  description: Parameters of the service for M(llmfleet.serving.service_state).
  returned: with V(restored)
  type: dict
instance:
  description: Name, model, package, revision and snapshot of the restored generation.
  returned: with V(restored)
  type: dict
removed:
  description: Directories that were removed.
  returned: with V(pruned)
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import records
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import delete, read_json
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail, refuse
from ansible_collections.llmfleet.serving.plugins.module_utils.service import generations as logic
from ansible_collections.llmfleet.serving.plugins.module_utils.service import ledger
from ansible_collections.llmfleet.serving.plugins.module_utils.service.generation_store import Store


class Run:
    """One call of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params
        self.store = Store(self.params["state_root"])
        self.name = str(self.params["service"] or "")

    def _present(self) -> dict[str, Any]:
        present = self.store.present(self.name)
        if present is None:
            known = ", ".join(self.store.services()) or "none"
            problem = f"no generation of it ran on this host (kept are those of: {known})"
            refuse(self.module, "service", self.name, problem, "name a service that site.yml has started here")
        return present or {}

    def _chosen(self) -> dict[str, Any]:
        """Return the generation that is restored."""
        found, present = self.store.all_of(self.name), self._present()
        number = self.params["generation"] or logic.target(found, present, self.store.is_on_disk(present))
        chosen = self.store.one(self.name, number)
        if chosen is None or chosen["state"] != logic.GOOD:
            good = [str(one["generation"]) for one in found if one["state"] == logic.GOOD]
            problem = f"there is no such good generation of {self.name}" if number else "no good one is kept before it"
            remedy = (
                f"choose one of: {', '.join(good)}"
                if good
                else "run site.yml, which starts what the inventory asks for"
            )
            refuse(self.module, "generation", number, problem, remedy)
        return chosen or {}

    def _missing(self, chosen: dict[str, Any]) -> list[str]:
        """Return what a generation needs and the host lacks."""
        needed = logic.needed_paths(chosen).items()
        missing = [f"{what} {path}" for path, what in needed if not records.is_there(path)]
        groups = {one["group"] for one in chosen["files"]}
        missing += [f"the group {name}" for name in sorted(groups) if not records.is_group(name)]
        image, program = chosen["image"], self.params["container_program"]
        if image and program and self.module.run_command([program, "image", "inspect", image])[0]:
            missing.append(f"its image {image}")
        return missing

    def restore(self) -> dict[str, Any]:
        """Write the files of a generation."""
        chosen = self._chosen()
        missing = self._missing(chosen)
        if missing:
            good = [one["generation"] for one in self.store.all_of(self.name) if one["state"] == logic.GOOD]
            fail(self.module, logic.refusal(self.name, chosen, missing, [n for n in good if n != chosen["generation"]]))
        number, diff = chosen["generation"], []
        for one in chosen["files"]:
            after = self.store.content(self.name, number, one["name"])
            found = records.content_of(one["path"])
            attributes = {key: one[key] for key in ("owner", "group", "mode")}
            if found == (after, attributes):
                continue
            headers = {"before_header": one["path"], "after_header": one["path"]}
            before = found[0].decode("utf-8", "replace") if found else ""
            diff.append({**headers, "before": before, "after": after.decode("utf-8", "replace")})
            if not self.module.check_mode:
                records.replace(one["path"], after, one["mode"], one["owner"], one["group"])
        kept = {one["path"] for one in chosen["files"]}
        for path in [path for path in chosen["paths"] if path not in kept and records.is_there(path)]:
            diff.append({"before": f"{path}\n", "after": ""})
            if not self.module.check_mode:
                delete(path)
        present = self._present()
        leads = {"to": number, "from": present["generation"], "why": self.params["why"]}
        if diff and not self.module.check_mode:
            self.store.note(self.name, "restoring", leads)
            self._record(number)
        changed = self.hold() if self.params["hold"] else False
        told = ("instance", "model", "package", "revision", "snapshot")
        service = {key: value for key, value in chosen["service"].items() if key != "secret_files"}
        instance = {key: chosen[key] for key in told}
        return {
            "changed": bool(diff) or changed,
            "generation": number,
            "service": service,
            "instance": instance,
            "diff": diff,
        }

    def _record(self, number: int) -> None:
        """Put the record of the generation in the place of the one in force."""
        kept, known = self.store.record(self.name, number), read_json(self.params["record"])
        if kept and isinstance(known, dict):
            others = [one for one in known.get("instances") or [] if one.get("name") != kept["name"]]
            records.replace_json(self.params["record"], {**known, "instances": [*others, kept]})

    def hold(self) -> bool:
        """Hold the service as it is; return whether it was not held."""
        present = self._present()
        if self.store.held(self.name):
            return False
        if not self.module.check_mode:
            who = self.store.write(ledger.HOLD, present, after=logic.told(present), verdict=self.params["why"])
            self.store.note(self.name, "held", {"who": who, "since": ledger.now(), "why": self.params["why"]})
        return True

    def release(self) -> bool:
        """Release the service; return whether it was held."""
        if not self.store.held(self.name):
            return False
        if not self.module.check_mode:
            self.store.note(self.name, "held", None)
            self.store.write(ledger.RELEASE, self.store.present(self.name) or {}, verdict=self.params["why"])
        return True

    def judge(self) -> bool:
        """Record a verdict."""
        if not self.module.check_mode:
            self.store.write(ledger.JUDGE, self._present(), verdict=self.params["why"], figures=self.params["figures"])
        return True

    def prune(self) -> dict[str, Any]:
        """Remove what is not kept any more."""
        names = [self.name] if self.name else self.store.services()
        paths = [path for name in names for path in self.store.prune(name, self.module.check_mode)]
        return {
            "changed": bool(paths),
            "removed": paths,
            "diff": {"before": "".join(f"{one}\n" for one in paths), "after": ""},
        }

    def listed(self) -> dict[str, Any]:
        """Return what is kept."""
        names = [self.name] if self.name else self.store.services()
        found = {name: self.store.all_of(name) for name in names}
        hidden = ("service", "paths", "files")
        present = {name: self.store.present(name) for name in names}
        return {
            "generations": {
                name: [{key: value for key, value in one.items() if key not in hidden} for one in those]
                for name, those in found.items()
            },
            "present": {name: one["generation"] for name, one in present.items() if one},
            "held": {name: self.store.held(name) for name in names if self.store.held(name)},
            "images": sorted({one["image"] for those in found.values() for one in those if one["image"]}),
        }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": OPTION,
            "state": {"choices": ["restored", "held", "released", "judged", "listed", "pruned"], "required": True},
            "service": {"type": "str"},
            "generation": {"type": "int"},
            "hold": {"type": "bool", "default": False},
            "why": {"type": "str", "default": ""},
            "figures": {"type": "dict", "default": {}},
            "container_program": {"type": "path"},
            "record": {"type": "path", "default": "/etc/ansible/facts.d/llmfleet_plan.fact"},
            "state_root": {"type": "path", "default": "/var/lib/llmfleet"},
        },
        required_if=[("state", state, ["service"]) for state in ("restored", "held", "released", "judged")],
        supports_check_mode=True,
    )
    run = Run(module)
    result: dict[str, Any] = {"changed": False}
    try:
        noted = {"held": run.hold, "released": run.release, "judged": run.judge}.get(module.params["state"])
        if module.params["state"] == "restored":
            result = run.restore()
        elif module.params["state"] == "pruned":
            result = run.prune()
        elif noted:
            result = {"changed": noted()}
    except OSError as error:
        fail(module, f"{error.filename} cannot be used: {error.strerror}; correct it and run this again.")
    module.exit_json(**run.listed(), **result)


if __name__ == "__main__":
    main()
