# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The distribution's Valkey or Redis on a free port, with the rights that the role valkey gives to gates."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import socket
import subprocess
from collections import Counter
from pathlib import Path

import aiohttp
import yaml
from gate_process import CHAT, HOST, ROOT, Gate, free_port, said
from patience import within

ROLE = ROOT / "roles" / "valkey"
PASSWORD = "secret-of-the-store"
ADMIN = "user admin on nopass ~* &* +@all"
PROGRAMS = ("redis-server", "valkey-server")


def program() -> str:
    """The path of the server, which scripts/bootstrap.sh installs where there is none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if not found:
        subprocess.run([str(ROOT / "scripts" / "bootstrap.sh"), "redis-server"], check=True)
        found = shutil.which(PROGRAMS[0])
    assert found
    return found


def users() -> str:
    """The file of users as the role writes it, and one more that may do everything."""
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    text = (ROLE / "templates" / "users.acl.j2").read_text()
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    for user in ("gate", "exporter"):
        text = text.replace(f"{{{{ valkey_{user}_password | hash('sha256') }}}}", digest)
        text = text.replace(f"{{{{ __valkey_{user}_commands }}}}", variables[f"__valkey_{user}_commands"])
    return f"{text}{ADMIN}\n"


class LimitStore:
    """A store that gates share."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(exist_ok=True)
        (folder / "users.acl").write_text(users())
        self.url_file = folder / "url"
        self.url_file.write_text(f"redis://gate:{PASSWORD}@{HOST}:{self.port}/0\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> LimitStore:
        options = f"--bind {HOST} --port {self.port} --appendonly yes --maxmemory 64mb --maxmemory-policy noeviction"
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [program(), *options.split(), "--dir", str(self.folder), "--aclfile", str(self.folder / "users.acl")],
                stdout=output,
                stderr=output,
            )
        within(10, lambda: self.says("PING") == "PONG", "the store answers")
        return self

    def says(self, *words: str, user: str = "admin x") -> str:
        """The first line of its answer to one command of a user with a password; empty if there is none."""
        try:
            with socket.create_connection((HOST, self.port), 5) as connection:
                data = f"AUTH {user}\r\n{' '.join(words)}\r\n".encode()
                connection.sendall(data)
                stream = connection.makefile("r")
                assert stream.readline() == "+OK\n"
                return stream.readline().strip().lstrip("+:")
        except OSError:
            return ""

    def end(self) -> None:
        """End it with SIGKILL."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """Have it end in order."""
        assert self.process
        self.process.terminate()
        self.process.wait()


def up(gate: Gate) -> bool:
    return gate.metric("llmfleet_gate_limit_store_up") == 1


def shared_out(gates: list[Gate], number: int, words: str, alias: str) -> Counter[int]:
    """The statuses of requests that are sent at once, to each gate in turn."""

    async def ask(session: aiohttp.ClientSession, gate: Gate) -> int:
        async with session.post(f"http://127.0.0.1:{gate.port}{CHAT}", json=said(words)) as answer:
            await answer.read()
            return answer.status

    async def run() -> list[int]:
        headers = {"Authorization": f"Bearer {gates[0].key_of(alias)}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
            return await asyncio.gather(*[ask(session, gates[place % len(gates)]) for place in range(number)])

    return Counter(asyncio.run(run()))
