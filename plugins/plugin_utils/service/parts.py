# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of a service spec that are dictionaries: their keys, defaults and problems.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

# Each key of a part with its default.
DEFAULTS: dict[str, dict[str, Any]] = {
    "ready": {"url": "", "tcp": {}, "command": [], "deadline": 120, "ca": "", "headers": {}, "status": [200]},
    "stop": {"timeout": 30, "signal": "TERM"},
    "limits": {"nofile": 65536, "memory_max": "", "tasks_max": ""},
}
TCP: dict[str, Any] = {"port": None, "address": "127.0.0.1"}
# Keys of one command of `prepare` that is not just a list.
PREPARE: dict[str, Any] = {"command": None, "again": "", "timeout": 600}
# Methods by which a service is checked for readiness; without one it is ready while its process lives.
WAYS = ("url", "tcp", "command")

Programs = dict[str, dict[str, str]]


class SpecError(ValueError):
    """A service spec that cannot be run; the text names the service, the key, the value and the remedy."""


def fail(name: str, key: str, value: Any, remedy: str) -> None:
    """Refuse a spec.

    :raises SpecError: always.
    """
    raise SpecError(f"service spec '{name}': {key} is {value!r}: {remedy}")


def filled(name: str, part: str, given: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    """Return a part with every key present.

    :raises SpecError: for a part that is no dictionary, or a key that nobody reads.
    """
    if not isinstance(given, dict):
        fail(name, part, given, f"give a dictionary of {', '.join(defaults)}")
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        fail(name, f"{part}.{unknown[0]}", given[unknown[0]], f"no such key; known are {', '.join(defaults)}")
    return {**defaults, **given}


def argv(name: str, key: str, given: Any, programs: Programs, image: str) -> list[str]:
    """Return a command that runs next to a service, with the path of its program where the service runs.

    :param programs: programs that come from images, see ``spec.normalise``.
    :param image: the image of the service; empty where it runs on the host itself.
    """
    parts = [str(part) for part in given] if isinstance(given, list) else []
    if not parts or not parts[0].startswith("/"):
        fail(name, key, given, "give a list whose first item is an absolute path")
    program = programs.get(parts[0])
    if program and program["image"] != image:
        remedy = f"its program comes from {program['image']}, and the service runs " + (
            f"from {image}: name a program of the same package" if image else "on the host: name a program of the host"
        )
        fail(name, key, given, remedy)
    return [program["program"], *parts[1:]] if program else parts


def ready(name: str, given: Any, programs: Programs, image: str) -> dict[str, Any]:
    """Return the readiness check of a service, with at most one of :data:`WAYS`.

    :raises SpecError: for more than one way, and for a port or a command that is none.
    """
    full = filled(name, "ready", given, DEFAULTS["ready"])
    ways = [way for way in WAYS if full[way]]
    if len(ways) > 1:
        fail(name, "ready", given, f"it has {' and '.join(ways)}: keep one of them")
    if full["tcp"]:
        full["tcp"] = filled(name, "ready.tcp", full["tcp"], TCP)
        port = str(full["tcp"]["port"])
        if not port.isdigit() or not 0 < int(port) < 65536:
            fail(name, "ready.tcp.port", full["tcp"]["port"], "give a number from 1 to 65535")
        full["tcp"]["port"] = int(port)
    if full["command"]:
        full["command"] = argv(name, "ready.command", full["command"], programs, image)
    return full


def prepare(name: str, given: Any, programs: Programs, image: str) -> list[dict[str, Any]]:
    """Return the commands that run once before a service is started, ``[{command, stamp, timeout}]``.

    ``stamp`` is the name of the file that says that the command has run. It follows from the program's name, the
    arguments and ``again``, not from the path, which changes with each release of the package.
    """
    if not isinstance(given, list):
        fail(name, "prepare", given, "give a list of commands")
    commands = []
    for one in given:
        full = filled(name, "prepare", one if isinstance(one, dict) else {"command": one}, PREPARE)
        command = argv(name, "prepare", full["command"], programs, image)
        identity = [str(full["command"][0]).rsplit("/", 1)[-1], *command[1:], str(full["again"])]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        if not str(full["timeout"]).isdigit():
            fail(name, "prepare.timeout", full["timeout"], "give a number of seconds")
        commands.append({"command": command, "stamp": f".prepared-{digest}", "timeout": int(full["timeout"])})
    if len({one["stamp"] for one in commands}) < len(commands):
        fail(name, "prepare", given, "a command stands there twice: each runs once, so take one of them away")
    return commands
