#!/usr/bin/python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for the kernel of a machine with NVIDIA cards: its PCI bus, its modules, and what a boot makes of them.

A container has the kernel of a machine without cards, so this mounts over /sys and /proc what that kernel would show.
machine.json says what is in the machine; the rest follows the rules of the real one:

- nouveau loads at boot, unless the initramfs was made after it was blacklisted;
- nvidia loads at boot or by modprobe, once it is built, and never while nouveau holds the cards;
- a module that is loaded stays what it was until the next boot, whatever is installed meanwhile.

It is what its name says: kernel (at boot), modprobe, lsmod, update-initramfs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

RELEASE = os.uname().release
HERE = Path("/usr/local/lib/bench")
RUN = Path("/run/bench")
BUILT = Path("/lib/modules") / RELEASE / "updates/dkms/nvidia.ko"
INITRAMFS = Path("/boot") / f"initrd.img-{RELEASE}"
DRIVER = Path("/proc/driver/nvidia")
MODULES = Path("/sys/module")
PARTS = ("nvidia", "nvidia_uvm", "nvidia_modeset", "nvidia_drm")


def fail(message: str) -> None:
    sys.exit(f"{Path(sys.argv[0]).name}: {message}")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def blacklisted() -> bool:
    """Tell whether modprobe's configuration keeps nouveau out."""
    folders = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
    files = [file for folder in folders for file in Path(folder).glob("*.conf")]
    return any(line.split() == ["blacklist", "nouveau"] for file in files for line in file.read_text().splitlines())


def loaded() -> list[str]:
    return sorted(path.name for path in MODULES.iterdir())


def load(*names: str, version: str = "") -> None:
    for name in names:
        (MODULES / name).mkdir(exist_ok=True)
        if version:
            write(MODULES / name / "version", f"{version}\n")
    listing = "".join(f"{name} 4096 0 - Live 0x0000000000000000\n" for name in loaded())
    write(RUN / "proc/modules", listing)


def load_nvidia(flavour: str, version: str) -> None:
    kind = "NVIDIA UNIX Open Kernel Module for x86_64" if flavour == "open" else "NVIDIA UNIX x86_64 Kernel Module"
    build = "Release Build  (bench@llmfleet)  Mon Jan  5 00:00:00 UTC 2026"
    write(DRIVER / "version", f"NVRM version: {kind}  {version}  {build}\nGCC version:  gcc version 13.3.0\n")
    load(*PARTS, version=version)


def boot(machine: dict) -> None:
    for folder in ("/sys/bus", "/sys/module", "/proc/driver"):
        mount("-t", "tmpfs", "-o", "mode=0755", "bench", folder)
    for card in machine["pci"]:
        for name in ("vendor", "device", "class"):
            write(Path("/sys/bus/pci/devices") / card["address"] / name, f"{card[name]}\n")
    load()
    if Path("/proc/modules").exists():
        mount("--bind", str(RUN / "proc/modules"), "/proc/modules")
    if machine.get("host_driver"):
        load_nvidia("open", machine["host_driver"])
    elif machine["nouveau"] and not (INITRAMFS.exists() and "nouveau" in INITRAMFS.read_text()):
        load("nouveau")
    elif BUILT.exists():
        load_nvidia(*BUILT.read_text().split())
    # Last: who waits for the end of a reboot waits for this.
    write(RUN / "boot_id", f"{uuid.uuid4()}\n")


def modprobe(machine: dict, words: list[str]) -> None:
    names = [word.replace("-", "_") for word in words if not word.startswith("-")]
    if machine.get("host_driver"):
        fail("a container guest loads no modules: its kernel is the host's")
    if any(word in ("-r", "--remove") for word in words):
        fail(f"FATAL: Module {names[0]} is in use.")
    for name in names:
        if name not in PARTS or not BUILT.exists():
            fail(f"FATAL: Module {name} not found in directory /lib/modules/{RELEASE}")
        if "nouveau" in loaded():
            fail(f"ERROR: could not insert '{name}': No such device")
    if names and not DRIVER.exists():
        load_nvidia(*BUILT.read_text().split())


def update_initramfs(machine: dict) -> None:
    if machine.get("host_driver"):
        fail("a container guest has no initramfs")
    write(INITRAMFS, "without nouveau\n" if blacklisted() else "everything\n")
    print(f"update-initramfs: Generating {INITRAMFS}")


def main() -> None:
    machine = json.loads((HERE / "machine.json").read_text())
    name = Path(sys.argv[0]).name
    if name == "kernel":
        boot(machine)
    elif name == "modprobe":
        modprobe(machine, sys.argv[1:])
    elif name == "lsmod":
        print("Module                  Size  Used by")
        print("".join(f"{module:<20} 4096  0\n" for module in loaded()), end="")
    elif name == "update-initramfs":
        update_initramfs(machine)
    else:
        fail("unknown")


if __name__ == "__main__":
    main()
