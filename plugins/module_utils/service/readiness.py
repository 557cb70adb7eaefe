# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check once whether a service is ready, by URL, TCP port or command, and digest what it would be started with."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.host import http_client, sockets
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import digest_of, program_identity
from ansible_collections.llmfleet.serving.plugins.module_utils.service.managers import PATH, Manager
from ansible_collections.llmfleet.serving.plugins.module_utils.text import redact

# Seconds that one check of a service may take.
READY_SECONDS = 5
# Bytes of an answer that are searched for the expected text.
READY_BYTES = 1 << 16


def answers(ready: dict[str, Any]) -> str:
    """Request the readiness URL once; return an empty string if it answers as expected, else the error."""
    # The proxy for downloads must not be used for services of the fleet.
    client = http_client.Client("llmfleet-ready", ready["ca"])
    try:
        with client.open(ready["url"], READY_SECONDS, {k: str(v) for k, v in ready["headers"].items()}) as answer:
            status = answer.status
            content = answer.read(READY_BYTES).decode("utf-8", "replace") if ready["body"] else ""
    except http_client.TroubleError as error:
        return f"{ready['url']} does not answer ({error})"
    if status not in ready["status"]:
        return f"{ready['url']} answers {status}"
    return "" if ready["body"] in content else f"{ready['url']} answers {status} without '{ready['body']}'"


def run_beside(
    run_command: Callable[..., Any], program: str, kind: str, command: list[str], seconds: int
) -> tuple[int, str]:
    """Run a command as the service would, for a limited time; return its exit code and what it printed.

    :param run_command: runs an argv, as ``AnsibleModule.run_command`` does.
    :param program: script that starts commands with the service's user and environment.
    :param kind: what the script runs it as, ``prepare`` or ``ready``.
    """
    argv = ["timeout", "--kill-after=5", str(seconds), "env", "-i", "LANG=C.UTF-8", f"PATH={PATH}"]
    # Variables in the command are left to the command.
    code, out, err = run_command([*argv, program, kind, *command], expand_user_and_vars=False)
    return int(code), str(out + err)


def unready(run_command: Callable[..., Any], service: dict[str, Any], secrets: list[str]) -> str:
    """Check once, with the method of the service, whether it is ready; return an empty string if it is.

    :param service: a service of the module ``service_state``, with ``ready`` and ``beside``.
    :param secrets: values that the answer must not show.
    """
    ready = service["ready"]
    if ready["tcp"]:
        return sockets.refusal(ready["tcp"]["address"], ready["tcp"]["port"])
    if ready["command"]:
        code, output = run_beside(run_command, service["beside"], "ready", ready["command"], READY_SECONDS)
        last = redact(output, secrets).strip().splitlines()[-1:]
        shown = "".join(f" ({line})" for line in last)
        return f"'{' '.join(ready['command'])}' ends with {code}{shown}" if code else ""
    return answers(ready) if ready["url"] else ""


def _without_order(path: str, content: bytes) -> bytes:
    """Return a file without the services after which a unit starts."""
    lines = content.splitlines(keepends=True) if path.endswith(".service") else []
    return b"".join(line for line in lines if not line.startswith(b"After=")) or content


def wanted_digests(manager: Manager, service: dict[str, Any]) -> dict[str, str]:
    """Digest what the service would be started with now.

    The order of starts is no part of it, as systemd applies that without a restart. ``whole`` has it all the same: with
    that digest earlier versions recorded what they started.
    """
    files = manager.definition_files(service["name"]) + service["restart_files"]
    program = program_identity(service["command"])
    return {
        "restart": digest_of(files, program, _without_order),
        "whole": digest_of(files, program),
        "reload": digest_of(service["reload_files"], ""),
    }
