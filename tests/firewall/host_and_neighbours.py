# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run by test_firewall.py in a network of its own: a host with services, and neighbours that try each of them.

The neighbours are addresses of one machine at the other end of the host's only cable.
"""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
NEIGHBOURS = {
    "gateway": {4: "192.0.2.11", 6: "2001:db8::11"},
    "monitoring": {4: "192.0.2.12", 6: "2001:db8::12"},
    "newcomer": {4: "192.0.2.13", 6: "2001:db8::13"},
    "stranger": {4: "192.0.2.66", 6: "2001:db8::66"},
}
# What a host has on its ports; the last two belong to somebody else and to everybody.
PORTS = {"engine": 8100, "exporter": 9100, "range": 8505, "ssh": 22, "door": 443}


def run(command: str) -> None:
    subprocess.run(command.split(), check=True)


def connect(source: str, target: str, port: int) -> socket.socket:
    return socket.create_connection((target, port), timeout=3, source_address=(source, 0))


def attempt(source: str, target: str, port: int) -> str:
    """Try one port, and tell what came of it: ``ok`` or the name of the error."""
    try:
        with connect(source, target, port) as connection:
            connection.sendall(b"?")
            return "ok" if connection.recv(1) == b"?" else "closed"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "timeout")


def tries() -> dict[str, str]:
    return {
        f"{who} {name} IPv{version}": attempt(addresses[version], HOST[version], port)
        for who, addresses in NEIGHBOURS.items()
        for name, port in PORTS.items()
        for version in (4, 6)
    }


def neighbours() -> None:
    """Be the neighbours: for each line that is read, do what it says and tell what came of it."""
    run("ip link set lo up")
    print("unplugged", flush=True)
    sys.stdin.readline()
    run("ip link set far0 up")
    for addresses in NEIGHBOURS.values():
        run(f"ip address add {addresses[4]}/24 dev far0")
        run(f"ip address add {addresses[6]}/64 dev far0 nodad")
    print("ready", flush=True)
    kept: dict[str, socket.socket] = {}
    for line in sys.stdin:
        if line.strip() == "open":
            kept = {
                f"{who} IPv{version}": connect(NEIGHBOURS[who][version], HOST[version], PORTS["engine"])
                for who in ("gateway", "stranger")
                for version in (4, 6)
            }
            print("open", flush=True)
        elif line.strip() == "talk":
            told = {}
            for name, connection in kept.items():
                connection.sendall(b"!")
                told[name] = connection.recv(1) == b"!"
            print(json.dumps(told), flush=True)
        else:
            print(json.dumps(tries()), flush=True)


def serve(port: int) -> None:
    """Answer with what is said, at every address of the host."""
    server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)

    def echo(connection: socket.socket) -> None:
        with connection:
            while said := connection.recv(100):
                connection.sendall(said)

    def accept() -> None:
        while True:
            threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


class Network:
    """This host, and its neighbours at the other end of its only cable."""

    def __init__(self) -> None:
        command = ["unshare", "--net", sys.executable, __file__, "neighbours"]
        self.far = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.heard() == "unplugged"
        run("ip link set lo up")
        run("ip link add near0 type veth peer name far0")
        run(f"ip link set far0 netns {self.far.pid}")
        run("ip link set near0 up")
        run(f"ip address add {HOST[4]}/24 dev near0")
        run(f"ip address add {HOST[6]}/64 dev near0 nodad")
        assert self.ask("plug") == "ready"

    def heard(self) -> str:
        assert self.far.stdout
        return self.far.stdout.readline().strip()

    def ask(self, word: str) -> str:
        assert self.far.stdin
        self.far.stdin.write(f"{word}\n")
        self.far.stdin.flush()
        return self.heard()


def main(nft: str, folder: Path) -> None:
    def others() -> str:
        """What is loaded besides the table of the collection."""
        command = [nft, "list", "ruleset"]
        listing = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return "".join(f"table {part}" for part in listing.split("table ")[1:] if "llmfleet" not in part)

    network = Network()
    for port in PORTS.values():
        serve(port)
    run(f"{nft} -f {folder}/docker.nft")
    found: dict[str, Any] = {"docker": [others()], "before": json.loads(network.ask("try"))}
    network.ask("open")
    for name in ("first", "first", "second"):
        run(f"{nft} -c -f {folder}/{name}.nft")
        run(f"{nft} -f {folder}/{name}.nft")
        found[name] = json.loads(network.ask("try"))
        found[f"kept {name}"] = json.loads(network.ask("talk"))
        found["docker"].append(others())
    own = [*HOST.values(), "127.0.0.1", "::1"]
    found["itself"] = {address: attempt("::" if ":" in address else "", address, PORTS["engine"]) for address in own}
    listing = subprocess.run([nft, "list", "table", "inet", "llmfleet_ingress"], check=True, stdout=subprocess.PIPE)
    found["listing"] = listing.stdout.decode()
    run(f"{nft} delete table inet llmfleet_ingress")
    found["removed"] = json.loads(network.ask("try"))
    found["docker"].append(others())
    print(json.dumps(found))
    network.far.kill()


if __name__ == "__main__":
    if sys.argv[1] == "neighbours":
        neighbours()
    else:
        main(sys.argv[1], Path(sys.argv[2]))
