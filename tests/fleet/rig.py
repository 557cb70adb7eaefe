# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several hosts on one machine: each has processes, a network, a name and the directories that the collection writes.

rig.py FOLDER HOST=ADDRESS... -- COMMAND    as root; runs the command beside the hosts, and ends them when it ends

A host is a set of Linux namespaces: its address is on a bridge that the command's network has, too. Programs and
packages are those of this machine, and so are the environments in /opt/llmfleet, which the demo has installed. What a
host says about its memory stands in for a machine of its own, so that a run does not depend on what else runs here. The
command finds FOLDER/hosts/HOST/python, which runs Python on a host: Ansible's interpreter for it. What enters a host is
in the file `enter` beside it, for the connection namespaces.py, by which a host can be lost.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

BRIDGE = "fleet"
PREFIX = 24
# Directories of a host's own: /etc as it is here, but for what services of this machine have in it, the others empty.
COPIED = "/etc"
OWN_IN_ETC = ("llmfleet", "ansible", "supervisor", "nftables.d")
EMPTY = ("/var/lib/llmfleet", "/var/log/llmfleet", "/run/llmfleet", "/var/spool/llmfleet")
# Memory in kB as /proc/meminfo has it: 16 GiB of which nearly all is available.
MEMORY = "".join(
    f"{name + ':':16}{value:>8} kB\n"
    for name, value in {
        "MemTotal": 16777216,
        "MemFree": 15728640,
        "MemAvailable": 15728640,
        "Buffers": 0,
        "Cached": 0,
        "SwapCached": 0,
        "SwapTotal": 0,
        "SwapFree": 0,
    }.items()
)
NAMESPACES = ["unshare", "--mount", "--uts", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def end_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def run(*command: str, check: bool = True) -> None:
    """Run a command."""
    subprocess.run(command, check=check, stdin=subprocess.DEVNULL)


class Host:
    """A host."""

    def __init__(self, folder: Path, name: str, address: str) -> None:
        self.name, self.address, self.root = name, address, folder / "hosts" / name
        self.root.mkdir(parents=True)
        shutil.copytree(COPIED, self.root / "etc", symlinks=True)
        for own in OWN_IN_ETC:
            shutil.rmtree(self.root / "etc" / own, ignore_errors=True)
        (self.root / "etc" / "hostname").write_text(f"{name}\n")
        (self.root / "meminfo").write_text(MEMORY)
        program = f"{__file__} --host {self.root} {name}".split()
        self.process = subprocess.Popen(
            [*NAMESPACES, sys.executable, *program], stdin=subprocess.DEVNULL, preexec_fn=end_with_parent
        )
        self.pid = self._first_process()
        wrapper = self.root / "python"
        enter = f"nsenter --target {self.pid} --mount --uts --net --pid --"
        wrapper.write_text(f'#!/bin/sh\nexec {enter} /usr/bin/python3 "$@"\n')
        wrapper.chmod(0o755)
        (self.root / "enter").write_text(enter)

    def _first_process(self) -> int:
        """Return the process that is the first one of the host, as this machine numbers it."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if listed and (self.root / "ready").exists():
                return int(listed[0])
            time.sleep(0.05)
        raise TimeoutError(f"host {self.name} did not start")

    def plug(self) -> None:
        """Connect it to the bridge."""
        inside = ["nsenter", "--target", str(self.pid), "--net", "ip"]
        run("ip", "link", "add", f"to-{self.name}", "type", "veth", "peer", "name", "eth0", "netns", str(self.pid))
        run("ip", "link", "set", f"to-{self.name}", "master", BRIDGE, "up")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "address", "add", f"{self.address}/{PREFIX}", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "route", "add", "default", "via", gateway(self.address))

    def end(self) -> None:
        """End all of its processes."""
        self.process.kill()
        self.process.wait()


def gateway(address: str) -> str:
    """Return the address of the command's end of the bridge."""
    return f"{address.rpartition('.')[0]}.1"


def be_host(root: Path, name: str) -> None:
    """Be the first process of a host: give it its directories, and wait for processes that lost their parent."""
    run("hostname", name)
    run("mount", "--make-rprivate", "/")
    run("mount", "--bind", str(root / "etc"), "/etc")
    run("mount", "--bind", str(root / "meminfo"), "/proc/meminfo")
    for place in EMPTY:
        Path(place).mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", place)
    (root / "ready").touch()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(0.5)


def main() -> int:
    """Run the command beside the hosts."""
    if sys.argv[1] == "--host":
        be_host(Path(sys.argv[2]), sys.argv[3])
    end = sys.argv.index("--")
    folder, named, command = Path(sys.argv[1]), sys.argv[2:end], sys.argv[end + 1 :]
    end_with_parent()
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    addresses = dict(one.split("=") for one in named)
    run("ip", "address", "add", f"{gateway(next(iter(addresses.values())))}/{PREFIX}", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    hosts = [Host(folder, name, address) for name, address in addresses.items()]
    try:
        for host in hosts:
            host.plug()
        return subprocess.run(command, check=False).returncode
    finally:
        for host in hosts:
            host.end()


if __name__ == "__main__":
    sys.exit(main())
