#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which inputs of a scenario were seen green: a digest of them, and the record that a whole green run leaves.

    tests/bench/green.py [--unless-green] NAME COMMAND...

Every file that git knows or would take is an input, whether it is committed or not, except the few that no scenario can
read. The record is committed, so that `make test` can skip a scenario where nothing has changed since. Molecule's
scenarios are run by scenario.py; as a program, this runs any other proof of the bench under the same rules.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# An asterisk matches slashes too. What is not listed counts: a new folder of any kind counts until somebody lists it.
NO_INPUTS = (
    "*.md",
    "*.rst",
    "LICENSE",
    "docs/*",
    "changelogs/*",
    ".github/*",
    ".ci/*",
    "renovate.json",
    # Tests of other steps and what they alone read.
    "tests/*/test_*.py",
    "tests/bench/green/*",
    "tests/demo.sh",
    "tests/ready.sh",
    "tests/run.py",
    "tests/benchmarks/*",
    "tests/catalog/*",
    "tests/chain/*",
    "tests/collection/*",
    "tests/egress/*",
    "tests/firewall/*",
    "tests/gate/*",
    "tests/gpu/*",
    "tests/lint/*",
    "tests/nginx/*",
    "tests/open_webui/*",
    "tests/prod/*",
    "tests/prometheus/*",
    "tests/readme/*",
    "tests/sanity/*",
    "tests/support/*",
    "tests/unit/*",
    "tests/usage/*",
    "tests/vllm/*",
    # Environments of other steps.
    "requirements/core-*",
    "requirements/sslyze.*",
)
# What counts although a pattern above matches: the hosts of the bench replay these recordings.
RECORDINGS = "tests/unit/plugins/module_utils/data/nvidia_smi/"
# The folder of what scenarios have in common; other proofs of the bench use some of it too.
SHARED = "shared"
# What one proof alone reads of tests/: all that is in these folders counts for it, and nothing for others.
OWN = {
    "tests/engine_echo/": "fleet",
    "tests/fleet/": "fleet",
    "tests/support/python_standin.py": "first-command",
}
# Scenarios that use files of another one.
BORROWS = {"container": ("default",)}


@dataclass(frozen=True)
class Record:
    """What a whole green run leaves; all but the digest is for people."""

    digest: str
    files: int
    seen: str
    ansible_core: str
    container_engine: str


def is_input(path: str, scenario: str) -> bool:
    """Whether a file, named from the root of the checkout, can change what the scenario does."""
    for own, proof in OWN.items():
        if path.startswith(own):
            return scenario == proof
    if path.startswith(RECORDINGS):
        return True
    if any(fnmatchcase(path, pattern) for pattern in NO_INPUTS):
        return False
    folder, _, rest = path.partition("/")
    if folder != "molecule":
        return True
    return rest.partition("/")[0] in (scenario, SHARED, *BORROWS.get(scenario, ()))


def inputs(root: Path, scenario: str) -> list[str]:
    """Name the scenario's inputs; none where the folder is no checkout, as in an installed collection."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    known = set(listing.stdout.split("\0")) - {""} if listing.returncode == 0 else set()
    # The index still names what was deleted and not committed.
    return sorted(path for path in known if is_input(path, scenario) and os.path.lexists(root / path))


def content(path: Path) -> bytes:
    """Content and kind of a file as git sees it: a link is where it points to, and of the mode only x counts."""
    if path.is_symlink():
        return b"link " + os.fsencode(path.readlink())
    kind = b"program " if path.stat().st_mode & 0o100 else b"file "
    return kind + path.read_bytes()


def digest(root: Path, scenario: str, paths: list[str]) -> str:
    """One digest over names, kinds and contents of files."""
    whole = hashlib.sha256(scenario.encode())
    for path in paths:
        whole.update(f"\0{path}\0{hashlib.sha256(content(root / path)).hexdigest()}".encode())
    return whole.hexdigest()


def digest_of_inputs(root: Path, scenario: str) -> str:
    """The digest of the inputs of now; '' where none are known, which no record has."""
    paths = inputs(root, scenario)
    return digest(root, scenario, paths) if paths else ""


def record_file(root: Path, scenario: str) -> Path:
    """Where the scenario's record is."""
    return root / "tests" / "bench" / "green" / f"{scenario}.json"


def read_record(root: Path, scenario: str) -> Record | None:
    """Read the record; one that cannot be read is none."""
    try:
        return Record(**json.loads(record_file(root, scenario).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def seen_green(root: Path, scenario: str) -> Record | None:
    """Return the record of a run with the inputs of now, if there is one."""
    record, now = read_record(root, scenario), digest_of_inputs(root, scenario)
    return record if record is not None and now and record.digest == now else None


def skipped(scenario: str, seen: Record) -> str:
    """Say in one line what is skipped and why."""
    return (
        f"bench: {scenario}: skipped, because none of its {seen.files} input files has changed since it was seen green"
        f" on {seen.seen} (digest {seen.digest[:12]}, ansible-core {seen.ansible_core}, {seen.container_engine});"
        " with SCENARIOS=all it runs anyway"
    )


def write_record(root: Path, scenario: str, record: Record) -> Path:
    """Write the record whole or not at all."""
    file = record_file(root, scenario)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    part.replace(file)
    return file


def record_run(root: Path, scenario: str, before: str, environment: Mapping[str, str]) -> str:
    """Record a whole green run that began with this digest, unless a file was changed meanwhile; say which it was."""
    if not before or digest_of_inputs(root, scenario) != before:
        return f"bench: {scenario}: not recorded, because an input changed during the run"
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    docker = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    try:
        ansible_core = version("ansible-core")
    except PackageNotFoundError:
        ansible_core = ""
    record = Record(
        digest=before,
        files=len(inputs(root, scenario)),
        seen=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        ansible_core=ansible_core,
        container_engine=f"docker {docker.stdout.strip()}",
    )
    file = write_record(root, scenario, record)
    return f"bench: {scenario}: recorded in {file.relative_to(root)}, for the next commit"


def run_to_its_end(command: list[str]) -> int:
    """Run a command and return its exit status; it removes its hosts after a signal, so it is told and waited for."""
    early: list[int] = []
    tell: Callable[[int], None] = early.append
    # The handlers stand before the command does: it may print, and be interrupted, before Popen has returned.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: tell(number))
    process = subprocess.Popen(command, cwd=ROOT)
    tell = process.send_signal
    for missed in early:
        tell(missed)
    return process.wait()


def main() -> int:
    """Run a command unless it was seen green, and record it when it passes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unless-green", action="store_true", help="skip it where no input has changed")
    parser.add_argument("name", help="name of the proof, and of its record")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what proves it by its exit status")
    arguments = parser.parse_args()
    seen = seen_green(ROOT, arguments.name) if arguments.unless_green else None
    if seen is not None:
        print(skipped(arguments.name, seen))
        return 0
    before = digest_of_inputs(ROOT, arguments.name)
    code = run_to_its_end(arguments.command)
    if code == 0:
        print(record_run(ROOT, arguments.name, before, os.environ))
    return code


if __name__ == "__main__":
    sys.exit(main())
