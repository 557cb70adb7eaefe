# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``service_state`` keeps of the services that it starts and stops: generations and entries of the ledger."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.service import generations, ledger
from ansible_collections.llmfleet.serving.plugins.module_utils.service.generation_store import Store
from ansible_collections.llmfleet.serving.plugins.module_utils.service.managers import Manager


def kept_paths(manager: Manager, service: dict[str, Any]) -> list[str]:
    """Return the files of a service that are kept: definition and configuration, and none with a secret."""
    paths = manager.definition_files(service["name"]) + service["restart_files"] + service["reload_files"]
    secret = service["generation"]["secret_files"]
    return list(dict.fromkeys(path for path in paths if path not in secret))


class Begun(NamedTuple):
    """A start that goes on."""

    before: dict[str, Any] | None
    """The generation that ran until now, or last."""
    after: dict[str, Any]
    kind: str
    """The kind of the ledger's entry."""
    since: float


class History:
    """The generations and the ledger, for one call of the module. A service without ``generation`` has none."""

    def __init__(self, state_root: str, manager: Manager, record: str) -> None:
        """Begin.

        :param record: file with the instances in force.
        """
        self._store = Store(state_root)
        self._manager = manager
        self._record = record
        self._begun: dict[str, Begun] = {}

    def is_new(self, service: dict[str, Any]) -> bool:
        """Return whether what runs is kept by no generation yet, as an earlier version started it."""
        return bool(service["generation"]) and self._store.present(service["name"]) is None

    def begin(self, service: dict[str, Any], action: str) -> None:
        """Keep what a service is started with, before that is done. It is good when it has come up.

        :param action: what is done to it, as ``state.decide`` has it.
        """
        if not service["generation"] or action == "none":
            return
        name = service["name"]
        before = self._store.present(name)
        self._store.keep_record(name, self._record)
        after = self._store.keep(service, kept_paths(self._manager, service), generations.FAILED)
        kind = ledger.REPLACE
        if self._store.restoring(name).get("to") == after["generation"]:
            kind = ledger.RESTORE
        elif before is None or (action == "start" and before["generation"] == after["generation"]):
            kind = ledger.START
        self._begun[name] = Begun(before, after, kind, time.monotonic())

    def ready(self, service: dict[str, Any], seconds: float) -> None:
        """Record that a service came up with what was kept."""
        name = service["name"]
        if name in self._begun:
            begun = self._begun.pop(name)
            if (
                begun.kind == ledger.RESTORE
                and begun.before
                and begun.before["generation"] != begun.after["generation"]
            ):
                # The next restore without a number goes further back.
                self._store.update(name, {**begun.before, "left": True})
            good = {
                **begun.after,
                "left": False,
                "state": generations.GOOD,
                "when": ledger.now(),
                "ready_seconds": seconds,
            }
            self._store.update(name, good)
            self._store.note(name, "present", {"generation": good["generation"]})
            self._store.note(name, "restoring", None)
            self._store.prune(name)
            self._write(service, begun._replace(after=good), seconds, "ready")

    def failed(self, service: dict[str, Any], cause: str) -> None:
        """Record that a service did not come up.

        :param cause: without secrets.
        """
        if service["name"] in self._begun:
            begun = self._begun.pop(service["name"])
            self._write(service, begun, round(time.monotonic() - begun.since, 1), f"failed: {cause}")

    def _write(self, service: dict[str, Any], begun: Begun, seconds: float, verdict: str) -> None:
        told = {"before": generations.told(begun.before), "after": generations.told(begun.after)}
        self._store.write(begun.kind, service["generation"], **told, seconds=seconds, verdict=verdict)

    def adopt(self, service: dict[str, Any]) -> None:
        """Keep what runs already and is as it should be as a good generation. Nothing happened, so the ledger is left
        alone.
        """
        kept = self._store.keep(service, kept_paths(self._manager, service), generations.GOOD)
        self._store.note(service["name"], "present", {"generation": kept["generation"]})

    def stopping(self, names: list[str]) -> None:
        """Keep the records of instances that are about to stop."""
        for name in set(names) & set(self._store.services()):
            self._store.keep_record(name, self._record)

    def stopped(self, names: list[str]) -> None:
        """Record that services have stopped."""
        for name in sorted(set(names) & set(self._store.services())):
            present = self._store.present(name)
            if present:
                self._store.write(ledger.STOP, present, before=generations.told(present), verdict="stopped")
