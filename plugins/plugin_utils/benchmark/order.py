# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the words of playbooks/benchmark.yml to what is sent and where, or to why nothing is. Pure functions."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, nearest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.benchmark import identity, points, words

GATEWAY = "gateway"
PROGRAM = "bench_serve.py"
TEXT = "chat"
SITE = "run site.yml"
LOCAL = ("127.", "::1", "localhost")


def order(given: Mapping[str, Any], hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is sent, and the `problems` for which nothing is.

    Without problems it has `client`, the host that sends; `base_url`, `connect` (an address for the name in it) and
    `gateway` (the host whose authority is trusted), both empty straight at an engine; `engine_url`, an engine of the
    model on the client; `command`, `model`, `instances` (what decides on their speed), `input_len`, `output_len`,
    `points`, `planned` (requests at once at full load, and of full context) and `seconds` for all.

    :param given: words of the playbook; `mode` is that of the model, `confirm` whether others may wait longer.
    :param hosts: by name, `instances` in force, `busy` ones of the model, `programs` of engines, `address`, and of a
        gateway its `door`: URL and address on which it listens.
    """
    wanted, problems = words.read(given)
    if problems:
        return {"problems": problems}
    every = [{**one, "host": name} for name, host in hosts.items() for one in host.get("instances") or []]
    found = [one for one in every if one["model"] == wanted["model"]]
    if not found:
        known = {one["model"] for one in every}
        text = "no instance of such a model is in force on the hosts of this run"
        remedy = nearest(wanted["model"], known) if known else SITE
        return {"problems": [Problem("model", wanted["model"], text, remedy)]}
    through = wanted["through"] or GATEWAY
    doors = {name: host["door"] for name, host in hosts.items() if host.get("door")}
    straight = next((one for one in found if one["name"] == through), None)
    if straight is None and through != GATEWAY and through not in doors:
        text = f"it is neither a gateway nor an instance of {wanted['model']}"
        choices = [GATEWAY, *doors, *(one["name"] for one in found)]
        return {"problems": [Problem("through", through, text, nearest(through, choices))]}
    if straight is None and not doors:
        remedy = f"measure an instance: -e through={found[0]['name']}"
        return {"problems": [Problem("through", through, "no gateway is in this run", remedy)]}
    measured = [straight] if straight else found
    gateway = "" if straight else through if through in doors else _nearest_door(doors, measured)
    # The engine's environment and its tokenizer are where an instance is; that of the gateway itself needs no network.
    engine = next((one for one in measured if one["host"] == gateway), measured[0])
    client = hosts[engine["host"]]
    done = _aimed(wanted, measured, engine, client)
    if gateway:
        done |= {"base_url": doors[gateway]["url"], "gateway": gateway}
        done["connect"] = _connect(doors[gateway], hosts[gateway], gateway == engine["host"])
    problems = [*_mode(given), *_lengths(done), *_program(done, engine), *_others(given, hosts), *_door(done, engine)]
    done["through"] = through
    return {**done, "problems": problems}


def _nearest_door(doors: Mapping[str, Any], instances: list[dict[str, Any]]) -> str:
    """Return the first gateway that is on a host of the model, else the first of all."""
    own = {one["host"] for one in instances}
    return next((name for name in doors if name in own), next(iter(doors)))


def _aimed(
    wanted: Mapping[str, Any], measured: list[dict[str, Any]], engine: Mapping[str, Any], client: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is sent straight at an engine."""
    context = min(int(one.get("max_model_len") or 0) or 2048 for one in measured)
    input_len, output_len = points.lengths(context, wanted["input_len"], wanted["output_len"])
    full = {**wanted, "input_len": input_len, "output_len": output_len}
    found = points.points(full, measured, context)
    planned = {"full": points.at_once(measured, input_len + output_len), "context": points.promised(measured)}
    url = f"http://{authority(str(engine.get('listen') or '127.0.0.1'), int(engine['port']))}"
    program = (client.get("programs") or {}).get(str(engine.get("engine")) or "") or {}
    command = [str(word) for word in program.get("command") or []]
    args = engine.get("args") or {}
    return {
        "model": wanted["model"],
        "client": engine["host"],
        # An instance itself may have secrets among its variables.
        "instances": [identity.of_instance(one) for one in measured],
        "base_url": url,
        "connect": "",
        "gateway": "",
        "engine_url": url,
        "command": [command[0], f"{command[-1].rpartition('/')[0]}/{PROGRAM}"] if command else [],
        "tokenizer": str(args.get("tokenizer") or ""),
        "tokenizer_mode": str(args.get("tokenizer-mode") or "auto"),
        "context": context,
        "input_len": input_len,
        "output_len": output_len,
        "points": found,
        "planned": planned,
        "seconds": points.seconds(found, wanted["seconds"]),
    }


def _connect(door: Mapping[str, Any], host: Mapping[str, Any], same: bool) -> str:
    """Return the address by which the client reaches a door; empty where it listens on another host's loopback."""
    listen = str(door["listen"])
    if same or not listen.startswith(LOCAL):
        return str(door["reachable"]) if same else str(host["address"])
    return ""


def _lengths(done: Mapping[str, Any]) -> list[Problem]:
    together = done["input_len"] + done["output_len"]
    if together <= done["context"]:
        return []
    text = f"with output_len {done['output_len']} it is more than the context of {done['context']} tokens"
    return [Problem("input_len", done["input_len"], text, "give fewer tokens of prompt or answer")]


def _program(done: Mapping[str, Any], engine: Mapping[str, Any]) -> list[Problem]:
    if done["command"]:
        return []
    text = f"{engine['host']} has recorded no environment of {engine.get('engine')} whose benchmark could be run"
    return [Problem("model", done["model"], text, f"{SITE}; engines of other kinds have no benchmark here")]


def _mode(given: Mapping[str, Any]) -> list[Problem]:
    mode = given.get("mode") or TEXT
    if mode == TEXT:
        return []
    text = f"its mode is {mode}, and tokens per second are those of models that generate text"
    return [Problem("model", given["model"], text, f"measure a model whose mode is {TEXT}")]


def _others(given: Mapping[str, Any], hosts: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Return that others use the model now, unless they may wait longer."""
    busy = [one for host in hosts.values() for one in host.get("busy") or []]
    if not busy or given.get("confirm"):
        return []
    names = ", ".join(f"{one['name']} ({one['running']} running, {one['waiting']} waiting)" for one in busy)
    text = f"it serves requests now: {names}; they would wait longer, and the figures would be those of both loads"
    return [Problem("model", given["model"], text, "wait until it is idle, or write -e confirm=true")]


def _door(done: Mapping[str, Any], engine: Mapping[str, Any]) -> list[Problem]:
    if not done["gateway"] or done["connect"]:
        return []
    text = f"its door listens on its own loopback, and {engine['host']}, where the engine is, is another host"
    return [Problem("through", done["gateway"], text, f"measure an instance: -e through={engine['name']}")]
