# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of a service spec that are dictionaries: their keys, defaults and problems.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Iterable, NoReturn

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import (
    HIDDEN,
    Problem,
    ProblemsError,
    nearest,
)

# Each key of a part with its default.
DEFAULTS: dict[str, dict[str, Any]] = {
    "ready": {
        "url": "",
        "tcp": {},
        "command": [],
        "deadline": 120,
        "ca": "",
        "headers": {},
        "status": [200],
        "body": "",
    },
    "stop": {"timeout": 30, "signal": "TERM"},
    "limits": {"nofile": 65536, "memory_max": "", "tasks_max": ""},
}
TCP: dict[str, Any] = {"port": None, "address": "127.0.0.1"}
# Keys of one command of `prepare` that is not just a list.
PREPARE: dict[str, Any] = {"command": None, "again": "", "timeout": 600}
# Methods by which a service is checked for readiness; without one it is ready while its process lives.
WAYS = ("url", "tcp", "command")

# Variables that tell programs where things are. They are no secrets, and in the file of secrets they would also change
# what reads it before the service starts: a shell, setpriv, the client of a container engine.
OPEN = re.compile(
    r"HOME|PATH|TMPDIR|PYTHON.*|DOCKER_HOST|CONTAINER_HOST|(CONTAINERS|CUDA|GLOO|LD|NCCL|NVIDIA|TORCH_NCCL|XDG)_.*"
)
# The problem of a command, and its remedy.
NO_COMMAND = ("this is no command", "give a list whose first item is an absolute path")
Programs = dict[str, dict[str, str]]


def fail(name: str, key: str, value: Any, problem: str, remedy: str) -> NoReturn:
    """Refuse a spec that cannot be run.

    :raises ProblemsError: always.
    """
    raise ProblemsError([Problem(f"service_specs[{name}].{key}", value, problem, remedy)])


def refuse_unknown(name: str, part: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a key that nobody reads. Its value is not shown, because a mistyped key may hold a secret.

    :param part: where the keys are, with a dot; empty for the spec itself.
    :raises ProblemsError: if there is one.
    """
    for key in sorted(set(given) - set(known)):
        fail(name, f"{part}{key}", HIDDEN, "there is no such key", nearest(key, known))


def filled(name: str, part: str, given: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    """Return a part with every key present.

    :raises ProblemsError: for a part that is no dictionary, or a key that nobody reads.
    """
    if not isinstance(given, dict):
        fail(name, part, given, "it is no dictionary", f"give one of {', '.join(defaults)}")
    refuse_unknown(name, f"{part}.", given, defaults)
    return {**defaults, **given}


def argv(name: str, key: str, given: Any, programs: Programs, image: str) -> list[str]:
    """Return a command that runs next to a service, with the path of its program where the service runs.

    :param programs: programs that come from images, see ``spec.normalise``.
    :param image: the image of the service; empty where it runs on the host itself.
    """
    parts = [str(part) for part in given] if isinstance(given, list) else []
    if not parts or not parts[0].startswith("/"):
        fail(name, key, given, *NO_COMMAND)
    program = programs.get(parts[0])
    if program and program["image"] != image:
        where, remedy = (f"from {image}", "of the same package") if image else ("on the host", "of the host")
        text = f"its program comes from {program['image']}, and the service runs {where}"
        fail(name, key, given, text, f"name a program {remedy}")
    return [program["program"], *parts[1:]] if program else parts


def divided(
    environment: dict[str, Any], secrets: dict[str, Any], given: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return environment and secrets of a service with the variables of its user.

    :param given: the user's. They may be secret, whatever their names, so they are secrets but for :data:`OPEN`; null
        takes a variable away.
    """
    hidden = {key: value for key, value in given.items() if not OPEN.fullmatch(str(key))}
    merged = {**environment, **given}
    return (
        {key: value for key, value in merged.items() if key not in hidden and value is not None},
        {**{key: value for key, value in hidden.items() if value is not None}, **secrets},
    )


def ready(name: str, given: Any, programs: Programs, image: str) -> dict[str, Any]:
    """Return the readiness check of a service, with at most one of :data:`WAYS`.

    :raises ProblemsError: for more than one way, and for a port or a command that is none.
    """
    full = filled(name, "ready", given, DEFAULTS["ready"])
    ways = [way for way in WAYS if full[way]]
    if len(ways) > 1:
        fail(name, "ready", ways, "a service is ready in one way", "keep one of them")
    if full["body"] and not full["url"]:
        fail(name, "ready.body", full["body"], "there is no URL whose answer could contain it", "set ready.url too")
    if full["tcp"]:
        full["tcp"] = filled(name, "ready.tcp", full["tcp"], TCP)
        port = str(full["tcp"]["port"])
        if not port.isdigit() or not 0 < int(port) < 65536:
            fail(name, "ready.tcp.port", full["tcp"]["port"], "this is no port", "give a number from 1 to 65535")
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
        fail(name, "prepare", given, "this is no list", "give a list of commands")
    commands = []
    for one in given:
        full = filled(name, "prepare", one if isinstance(one, dict) else {"command": one}, PREPARE)
        command = argv(name, "prepare", full["command"], programs, image)
        identity = [str(full["command"][0]).rsplit("/", 1)[-1], *command[1:], str(full["again"])]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        if not str(full["timeout"]).isdigit():
            fail(name, "prepare.timeout", full["timeout"], "this is no number", "give a number of seconds")
        commands.append({"command": command, "stamp": f".prepared-{digest}", "timeout": int(full["timeout"])})
    if len({one["stamp"] for one in commands}) < len(commands):
        fail(name, "prepare", given, "a command is listed twice, but each runs only once", "take one of them away")
    return commands
