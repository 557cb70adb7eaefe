# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The common form of pages of HTML, which load nothing from anywhere. Pure functions."""

from __future__ import annotations

import html
from typing import Iterable

NARROW = "74rem"
"""Widest page on which a row of a table is a card of its own."""
STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --paper: #fff; --ink: #1b1f24; --faint: #5b6470; --line: #dfe3e8;
  --good: #11734b; --busy: #8a5a00; --bad: #b3261e; --idle: #5b6470; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --paper: #1d2126; --ink: #e6e9ed; --faint: #9aa4b0;
  --line: #333a43; --good: #5cc998; --busy: #e3b341; --bad: #ff8a80; --idle: #9aa4b0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 90rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: .2rem 0; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
p { margin: .2rem 0; color: var(--faint); } .run { color: var(--busy); }
table { width: 100%; border-collapse: collapse; background: var(--paper); border: 1px solid var(--line);
  font-size: .8rem; }
th, td { text-align: left; padding: .4rem .45rem; border-top: 1px solid var(--line); vertical-align: top;
  overflow-wrap: break-word; }
th { color: var(--faint); font-weight: 600; border-top: 0; vertical-align: bottom; }
td.wide { min-width: 8rem; overflow-wrap: anywhere; } td.number { font-variant-numeric: tabular-nums; }
.state { font-weight: 600; white-space: nowrap; } .good { color: var(--good); } .busy { color: var(--busy); }
.bad { color: var(--bad); } .idle { color: var(--idle); }
@media (max-width: 74rem) { thead { display: none; } table, tbody { display: block; border: 0; background: none; }
  tr { display: grid; grid-template-columns: 1fr 1fr; background: var(--paper); border: 1px solid var(--line);
    border-radius: .4rem; margin-bottom: .7rem; padding: .4rem .3rem; }
  td { border: 0; padding: .25rem .5rem; overflow-wrap: anywhere; } td.none { display: none; }
  td.wide { grid-column: 1 / -1; }
  td::before { content: attr(data-label); display: block; color: var(--faint); font-size: .72rem; } }
"""


def table(columns: Iterable[str], rows: Iterable[str]) -> str:
    """Return a table.

    :param rows: cells of each row, as HTML.
    """
    head = "".join(f"<th>{html.escape(one)}</th>" for one in columns)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def page(title: str, intro: str, body: str, style: str = "", narrow: str = NARROW) -> str:
    """Return a page.

    :param title: plain text, as is ``intro``, the line below it.
    :param body: HTML.
    :param style: further rules of CSS.
    :param narrow: widest page on which a row of a table is a card, for tables that need less room than most.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{STYLE.replace(NARROW, narrow)}{style}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<p>{html.escape(intro)}</p>
{body}</body>
</html>
"""
