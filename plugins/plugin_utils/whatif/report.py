# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers as text tables. Pure functions."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.plan import asked as plan_asked
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import shown
from ansible_collections.llmfleet.serving.plugins.module_utils.tables import table
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif.arithmetic import WEIGHTS

ASKED = "By the arithmetic of the plan; no engine was asked."
REST = "All else is by the arithmetic of the plan; no engine was asked."


def _known(said: list[str], rest: bool) -> str:
    """Return how an answer is known: what engines said, and that the rest is by the arithmetic alone."""
    lines = [f"{line}." for line in said]
    if rest:
        lines.append(REST if said else ASKED)
    return "\n".join(lines)


def number(value: Any) -> str:
    """Return a number without needless digits, and a dash for none."""
    if value is None:
        return "-"
    return f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _subject(model: dict[str, Any]) -> str:
    return f"{model['source']}, weights {model['weights_gib']:.1f} GiB ({WEIGHTS[model['weights_source']]})"


def of_cards(result: dict[str, Any]) -> str:
    """Return the answer for given cards.

    :param result: `model`, `cards`, and what `answer.answer` tells.
    """
    subject = f"{_subject(result['model'])}, on {result['cards']}"
    if not result["fits"]:
        parts = [f"It does not fit: {subject}.", f"{result['reason']}; {result['remedy']}."]
        if result["fewer_users"]:
            parts.append(table([["", *HEADING], ["with as many users as fit", *_row(result["fewer_users"])]]))
        return "\n\n".join([*parts, ASKED])
    rows = [["", *HEADING], ["as asked", *_row(result)]]
    wide = result["all_cards"]
    if wide:
        rows.append(["with as many replicas as fit", *_row(wide)])
    parts = [f"It fits: {subject}.", table(rows), "\n".join(result["reasons"])]
    if result.get("arithmetic"):
        rows = [[line["what"], number(line["value"]), line["unit"], line["why"]] for line in result["arithmetic"]]
        parts.append("Each card of a replica:\n" + table(rows))
    engine = result["engine"]
    said = plan_asked.lines({"it so": engine}) if engine else []
    return "\n\n".join([*parts, _money(result["cost"]), _known(said, not said)])


HEADING = ["REPLICAS", "CARDS EACH", "TP", "PP", "CONTEXT", "AT FULL LENGTH", "SEQUENCES", "DTYPE", "KV CACHE"]


def _row(told: dict[str, Any]) -> list[str]:
    values = (
        told["replicas"],
        told["cards_per_replica"],
        told["tensor_parallel_size"],
        told["pipeline_parallel_size"],
        told["context"],
        None if told["concurrency"] is None else float(told["concurrency"]),
        told["max_num_seqs"] * told["replicas"],
        told["dtype"],
        told["kv_cache_dtype"],
    )
    return [number(value) for value in values]


def _money(cost: dict[str, Any]) -> str:
    lines = []
    if cost["tokens_per_second"] is not None:
        by = f" (measured: {cost['measured']} on one replica)" if cost["measured"] else ""
        lines.append(f"tokens per second of all requests together: {number(cost['tokens_per_second'])}{by}")
    if cost["cost_per_million_tokens"] is not None:
        lines.append(f"cost per million tokens: {cost['cost_per_million_tokens']:.4g}")
    return "\n".join([*lines, *cost["unknown"]])


def of_choices(result: dict[str, Any]) -> str:
    """Return the cards that serve a model, and those that do not with the reasons.

    :param result: `model`, `asked`, `choices` and `others`.
    """
    asked = ", ".join(f"{name} {shown(value)}" for name, value in result["asked"].items() if value is not None)
    parts = [f"{_subject(result['model'])}, asked for {asked}."]
    if result["choices"]:
        heading = ["CARDS", "CARD", "MACHINES", "MEMORY GIB", *HEADING]
        rows = [
            [*(number(one[key]) for key in ("cards", "card", "machines", "memory_gib")), *_row(one)]
            for one in result["choices"]
        ]
        parts.append(table([heading, *rows]))
    else:
        parts.append("No card of the table serves it in one machine.")
    if result["others"]:
        lines = [f"{one['card']}: {one['reason']}" for one in result["others"]]
        parts.append("Not with machines of these cards:\n" + "\n".join(lines))
    known = [one["card"] for one in result["choices"] if one["engine"]]
    said = [f"The shipped table of vLLM's answers has those for {', '.join(known)}"] if known else []
    rest = bool(result["others"]) or len(known) < len(result["choices"])
    return "\n\n".join([*parts, _money(result["cost"]), _known(said, rest)])


def of_fleet(result: dict[str, Any]) -> str:
    """Return what a change of the fleet would change.

    :param result: what `fleet.compare` tells, and `asked`, the change in words.
    """
    rows = [["MODEL", "", "REPLICAS", "CONTEXT", "AT FULL LENGTH"]]
    for name, told in result["models"].items():
        before, after = _given(told["before"]), _given(told["after"])
        if before == after:
            rows.append([name, "stays", *before])
        else:
            rows += [[name, "before", *before], [name, "after", *after]]
    parts = [f"If {result['asked']}:", table(rows)]
    lines = []
    for change in result["changes"]:
        if change["action"] != "=":
            lines.append(f"{change['action']} {change['name']} on {change['host']}: {change['why']}")
            lines += [f"    {detail}" for detail in change["what"]]
    parts.append("\n".join(lines) if lines else "No instance would start, restart or stop.")
    missing = [f"! {one['model']}-{one['replica']}: {one['reason']}; {one['remedy']}" for one in result["unplaced"]]
    missing += [f"! {one['variable']}: {one['problem']}; {one['remedy']}" for one in result["problems"]]
    if missing:
        parts.append("\n".join(["No longer fits:", *missing]))
    answers = result["after"]["answers"]
    said = plan_asked.lines(answers)
    parts += [result["speeds"]] if result["speeds"] else []
    return "\n\n".join([*parts, _known(said, not said or len(answers) < len(result["after"]["instances"]))])


def _given(given: dict[str, Any] | None) -> list[str]:
    if not given or not given["replicas"]:
        return ["none", "-", "-"]
    at_once = given["concurrency"]
    return [number(given["replicas"]), number(given["context"]), number(None if at_once is None else float(at_once))]
