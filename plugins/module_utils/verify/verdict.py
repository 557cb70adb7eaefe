# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide whether a new instance may serve, from what it and the old one did in the same checks.

Pure functions: results of the module `engine_conformance_info` are handed in.
"""

from __future__ import annotations

import statistics
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.verify import parts
from ansible_collections.llmfleet.serving.plugins.module_utils.verify.checks import CHAT, EMBEDDING, PROMPT, STREAMED

# A check that an instance of a model must pass even where no old instance did.
ALWAYS = {"chat": (CHAT, STREAMED), "embedding": (EMBEDDING,)}
# It must pass this one, too, if its engine has it.
IF_THERE = "completion"
# Streams that both instances must have been measured with.
LEAST_SAMPLES = 3
# Seconds of difference that a busy machine makes. The time between tokens is the mean of a stream, so its noise is
# smaller, and an engine on a GPU needs a few milliseconds for a token.
NOISE_SECONDS = {"first_token_seconds": 0.02, "token_seconds": 0.002}
WORDS = {"first_token_seconds": "to the first token", "token_seconds": "from one token to the next"}


def problems(new: Mapping[str, Any], old: Mapping[str, Any] | None = None, slower: float = 2.0) -> list[str]:
    """Return why a new instance may not serve, a sentence each; empty if it may.

    :param new: an entry of ``conformance``: ``{instance, model, mode, checks, first_token_seconds, token_seconds}``.
    :param old: the same of the instance that serves; null or empty for none.
    :param slower: how many times the old instance's median seconds the new one's may be.
    """
    name = str(new.get("instance"))
    checks = _by_name(new)
    before = _by_name(old or {})
    passed = {label for label, one in before.items() if one.get("ok") is True}
    wanted = {*passed, *(label for label in checks if label.startswith(PROMPT))}
    if not before:
        wanted |= {*ALWAYS.get(str(new.get("mode") or "chat"), ()), *({IF_THERE} & set(checks))}
    found = []
    for label in [*checks, *sorted(wanted - set(checks))]:
        if label not in wanted or checks.get(label, {}).get("ok") is True:
            continue
        why = str(checks.get(label, {}).get("why") or "it was not made")
        versus = ", which the old instance passes" if label in passed else ""
        found.append(f"{name} fails the check `{label}`{versus}: {why}")
    return found + [text for key in WORDS for text in _slower(name, key, new, old or {}, slower)]


def _by_name(entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in parts.dicts(entry, "checks") if isinstance(one.get("name"), str)}


def _slower(name: str, key: str, new: Mapping[str, Any], old: Mapping[str, Any], slower: float) -> list[str]:
    """Return a sentence if the median of the new instance's seconds is too far above the old one's."""
    now, before = _seconds(new.get(key)), _seconds(old.get(key))
    if min(len(now), len(before)) < LEAST_SAMPLES:
        return []
    ours, theirs = statistics.median(now), statistics.median(before)
    if ours <= theirs * slower or ours - theirs <= NOISE_SECONDS[key]:
        return []
    most = f"more than {slower:g} times the old instance's"
    return [f"{name} takes {ours * 1000:.1f} ms {WORDS[key]}, {most} {theirs * 1000:.1f} ms"]


def _seconds(values: Any) -> list[float]:
    return [one for one in values if parts.finite(one) and one >= 0] if isinstance(values, list) else []
