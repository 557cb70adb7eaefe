# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run what may hang in a driver or on a disk: with a deadline, and killed or left behind after it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time

# AnsibleModule.run_command knows no deadline.
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Any, Callable

SECONDS_TO_DIE = 5.0


def run(argv: list[str], seconds: float, given: str = "", environment: dict[str, str] | None = None) -> tuple[str, str]:
    """Run a program; return what it printed, and how it ended where that was not well."""
    try:
        process = Popen(  # pylint: disable=ansible-bad-function
            argv,
            stdin=PIPE if given else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
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
        ending = f"did not end within {seconds:.0f} s"
        out, err = put_down(process)
    printed = out.decode(errors="replace")
    return (f"{printed}\n{err.decode(errors='replace')}" if ending else printed), ending


def put_down(process: Popen[bytes]) -> tuple[bytes, bytes]:
    """End a program with what it started: asked first, as `docker run` takes its container with it, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutExpired, ValueError):
            return process.communicate(timeout=SECONDS_TO_DIE)
    # It waits for the driver, and goes when that lets it.
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()
    return b"", b""


def apart(work: Callable[[], Any], seconds: float) -> Any:
    """Return what a function returns in a process of its own, None where it does not end in time: disks hang too."""
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
