# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inner Nginx passes the paths that an engine serves, and asks no engine for anything else."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from engine_paths import VLLM_PATHS

DATA = Path(__file__).resolve().parents[1] / "unit/plugins/module_utils/data/vllm-0.32.0-routes.json"
# Every route of the pinned vLLM, and what its development mode, adapters and other ways to serve add.
ROUTES = json.loads(DATA.read_text())["routes"]
DANGEROUS = (
    "/invocations",
    "/pause",
    "/resume",
    "/is_paused",
    "/load_lora_adapter",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/sleep",
    "/wake_up",
    "/is_sleeping",
    "/collective_rpc",
    "/reset_prefix_cache",
    "/reset_mm_cache",
    "/reset_encoder_cache",
    "/server_info",
    "/start_profile",
    "/stop_profile",
    "/scale_elastic_ep",
    "/init_weight_transfer_engine",
    "/update_weights",
    "/inference/v1/generate",
    "/abort_requests",
    "/health",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/seen",
)
# Other ways to write a path that Nginx, or an engine behind it, may read as one of those.
TRICKS = (
    "/v1/%63hat/completions",
    "/v1%2Fchat%2Fcompletions",
    "/v1/chat%2Fcompletions",
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/chat/completions/",
    "/v1/chat/./completions",
    "/v1/./chat/completions",
    "/v1/models/../../pause",
    "/v1/models/../chat/completions",
    "/v1/models/%2e%2e/%2e%2e/pause",
    "/v1/models/..%2f..%2fpause",
    "/v1/models%2f..%2f..%2fpause",
    "/v1/models/..;/pause",
    "/v1/models;/pause",
    "/v1/models%00",
    "/v1/models%00/pause",
    "/v1/models%0a",
    "/v1/models%20",
    "/v1/models%3F/pause",
    "/v1/models%23",
    "/V1/models",
    "/v1/Models",
    "/v1/modelsx",
    "/v1/models/x",
    "/v1",
    "/v1/",
    "/",
    "/\\pause",
    "/v1\\models",
    "/%70ause",
    "//pause",
    "/./pause",
    "/x/../pause",
    "/%2e/pause",
    "/%2Fpause",
    "/replicas/0/pause",
    "/replicas/0/health",
    "/replicas/0//v1/chat/completions",
    "/replicas/0/../0/v1/chat/completions",
    "/replicas/%30/v1/chat/completions",
    "/replicas/7/v1/chat/completions",
    "/replicas/0/v1/models",
    "/replicas/0/v1/completions",
)
# The same before the path of the model.
WHOLE = (
    "//chat/v1/models",
    "/./chat/v1/models",
    "/x/../chat/v1/models",
    "/%63hat/v1/models",
    "/chat%2Fv1%2Fmodels",
    "/other/../chat/v1/models",
    "/other/%2e%2e/chat/v1/models",
    "/_once//chat/v1/models",
    "/_once/_once/chat/v1/models",
    "/_once/../chat/v1/models",
    "/%5Fonce/chat/v1/models",
    "/_once/chat/replicas/0/v1/chat/completions",
    "/_once/chat/pause",
    "/_once/../chat/pause",
    "/chat/../other/v1/models",
    "/.refusal/400",
)


def status(port: int, target: str, method: str = "POST") -> int:
    """Request a target exactly as it is written, which clients of Python would change."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
        connection.sendall(head.encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return int(answer.split()[1])


@pytest.fixture
def asked(nginx: Any, stubs: Any) -> Any:
    """Request targets, and return the statuses and the paths of which the engines were asked."""

    def ask(*targets: str, method: str = "POST") -> tuple[set[int], list[str]]:
        engines = [stubs["replica-0"], stubs["replica-1"]]
        before = [len(engine.seen()["paths"]) for engine in engines]
        found = {status(nginx.variables["nginx_south_port"], target, method) for target in targets}
        return found, [path for engine, length in zip(engines, before) for path in engine.seen()["paths"][length:]]

    return ask


@pytest.mark.parametrize("path", VLLM_PATHS)
def test_what_an_engine_serves_is_passed_on_as_it_is(asked: Any, path: str) -> None:
    assert asked(f"/chat{path}") == ({200}, [path])
    assert asked(f"/_once/chat{path}") == ({200}, [path]), "for LiteLLM"
    assert asked(f"/chat{path}?a=/../pause", method="GET") == ({200}, [f"{path}?a=/../pause"])


@pytest.mark.parametrize("prefix", ["/chat", "/_once/chat", "/Session.v1_x", "/other", "", "/chat/replicas/0"])
def test_an_engine_is_asked_for_nothing_else(asked: Any, prefix: str) -> None:
    others = sorted({*ROUTES, *DANGEROUS} - set(VLLM_PATHS))
    assert asked(*(prefix + path for path in others)) == ({404}, [])


@pytest.mark.parametrize("target", [*(f"/chat{path}" for path in TRICKS), *WHOLE])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_counts_as_it_is_written(asked: Any, target: str, method: str) -> None:
    found, paths = asked(target, method=method)
    assert (found <= {400, 404}, paths) == (True, [])


def test_another_engine_has_paths_of_its_own(asked: Any) -> None:
    assert asked("/other/v2/speak") == ({200}, ["/v2/speak"])
    assert asked("/other/v1/models") == asked("/chat/v2/speak") == ({404}, [])


def test_a_model_without_replicas_is_503_only_where_it_would_serve(asked: Any) -> None:
    assert asked("/none/v1/chat/completions") == ({503}, [])
    assert asked("/none/pause") == ({404}, [])


def test_a_dot_of_a_name_is_a_dot(asked: Any) -> None:
    assert asked("/Session.v1_x/v1/models") == ({200}, ["/v1/models"])
    assert asked("/SessionXv1_x/v1/models") == ({404}, [])
