# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the chat page logs while it serves has nothing of what people write; tests/open_webui has the page itself."""

from __future__ import annotations

import asyncio
import builtins
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from load_file import load_file

FILE = Path(__file__).resolve().parents[4] / "roles" / "open_webui" / "files" / "llmfleet_page_log.py"
WORD = "canary-of-a-prompt"
LOG = logging.getLogger("open_webui.test")


async def nothing(*_given: object) -> None:
    """An application."""


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    before = logging.getLogRecordFactory()
    for holder, name in ((builtins, "print"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(holder, name, getattr(holder, name))
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setenv("GLOBAL_LOG_LEVEL", "INFO")
    loaded = load_file(FILE)
    loaded.install()
    yield loaded
    logging.setLogRecordFactory(before)
    logging.captureWarnings(False)


def begin(module: ModuleType, kind: str = "http") -> None:
    asyncio.run(module.Serving(nothing)({"type": kind}, None, None))


def say(word: str) -> None:
    LOG.error("It is broken")
    LOG.error("The value is %s", word)
    LOG.error("The status of %s is %d", word, 429)
    LOG.error("The number is %d", word)
    LOG.error(f"The file is {word} in {word}")
    LOG.error(word)
    LOG.error(f"{word}")
    LOG.error("a" + word)
    LOG.error(ValueError(word))
    LOG.warning("%(x)s is wrong", {"x": word})


def fail(word: str) -> None:
    try:
        raise ValueError(word)
    except ValueError as error:
        LOG.exception(error)
        LOG.exception(f"It failed: {error}", stack_info=True)
        LOG.error(f"Error while reading {word}: {error}")
        LOG.error(error, exc_info=True)


def test_messages_keep_what_the_program_says(module: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    begin(module)
    say(WORD)
    assert caplog.messages == [
        "It is broken",
        "The value is ...",
        "The status of ... is 429",
        "The number is %d",
        "The file is ...",
        *["..."] * 4,
        "%(x)s is wrong",
    ]


def test_errors_keep_their_type_and_place(module: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    begin(module, "websocket")
    fail(WORD)
    assert WORD not in caplog.text
    assert "Traceback" not in caplog.text
    places = [message.partition(" (ValueError test_page_log.py:") for message in caplog.messages]
    assert [said for said, found, _place in places if found] == [
        "fail",
        "It failed: ...",
        "Error while reading ...",
        "fail",
    ]


def test_all_is_told_before_the_first_request_and_at_level_debug(
    module: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(module, "lifespan")
    fail(WORD)
    assert WORD in caplog.text
    caplog.clear()
    logging.setLogRecordFactory(logging.LogRecord)
    monkeypatch.setenv("GLOBAL_LOG_LEVEL", "DEBUG")
    other = load_file(FILE)
    other.install()
    begin(other)
    fail(WORD)
    assert WORD in caplog.text


def test_what_is_about_a_log_in_is_withheld_at_level_debug_too(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    before = logging.getLogRecordFactory()
    request.addfinalizer(lambda: logging.setLogRecordFactory(before))
    monkeypatch.setenv("GLOBAL_LOG_LEVEL", "DEBUG")
    module = load_file(FILE)
    module.install()
    begin(module)
    for name in ("open_webui.utils.oauth", "authlib.integrations", "httpcore.http11"):
        logging.getLogger(name).warning(f"The token is {WORD}")
        try:
            raise ValueError(WORD)
        except ValueError:
            logging.getLogger(name).warning("It failed: %s", WORD, exc_info=True)
    assert WORD not in caplog.text
    assert caplog.messages[0] == "The token is ..."
    # The name of another logger only begins like one of these.
    logging.getLogger("httpxyz").warning(WORD)
    assert WORD in caplog.text


def test_what_goes_past_the_loggers_is_quiet_too(
    module: ModuleType, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    begin(module)
    print(WORD)
    print(WORD, file=sys.stderr)
    with (tmp_path / "file").open("w") as file:
        print(WORD, file=file)
    assert (tmp_path / "file").read_text() == f"{WORD}\n"
    warnings.warn_explicit(WORD, UserWarning, "a.py", 1)

    def break_off() -> None:
        raise ValueError(WORD)

    thread = threading.Thread(target=break_off)
    thread.start()
    thread.join()
    out, err = capfd.readouterr()
    assert WORD not in out + err + caplog.text
    assert any(message.startswith("A thread failed (ValueError test_page_log.py:") for message in caplog.messages)


def test_the_line_of_a_request_has_no_query(module: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    begin(module)
    given: tuple[Any, ...] = ("10.0.0.1:5", "GET", f"/api/v1/chats/search?text={WORD}", "1.1", 200)
    with caplog.at_level(logging.INFO, "uvicorn.access"):
        logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *given)
    assert caplog.messages == ['10.0.0.1:5 - "GET /api/v1/chats/search HTTP/1.1" 200']
