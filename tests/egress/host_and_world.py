# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run by test_filter.py in a network of its own: a host whose only way out leads to a world that answers at every
address, and what its users reach there.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
ROUTER = {4: "192.0.2.2", 6: "2001:db8::2"}
FLEET = {4: "192.0.2.9", 6: "2001:db8::9"}
INTERNET = {4: "198.51.100.7", 6: "2001:db8:ffff::7"}
METADATA, RESOLVER, NAME_SERVER = "169.254.169.254", "127.0.0.53", "192.0.2.53"
PORT, NAMES = 443, 53
ETHERNET_ALL = 3
TRIES: dict[str, tuple[str, str, int]] = {
    **{f"tcp to the internet, IPv{v}": ("tcp", INTERNET[v], PORT) for v in (4, 6)},
    **{f"udp to the internet, IPv{v}": ("udp", INTERNET[v], NAMES) for v in (4, 6)},
    "tcp to the metadata of a cloud": ("tcp", METADATA, PORT),
    "udp to the name server": ("udp", NAME_SERVER, NAMES),
    "a name": ("name", "metadata.example.com", 0),
    "udp to the resolver on loopback": ("udp", RESOLVER, NAMES),
    **{f"tcp to the fleet, IPv{v}": ("tcp", FLEET[v], PORT) for v in (4, 6)},
    **{f"udp to the fleet, IPv{v}": ("udp", FLEET[v], NAMES) for v in (4, 6)},
    "tcp to loopback, IPv4": ("tcp", "127.0.0.1", PORT),
    "tcp to loopback, IPv6": ("tcp", "::1", PORT),
    "tcp to its own host": ("tcp", HOST[4], PORT),
}


def run(command: str) -> None:
    subprocess.run(command.split(), check=True)


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def attempt(kind: str, address: str, port: int) -> bool:
    """Try one thing, and tell whether somebody answered."""
    if kind == "name":
        return bool(socket.getaddrinfo(address, PORT, socket.AF_INET))
    if kind == "tcp":
        with socket.create_connection((address, port), timeout=3) as connection:
            return connection.recv(2) == b"ok"
    with socket.socket(family(address), socket.SOCK_DGRAM) as probe:
        probe.settimeout(3)
        probe.connect((address, port))
        probe.send(b"\0\1" + b"probe")
        return bool(probe.recv(512))


def tries() -> dict[str, bool]:
    """Make every attempt."""
    found = {}
    for name, (kind, address, port) in TRIES.items():
        found[name] = False
        with contextlib.suppress(OSError):
            found[name] = attempt(kind, address, port)
    return found


def answer_tcp(version: int, port: int = PORT, address: str = "") -> None:
    server = socket.create_server((address, port), family=socket.AF_INET if version == 4 else socket.AF_INET6)

    def serve() -> None:
        while True:
            with server.accept()[0] as connection:
                connection.send(b"ok")

    threading.Thread(target=serve, daemon=True).start()


def answer_names(version: int, address: str = "") -> None:
    """Answer every question for an IPv4 address with one, from the address that was asked."""
    where = (socket.AF_INET, socket.IPPROTO_IP, 8) if version == 4 else (socket.AF_INET6, socket.IPPROTO_IPV6, 49)
    server = socket.socket(where[0], socket.SOCK_DGRAM)
    if version == 6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # IPV6_FREEBIND: it answers from addresses that no interface has.
        server.setsockopt(socket.IPPROTO_IPV6, 78, 1)
    # IP_PKTINFO and IPV6_RECVPKTINFO: the kernel tells which address was asked.
    server.setsockopt(where[1], where[2], 1)
    server.bind((address, NAMES))

    def serve() -> None:
        while True:
            question, asked, _flags, client = server.recvmsg(512, 256)
            # A header with one answer, the question, and an address record that points at its name.
            record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(INTERNET[4])
            reply = question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question[12:].split(b"\0\0\x29")[0] + record
            if version == 4:
                # Interface, the address that answers, and one that the kernel does not read.
                asked = [(level, kind, bytes(4) + data[8:12] + bytes(4)) for level, kind, data in asked]
            server.sendmsg([reply], asked, 0, client)

    threading.Thread(target=serve, daemon=True).start()


def watch(interface: str, seen: list[str]) -> None:
    """Write down the destination of every packet that arrives, except those by which neighbours find each other."""
    cable = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETHERNET_ALL))
    cable.bind((interface, ETHERNET_ALL))

    def look() -> None:
        while True:
            packet, origin = cable.recvfrom(65535)
            version = packet[0] >> 4
            if origin[2] == socket.PACKET_OUTGOING or version not in (4, 6):  # type: ignore[attr-defined]
                continue
            if version == 6 and packet[6] in (0, socket.IPPROTO_ICMPV6):
                continue
            part = packet[16:20] if version == 4 else packet[24:40]
            seen.append(socket.inet_ntop(socket.AF_INET if version == 4 else socket.AF_INET6, part))

    threading.Thread(target=look, daemon=True).start()


def world() -> None:
    """Be the world: answer at every address, and for each line that is read, tell what has arrived since the last."""
    seen: list[str] = []
    run("ip link set lo up")
    # The way to the host is in the same table, so it is the more specific one.
    run("ip route add local 0.0.0.0/0 dev lo table main")
    run("ip -6 route add local ::/0 dev lo table main")
    print("unplugged", flush=True)
    sys.stdin.readline()
    run("ip link set wall0 address 02:00:00:00:00:02 up")
    for version, length in ((4, 24), (6, 64)):
        for address in (ROUTER[version], FLEET[version], *([NAME_SERVER] if version == 4 else [])):
            run(f"ip address add {address}/{length} dev wall0{' nodad' if version == 6 else ''}")
        answer_tcp(version)
        answer_names(version)
    run(f"ip neighbour add {HOST[4]} lladdr 02:00:00:00:00:01 dev wall0")
    run(f"ip neighbour add {HOST[6]} lladdr 02:00:00:00:00:01 dev wall0")
    watch("wall0", seen)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "visit":
            # A client of the internet asks what the filtered user serves.
            with socket.create_connection((HOST[4], 4000), 3, source_address=(INTERNET[4], 0)) as connection:
                print(connection.recv(2).decode(), flush=True)
            continue
        time.sleep(0.3)
        found = sorted(set(seen))
        seen.clear()
        print(json.dumps(found), flush=True)


class Network:
    """This host, and the world at the other end of its only cable."""

    def __init__(self, folder: Path) -> None:
        command = ["unshare", "--net", sys.executable, __file__, "world"]
        self.world = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.heard() == "unplugged"
        (folder / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n")
        run(f"mount --bind {folder}/resolv.conf /etc/resolv.conf")
        run("ip link set lo up")
        run("ip link add out0 type veth peer name wall0")
        run(f"ip link set wall0 netns {self.world.pid}")
        run("ip link set out0 address 02:00:00:00:00:01 up")
        for version, length in ((4, 24), (6, 64)):
            run(f"ip address add {HOST[version]}/{length} dev out0{' nodad' if version == 6 else ''}")
            for address in (ROUTER[version], FLEET[version], *([NAME_SERVER] if version == 4 else [])):
                run(f"ip neighbour add {address} lladdr 02:00:00:00:00:02 dev out0")
            run(f"ip -{version} route add default via {ROUTER[version]}")
        assert self.ask("plug") == "ready"

    def heard(self) -> str:
        assert self.world.stdout
        return self.world.stdout.readline().strip()

    def ask(self, word: str) -> str:
        assert self.world.stdin
        self.world.stdin.write(f"{word}\n")
        self.world.stdin.flush()
        return self.heard()


def as_user(user: str, *words: str) -> list[str]:
    return ["setpriv", "--reuid", user, "--clear-groups", sys.executable, __file__, *words]


@contextlib.contextmanager
def served_by(user: str) -> Iterator[None]:
    with subprocess.Popen(as_user(user, "serve"), stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield
        process.kill()


def report(network: Network, user: str) -> dict[str, Any]:
    made = subprocess.run(as_user(user, "try"), check=True, stdout=subprocess.PIPE, text=True)
    return {"answered": json.loads(made.stdout), "seen": json.loads(network.ask("tell"))}


def main(nft: str, user: str, folder: Path) -> None:
    network = Network(folder)
    answer_tcp(4)
    answer_tcp(6, address="::1")
    answer_names(4, RESOLVER)
    found = {"before": report(network, user)}
    for name in ("strict", "strict", "wider", "open"):
        run(f"{nft} -f {folder}/{name}.nft")
        found[name] = report(network, user)
        if name == "strict":
            found["another user"] = report(network, "root")
            with served_by(user):
                found["visitor"] = {"answered": network.ask("visit"), "seen": []}
            # The answers to the visitor are no attempts.
            network.ask("tell")
    print(json.dumps(found))
    network.world.kill()


if __name__ == "__main__":
    os.umask(0o022)
    if sys.argv[1] == "world":
        world()
    elif sys.argv[1] == "try":
        print(json.dumps(tries()))
    elif sys.argv[1] == "serve":
        answer_tcp(4, 4000, HOST[4])
        print("ready", flush=True)
        time.sleep(60)
    else:
        main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
