# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry the engine of roles/vllm/files/vllm-cuda.txt to a machine with a card and without a network, in small parts.

kit.py make FOLDER --python PATH [--capability 9] [--part-mib 58]    on a machine with a package index
kit.py unpack FOLDER SITE                                            on the machine with the card, with its Python

`make` installs the lock for the card machine's release of Python (PATH is one of that release), but for CUDA's own
libraries and what needs a compiler, which the machine with the card has (torch of an earlier release brings them).
It empties what other cards run in the fat binaries, and cuts the whole into FOLDER/part-00 and so on. `unpack` puts
them together and links CUDA's libraries of that machine's own torch beside them; SITE is then the PYTHONPATH of
measure.py. A transfer of 60 MiB at a time is assumed to be all that gets there.
"""

from __future__ import annotations

import argparse
import lzma
import multiprocessing
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "roles/vllm/files/vllm-cuda.txt"
# Packages that are of no use here, or that any machine with torch has.
LEFT_OUT = re.compile(
    r"nvidia-(?!cutlass|cudnn-frontend|nccl)|nvidia-cutlass-dsl-libs-cu12|cuda-(bindings|core|pathfinder|toolkit)"
    r"|torchaudio|torchcodec|pynvvideocodec|opencv|tilelang|tokenspeed-triton|z3-solver|supervisor|sentry-sdk|numba"
    r"|llvmlite|numpy|pillow|grpcio|protobuf|pyyaml|regex|sympy|mpmath|networkx|hf-xet|ml-dtypes|setuptools|nvtx"
)
PINNED = re.compile(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)([^\\\n]*)", re.MULTILINE)
# What an installation holds beside what a start reads.
TRIMMED = (
    *("torch/include", "torch/bin/protoc", "torch/bin/protoc-3.13.0.0", "torch/share", "torch/test"),
    *("triton/backends/amd", "triton/profiler", "triton/backends/nvidia/lib/cupti", "triton/instrumentation"),
    *("vllm/vllm-rs", "vllm/third_party/fmha_sm100", "pycountry/locales", "bin"),
)
# Of the fat binaries of NVIDIA's tools (magic, version, size of the header, size of what follows), and of the entries
# in them (kind, version, size of the header, size of the content; the compute capability is at byte 28).
MAGIC = struct.pack("<I", 0xBA55ED50)
PTX, CUBIN = 1, 2
KINDS = (1, 2, 4, 8, 16, 32, 64)
LEAST_LIBRARY = 2**20
CHUNK = 48 * 2**20
MIB = 2**20


def pinned(lock: str) -> list[str]:
    """Return the requirements of a lock that are carried, without hashes."""
    found = []
    for name, version, marker in re.findall(
        r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)([^\\\n]*)", lock, re.MULTILINE
    ):
        if not LEFT_OUT.match(name) and "win32" not in marker and "emscripten" not in marker.replace("!=", ""):
            found.append(f"{name}=={version}")
    return found


def entries(data: bytearray, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield kind, compute capability, offset and size of the entries of a fat binary."""
    while start < end - 32:
        kind, _version, header, size = struct.unpack_from("<HHIQ", data, start)
        if kind not in KINDS or header > 4096:
            return
        (capability,) = struct.unpack_from("<I", data, start + 28)
        yield kind, capability, start + header, size
        start += header + size


def thin(data: bytearray, major: int) -> int:
    """Empty what a card of a major compute capability does not run; return the bytes that were emptied.

    Where nothing is compiled for it, the newest PTX that it can compile stays.
    """
    position = emptied = 0
    while (position := data.find(MAGIC, position)) >= 0:
        version, header, size = struct.unpack_from("<HHQ", data, position + 4)
        end = position + header + size
        if (version, header) != (1, 16) or end > len(data):
            position += len(MAGIC)
            continue
        found = list(entries(data, position + header, end))
        own = {entry for entry in found if entry[0] == CUBIN and entry[1] // 10 == major}
        if not own:
            usable = [entry for entry in found if entry[0] == PTX and entry[1] // 10 <= major]
            own = {max(usable, key=lambda entry: entry[1])} if usable else set()
        for entry in found:
            if entry not in own:
                data[entry[2] : entry[2] + entry[3]] = bytes(entry[3])
                emptied += entry[3]
        position = end
    return emptied


def make(folder: Path, python: str, major: int, part: int) -> None:
    """Make the parts in a folder."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        site = Path(scratch) / "site"
        wanted = Path(scratch) / "wanted.txt"
        wanted.write_text("\n".join([*pinned(LOCK.read_text()), "ansible-core"]) + "\n")
        pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:"]
        subprocess.run([*pip, "--target", str(site), "--requirement", str(wanted)], check=True)
        for name in TRIMMED:
            shutil.rmtree(site / name, ignore_errors=True)
            (site / name).unlink(missing_ok=True) if (site / name).is_file() else None
        for library in [path for path in site.rglob("*.so*") if not path.is_symlink()]:
            if library.stat().st_size > LEAST_LIBRARY:
                data = bytearray(library.read_bytes())
                if thin(data, major):
                    library.write_bytes(data)
                subprocess.run(["strip", "--strip-unneeded", str(library)], check=False, capture_output=True)
        cut(site, folder, part)


def cut(site: Path, folder: Path, part: int) -> None:
    """Compress a folder and cut it into parts of at most so many bytes."""
    number, filled = 0, 0
    tar = ["tar", "-C", str(site), "-cf", "-", "."]
    with subprocess.Popen(tar, stdout=subprocess.PIPE) as packed, multiprocessing.Pool() as pool:
        pieces = iter(lambda: packed.stdout.read(CHUNK) if packed.stdout else b"", b"")
        for piece, content in enumerate(pool.imap(lzma.compress, pieces)):
            if filled + len(content) > part:
                number, filled = number + 1, 0
            place = folder / f"part-{number:02d}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{piece:03d}.xz").write_bytes(content)
            filled += len(content)


def unpack(folder: Path, site: Path) -> None:
    """Put the parts in a folder together."""
    pieces = sorted(folder.rglob("*.xz"), key=lambda path: path.name)
    site.mkdir(parents=True, exist_ok=True)
    tar = ["tar", "-C", str(site), "-xf", "-"]
    with subprocess.Popen(tar, stdin=subprocess.PIPE) as packed, multiprocessing.Pool() as pool:
        for content in pool.imap(_content, pieces):
            if packed.stdin:
                packed.stdin.write(content)
    if packed.returncode:
        sys.exit(packed.returncode)
    # torch looks for CUDA's libraries beside itself, and for others nowhere if it finds one there.
    for place in map(Path, sys.path):
        for library in (place / "nvidia").glob("*/lib"):
            link = site / "nvidia" / library.parent.name
            link.parent.mkdir(exist_ok=True)
            if not link.exists():
                link.symlink_to(library.parent)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "0", str(site)], check=False, capture_output=True)


def _content(piece: Path) -> bytes:
    return lzma.decompress(piece.read_bytes())


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("make")
    making.add_argument("folder", type=Path)
    making.add_argument("--python", required=True, help="a Python of the release that the machine with the card has")
    making.add_argument("--capability", type=int, default=9, help="major compute capability of the card")
    making.add_argument("--part-mib", type=int, default=58)
    unpacking = verbs.add_parser("unpack")
    unpacking.add_argument("folder", type=Path)
    unpacking.add_argument("site", type=Path)
    told = parser.parse_args()
    if told.verb == "unpack":
        unpack(told.folder, told.site)
        return
    told.folder.mkdir(parents=True, exist_ok=True)
    make(told.folder.resolve(), told.python, told.capability, told.part_mib * MIB)


if __name__ == "__main__":
    main()
