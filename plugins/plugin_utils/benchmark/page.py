# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A benchmark as one page of HTML with its charts, which loads nothing from anywhere. Pure functions."""

from __future__ import annotations

import html
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.plugin_utils import page
from ansible_collections.llmfleet.serving.plugins.plugin_utils.benchmark import result, text

FIGURES = (
    "Point",
    "Rate asked",
    "At once",
    "Prompt tokens",
    "Sent",
    "Failed",
    "Requests/s",
    "Tokens/s",
    "Carried",
)
TIMES = {"ttft_ms": "Time to the first token", "itl_ms": "Time between tokens", "e2e_ms": "Time of the whole answer"}
WIDTH, HEIGHT, EDGE = 440, 220, 46
NARROW = "44rem"
STYLE = """
.charts { display: flex; flex-wrap: wrap; gap: .8rem; }
figure { margin: 0; background: var(--paper); border: 1px solid var(--line); padding: .5rem; max-width: 100%; }
figcaption { font-size: .8rem; color: var(--faint); } svg { max-width: 100%; height: auto; display: block; }
svg text { fill: var(--faint); font-size: 11px; } svg .axis { stroke: var(--line); }
svg .line { fill: none; stroke: var(--good); stroke-width: 2; } svg .dot { fill: var(--good); }
svg .bad { stroke: none; fill: var(--bad); } li { margin: .2rem 0; }
"""


def _cells(labels: tuple[str, ...], values: list[str]) -> str:
    return "".join(
        f'<td class="number" data-label="{html.escape(label)}">{html.escape(value)}</td>'
        for label, value in zip(labels, values)
    )


def _figures(rows: list[Mapping[str, Any]]) -> str:
    words = {None: "-", True: "yes", False: "no"}
    found = []
    for row in rows:
        values = [row["name"], text.number(row["rate"]), text.number(row["at_once"])]
        values += [str(row[name]) for name in ("input_len", "sent", "failed")]
        values += [text.number(row[name]) for name in ("requests_per_second", "tokens_per_second")]
        found.append(_cells(FIGURES, [*values, words[row["carried"]]]))
    return page.table(FIGURES, found)


def _times(rows: list[Mapping[str, Any]], name: str) -> str:
    labels = ("Point", *(f"p{part}" for part in result.PERCENTILES))
    found = [
        _cells(labels, [row["name"], *(text.number(row[name][str(part)]) for part in result.PERCENTILES)])
        for row in rows
        if row["answered"]
    ]
    return page.table(labels, found)


def chart(caption: str, dots: list[tuple[float, float, bool]]) -> str:
    """Return a chart as a figure: a line through dots, both axes from 0.

    :param dots: requests per second, a value, and whether the rate was carried.
    """
    right, top = max(dot[0] for dot in dots) or 1.0, max(dot[1] for dot in dots) or 1.0
    places = [
        (EDGE + x / right * (WIDTH - 2 * EDGE), HEIGHT - EDGE / 2 - y / top * (HEIGHT - EDGE), good)
        for x, y, good in dots
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _good in places)
    marks = "".join(
        f'<circle class="{"dot" if good else "bad"}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y, good in places
    )
    bottom = HEIGHT - EDGE / 2
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{html.escape(caption)}">'
        f'<path class="axis" d="M{EDGE} {EDGE / 2}V{bottom}H{WIDTH - EDGE}" fill="none"/>'
        f'<polyline class="line" points="{line}"/>{marks}'
        f'<text x="{EDGE - 4}" y="{EDGE / 2 + 4}" text-anchor="end">{text.number(top)}</text>'
        f'<text x="{EDGE - 4}" y="{bottom}" text-anchor="end">0</text>'
        f'<text x="{WIDTH - EDGE}" y="{HEIGHT - 6}" text-anchor="end">{text.number(right)} requests/s</text>'
        f"</svg><figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _charts(rows: list[Mapping[str, Any]]) -> str:
    rated = sorted((row for row in rows if row["rate"] is not None and row["answered"]), key=lambda row: row["rate"])
    if not rated:
        return ""
    wanted = {
        "Tokens per second of all answers, by the rate of requests": ("tokens_per_second", ""),
        "p99 of the time to the first token in ms": ("ttft_ms", "99"),
        "p99 of the time between tokens in ms": ("itl_ms", "99"),
    }
    drawn = []
    for caption, (name, part) in wanted.items():
        values = [float(row[name][part] if part else row[name]) for row in rated]
        drawn.append(chart(caption, [(row["rate"], y, bool(row["carried"])) for row, y in zip(rated, values)]))
    return f'<div class="charts">{"".join(drawn)}</div>\n<p>A red dot is a rate that was not carried.</p>\n'


def benchmark_page(done: Mapping[str, Any]) -> str:
    """Return the page.

    :param done: what :func:`result.run` returned, with `comparison`.
    """
    rows = done["points"]
    said = "".join(f"<li>{html.escape(line)}</li>" for line in text.findings(done))
    body = f"<h2>What was found</h2>\n<ul>{said}</ul>\n{_charts(rows)}<h2>Points</h2>\n{_figures(rows)}\n"
    for name, caption in TIMES.items():
        body += f"<h2>{caption}, in milliseconds</h2>\n{_times(rows, name)}\n"
    return page.page(f"Benchmark of {done['model']}", text.subject(done), body, STYLE, NARROW)
