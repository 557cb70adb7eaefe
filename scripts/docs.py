#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the reference from what the code says of itself: argument specs of roles, documentation of plugins.

docs.py           writes roles/*/README.md, docs/modules/*.md, docs/filters/*.md, docs/lookups/*.md, docs/reference.md,
                  and the graph of packages in docs/architecture.md
docs.py --check   writes nothing and fails when any of them differs
"""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import import_graph
import yaml

ROOT = Path(__file__).resolve().parents[1]
COLLECTION = "llmfleet.serving"
PLUGIN_TYPES = {"module": "modules", "filter": "filters", "lookup": "lookups"}
GRAPH = re.compile(
    r"(?<=<!-- Drawn by `make docs` from the imports. -->\n\n).*?(?=\n\n<!-- End of the drawing. -->)", re.S
)
NOTE = "<!-- Written by `make docs` from {source}; change it there. -->"
MARKUP = re.compile(r"\b(?:([BCIOV]|RV|E|M|P)\(((?:[^()\\]|\\.|\([^()]*\))*)\)|([LUR])\(([^()]*)\)|HORIZONTALLINE)")


def markdown(text: str) -> str:
    """Translate Ansible's documentation markup."""

    def replace(match: re.Match[str]) -> str:
        kind, inner, link, target = match.groups()
        if link:
            words, _comma, url = target.rpartition(",")
            return f"[{words.strip() or url.strip()}]({url.strip()})"
        if kind is None:
            return "\n\n---\n\n"
        # Of plugin#type and plugin#type:option, a reader needs the name.
        inner = re.sub(r"#\w+", "", inner.replace("\\", ""))
        if kind == "B":
            return f"**{inner}**"
        if kind == "I":
            return f"*{inner}*"
        return f"`{inner}`"

    return MARKUP.sub(replace, text)


def paragraphs(value: Any) -> list[str]:
    """Return descriptions, which may be one string or a list, as Markdown paragraphs."""
    items = [value] if isinstance(value, str) else value or []
    if wrong := [item for item in items if not isinstance(item, str)]:
        # A colon and a blank within a sentence that is not quoted.
        raise SystemExit(f"docs: a description reads as a mapping: {wrong[0]}")
    return [markdown(item).strip() for item in items]


def code(value: Any) -> str:
    """Show a value as YAML would have it on one line."""
    if isinstance(value, str):
        text = " ".join(value.split()) or '""'
    else:
        text = (
            yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False).removesuffix("\n...\n").strip()
        )
    return f"``{text}``" if "`" in text else f"`{text}`"


def cell(text: str) -> str:
    """Make a text fit for a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def kind_of(option: dict[str, Any]) -> str:
    """Name an option's type with that of its elements."""
    kind = option.get("type", "str")
    return f"{kind} of {option['elements']}" if option.get("elements") else str(kind)


def rows(options: dict[str, Any], computed: str, prefix: str = "") -> Iterator[str]:
    """One row of a table for each option and its suboptions."""
    for name, option in options.items():
        if option.get("required"):
            default = "**required**"
        elif option.get("default") is not None:
            default = code(option["default"])
        else:
            default = "" if prefix else computed
        words = " ".join(paragraphs(option.get("description")))
        if option.get("choices"):
            words += " One of " + ", ".join(code(choice) for choice in option["choices"]) + "."
        yield f"| `{prefix}{name}` | {kind_of(option)} | {cell(default)} | {cell(words)} |"
        yield from rows(option.get("options") or option.get("suboptions") or {}, computed, f"{prefix}{name}.")


def table(options: dict[str, Any], computed: str = "") -> list[str]:
    """Options as a table."""
    if not options:
        return []
    return ["| name | type | default | description |", "|---|---|---|---|", *rows(options, computed), ""]


def role_page(role: Path) -> str:
    """Page of a role."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    info = yaml.safe_load((role / "meta" / "main.yml").read_text())["galaxy_info"]
    lines = [
        NOTE.format(source="meta/argument_specs.yml"),
        "",
        f"# {COLLECTION}.{role.name}",
        "",
        f"{info['description'].rstrip('.')}.",
        "",
    ]
    link = "defaults/main.yml" if (role / "defaults" / "main.yml").exists() else "defaults/main"
    for entry, spec in specs.items():
        title = (
            f"`tasks_from: {entry}`" if (role / "tasks" / f"{entry}.yml").exists() and entry != "main" else f"`{entry}`"
        )
        lines += [f"## {title}", "", f"{markdown(spec['short_description']).rstrip('.')}.", ""]
        for paragraph in paragraphs(spec.get("description")):
            lines += [paragraph, ""]
        lines += table(spec.get("options") or {}, f"derived, see [defaults]({link})")
    return "\n".join(lines).rstrip() + "\n"


def plugin_page(name: str, kind: str, content: dict[str, Any]) -> str:
    """Page of a module or filter."""
    doc = content["doc"]
    lines = [
        NOTE.format(source="its documentation in plugins/"),
        "",
        f"# {COLLECTION}.{name}",
        "",
        f"{markdown(doc['short_description']).rstrip('.')}.",
        "",
    ]
    for paragraph in paragraphs(doc.get("description")):
        lines += [paragraph, ""]
    if doc.get("options"):
        positional = doc.get("positional")
        lines += ["## Options" if kind == "module" else "## Input and options", ""]
        if positional:
            names = positional if isinstance(positional, list) else [item.strip() for item in positional.split(",")]
            lines += ["By position: " + ", ".join(f"`{item}`" for item in names) + ".", ""]
        lines += table(doc["options"])
    if doc.get("attributes"):
        lines += ["## Attributes", "", "| attribute | support | description |", "|---|---|---|"]
        for attribute, spec in doc["attributes"].items():
            words = paragraphs(spec.get("description")) + paragraphs(spec.get("details"))
            lines.append(f"| `{attribute}` | {spec.get('support', '')} | {cell(' '.join(words))} |")
        lines.append("")
    for note in paragraphs(doc.get("notes")):
        lines += [f"> {note}", ""]
    if content.get("examples"):
        lines += ["## Examples", "", "```yaml", content["examples"].strip("\n"), "```", ""]
    if content.get("return"):
        lines += ["## Return values", "", "| name | type | returned | description |", "|---|---|---|---|"]
        for key, spec in content["return"].items():
            text = cell(" ".join(paragraphs(spec.get("description"))))
            lines.append(f"| `{key}` | {kind_of(spec)} | {cell(str(spec.get('returned', 'always')))} | {text} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def ansible_doc(*arguments: str) -> dict[str, Any]:
    """Ask ansible-doc about the collection that this checkout is."""
    program = Path(sys.executable).with_name("ansible-doc")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
    }
    result = subprocess.run(
        [str(program), "--json", *arguments], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def pages() -> dict[Path, str]:
    """All pages, by path."""
    found: dict[Path, str] = {}
    index = [NOTE.format(source="the specs of roles, modules and filters"), "", "# Reference", "", "## Roles", ""]
    for role in sorted(path.parent.parent for path in ROOT.glob("roles/*/meta/argument_specs.yml")):
        found[role / "README.md"] = role_page(role)
        info = yaml.safe_load((role / "meta" / "main.yml").read_text())["galaxy_info"]
        index.append(f"- [{role.name}](../roles/{role.name}/README.md): {info['description'].rstrip('.')}.")
    for kind, folder in PLUGIN_TYPES.items():
        names = sorted(ansible_doc("-t", kind, "-l", COLLECTION))
        if not names:
            continue
        index += ["", f"## {folder.capitalize()}", ""]
        for name, content in sorted(ansible_doc("-t", kind, *names).items()):
            if "doc" not in content:
                raise SystemExit(f"{name} ({kind}) has no documentation")
            short = name.removeprefix(f"{COLLECTION}.")
            found[ROOT / "docs" / folder / f"{short}.md"] = plugin_page(short, kind, content)
            index.append(
                f"- [{short}]({folder}/{short}.md): {markdown(content['doc']['short_description']).rstrip('.')}."
            )
    found[ROOT / "docs" / "reference.md"] = "\n".join(index).rstrip() + "\n"
    architecture = ROOT / "docs" / "architecture.md"
    found[architecture] = GRAPH.sub(lambda _match: import_graph.picture(), architecture.read_text())
    return found


def main() -> int:
    """Write the pages, or compare them."""
    wanted = pages()
    left = {path for folder in PLUGIN_TYPES.values() for path in (ROOT / "docs" / folder).glob("*.md")} - set(wanted)
    if "--check" not in sys.argv[1:]:
        for path in left:
            path.unlink()
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        print(f"docs: {len(wanted)} pages written")
        return 0
    stale = 0
    for path, text in sorted([*wanted.items(), *((path, "") for path in left)]):
        name = str(path.relative_to(ROOT))
        is_now = path.read_text() if path.exists() else ""
        if is_now != text:
            stale += 1
            sys.stdout.writelines(
                difflib.unified_diff(is_now.splitlines(True), text.splitlines(True), name, f"{name} by make docs", n=0)
            )
    print(
        f"docs: {stale} of {len(wanted)} pages are not what the specs say: make docs"
        if stale
        else f"docs: {len(wanted)} pages are what the specs say"
    )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
