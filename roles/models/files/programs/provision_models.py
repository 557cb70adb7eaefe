# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put every model of a host in place and say where; run with the host's own Python, so that a look costs no import.

usage: provision_models.py REQUEST    (JSON, see roles/models/tasks/main.yml)

Prints {"changed": bool, "actions": [...], "paths": {model: directory}}. With "check" nothing is made, and the paths are
where things would be. On failure one line on standard error names host, variable, value and remedy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WEIGHTS = ("*.safetensors", "*.bin", "*.pt")
COMMIT = re.compile(r"[0-9a-f]{40}")
# What the service's sandbox hides from it.
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 # nosec B108


class ModelError(Exception):
    """A model that cannot be had; the text says why and what to do."""


def lacking(directory: Path) -> str:
    """Return what a checkpoint lacks to be served, or nothing."""
    # Mistral's own layout has params.json in its place.
    if not any((directory / name).is_file() for name in ("config.json", "params.json")):
        return "config.json"
    for index in directory.glob("*.index.json"):
        shards = json.loads(index.read_text()).get("weight_map", {}).values()
        missing = sorted({shard for shard in shards if not (directory / shard).is_file()})
        if not missing:
            return ""
        if not any(directory.glob("*.safetensors")) or index.name.endswith(".safetensors.index.json"):
            return f"{missing[0]} (one of {len(missing)} missing shards)"
    return "" if any(path for pattern in WEIGHTS for path in directory.glob(pattern)) else "weights"


def unreadable(directory: Path) -> str:
    """Return the first path on the way to a model that not everybody may read, or nothing."""
    for path in [*reversed(directory.parents), directory]:
        if not path.stat().st_mode & 0o001:
            return str(path)
    return next((str(path) for path in sorted(directory.iterdir()) if not path.stat().st_mode & 0o004), "")


def from_path(directory: Path) -> Path:
    """Check a directory of the host."""
    if not directory.is_dir():
        raise ModelError(f"{directory} is no directory of this host; copy the model there, or correct the source")
    directory = directory.resolve()
    if any(directory.is_relative_to(hidden) for hidden in HIDDEN):
        raise ModelError(f"{directory} is out of a service's sight; move the model, to /srv/models for example")
    if lack := lacking(directory):
        raise ModelError(f"{directory} lacks {lack}; copy the whole model there, or correct the source")
    if closed := unreadable(directory):
        raise ModelError(f"{closed} is not readable by the service; run chmod -R a+rX {closed}")
    return directory


class Demo:
    """The demo model, made on the host; its directory is named by the digest of what it is made from."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.root = Path(request["root"]) / "demo"
        self.directory = self.root / request["demo"]["digest"]
        self.command = [request["python"], request["demo"]["program"], request["demo"]["answers"]]

    def find(self) -> Path | None:
        """Return the model's directory if it is there; it appears whole or not at all."""
        return self.directory if self.directory.is_dir() else None

    def make(self) -> Path:
        """Train the model beside its place and move it there."""
        self.root.mkdir(parents=True, exist_ok=True)
        unfinished = self.root / f".{self.directory.name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        run = subprocess.run([*self.command, str(unfinished)], capture_output=True, text=True, check=False)
        if run.returncode:
            last = (run.stderr.strip() or f"it ended with {run.returncode}").splitlines()[-1]
            raise ModelError(f"the demo model could not be made: {last}; try again when the machine is less busy")
        unfinished.rename(self.directory)
        return self.directory


class Hub:
    """A repository of a model hub, in the cache layout of the hub's own tools, so that caches can be staged."""

    def __init__(self, source: dict[str, str], revision: str, request: dict[str, Any]) -> None:
        self.revision = revision
        self.cache = Path(request["root"]) / "hub"
        self.folder = self.cache / source["cache_folder"]
        self.refresh = request["hub"]["refresh"] and not COMMIT.fullmatch(revision)
        self.command = [request["python"], request["hub"]["program"], source["repository"], revision, str(self.cache)]
        self.command += request["hub"]["ignore"]

    def cached(self) -> Path | None:
        """Return the snapshot if it is whole; no network."""
        reference = self.folder / "refs" / self.revision
        commit = reference.read_text().strip() if reference.is_file() else self.revision
        snapshot = self.folder / "snapshots" / commit
        # A download begins by writing down what it will fetch; a staged cache has no such list.
        noted = self.folder / ".llmfleet" / f"{commit}.json"
        files = json.loads(noted.read_text()) if noted.is_file() else []
        whole = snapshot.is_dir() and all((snapshot / name).exists() for name in files) and not lacking(snapshot)
        return snapshot if whole else None

    def find(self) -> Path | None:
        """Return the snapshot to serve without asking the hub, if that is good enough."""
        return None if self.refresh else self.cached()

    @property
    def directory(self) -> Path:
        """Return where the snapshot is, or would be as far as can be told beforehand."""
        return self.cached() or self.folder / "snapshots" / self.revision

    def make(self) -> Path:
        """Download what is missing. A hub that cannot be reached is no harm while a snapshot is at hand."""
        before = self.cached()
        self.cache.mkdir(parents=True, exist_ok=True)
        run = subprocess.run(self.command, capture_output=True, text=True, check=False)
        if run.returncode and before:
            return before
        if run.returncode:
            lines = (run.stderr.strip() or f"the download ended with {run.returncode}").splitlines()
            raise ModelError(lines[-1])
        snapshot = Path(run.stdout.strip().splitlines()[-1])
        if lack := lacking(snapshot):
            raise ModelError(f"the repository holds no {lack}; choose another, or narrow models_hf_ignore")
        return snapshot


def provision(request: dict[str, Any]) -> dict[str, Any]:
    """Bring every model into place, each source once."""
    result: dict[str, Any] = {"changed": False, "actions": [], "paths": {}}
    done: dict[tuple[str, str], Path] = {}
    for model, source in request["sources"].items():
        revision = request["revisions"].get(model) or "main"
        asked = source["text"], revision
        if asked not in done:
            try:
                done[asked] = one(source, revision, request, result)
            except ModelError as error:
                at = f" at revision {revision}" if source["repository"] else ""
                where = f'{request["host"]}: llm_models[{model}].source is "{source["text"]}"{at}'
                raise ModelError(f"{where}: {error}.") from error
        result["paths"][model] = str(done[asked])
    return result


def one(source: dict[str, str], revision: str, request: dict[str, Any], result: dict[str, Any]) -> Path:
    """Bring one model into place and note what was done for it."""
    if source["directory"]:
        return from_path(Path(source["directory"]))
    origin = Hub(source, revision, request) if source["repository"] else Demo(request)
    found = origin.find()
    if found:
        return found
    if request["check"]:
        result["changed"] = True
        result["actions"].append(f"would make {source['text']} ready in {origin.directory}")
        return origin.directory
    before, started = (origin.cached() if isinstance(origin, Hub) else None), time.monotonic()
    made = origin.make()
    if made != before:
        result["changed"] = True
        result["actions"].append(f"{source['text']} is ready in {made} after {time.monotonic() - started:.0f} s")
    return made


def main() -> None:
    """Do what the request says."""
    os.umask(0o022)
    try:
        print(json.dumps(provision(json.loads(sys.argv[1]))))
    except ModelError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
