# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Normalise the specs of the ``service`` role: fill defaults, refuse invalid values, derive lists of files.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils import text
from ansible_collections.llmfleet.serving.plugins.module_utils.names import account
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import HIDDEN
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import egress, parts
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service.parts import (
    NO_COMMAND,
    Programs,
    fail,
    refuse_unknown,
)

__all__ = ["DEFAULTS", "definition_files", "directories", "files", "manager_services", "normalise"]

NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
# Script in the configuration directory of a service that runs a command with the service's rights.
BESIDE = "beside"
ON_CHANGE = ("restart", "reload", "none")

DEFAULTS: dict[str, Any] = {
    "description": "",
    "documentation": "",
    "groups": [],
    "environment": {},
    "user_environment": {},
    "secrets": {},
    "directories": [],
    "files": [],
    "after": [],
    "ready": {},
    "prepare": [],
    "stop": {},
    "reload_signal": "",
    "limits": {},
    "capabilities": [],
    "gpus": [],
    "readable": [],
    "writable": [],
    "sandbox": {},
    "container": {},
    "generation": {},
}
# Keys of what a service tells of itself for its generations.
GENERATION = ("instance", "model", "revision", "snapshot")
# Keys of a spec for services in containers.
CONTAINER = ("mounts", "pid", "arguments", "environment", "capabilities", "workdir", "writable_root", "shared_memory")


def _normalise_file(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    full = {
        "on_change": "restart",
        "secret": False,
        "validate": "",
        "mode": "0640",
        "owner": "root",
        "group": "",
        **entry,
    }
    if not full.get("dest") or not full.get("src"):
        problem = "a file needs dest and src"
        fail(name, "files", entry, problem, "give dest (absolute path) and src (template of the role)")
    if full["on_change"] not in ON_CHANGE:
        fail(name, "files.on_change", full["on_change"], "there is no such action", f"choose of {', '.join(ON_CHANGE)}")
    return full


def _contained(name: str, container: dict[str, Any], command: list[str], programs: Programs) -> dict[str, Any]:
    """Return the parameters of a service in a container; empty if its program is one of the host's."""
    refuse_unknown(name, "container.", container, CONTAINER)
    return {**container, **programs[command[0]]} if command[0] in programs else {}


def normalise(
    specs: list[dict[str, Any]], config_root: str, state_root: str, programs: Programs | None = None
) -> list[dict[str, Any]]:
    """Return the specs with every key present, ordered as given.

    :param specs: service specs as app roles write them.
    :param config_root: directory of configuration on the host, e.g. ``/etc/llmfleet``.
    :param state_root: directory of state on the host, e.g. ``/var/lib/llmfleet``.
    :param programs: programs that come from images (``image.known_programs``); a service whose command begins
        with one of them has ``image`` and ``program`` in its ``container``, any other an empty ``container``.
    :raises ProblemsError: on a missing or malformed key.
    """
    result = []
    seen: set[str] = set()
    owners: dict[str, str] = {}
    for spec in specs:
        name = str(spec.get("name", ""))
        if not NAME.match(name):
            fail(name, "name", name, "this is no name of a unit", "use lower-case letters, digits, dots and dashes")
        if name in seen:
            fail(name, "name", name, "another service has this name", "give every service a name of its own")
        seen.add(name)
        refuse_unknown(name, "", spec, {*DEFAULTS, "name", "user", "command", "egress"})
        command = [str(part) for part in spec.get("command", [])]
        if not command or not command[0].startswith("/"):
            fail(name, "command", command, *NO_COMMAND)
        full = {**DEFAULTS, **spec, "command": command}
        full["user"] = str(spec.get("user") or account(name))
        if full["user"] in owners:
            problem = f"the service {owners[full['user']]} runs as this user, and each could read what the other has"
            fail(name, "user", full["user"], problem, "leave it out, or give every service a user of its own")
        owners[full["user"]] = name
        full["container"] = _contained(name, dict(full["container"]), command, programs or {})
        environment = {**full["environment"], **full["container"].get("environment", {})}
        given = full.pop("user_environment")
        full["environment"], full["secrets"] = parts.divided(environment, full["secrets"], given)
        full["secret_names"] = sorted(full["secrets"])
        full["config_dir"] = f"{config_root}/{name}"
        full["state_dir"] = f"{state_root}/{name}"
        for key in ("environment", "secrets"):
            for variable in full[key]:
                if not ENV_NAME.match(str(variable)):
                    problem = "this is not a valid name of an environment variable"
                    fail(name, key, variable, problem, "use letters, digits and underscores")
        if any("\n" in str(value) for value in full["environment"].values()):
            fail(name, "environment", HIDDEN, "a value has several lines", "give each value as a single line")
        if any("\n" in str(value) for value in full["secrets"].values()):
            fail(name, "secrets", HIDDEN, "a secret has several lines", "give each secret as a single line")
        full["files"] = [
            {**f, "group": f["group"] or full["user"]}
            for f in (_normalise_file(name, f) for f in spec.get("files", []))
        ]
        image = full["container"].get("image", "")
        refuse_unknown(name, "generation.", full["generation"], GENERATION)
        full["egress"] = egress.networks(name, spec.get("egress"))
        full["ready"] = parts.ready(name, full["ready"], programs or {}, image)
        full["prepare"] = parts.prepare(name, full["prepare"], programs or {}, image)
        for part in ("stop", "limits"):
            full[part] = parts.filled(name, part, full[part], parts.DEFAULTS[part])
        result.append(full)
    for full in result:
        full["after"] = [other for other in full["after"] if other in seen]
    return result


def users(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the user of each service with the groups that it needs: ``[{name, groups}]``."""
    return [{"name": spec["user"], "groups": list(dict.fromkeys(spec["groups"]))} for spec in specs]


def users_to_create(
    specs: list[dict[str, Any]], passwd: dict[str, list[str]], group: dict[str, list[str]], home: str, shell: str
) -> list[dict[str, Any]]:
    """Return the service users that a host lacks or that differ in home, shell or groups, shaped as by :func:`users`.

    :param passwd: the host's accounts, as ``getent passwd`` gives them: name to the other six fields.
    :param group: the host's groups, as ``getent group`` gives them: name to password, number and members.
    :param home: home directory of service users.
    :param shell: login shell of service users.
    """

    def is_as_wanted(user: dict[str, Any]) -> bool:
        name = user["name"]
        members = [(group.get(wanted) or ["", "", ""])[2].split(",") for wanted in user["groups"]]
        return passwd.get(name, [])[4:] == [home, shell] and all(name in names for names in members)

    return [user for user in users(specs) if not is_as_wanted(user)]


def directories(specs: list[dict[str, Any]], manager: str = "", prefix: str = "") -> list[dict[str, Any]]:
    """Return every directory the services need, parents first, each once: ``[{path, owner, group, mode}]``.

    A directory with ``handed_over`` keeps its owner while it exists, as ``service_state`` hands it over with all that
    is in it.

    :param manager: the manager whose directories of services are among them; empty for none.
    """
    found: dict[str, dict[str, Any]] = {}
    for spec in specs:
        service_owned = {"owner": spec["user"], "group": spec["user"], "mode": "0750"}
        wanted = [
            {"path": spec["config_dir"], "owner": "root", "group": spec["user"], "mode": "0750"},
            {**service_owned, "path": spec["state_dir"], "handed_over": True},
        ]
        wanted += [{**service_owned, **extra} for extra in spec["directories"]]
        wanted += egress.directories(spec, manager, prefix)
        for entry in wanted:
            found[entry["path"]] = entry
    return list(found.values())


def public(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a spec without its secrets, fit to be looped over where results are printed."""
    return {key: value for key, value in spec.items() if key != "secrets"}


def definition_files(spec: dict[str, Any], manager: str, prefix: str, config_root: str) -> list[dict[str, Any]]:
    """Return the files by which the manager knows the service, shaped like a spec's ``files``, with the spec beside."""
    owned = {"owner": "root", "group": "root", "validate": "", "spec": public(spec)}
    name, image = f"{prefix}{spec['name']}", spec["container"].get("image")
    script = "run_container.sh.j2" if image else "run.sh.j2"
    run = {**owned, "src": script, "dest": f"{spec['config_dir']}/run", "mode": "0700"}
    if manager == "supervisor":
        program = f"{config_root}/supervisor.d/{name}.conf"
        return [run, {**owned, "src": "program.conf.j2", "dest": program, "mode": "0644"}]
    unit = {**owned, "dest": f"/etc/systemd/system/{name}.service", "mode": "0644"}
    if image:
        return [run, {**unit, "src": "container.service.j2"}]
    return [{**unit, "src": "unit.service.j2"}]


def _beside(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the script that runs a command as the service would, where there is one to run."""
    if not spec["prepare"] and not spec["ready"]["command"]:
        return []
    script = "beside_container.sh.j2" if spec["container"] else "beside.sh.j2"
    owned = {"owner": "root", "group": "root", "mode": "0700", "validate": "", "spec": public(spec)}
    return [{**owned, "src": script, "dest": f"{spec['config_dir']}/{BESIDE}"}]


def files(specs: list[dict[str, Any]], manager: str, prefix: str, config_root: str) -> list[dict[str, Any]]:
    """Return every file without a secret: configuration and the manager's definitions, each once."""
    found: dict[str, dict[str, Any]] = {}
    for spec in specs:
        plain = [entry for entry in spec["files"] if not entry["secret"]]
        definition = definition_files(spec, manager, prefix, config_root) + egress.files(public(spec), manager, prefix)
        for entry in plain + _beside(spec) + definition:
            found[entry["dest"]] = entry
    return list(found.values())


def secret_files(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every file with a secret, each service's environment file among them. Loop over it with no_log only."""
    found: dict[str, dict[str, Any]] = {}
    for spec in specs:
        environment = {
            "src": "secrets.env.j2",
            "dest": f"{spec['config_dir']}/secrets.env",
            "content": text.environment_file(spec["secrets"]),
        }
        found[environment["dest"]] = {**environment, "owner": "root", "group": "root", "mode": "0600", "validate": ""}
        for entry in spec["files"]:
            if entry["secret"]:
                found[entry["dest"]] = entry
    return list(found.values())


def _generation(spec: dict[str, Any]) -> dict[str, Any] | None:
    """Return what ``service_state`` has to know for the generations of a service; None for one that has none."""
    if not spec["generation"]:
        return None
    secret = [f"{spec['config_dir']}/secrets.env", *(f["dest"] for f in spec["files"] if f["secret"])]
    told = {key: str(value or "") for key, value in spec["generation"].items()}
    return {**told, "image": spec["container"].get("image", ""), "secret_files": secret}


def manager_services(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the properties of each service for the module ``service_state``; they contain no secret."""
    return [
        {
            "name": spec["name"],
            "command": spec["command"][0],
            "user": spec["user"],
            "state_dir": spec["state_dir"],
            "restart_files": [f"{spec['config_dir']}/secrets.env"]
            + ([f"{spec['config_dir']}/run"] if spec["container"] else [])
            + [f["dest"] for f in spec["files"] if f["on_change"] == "restart"],
            "reload_files": [f["dest"] for f in spec["files"] if f["on_change"] == "reload"],
            "reload_signal": spec["reload_signal"],
            "after": spec["after"],
            "beside": f"{spec['config_dir']}/{BESIDE}",
            "generation": _generation(spec),
            # A dictionary without keys would lack those that are required.
            "ready": {**spec["ready"], "tcp": spec["ready"]["tcp"] or None},
            "prepare": [{**one, "stamp": f"{spec['state_dir']}/{one['stamp']}"} for one in spec["prepare"]],
        }
        for spec in specs
    ]
