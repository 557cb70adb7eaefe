# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look for a fleet's secrets where none may be, and name the places without the secrets.

    python3 scan_secrets.py SECRETS_FILE [--host] [PATH ...]
    docker exec -i HOST python3 /tmp/scan_secrets.py - --host < SECRETS_FILE

Below each PATH (logs, test output) no file may hold a secret, nor have one in its name. With --host this machine is
searched too: the command line of every process, systemd units, supervisor's configuration, the journal of the services,
their logs, and every file of the collection that any user can read. Standard library only, so that it runs on
hosts, with plugins/module_utils/text.py beside it.

Exit status: 0 no hit, 1 at least one hit, 2 nothing could be searched.
"""

from __future__ import annotations

import argparse
import gzip
import json
import mmap
import os
import re
import runpy
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# How a value may be written is known in one place; on another machine that file lies beside this one.
PLACES = (Path(__file__).with_name("text.py"), Path(__file__).parents[2] / "plugins" / "module_utils" / "text.py")
written_forms = runpy.run_path(str(next(place for place in PLACES if place.exists())))["written_forms"]
# A shorter value would be found everywhere, and is no secret.
SHORTEST = 8
# Environments hold other people's files; weights hold nothing that could be read.
LEFT_OUT = {"venvs", ".venv", "node_modules", ".git"}
WEIGHTS = {".safetensors", ".bin", ".pt", ".gguf"}
# No secret may be in these, whoever can read them.
CLOSED = [
    "/etc/systemd/system/llm-*",
    "/run/systemd/system/llm-*",
    "/etc/llmfleet/supervisord.conf",
    "/etc/llmfleet/supervisor.d",
    "/etc/ansible/facts.d",
    "/var/log/llmfleet",
    "/var/log/nginx",
    "/var/log/syslog",
]
# In these only files that other users can read are looked at.
SHARED = ["/etc/llmfleet", "/opt/llmfleet", "/var/lib/llmfleet", "/run/llmfleet"]


@dataclass
class Scan:
    """What is looked for, and what was found."""

    secrets: dict[str, str]
    own_file: Path | None = None
    hits: list[str] = field(default_factory=list)
    files: int = 0
    processes: int = 0

    def __post_init__(self) -> None:
        self.names: dict[bytes, str] = {}
        for name, value in self.secrets.items():
            self.names.update((form.encode(), name) for form in written_forms(value))
        longest_first = sorted(self.names, key=len, reverse=True)
        # An empty pattern is found everywhere, this one nowhere: a scenario of bare machines has no secrets.
        self.pattern = re.compile(b"|".join(re.escape(form) for form in longest_first) or b"(?!)")

    def found_in(self, data: bytes | mmap.mmap) -> Iterator[tuple[str, int]]:
        """Names of the secrets in some data, each with the line of its first place."""
        seen = set()
        for match in self.pattern.finditer(data):
            name = self.names[match[0]]
            if name not in seen:
                seen.add(name)
                yield name, data[: match.start()].count(b"\n") + 1

    def hide(self, text: str) -> str:
        return self.pattern.sub(lambda match: b"<" + self.names[match[0]].encode() + b">", text.encode()).decode()

    def search(self, data: bytes | mmap.mmap, place: str) -> None:
        self.hits += [f"{place}:{line} holds {name}" for name, line in self.found_in(data)]

    def file(self, path: Path) -> None:
        """One file, its name and its content."""
        if self.pattern.search(os.fsencode(path)):
            self.hits.append(f"{self.hide(str(path))} has a secret in its name")
        if self.own_file and path.samefile(self.own_file):
            return
        with path.open("rb") as file:
            self.files += 1
            if path.suffix == ".gz":
                self.search(gzip.decompress(file.read()), str(path))
            elif os.fstat(file.fileno()).st_size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    self.search(data, str(path))

    def tree(self, top: Path, world_readable_only: bool = False) -> None:
        """Every regular file at or below a path."""
        for path in files_below(top):
            try:
                mode = path.stat().st_mode
                if stat.S_ISREG(mode) and (not world_readable_only or readable_by_others(path, top)):
                    self.file(path)
            except FileNotFoundError:
                continue  # logs rotate and processes tidy up while we look
            except (OSError, EOFError) as error:
                self.hits.append(f"{path} could not be searched: {error}")

    def command_lines(self) -> None:
        """The command line of every process, which every user can see."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                line = (entry / "cmdline").read_bytes()
                command = (entry / "comm").read_text().strip()
            except OSError:
                continue  # it ended while we looked
            self.processes += 1
            self.hits += [
                f"process {entry.name} ({command}): its command line holds {n}" for n, _line in self.found_in(line)
            ]

    def journal(self) -> None:
        """What the services told systemd's journal."""
        if Path("/run/systemd/system").is_dir() and shutil.which("journalctl"):
            command = ["journalctl", "--no-pager", "--quiet", "--unit", "llm-*"]
            self.search(subprocess.run(command, capture_output=True, check=True).stdout, "journal of llm-*")


def files_below(top: Path) -> Iterator[Path]:
    if not top.is_dir():
        yield top
        return
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        yield from (Path(folder, name) for name in names if Path(name).suffix not in WEIGHTS)


def readable_by_others(path: Path, top: Path) -> bool:
    """Whether any user can reach and read a file: its own mode, and those of the folders down to it."""
    if not path.stat().st_mode & stat.S_IROTH:
        return False
    folders = [folder for folder in path.parents if folder == top or top in folder.parents]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)


def unquoted(value: str) -> str:
    """A YAML scalar of one line, without its quotes."""
    if value.startswith('"'):
        return str(json.loads(value))
    return value[1:-1].replace("''", "'") if value.startswith("'") else value


def read_secrets(text: str) -> dict[str, str]:
    """The secrets of a file that llmfleet.serving.fleet_secrets wrote: one `name: value` a line under `secrets:`."""
    secrets: dict[str, str] = {}
    inside = False
    for line in text.splitlines():
        if not line.startswith((" ", "#")):
            inside = line.startswith("secrets:")
            continue
        name, colon, value = line.strip().partition(":")
        if inside and colon and not name.startswith("#"):
            value = value.strip()
            secrets[name] = unquoted(value)
    return {name: value for name, value in secrets.items() if len(value) >= SHORTEST}


def expand(patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(Path("/").glob(pattern.lstrip("/")))


def main(arguments: list[str]) -> int:
    """Search, and print what was found."""
    parser = argparse.ArgumentParser(description="Look for a fleet's secrets where none may be.")
    parser.add_argument(
        "secrets_file", metavar="SECRETS_FILE", help='file of llmfleet.serving.fleet_secrets, "-" for stdin'
    )
    parser.add_argument("--host", action="store_true", help="search this machine too; as root, to see all of it")
    parser.add_argument("paths", metavar="PATH", nargs="*", type=Path, help="file or folder that may hold no secret")
    options = parser.parse_intermixed_args(arguments)

    own_file = None if options.secrets_file == "-" else Path(options.secrets_file)
    secrets = read_secrets(own_file.read_text(encoding="utf-8") if own_file else sys.stdin.read())
    if not secrets:
        print(f"{options.secrets_file} holds no secret to look for", file=sys.stderr)
        return 2
    missing = [str(path) for path in options.paths if not path.exists()]
    if missing or not (options.paths or options.host):
        print(f"nothing to search: {', '.join(missing) or 'give --host or a PATH'}", file=sys.stderr)
        return 2

    scan = Scan(secrets, own_file)
    for path in options.paths:
        scan.tree(path)
    if options.host:
        scan.command_lines()
        scan.journal()
        for path in expand(CLOSED):
            scan.tree(path)
        for path in expand(SHARED):
            scan.tree(path, world_readable_only=True)
    for hit in sorted(set(scan.hits)):
        print(hit)
    print(f"{len(secrets)} secrets, {scan.files} files, {scan.processes} processes: {len(set(scan.hits)) or 'no'} hits")
    return 1 if scan.hits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
