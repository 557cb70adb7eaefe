# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Generations of services in files: ``<state>/generations/<service>/<n>/``, of root and for root alone.

A generation is a directory with its files under numbers, ``generation.json``, and ``record.json``, the record of its
instance. Beside them are ``present.json`` (which one runs, or ran last), ``restoring.json`` (what a restore is to lead
to) and ``held.json`` (that the service is held, by whom and why).
"""

from __future__ import annotations

import hashlib
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.host import records
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import delete, program_identity, read_json
from ansible_collections.llmfleet.serving.plugins.module_utils.service import generations as logic
from ansible_collections.llmfleet.serving.plugins.module_utils.service import ledger

FOLDER = "generations"


class Store:
    """The generations of the services of a host, and its ledger."""

    def __init__(self, state_root: str) -> None:
        """Name the directory of state, which need not exist."""
        self.state_root = state_root
        self.root = f"{state_root}/{FOLDER}"

    def services(self) -> list[str]:
        """Return the services that have generations."""
        return records.folders(self.root)

    def _path(self, service: str, *parts: str) -> str:
        return "/".join([self.root, service, *parts])

    def all_of(self, service: str) -> list[dict[str, Any]]:
        """Return the generations of a service, in order; one that was cut short is none."""
        numbers = sorted(int(name) for name in records.folders(self._path(service)) if name.isdigit())
        found = [read_json(self._path(service, str(number), "generation.json")) for number in numbers]
        return [one for one in found if isinstance(one, dict) and "digest" in one]

    def one(self, service: str, number: int | None) -> dict[str, Any] | None:
        """Return a generation by its number."""
        return next((one for one in self.all_of(service) if one["generation"] == number), None)

    def _read(self, service: str, name: str) -> dict[str, Any]:
        found = read_json(self._path(service, f"{name}.json"))
        return found if isinstance(found, dict) else {}

    def present(self, service: str) -> dict[str, Any] | None:
        """Return the generation that runs, or ran last."""
        return self.one(service, self._read(service, "present").get("generation"))

    def held(self, service: str) -> dict[str, Any]:
        """Return by whom, since when and why a service is held; empty if it is not."""
        return self._read(service, "held")

    def restoring(self, service: str) -> dict[str, Any]:
        """Return what a restore that was not started yet leads to; empty if there is none."""
        return self._read(service, "restoring")

    def note(self, service: str, name: str, value: dict[str, Any] | None) -> None:
        """Write a file beside the generations, or remove it."""
        if value is None:
            delete(self._path(service, f"{name}.json"))
            return
        records.private_folder(self._path(service))
        records.replace_json(self._path(service, f"{name}.json"), value)

    def digest_now(self, service: dict[str, Any], paths: list[str]) -> str:
        """Return the digest of what a service would be started with now, without its secrets.

        :param service: parameters of ``service_state``.
        :param paths: its files without secrets.
        """
        digest = hashlib.sha256(program_identity(service["command"]).encode())
        for path in paths:
            found = records.content_of(path)
            digest.update(path.encode() + b"\0" + (hashlib.sha256(found[0]).digest() if found else b"absent"))
        return digest.hexdigest()

    def is_on_disk(self, generation: dict[str, Any]) -> bool:
        """Return whether the files and the program of a generation are in force."""
        return self.digest_now(generation["service"], generation["paths"]) == str(generation["digest"])

    def is_gone(self, service: str) -> bool:
        """Return whether nothing of a service's generations is in force, as its definition was removed."""
        paths = {one["path"] for generation in self.all_of(service) for one in generation["files"]}
        return not any(records.is_there(path) for path in paths)

    def keep(self, service: dict[str, Any], paths: list[str], state: str) -> dict[str, Any]:
        """Keep what a service would be started with now as a generation, unless one has it; return the generation.

        :param paths: its files without secrets.
        :param state: of a new generation.
        """
        name, about = service["name"], service["generation"]
        found, digest = self.all_of(name), self.digest_now(service, paths)
        same = logic.with_digest(found, digest)
        if same:
            return same
        number = logic.next_number(found)
        folder = self._path(name, str(number))
        # What a run that was cut short left of the same number has no generation.json.
        records.remove_folder(folder)
        records.private_folder(folder)
        files: list[dict[str, Any]] = []
        for path in paths:
            read = records.content_of(path)
            if read:
                records.replace(f"{folder}/{len(files)}", read[0])
                files.append({"path": path, "name": str(len(files)), **read[1]})
        started = {key: value for key, value in service.items() if key != "generation"}
        generation = {
            "generation": number,
            "state": state,
            "when": ledger.now(),
            "package": logic.package_of(service["command"], about["image"]),
            "revision": logic.revision_of(about["revision"], about["snapshot"]),
            "ready_seconds": None,
            "digest": digest,
            **{key: about[key] for key in ("instance", "model", "snapshot", "image")},
            "service": {**started, "secret_files": about["secret_files"], "generation": about},
            "paths": paths,
            "files": files,
        }
        records.replace_json(f"{folder}/generation.json", generation)
        return generation

    def update(self, service: str, generation: dict[str, Any]) -> None:
        """Write a changed generation."""
        records.replace_json(self._path(service, str(generation["generation"]), "generation.json"), generation)

    def content(self, service: str, number: int, name: str) -> bytes:
        """Return the content of a kept file.

        :raises OSError: it is gone.
        """
        found = records.content_of(self._path(service, str(number), name))
        if found is None:
            raise FileNotFoundError(self._path(service, str(number), name))
        return found[0]

    def record(self, service: str, number: int) -> dict[str, Any] | None:
        """Return the record of the instance, as the plan had it when the generation was replaced."""
        found = read_json(self._path(service, str(number), "record.json"))
        return found if isinstance(found, dict) else None

    def keep_record(self, service: str, path: str) -> None:
        """Keep the record of the instance with its present generation.

        :param path: file with the instances in force.
        """
        present, known = self.present(service), read_json(path)
        instances = known.get("instances") if isinstance(known, dict) else None
        for one in instances or []:
            if present and isinstance(one, dict) and one.get("name") == present["instance"]:
                records.replace_json(self._path(service, str(present["generation"]), "record.json"), one)

    def prune(self, service: str, dry: bool = False) -> list[str]:
        """Remove the generations of a service that are not kept any more, all if it was removed.

        :param dry: remove none.
        :returns: their directories.
        """
        found = self.all_of(service)
        present = self._read(service, "present").get("generation")
        if self.is_gone(service):
            if not dry:
                records.remove_folder(self._path(service))
            return [self._path(service)]
        failed = [one["generation"] for one in found if one["state"] == logic.FAILED]
        gone = logic.superfluous(found, present, max(failed, default=None))
        paths = [self._path(service, str(number)) for number in gone]
        for path in [] if dry else paths:
            records.remove_folder(path)
        return paths

    def write(self, kind: str, about: dict[str, Any], **more: Any) -> str:
        """Append an entry to the ledger; see ``ledger.entry``. Return who did it."""
        found = read_json(f"{self.state_root}/run.json")
        holder = found if isinstance(found, dict) else {}
        entry = ledger.entry(kind, about, holder, ledger.now(), **more)
        records.append_line(f"{self.state_root}/{ledger.FILE}", ledger.line(entry))
        return str(entry["who"])

    def entries(self) -> list[dict[str, Any]]:
        """Return the last entries of the ledger, the oldest first."""
        return ledger.entries(records.last_part(f"{self.state_root}/{ledger.FILE}", ledger.TAIL_BYTES))
