# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print as JSON each route of vLLM's server, and what it answers behind the role's middleware without and with the key.

routes.py    run with vLLM's own Python, PYTHONPATH on roles/vllm/files, and LLMFLEET_API_PATHS and
LLMFLEET_ACCEPTED_KEYS in the environment

No engine is started: vLLM builds the server for all tasks and with every option that adds routes, and each request is
one call of the application. A request that is admitted meets handlers without an engine and fails there, with another
status than those of the middleware.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from typing import Any
from unittest import mock

KEY = "sk-routes"
os.environ.update(
    VLLM_SERVER_DEV_MODE="1",
    VLLM_ALLOW_RUNTIME_LORA_UPDATING="1",
    VLLM_NO_USAGE_STATS="1",
    VLLM_LOGGING_LEVEL="CRITICAL",
)
OPTIONS = ["--enable-scale-out", "--enable-tokenizer-info-endpoint", "--enable-server-load-tracking"]
WEBSOCKET = "WEBSOCKET"


def application() -> Any:
    """Return the server, with the middleware added by the flag that the role sets."""
    from vllm import tasks
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser())
    args = parser.parse_args(["--model=x", *OPTIONS, "--middleware=llmfleet_access.EngineAccess"])
    args.enable_fault_tolerance = True
    # Scoring has routes only where the model's pooling is known.
    model = mock.MagicMock()
    model.get_pooling_task.return_value = "embed"
    return build_app(args, tasks.GENERATION_TASKS + tasks.POOLING_TASKS + tasks.FRONTEND_TASKS, model)


def routes(app: Any) -> list[tuple[str, str]]:
    """Return the path and the method of each route, of those inside others as well."""
    found = set()

    def walk(inner: Any, prefix: str) -> None:
        for route in inner:
            path = prefix + getattr(route, "path", "")
            if getattr(route, "routes", None):
                walk(route.routes, path)
            methods = getattr(route, "methods", None)
            default = [WEBSOCKET] if "WebSocket" in type(route).__name__ else ["GET"]
            found.update((path, method) for method in methods or default)

    walk(app.routes, "")
    return sorted(found)


async def ask(app: Any, path: str, method: str, key: str) -> int:
    """Return the status of a request; that of a websocket which is refused is 403, as the server answers it."""
    statuses: list[int] = []
    kind = "websocket" if method == WEBSOCKET else "http"
    messages = [{"type": "websocket.connect"}] if kind == "websocket" else [{"type": "http.request", "body": b"{}"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": f"{kind}.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        found = {"http.response.start": message.get("status"), "websocket.close": 403, "websocket.accept": 101}
        if message["type"] in found:
            statuses.append(found[message["type"]])

    headers = [(b"content-type", b"application/json"), (b"host", b"engine")]
    if key:
        headers.append((b"authorization", f"Bearer {key}".encode()))
    scope = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": re.sub(r"{[^}]*}", "x", path),
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "subprotocols": [],
        "state": {},
    }
    with contextlib.suppress(Exception):
        await asyncio.wait_for(app(scope, receive, send), 10)
    return statuses[0]


async def main() -> None:
    """Run the program."""
    from vllm import __version__

    app = application()
    answers = []
    for path, method in routes(app):
        answers.append((path, method, await ask(app, path, method, ""), await ask(app, path, method, KEY)))
    print("\n" + json.dumps({"vllm": __version__, "answers": answers}))


if __name__ == "__main__":
    asyncio.run(main())
