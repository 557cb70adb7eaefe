# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Open WebUI logs while it serves has its own words, and nothing of what people write.

Its messages and the errors in them quote prompts, documents, names of files and answers of models. Of each record that
is kept which is constant in the program: the beginning of the message, the type of the error and where it was raised.
What is said before the first request, and at level DEBUG everything but what is about log-ins, stays as it is.
"""

from __future__ import annotations

import builtins
import contextlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from types import CodeType, FrameType
from typing import Any

LOG = logging.getLogger("llmfleet")
# The server's line for a request, whose path has words of a search after the question mark.
ACCESS = "uvicorn.access"
ACCESS_PATH = 2
# Their messages, errors and paths have codes, tokens and claims of an identity provider, also at level DEBUG.
LOGINS = ("open_webui.utils.oauth", "authlib", "httpx", "httpcore", ACCESS)
# A shorter beginning says nothing.
SHORTEST = 4
WITHHELD = "..."
Application = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]

_serving = False


def install() -> None:
    """Shorten what this process says of requests, by any logger and by print."""
    tells_all = os.environ.get("GLOBAL_LOG_LEVEL", "").upper() == "DEBUG"
    make = logging.getLogRecordFactory()
    write = builtins.print

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        withheld = _serving and (not tells_all or is_of_a_login(record.name))
        return shortened(record, sys._getframe(1)) if withheld else record

    def quiet(*values: Any, **options: Any) -> None:
        # Open WebUI prints some errors and results to the log.
        if not _serving or options.get("file") not in (None, sys.stdout, sys.stderr):
            write(*values, **options)

    logging.setLogRecordFactory(factory)
    if tells_all:
        return
    logging.captureWarnings(True)
    builtins.print = quiet
    # Python would write these past every logger.
    logging.raiseExceptions = False
    threading.excepthook = lambda given: LOG.error("A thread failed", exc_info=given.exc_value)
    sys.unraisablehook = lambda given: LOG.error("A destructor failed", exc_info=given.exc_value)


class Serving:
    """The application; from its first request on, what is logged may be about people."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        global _serving
        _serving = _serving or scope["type"] != "lifespan"
        await self.app(scope, receive, send)


def is_of_a_login(logger: str) -> bool:
    return any(logger == name or logger.startswith(f"{name}.") for name in LOGINS)


def shortened(record: logging.LogRecord, frame: FrameType | None) -> logging.LogRecord:
    """Take from a record everything that is not the program's own text."""
    if record.name == ACCESS:
        if isinstance(record.args, tuple) and len(record.args) > ACCESS_PATH:
            given = list(record.args)
            given[ACCESS_PATH] = str(given[ACCESS_PATH]).partition("?")[0]
            record.args = tuple(given)
        return record
    error = record.exc_info[1] if record.exc_info else sys.exc_info()[1]
    said = constant(record, frame)
    if error is not None and (record.exc_info or isinstance(error, Exception)):
        said = f"{said or record.funcName} ({described(error)})"
    record.msg, record.args = said or WITHHELD, ()
    record.exc_info = record.exc_text = record.stack_info = None
    return record


def constant(record: logging.LogRecord, frame: FrameType | None) -> str:
    """The part of a message that is written in the program that logs it; empty if there is none."""
    if not isinstance(record.msg, str):
        return ""
    while frame and (frame.f_code.co_filename, frame.f_code.co_name) != (record.pathname, record.funcName):
        frame = frame.f_back
    texts = [text for text in (texts_of(frame.f_code) if frame else ()) if record.msg.startswith(text)]
    longest = max(texts, key=len, default="")
    if longest == record.msg:
        return filled(longest, record.args).strip()
    return f"{longest.rstrip()} {WITHHELD}" if len(longest.strip()) >= SHORTEST else ""


def filled(text: str, args: Any) -> str:
    """A message with its numbers, such as a status."""
    if isinstance(args, tuple) and args:
        with contextlib.suppress(TypeError, ValueError):
            return text % tuple(arg if isinstance(arg, (int, float)) else WITHHELD for arg in args)
    return text


def texts_of(code: CodeType) -> list[str]:
    """The texts in a function of a program, and parts of such that are put together when it runs."""
    return [text for text in code.co_consts if isinstance(text, str) and text]


def described(error: BaseException) -> str:
    """The type of an error and where it was raised. Its own text may quote a prompt."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
