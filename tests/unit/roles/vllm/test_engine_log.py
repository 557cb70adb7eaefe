# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of an engine's failed requests have nothing of what clients sent; all others stay as they are."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from load_file import load_file

FILES = Path(__file__).resolve().parents[4] / "roles" / "vllm" / "files"
PROMPT = "canary-of-a-prompt"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    before = logging.getLogRecordFactory()
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "INFO")
    module = load_file(FILES / "llmfleet_engine_log.py")
    module.install()
    yield module
    logging.setLogRecordFactory(before)


def fail(name: str) -> None:
    """Log a failure whose text, traceback and cause quote a prompt."""
    try:
        try:
            raise KeyError(PROMPT)
        except KeyError as cause:
            raise ValueError(f"refused: {PROMPT}") from cause
    except ValueError as error:
        logging.getLogger(name).exception("Error in create_messages: %s", error, stack_info=True)


def test_a_failed_request_is_told_without_its_text(log: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    log.begin_serving()
    for name in ("vllm.entrypoints.anthropic.api_router", "uvicorn.error", "asyncio"):
        fail(name)
    assert PROMPT not in caplog.text
    assert "Traceback" not in caplog.text
    for message in caplog.messages:
        assert message.startswith("fail failed, ValueError test_engine_log.py:")


def test_what_fails_before_it_serves_is_told_whole(log: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    fail("vllm.v1.engine.core")
    assert PROMPT in caplog.text
    assert "Traceback" in caplog.text


def test_the_process_that_computes_is_silent_of_grammars(log: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    fail("vllm.v1.structured_output")
    fail("vllm.v1.structured_output.backend_xgrammar")
    assert PROMPT not in caplog.text
    assert len(caplog.messages) == 2


def test_the_line_of_a_request_that_failed_stays_as_the_server_writes_it(
    log: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    log.begin_serving()
    caplog.set_level(logging.INFO, "uvicorn.access")
    try:
        raise ValueError(PROMPT)
    except ValueError:
        logging.getLogger("uvicorn.access").info('%s - "%s" %d', "127.0.0.1:5", "POST /v1/chat/completions", 400)
    assert caplog.messages == ['127.0.0.1:5 - "POST /v1/chat/completions" 400']


def test_a_record_whose_values_do_not_fit_is_not_printed(log: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    log.begin_serving()
    handler = logging.StreamHandler()
    handler.handle(logging.LogRecord("vllm", logging.INFO, "", 1, "%s %s", (PROMPT,), None))
    assert PROMPT not in "".join(capfd.readouterr())


def test_what_is_said_of_a_cancelled_task_stays(log: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    log.begin_serving()
    caplog.set_level(logging.INFO)
    try:
        raise asyncio.CancelledError
    except asyncio.CancelledError:
        logging.getLogger("vllm.entrypoints.launchers.launcher").info("Shutting down FastAPI HTTP server.")
    assert caplog.messages == ["Shutting down FastAPI HTTP server."]


def test_words_that_a_reader_puts_into_its_warning_are_left_out(
    log: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    log.begin_serving()
    logging.getLogger("vllm.tool_parsers.hy_v3_tool_parser").warning("No tool named '%s'.", PROMPT)
    logging.getLogger("vllm.v1.metrics.loggers").warning("Engine %s is slow", "000")
    assert caplog.messages == ["No tool named '%s'.", "Engine 000 is slow"]


def test_at_level_debug_everything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    before = logging.getLogRecordFactory()
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "debug")
    load_file(FILES / "llmfleet_engine_log.py").install()
    assert logging.getLogRecordFactory() is before


def test_each_process_of_python_installs_it() -> None:
    program = "import logging; print(logging.getLogRecordFactory().__module__)"
    environment = {**os.environ, "PYTHONPATH": str(FILES)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("llmfleet_engine_log", "")
