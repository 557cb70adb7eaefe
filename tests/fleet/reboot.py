# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run on a host of rig.py: stands in for its reboot, which namespaces cannot do.

reboot.py ROOT prepare    /sbin/shutdown is this program from then on; facts tell of systemd and of no container
reboot.py ROOT shutdown   ends all processes of the host but the first, and starts supervisor after a while

ROOT is the host's folder. Ansible's own module reboots it: it sees another boot id, and no connection while the host
is down and has the file ROOT/off, which the connection namespaces.py looks at.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

BOOT_ID = "/proc/sys/kernel/random/boot_id"
SECONDS_UNTIL_DOWN, SECONDS_DOWN = 1, 4
SUPERVISOR = ["/opt/llmfleet/tools/bin/supervisord", "-c", "/etc/llmfleet/supervisord.conf"]


def put(root: Path, place: str, text: str, mode: int = 0o644) -> None:
    """Put a file of the host's own in the place of one of this machine."""
    own = root / place.strip("/").replace("/", "-")
    own.write_text(text)
    own.chmod(mode)
    subprocess.run(["mount", "--bind", own, place], check=True)


def prepare(root: Path) -> None:
    """Have a reboot of this host be the stand-in, and its facts allow one."""
    put(root, BOOT_ID, f"{uuid.uuid4()}\n")
    put(root, "/proc/1/comm", "systemd\n")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/systemd"], check=True)
    # What systemd says that a guest is comes before signs of the container that this machine may be.
    Path("/run/systemd/container").write_text("rig")
    put(root, "/sbin/shutdown", f"#!/bin/sh\nexec /usr/bin/python3 {__file__} {root} shutdown\n", 0o755)


def shutdown(root: Path) -> None:
    """Stand in for a reboot; the caller hears from it before the host is down."""
    if os.fork():
        return
    os.setsid()
    with open(os.devnull, "r+b", 0) as nothing:
        for stream in (0, 1, 2):
            os.dup2(nothing.fileno(), stream)
    time.sleep(SECONDS_UNTIL_DOWN)
    (root / "off").touch()
    # This process and the first one of the host are spared; there may be no other.
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    time.sleep(SECONDS_DOWN)
    (root / BOOT_ID.strip("/").replace("/", "-")).write_text(f"{uuid.uuid4()}\n")
    (root / "off").unlink()
    os.execv(SUPERVISOR[0], SUPERVISOR)


if __name__ == "__main__":
    {"prepare": prepare, "shutdown": shutdown}[sys.argv[2]](Path(sys.argv[1]))
