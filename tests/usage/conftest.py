# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real PostgreSQL for all tests, and programs that book in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from usage_bench import Booking, Server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes a minute and is no part of `make test`")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that all tests share."""
    folder = tmp_path_factory.mktemp("server")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            with suppress(PermissionError):
                parent.chmod(parent.stat().st_mode | 0o011)
    server = Server(folder / "cluster")
    server.start()
    yield server
    server.end()


@pytest.fixture
def server(cluster: Server) -> Server:
    """The server, which runs and has no usage yet."""
    cluster.start()
    cluster.ask("DROP SCHEMA IF EXISTS usage CASCADE;")
    return cluster


@pytest.fixture
def book(tmp_path: Path, server: Server) -> Iterator[Callable[..., Booking]]:
    """Make booking programs, which end with the test."""
    made: list[Booking] = []

    def make(spool: str, of: Server | None = None, **settings: Any) -> Booking:
        made.append(Booking(tmp_path / f"booking{len(made)}", of or server, spool, **settings))
        return made[-1]

    yield make
    for one in made:
        one.end(signal.SIGKILL)
        assert "Traceback" not in one.said()
