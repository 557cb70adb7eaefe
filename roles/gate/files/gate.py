# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: everybody's requests come through it, and it alone knows keys, bodies, limits and usage.

    python gate.py /etc/llmfleet/gate/gate.json            serve
    python gate.py --check /etc/llmfleet/gate/gate.json    read the settings, say what is wrong with them, and end

The key of the translator comes from the environment, GATE_TRANSLATOR_KEY, and that of the engines from a file, so that
another one needs no restart. SIGHUP reads the settings and this file again; SIGTERM lets requests in flight end.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys

import gate_settings
import gate_store
import uvloop
from gate_app import Gate, serve

LOG = logging.getLogger("gate")


def read(path: str) -> gate_settings.Settings:
    with open(path, encoding="utf-8") as file:
        return gate_settings.parse(file.read())


def read_key(path: str) -> str:
    with open(path, encoding="ascii") as file:
        key = file.read().strip()
    if not key:
        raise gate_settings.SettingsError(f"{path} must hold the key of the engines")
    return key


def read_store_url(settings: gate_settings.Settings) -> str:
    """The URL of the store of limits; empty where there is none."""
    if not settings.store_url_file:
        return ""
    with open(settings.store_url_file, encoding="utf-8") as file:
        url = file.read().strip()
    gate_store.place(url)
    return url


async def run(path: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    translator_key = os.environ.get("GATE_TRANSLATOR_KEY", "")
    if not translator_key:
        raise gate_settings.SettingsError("GATE_TRANSLATOR_KEY must be in the environment")
    settings = read(path)
    gate = Gate(settings, read_key(settings.engine_key_file), translator_key, read_store_url(settings))
    stopping, changed = asyncio.Event(), asyncio.Event()

    def reload() -> None:
        try:
            settings = read(path)
            gate.configure(settings, read_key(settings.engine_key_file), read_store_url(settings))
            changed.set()
        except (OSError, ValueError) as error:
            LOG.error("%s cannot be used (%s); the settings read before stay in force", path, error)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # What is imported by now lives as long as the process, so the collector need not look at it again.
    gc.freeze()
    await serve(gate, stopping, changed)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="read the settings and end")
    parser.add_argument("settings", help="the settings, a JSON file")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        if arguments.check:
            read(arguments.settings)
        else:
            uvloop.run(run(arguments.settings))
    except (OSError, ValueError) as error:
        print(f"{arguments.settings}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
