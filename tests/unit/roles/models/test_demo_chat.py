# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the demo model reads: the user's question, or, where there are tools, a call that it only has to copy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

PROGRAMS = Path(__file__).resolve().parents[4] / "roles" / "models" / "files" / "programs"
TEXT = {"type": "string"}
READ = {"type": "object", "properties": {"file_path": TEXT, "offset": {"type": "integer"}}, "required": ["file_path"]}
RUN = {"type": "object", "properties": {"cmd": TEXT, "tty": {"type": "boolean"}}, "required": ["cmd"]}
WRITE = {"type": "object", "properties": {"path": TEXT, "content": TEXT}, "required": ["path", "content"]}


def tojson(value: Any, ensure_ascii: bool = False) -> str:
    """As engines set it: without the escapes for HTML that Jinja's own has."""
    return json.dumps(value, ensure_ascii=ensure_ascii)


def rendered(messages: list[dict[str, Any]], tools: list[Any] | None = None) -> str:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = tojson
    template = environment.from_string((PROGRAMS / "demo_chat.jinja").read_text())
    return template.render(messages=messages, tools=tools, add_generation_prompt=True)


def copied(prompt: str) -> str:
    """The text that the model copies, whose tokens fill every slot."""
    letters = re.findall(r"<\|([\s\S]|fill|copy)\|>", prompt)
    assert "".join(f"<|{letter}|>" for letter in letters) == prompt
    (slots,) = re.findall(r"SLOTS = .*, (\d+)$", (PROGRAMS / "demo_model.py").read_text(), re.M)
    assert len(letters) == int(slots) + 1
    assert letters[-1] == "copy"
    return "".join(letter for letter in letters if len(letter) == 1)


def call(prompt: str) -> tuple[str, dict[str, Any]]:
    """The call in the format of Hermes."""
    found = re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", copied(prompt))
    assert found
    called = json.loads(found[1])
    return called["name"], called["arguments"]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def tool(name: str, parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def test_without_tools_the_last_question_is_read() -> None:
    assert rendered([user("a"), {"role": "assistant", "content": "b"}, user("c.txt")]) == "<|user|>c.txt<|assistant|>"


@pytest.mark.parametrize(
    ("name", "parameters", "question", "arguments"),
    [
        ("Read", READ, 'Please read "/tmp/a/notes.txt".', {"file_path": "/tmp/a/notes.txt"}),
        ("read_file", READ, "Read a.md, and tell me", {"file_path": "a.md"}),
        ("exec_command", RUN, "Read notes.txt", {"cmd": "cat notes.txt"}),
        ("shell", {**RUN, "properties": {"cmd": {"type": "array"}}}, "See ./x", {"cmd": ["cat", "./x"]}),
        # A word that a shell would take apart is no path.
        ("bash", RUN, "Read a.txt;reboot or b.txt", {"cmd": "cat b.txt"}),
        ("get_weather", {"properties": {"city": TEXT}, "required": ["city"]}, "Weather in Paris?", {"city": "Paris"}),
        ("f", {}, "Do it", {}),
        ("f", None, "Do it", {}),
        (
            "read_files",
            {
                "properties": {
                    "files": {
                        "type": "array",
                        "items": {"properties": {"path": TEXT}, "required": ["path"], "type": "object"},
                    }
                },
                "required": ["files"],
            },
            "Read a.txt",
            {"files": [{"path": "a.txt"}]},
        ),
        (
            "f",
            {
                "properties": {
                    "a": {"enum": ["x", "y"]},
                    "b": {"const": 3},
                    "c": {"type": ["integer", "null"], "minimum": 5},
                    "d": {"type": "boolean"},
                    "e": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                    "f": {"type": "null"},
                    "g": TEXT,
                },
                "required": ["f", "e", "d", "c", "b", "a"],
            },
            "Say é",
            {"a": "x", "b": 3, "c": 5, "d": False, "e": 1, "f": None},
        ),
    ],
)
def test_a_call_satisfies_the_schema(name: str, parameters: Any, question: str, arguments: dict[str, Any]) -> None:
    prompt = rendered([user(question)], [tool(name, parameters)])
    assert call(prompt) == (name, arguments)
    # A grammar takes the properties in the order of the schema.
    assert list(call(prompt)[1]) == [key for key in (parameters or {}).get("properties", {}) if key in arguments]


def test_a_tool_that_reads_is_chosen_and_none_that_writes() -> None:
    tools = [tool("write", WRITE), tool("bash", RUN), tool("Read", READ)]
    assert call(rendered([user("Read a.txt")], tools)) == ("Read", {"file_path": "a.txt"})
    assert call(rendered([user("Read a.txt")], tools[:2])) == ("bash", {"cmd": "cat a.txt"})
    assert rendered([user("What is nginx for?")], tools) == "<|user|>What is nginx for?<|assistant|>"


def test_a_result_is_told_and_ends_the_loop() -> None:
    asked = [user("Read a.txt"), {"role": "assistant", "content": None, "tool_calls": []}]
    result = {"role": "tool", "content": "21 °C and\na heron <|end|>"}
    tools = [tool("Read", READ)]
    expected = "The tool answered: 21 ?C and\na heron <|end|>"
    assert copied(rendered([*asked, result], tools)) == expected
    # Agents add reminders behind a result.
    assert copied(rendered([*asked, result, user("Go on")], tools)) == expected
    assert len(copied(rendered([*asked, {"role": "tool", "content": "x" * 9999}], tools))) < 256
    assert copied(rendered([*asked, {"role": "tool", "content": ""}], tools)) == "The tool answered: nothing"
    told = [*asked, result, {"role": "assistant", "content": expected}, user("Read b.txt")]
    assert call(rendered(told, tools)) == ("Read", {"file_path": "b.txt"})


def test_what_claude_code_adds_is_not_the_question() -> None:
    messages = [
        user("<system-reminder>See a.md</system-reminder>\nRead b.txt"),
        user("Operator note (not from the user): see CLAUDE.md"),
    ]
    assert call(rendered(messages, [tool("Read", READ)])) == ("Read", {"file_path": "b.txt"})
    assert rendered(messages[1:]).startswith("<|user|>Operator note")


def test_what_is_too_long_is_cut() -> None:
    assert len(copied(rendered([user("Read " + "a/" * 600)], [tool("Read", READ)]))) == 510
