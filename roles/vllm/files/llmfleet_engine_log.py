# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of failed requests say what failed and where, and nothing of what clients sent.

Errors of vLLM, of templates and of grammars quote prompts, tools and answers. What is said before an engine serves, and
what says why it ends, stays as it is. At level DEBUG everything does.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import Any

# The process that computes says little of a request. These loggers and this function of it quote errors of grammars.
GRAMMARS = "vllm.v1.structured_output"
PREPARATION = "_handle_request_preproc_error"
# These read what clients and models write, and put words of it into their warnings.
READERS = (
    "vllm.entrypoints.",
    "vllm.parser.",
    "vllm.reasoning.",
    "vllm.renderers.",
    "vllm.tool_parsers.",
)

# The server's line for a request has its path and status, and its format needs all of its values.
ACCESS = "uvicorn.access"

_serving = False


def install() -> None:
    """Shorten what this process says of requests, by any logger."""
    if os.environ.get("VLLM_LOGGING_LEVEL", "").upper() == "DEBUG":
        return
    make = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if _serving or record.name.startswith(GRAMMARS) or record.funcName == PREPARATION:
            return shortened(record)
        return record

    logging.setLogRecordFactory(factory)


def begin_serving() -> None:
    """From now on, what fails in this process is a request."""
    global _serving
    _serving = True
    # Python would print a record whose values do not fit its text, and the error that is handled, past every logger.
    logging.raiseExceptions = False


def shortened(record: logging.LogRecord) -> logging.LogRecord:
    """Take off the text of a record that is made while an exception is handled, and the words in a reader's warning."""
    if record.name == ACCESS:
        return record
    error = record.exc_info[1] if record.exc_info else sys.exc_info()[1]
    # What is said while a task is cancelled has no error to quote.
    if error is not None and (record.exc_info or isinstance(error, Exception)):
        record.msg, record.args = f"{record.funcName} failed, {described(error)}", ()
        record.exc_info = record.exc_text = record.stack_info = None
    elif record.levelno >= logging.WARNING and record.name.startswith(READERS):
        # The places of the words stay: "No tool named '%s'."
        record.args = ()
    return record


def described(error: BaseException) -> str:
    """The type of an error and where it was raised. Its own text may quote a prompt."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
