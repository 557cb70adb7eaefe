# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run programs that may hang in a driver or on a disk, with a time limit after which they are killed or left behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
import time

# AnsibleModule.run_command has no time limit, and a program that hangs in a driver must not block the module.
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Any, Callable, Mapping, NamedTuple

# A killed process that waits for the driver does not end, so it is left behind after this many seconds.
SECONDS_TO_DIE = 5.0
# Longer output is cut off; no small program prints that much.
MAX_BYTES = 8 * 2**20
# The output of programs is parsed by words, so it must be in English.
PLAIN = {"LC_ALL": "C", "LANGUAGE": ""}


def run_program(
    argv: list[str], seconds: float, given: str = "", environment: dict[str, str] | None = None
) -> tuple[str, str]:
    """Run a program; return its output, and how it ended if it failed."""
    try:
        process = Popen(  # pylint: disable=ansible-bad-function
            argv,
            stdin=PIPE if given else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env={**os.environ, **PLAIN, **(environment or {})},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return "", f"cannot be started ({error})"
    ending = ""
    try:
        out, err = process.communicate(given.encode() or None, timeout=seconds)
        if process.returncode:
            ending = f"ended with status {process.returncode}"
    except TimeoutExpired:
        ending = f"did not end within {seconds:g} s"
        out, err = terminate(process)
    printed = out.decode(errors="replace")
    return (f"{printed}\n{err.decode(errors='replace')}" if ending else printed), ending


def terminate(process: Popen[bytes]) -> tuple[bytes, bytes]:
    """Terminate a program and its children: with SIGTERM, so that `docker run` stops its container, then SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutExpired, ValueError):
            return process.communicate(timeout=SECONDS_TO_DIE)
    # The process waits for the driver and ends when the driver returns.
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()
    return b"", b""


def run_in_child(work: Callable[[], Any], seconds: float) -> Any:
    """Return the result of a function in a separate process, as disks may hang; None if it does not end in time."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nothing, descriptor)
            os.write(writer, json.dumps(work()).encode())
        os._exit(0)
    os.close(writer)
    heard, deadline = b"", time.monotonic() + seconds
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(reader, 65536)
        heard += chunk
        if not chunk:
            break
    os.close(reader)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 1.0
    while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < until:
        time.sleep(0.01)
    try:
        return json.loads(heard)
    except ValueError:
        return None


class Ended(NamedTuple):
    """The output of a program, and how it ended."""

    out: str
    err: str
    code: int | None
    """Exit status; None where it never ended by itself."""
    failure: str
    """How a program ended that did not end by itself; else empty."""


class _Running:
    """A running program and what it printed so far."""

    def __init__(self, argv: list[str]) -> None:
        self.printed = {"out": bytearray(), "err": bytearray()}
        self.failure = ""
        self.process: Popen[bytes] | None = None
        try:
            # AnsibleModule.run_command runs only one program at a time and has no time limit.
            self.process = Popen(  # pylint: disable=ansible-bad-function
                argv,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                env={**os.environ, **PLAIN},
                start_new_session=True,  # so that a wrapper script dies with what it started
            )
        except (OSError, ValueError) as error:
            self.failure = f"cannot be started ({error})"

    def streams(self) -> list[tuple[Any, bytearray]]:
        """Return the pipes of the program with their output."""
        if not self.process:
            return []
        return [(self.process.stdout, self.printed["out"]), (self.process.stderr, self.printed["err"])]

    def kill(self) -> None:
        """Kill the program and its children."""
        if self.process:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def ended(self, deadline: float) -> bool:
        """Wait for the end of the program until a moment of time.monotonic(); return whether it ended."""
        if not self.process:
            return True
        with contextlib.suppress(TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        return self.process.returncode is not None

    def result(self) -> Ended:
        """Return the result of the program."""
        out, err = (bytes(text).decode("utf-8", "replace") for text in self.printed.values())
        code = self.process.returncode if self.process and not self.failure else None
        return Ended(out, err, code, self.failure)


def run_together(commands: Mapping[str, list[str]], seconds: float) -> dict[str, Ended]:
    """Run programs in parallel and kill those that have not ended after that many seconds."""
    deadline = time.monotonic() + seconds
    calls = {name: _Running(argv) for name, argv in commands.items()}
    with selectors.DefaultSelector() as selector:
        for call in calls.values():
            for stream, printed in call.streams():
                selector.register(stream, selectors.EVENT_READ, printed)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _events in selector.select(max(0.0, deadline - time.monotonic())):
                chunk = os.read(key.fd, 65536)
                key.data.extend(chunk)
                if not chunk or len(key.data) > MAX_BYTES:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
    for call in calls.values():
        if not call.ended(deadline):
            call.failure = f"did not answer within {seconds:g} s"
            call.kill()
    deadline = time.monotonic() + SECONDS_TO_DIE
    for call in calls.values():
        call.ended(deadline)
        for stream, _printed in call.streams():
            stream.close()
    return {name: call.result() for name, call in calls.items()}


def execute(argv: list[str], seconds: float) -> Ended:
    """Run a program; an exit status other than 0 and a timeout are results, not errors."""
    return run_together({"": argv}, seconds)[""]
