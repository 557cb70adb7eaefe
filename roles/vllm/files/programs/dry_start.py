# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the installed vLLM how it would start, without starting it: it decides, and nothing is loaded.

usage: dry_start.py < QUESTIONS    (run with the Python of the engine; a question and an answer are one line of JSON)

A question: `model` (a folder) or `files` (content by name, at least config.json), `flags` (as in a model's args) or
`argv`, `card` (name, capability such as "9.0", memory_mib, count; without it the platform of this machine answers),
`lengths` of requests in tokens, `kv_cache_bytes` to fill, `environment`, and `id`, which the answer repeats.

An answer: `accepted` is true, false with vLLM's own sentence in `refusal`, or null with what went wrong here in
`error`. Every question is answered in a child with limits of time and memory; as root, all of it runs as nobody and
without a network.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import resource
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

# Where vLLM would write; nothing of it stays.
HOMES = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "CRITICAL",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_PLUGINS": "",
    "TORCH_COMPILE_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
}
SECONDS = float(os.environ.get("DRY_START_SECONDS", "60"))
IMPORT_SECONDS = 300.0
MEMORY_BYTES = int(os.environ.get("DRY_START_MEMORY_MIB", "6144")) * 2**20
CLONE_NEWNET = 0x40000000
MIB = 2**20


def completed(question: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Return a question with its command line and card as the rest of the program reads them."""
    folder = question.get("model") or str(write(question["files"], scratch))
    card = question.get("card")
    if card:
        major, _dot, minor = str(card["capability"]).partition(".")
        card = {
            "name": card["name"],
            "capability": (int(major), int(minor or 0)),
            "memory_bytes": int(card["memory_mib"]) * MIB,
            "count": int(card.get("count", 8)),
        }
    return {
        "argv": [f"--model={folder}", *(question.get("argv") or command_line(question.get("flags") or {}))],
        "card": card,
        "lengths": [int(length) for length in question.get("lengths") or []],
        "kv_cache_bytes": [int(size) for size in question.get("kv_cache_bytes") or []],
    }


def command_line(flags: dict[str, Any]) -> list[str]:
    """Return flags as a command line: true is a bare flag, false its `--no-` form, a mapping JSON."""
    argv: list[str] = []
    for name, value in flags.items():
        if value is None:
            continue
        if isinstance(value, bool):
            argv.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list):
            argv += [f"--{name}", *map(str, value)]
        else:
            argv.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return argv


def write(files: dict[str, Any], folder: Path) -> Path:
    """Write the files of a model; of weights only the header, with nothing behind it that takes space."""
    for name, content in files.items():
        path = folder / Path(name).name
        if path.suffix == ".safetensors":
            header = json.dumps(content).encode()
            ends = [entry["data_offsets"][1] for key, entry in content.items() if key != "__metadata__"]
            with path.open("wb") as file:
                file.write(struct.pack("<Q", len(header)) + header)
                file.truncate(8 + len(header) + max(ends, default=0))
        else:
            path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def limit_child() -> None:
    """Bound what a question may take."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS) + 1, int(SECONDS) + 1))


def judged(question: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Answer one question in this process, which is thrown away afterwards."""
    import dry_answer
    import dry_stage

    try:
        os.environ.update({key: str(value) for key, value in (question.get("environment") or {}).items()})
        asked = completed(question, scratch)
        if asked["card"]:
            import dry_card

            dry_card.install(asked["card"])
        return {"accepted": True, **dry_answer.answer(asked)}
    except dry_stage.RefusedError as error:
        return {"accepted": False, "refusal": str(error)}
    except BaseException as error:  # noqa: BLE001 - whatever it was, the caller is to hear of it
        if os.environ.get("DRY_START_TRACE"):
            traceback.print_exc()
        return {"accepted": None, "error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}


def in_child(question: dict[str, Any]) -> dict[str, Any]:
    """Answer a question in a child of its own, which is killed when its time is up."""
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory() as scratch:
        pid = os.fork()
        if not pid:
            os.close(reader)
            os.setsid()
            limit_child()
            with os.fdopen(writer, "w") as out:
                json.dump(judged(question, Path(scratch)), out)
            os._exit(0)
        os.close(writer)
        heard = read_until(reader, time.monotonic() + SECONDS)
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        _pid, status = os.waitpid(pid, 0)
    try:
        return dict(json.loads(heard))
    except ValueError:
        how = (
            f"no answer within {SECONDS:g} s"
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            else (f"the child ended with {status} and without an answer")
        )
        return {"accepted": None, "error": how}


def read_until(descriptor: int, deadline: float) -> bytes:
    """Return what a pipe says until it is closed or a moment of time.monotonic() has come."""
    heard = b""
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(descriptor, 65536)
        if not chunk:
            break
        heard += chunk
    os.close(descriptor)
    return heard


def load(with_card: bool) -> str:
    """Import vLLM once for all questions of a kind; return its version."""
    if with_card:
        import dry_card

        dry_card.prepare()
        # vLLM is imported for some card; the card of a question takes its place.
        dry_card.install(
            {"name": "NVIDIA H100 80GB HBM3", "capability": (9, 0), "memory_bytes": 80 * 2**30, "count": 8}
        )
    import torch.fx.experimental._config as shapes
    import vllm
    import vllm.engine.arg_utils
    import vllm.entrypoints.launchers.cli_args
    import vllm.model_executor.model_loader.utils
    import vllm.v1.core.kv_cache_utils
    import vllm.v1.worker.gpu.attn_utils

    # Lists of experts are counted on the meta device.
    shapes.meta_nonzero_assume_all_nonzero = True
    import dry_stage

    dry_stage.look_at_models_here()
    dry_stage.save_time()
    if with_card:
        dry_card.name_bindings()
    elif vllm.platforms.current_platform.is_cuda():
        import dry_card

        dry_card.answer_without_context()
    return f"vllm {vllm.__version__}"


def serve(with_card: bool, questions: Any, answers: Any) -> None:
    """Answer all questions of a kind; vLLM is imported before the first."""
    version = load(with_card)
    for line in questions:
        question = json.loads(line)
        began = time.monotonic()
        answer = in_child(question)
        said = {"id": question.get("id"), "engine": version, "stand_in": with_card, **answer}
        answers.write(json.dumps({**said, "seconds": round(time.monotonic() - began, 2)}) + "\n")
        answers.flush()


class Kind:
    """A process that answers the questions with a card, or those without: vLLM is imported for one platform."""

    def __init__(self, with_card: bool) -> None:
        to_child, from_child = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(to_child[1])
            os.close(from_child[0])
            try:
                with os.fdopen(to_child[0]) as questions, os.fdopen(from_child[1], "w") as answers:
                    serve(with_card, questions, answers)
            except BaseException:  # noqa: BLE001 - nothing of the parent is to run here
                traceback.print_exc()
            os._exit(0)
        os.close(to_child[0])
        os.close(from_child[1])
        self.questions, self.answers = os.fdopen(to_child[1], "w"), os.fdopen(from_child[0])
        self.seconds = SECONDS + IMPORT_SECONDS

    def ask(self, question: dict[str, Any]) -> str:
        """Return the line that answers a question."""
        try:
            self.questions.write(json.dumps(question) + "\n")
            self.questions.flush()
            if select.select([self.answers], [], [], self.seconds)[0] and (line := self.answers.readline()):
                return line.strip()
        except OSError:
            pass
        said = {"id": question.get("id"), "accepted": None, "error": "vLLM cannot be imported here"}
        return json.dumps(said)

    def end(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def leave_root(scratch: str, network: bool = False) -> None:
    """Become nobody, without a network unless it is needed: a model may bring code of its own."""
    os.environ.update(dict.fromkeys(HOMES, scratch) | QUIET)
    os.chdir(scratch)
    if os.geteuid():
        return
    if not network:
        # Some containers may not make namespaces; vLLM is told to stay offline either way.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET)
    nobody = pwd.getpwnam("nobody")
    os.chown(scratch, nobody.pw_uid, nobody.pw_gid)
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


def main() -> None:
    """Answer the questions on standard input, line by line."""
    out = os.fdopen(os.dup(1), "w")
    # vLLM logs as it pleases; only answers belong on standard output.
    os.dup2(2, 1)
    kinds: dict[bool, Kind] = {}
    with tempfile.TemporaryDirectory() as scratch:
        leave_root(scratch)
        try:
            for line in sys.stdin:
                if not line.strip():
                    continue
                question = json.loads(line)
                with_card = bool(question.get("card"))
                if with_card not in kinds:
                    kinds[with_card] = Kind(with_card)
                out.write(kinds[with_card].ask(question) + "\n")
                out.flush()
        finally:
            for kind in kinds.values():
                kind.end()


if __name__ == "__main__":
    main()
