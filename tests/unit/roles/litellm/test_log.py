# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of failures have nothing of what clients sent, whoever makes them."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from load_file import load_file

log = load_file(Path(__file__).resolve().parents[4] / "roles" / "litellm" / "files" / "llmfleet_log.py")
PROMPT = "canary-of-a-prompt"
CALL = "litellm_call_id=ef0194ed-9fe8-4c8e-9920-3605c1c3ad45"
LOG = logging.getLogger("test of records")


class BadRequestError(Exception):
    status_code = 400


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = logging.getLogRecordFactory()
    monkeypatch.setattr(traceback, "print_exc", traceback.print_exc)
    monkeypatch.setenv("LITELLM_LOG", "ERROR")
    log.install()
    yield
    logging.setLogRecordFactory(before)


def fail() -> None:
    raise BadRequestError(f"refused: {PROMPT}")


def quoting(error: Exception) -> None:
    LOG.error(f"Exception occured - {CALL} - {error}\n{traceback.format_exc()}")


def traced(error: Exception) -> None:
    LOG.exception("it failed: %s", error, stack_info=True)


def worse(error: Exception) -> None:
    LOG.warning("%s %s", str(error))


async def later(error: Exception) -> None:
    await asyncio.sleep(0)
    LOG.error("after a wait: %s", error)


def waiting(error: Exception) -> None:
    asyncio.run(later(error))


def given(error: Exception) -> None:
    LOG.error(PROMPT, exc_info=error)


@pytest.mark.parametrize("tell", [quoting, traced, worse, waiting, given])
def test_a_failure_is_told_without_its_text(tell: object, caplog: pytest.LogCaptureFixture) -> None:
    assert callable(tell)
    try:
        fail()
    except BadRequestError as error:
        tell(error)
    assert PROMPT not in caplog.text
    assert "Traceback" not in caplog.text
    (record,) = caplog.records
    line = record.getMessage()
    assert "failed, BadRequestError 400 test_log.py:" in line
    assert (CALL in line) == (tell is quoting)
    assert len(line) < 200


def test_a_traceback_of_an_error_that_is_over_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    try:
        fail()
    except BadRequestError:
        said = traceback.format_exc()
    LOG.error("a task failed: %s", said)
    assert caplog.messages == ["test_a_traceback_of_an_error_that_is_over_is_dropped failed"]


def test_a_name_that_a_client_chose_is_no_name_of_a_call(caplog: pytest.LogCaptureFixture) -> None:
    try:
        fail()
    except BadRequestError:
        LOG.error(f"litellm_call_id={PROMPT}")
    assert PROMPT not in caplog.text


def test_what_is_no_failure_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    LOG.warning("the model %s has no price", "chat")
    assert caplog.messages == ["the model chat has no price"]


def test_at_level_debug_everything_is_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logging.setLogRecordFactory(logging.LogRecord)
    monkeypatch.setenv("LITELLM_LOG", "debug")
    log.install()
    try:
        fail()
    except BadRequestError as error:
        traced(error)
    assert PROMPT in caplog.text


def test_a_traceback_that_is_printed_is_a_record_like_the_others(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        fail()
    except BadRequestError:
        traceback.print_exc()
    assert PROMPT not in caplog.text + "".join(capfd.readouterr())
    assert "test_a_traceback_that_is_printed_is_a_record_like_the_others failed, BadRequestError 400" in caplog.text
