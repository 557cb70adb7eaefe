#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what the stores of a host do: its database, its cache, and the booking of usage."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_status_info
short_description: Read what the database and the cache of a host do, and how far usage is booked
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Tells version and size of the PostgreSQL and the Valkey that the collection runs on the host, when the newest dump
    was taken, and how much of the gate's log is not booked yet. A store that the host does not have has no row.
  - It asks PostgreSQL as the user of backups, on its socket, so no parameter holds a secret.
extends_documentation_fragment: llmfleet.serving.attributes.reads
options:
  cache_program:
    description: The server program of the cache, which tells its version; empty for none.
    type: str
    default: ''
  config_root: {description: Directory of configuration., type: path, default: /etc/llmfleet}
  state_root: {description: Directory of state., type: path, default: /var/lib/llmfleet}
notes:
  - Run it as root.
"""

EXAMPLES = r"""
- name: Read the status of the stores
  llmfleet.serving.store_status_info:
    cache_program: /usr/bin/valkey-server
  become: true
  register: stores
"""

RETURN = r"""
stores:
  description:
    - A row for each of C(postgresql), C(valkey) and C(usage) that the host has - C(name), C(version), C(bytes) of its
      data, C(backup) (when the newest dump was taken), C(unbooked_bytes) of the gate's log, C(booked) (when the log was
      last booked or found booked) and C(problem) (why it does not answer). Moments are UTC. What a row does not have is
      null, and a problem that it does not have is empty.
  returned: success
  type: list
  elements: dict
  sample:
    - name: postgresql
      version: '15.14'
      bytes: 8123456
      backup: '2026-11-28T06:00:00Z'
      unbooked_bytes: null
      booked: null
      problem: ''
"""

import os
import re
from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.host import booked
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_json
from ansible_collections.llmfleet.serving.plugins.module_utils.host.programs import run_program

SECONDS = 20.0
SQL = (
    "SELECT current_setting('server_version'), sum(pg_database_size(oid)) FROM pg_database "
    "WHERE datallowconn AND NOT datistemplate;"
)
# Names of dumps end with their time in UTC, see postgresql_backup.py.
DUMP = re.compile(r".+-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z\.dump")
VERSION = re.compile(r"\bv=([0-9][0-9.]*)")
# More files than the gate ever keeps of its log.
MOST_FILES = 1000


def row(name: str, **known: Any) -> dict[str, Any]:
    """Return what is known of a store."""
    empty = dict.fromkeys(("version", "bytes", "backup", "unbooked_bytes", "booked"))
    return {"name": name, **empty, "problem": "", **known}


def newest_dump(folder: str) -> str | None:
    """Return when the newest dump in a folder was taken."""
    try:
        found = [DUMP.fullmatch(name) for name in os.listdir(folder)]
    except OSError:
        return None
    taken = [match.expand(r"\1-\2-\3T\4:\5:\6Z") for match in found if match]
    return max(taken, default=None)


def size_of(folder: str) -> int:
    """Return the bytes of the files in a folder."""
    total = 0
    for place, _folders, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total


def database(config_root: str) -> list[dict[str, Any]]:
    """Return the row of PostgreSQL."""
    folder = f"{config_root}/postgresql-backup"
    settings = read_json(f"{folder}/backup.json")
    if not isinstance(settings, dict):
        return []
    server = ["-h", str(settings["socket"]), "-p", str(settings["port"]), "-d", "postgres", "-c", SQL]
    argv = [f"{folder}/beside", "prepare", str(settings["psql"]), "-X", "-q", "-A", "-t", "-F", "\t", *server]
    told, problem = run_program(argv, SECONDS, environment={"PGCONNECT_TIMEOUT": "10"})
    backup = newest_dump(str(settings["folder"]))
    fields = told.strip().split("\t")
    if problem or len(fields) != 2:
        return [row("postgresql", backup=backup, problem=" ".join(f"{problem} {told}".split()))]
    return [row("postgresql", version=fields[0].split()[0], bytes=int(fields[1]), backup=backup)]


def cache(config_root: str, state_root: str, program: str) -> list[dict[str, Any]]:
    """Return the row of Valkey."""
    if not os.path.exists(f"{config_root}/valkey/valkey.conf"):
        return []
    told = run_program([program, "--version"], SECONDS)[0] if program else ""
    found = VERSION.search(told)
    return [row("valkey", version=found[1] if found else None, bytes=size_of(f"{state_root}/valkey"))]


def booking(config_root: str) -> list[dict[str, Any]]:
    """Return the row of the program that books usage."""
    settings = read_json(f"{config_root}/usage/usage.json")
    if not isinstance(settings, dict):
        return []
    lag = booked.lag(str(settings["spool"]), MOST_FILES)
    if lag is None:
        return [row("usage", problem="nothing has been booked yet")]
    when = datetime.fromtimestamp(lag[1], timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [row("usage", unbooked_bytes=lag[0], booked=when)]


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "cache_program": {"type": "str", "default": ""},
        "config_root": {"type": "path", "default": "/etc/llmfleet"},
        "state_root": {"type": "path", "default": "/var/lib/llmfleet"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    config_root, state_root = module.params["config_root"], module.params["state_root"]
    stores = database(config_root) + cache(config_root, state_root, module.params["cache_program"])
    module.exit_json(changed=False, stores=stores + booking(config_root))


if __name__ == "__main__":
    main()
