# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role makes of its parameters: the settings, the file of keys and the service."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from load_file import load_file
from rendered_role import render_role

FILES = Path(__file__).resolve().parents[4] / "roles" / "gate" / "files"
ENGINE_KEY, TRANSLATOR_KEY = "sk-engine-0123456789", "sk-translator-0123456789"
CLIENT_KEY = "sk-client-0123456789"
CHAT = {
    "name": "chat",
    "aliases": ["assistant", "gpt"],
    "context": 8192,
    "max_parallel_requests": 32,
    "rpm": None,
    "tpm": 5000,
    "request_defaults": {"temperature": 0.2, "top_p": None},
}
PARAMETERS: dict[str, Any] = {
    "service_packages": {"gate": {"python": "/venv/bin/python", "programs": {"python": "/venv/bin/python"}}},
    "gate_listen": "[::1]",
    "gate_port": "4200",
    "gate_engines_url": "http://127.0.0.1:4100",
    "gate_translator_url": "http://127.0.0.1:4000",
    "gate_request_timeout": "625",
    "gate_max_choices": 8,
    "gate_max_prompts": "32",
    "gate_models": [{**CHAT, "replicas": [0]}, {"name": "embed"}],
    "gate_other_models": ["far-away"],
    "gate_keys_resolved": [
        {"alias": "team", "key": CLIENT_KEY, "models": ["assistant"], "rpm": 60, "tpm": None, "expires": "2030-01-31"}
    ],
    "gate_teams": [],
    "gate_egress": ["10.0.0.1"],
    "gate_store_url": "",
    "gate_store_ca_file": "",
    "gate_answer_cache_mib": 64,
    "gate_metrics_key": "sk-metrics-0123456789",
    "gate_engine_api_key": ENGINE_KEY,
    "gate_translator_api_key": TRANSLATOR_KEY,
}


class Rendered:
    """The role's output for some parameters."""

    def __init__(self, root: Path) -> None:
        self.text = {path.name: path.read_text() for path in (root / "etc" / "gate").iterdir()}
        self.service = json.loads((root / "etc" / "gate.json").read_text())
        self.problems = self.service.pop("problems")


def render(folder: Path, **changes: Any) -> Rendered:
    render_role("gate", folder, {**PARAMETERS, **changes})
    return Rendered(folder)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render(tmp_path_factory.mktemp("gate"))


def test_the_program_reads_the_settings_that_the_role_writes(rendered: Rendered) -> None:
    gate_settings = load_file(FILES / "gate_settings.py")
    settings = gate_settings.parse(rendered.text["gate.json"])
    assert (settings.listen, settings.port) == ("::1", 4200)
    assert (settings.key_share, settings.max_json_bytes, settings.request_timeout) == (0.5, 4 << 20, 625)
    assert settings.translated_paths == gate_settings.Settings.translated_paths, "both have the same defaults"
    chat, embed, other = settings.models
    assert chat == gate_settings.Model(
        name="chat",
        aliases=("assistant", "gpt"),
        context=8192,
        max_parallel_requests=32,
        tpm=5000,
        request_defaults={"temperature": 0.2},
        replicas=("0",),
    )
    assert (embed.name, embed.context, embed.rpm, embed.translated) == ("embed", 0, None, False)
    assert (other.name, other.translated) == ("far-away", True)


def test_every_setting_can_be_set_by_a_variable(tmp_path: Path, rendered: Rendered) -> None:
    gate_settings = load_file(FILES / "gate_settings.py")
    url = "redis://gate:secret-of-the-store@10.0.0.1:6379/0"
    with_store = render(tmp_path, gate_store_url=url, gate_limits_without_store="closed")
    written = json.loads(with_store.text["gate.json"])
    assert "without_store" not in json.loads(rendered.text["gate.json"])
    assert (written["without_store"], Path(written["store_url_file"]).name) == ("closed", "store_url")
    # The URL is in a file of its own, which the gate alone reads.
    assert [name for name, text in with_store.text.items() if "secret-of-the-store" in text] == ["store_url"]
    (file,) = (one for one in with_store.service["files"] if one["dest"].endswith("/store_url"))
    assert (file["secret"], file["mode"], file["on_change"]) == (True, "0600", "reload")
    assert set(written) == {field.name for field in dataclasses.fields(gate_settings.Settings)}
    own = gate_settings.Settings("", "", "", "", "")
    caps = ("max_tools", "max_grammar_bytes", "max_grammar_entries")
    assert [written[name] for name in caps] == [getattr(own, name) for name in caps], "both have the same defaults"


def test_replicas_and_limits_are_a_reload(rendered: Rendered, tmp_path: Path) -> None:
    other = [{**CHAT, "max_parallel_requests": 96, "rpm": 5, "context": 4096, "replicas": [0, 1, 2]}, {"name": "embed"}]
    changed = render(tmp_path, gate_models=other)
    files = {Path(entry["dest"]).name: entry.get("on_change") for entry in changed.service["files"]}
    differing = {name for name, text in changed.text.items() if text != rendered.text[name]}
    # The settings name a directory of the test, too.
    assert differing == {"gate.json"}
    assert (files["gate.json"], changed.service["reload_signal"]) == ("reload", "HUP")
    parts = ("command", "environment", "secrets", "limits", "stop")
    definitions = set()
    for one in (rendered, changed):
        root = str(Path(one.service["command"][1]).parents[2])
        definitions.add(json.dumps([one.service[part] for part in parts]).replace(root, ""))
    assert len(definitions) == 1


def test_the_key_file_holds_hashes_alone(rendered: Rendered) -> None:
    keys = {key["alias"]: key for key in json.loads(rendered.text["keys.json"])["keys"]}
    assert keys["team"] == {
        "alias": "team",
        "sha256": hashlib.sha256(CLIENT_KEY.encode()).hexdigest(),
        "models": ["assistant"],
        "rpm": 60,
        "expires": "2030-01-31",
    }
    assert keys["prometheus"]["scope"] == "metrics"


def test_teams_are_a_part_of_the_key_file_and_restart_nothing(rendered: Rendered, tmp_path: Path) -> None:
    keys = [{"alias": "team", "key": CLIENT_KEY, "team": "research", "priority": 0, "tags": ["cost-7"]}]
    teams = [{"name": "research", "rpm": "60", "models": "assistant", "tpm": None, "priority": 10}]
    changed = render(tmp_path, gate_keys_resolved=keys, gate_teams=teams)
    written = json.loads(changed.text["keys.json"])
    assert written["teams"] == [{"name": "research", "rpm": 60, "models": ["assistant"], "priority": 10}]
    found = load_file(FILES / "gate_keyring.py").parse(changed.text["keys.json"])
    (key,) = [key for key in found.values() if key.alias == "team"]
    assert (key.team.name, key.team.rpm, key.priority, key.tags) == ("research", 60, 0, ("cost-7",))
    assert "teams" not in json.loads(rendered.text["keys.json"]), "nothing is new where nobody asks for it"
    differing = {name for name, text in changed.text.items() if text != rendered.text[name]}
    # The settings name a directory of the test, too.
    assert differing == {"gate.json", "keys.json"}
    (problem,) = render(tmp_path, gate_keys_resolved=keys, gate_teams=[{"name": "reserch"}]).problems
    assert (problem["variable"], problem["remedy"]) == ("gate_keys_resolved[team].team", "did you mean reserch")


def test_no_secret_is_outside_of_the_secrets(rendered: Rendered) -> None:
    assert rendered.service["secrets"] == {"GATE_TRANSLATOR_KEY": TRANSLATOR_KEY}
    (secret,) = [file for file in rendered.service["files"] if file.get("secret")]
    assert rendered.text[Path(secret["dest"]).name] == f"{ENGINE_KEY}\n"
    rest = {name: value for name, value in rendered.service.items() if name != "secrets"}
    others = [text for name, text in rendered.text.items() if name != Path(secret["dest"]).name]
    assert "0123456789" not in json.dumps(rest) + "".join(others)


def test_another_key_of_the_engines_is_a_reload(rendered: Rendered, tmp_path: Path) -> None:
    changed = render(tmp_path, gate_engine_api_key="sk-engine-9876543210")
    differing = {name for name, text in changed.text.items() if text != rendered.text[name]}
    # The settings name a directory of the test, too.
    assert differing == {"gate.json", "engine_key"}
    assert changed.service["secrets"] == rendered.service["secrets"]


def test_only_programs_need_a_restart(rendered: Rendered) -> None:
    changes = {Path(entry["dest"]).name: entry.get("on_change", "restart") for entry in rendered.service["files"]}
    programs = {path.name: "restart" for path in FILES.glob("*.py")}
    assert changes == {**programs, "keys.json": "none", "gate.json": "reload", "engine_key": "reload"}
    assert rendered.service["reload_signal"] == "HUP"


def test_the_programs_arrive_as_they_are(rendered: Rendered) -> None:
    for path in FILES.glob("*.py"):
        assert rendered.text[path.name] == path.read_text()


def test_the_ready_probe_goes_to_an_address(rendered: Rendered) -> None:
    assert rendered.service["ready"]["url"] == "http://[::1]:4200/health"


def test_its_traffic_is_filtered(rendered: Rendered) -> None:
    assert rendered.service["egress"] == ["10.0.0.1"]


def test_problems_name_variable_value_and_remedy(rendered: Rendered, tmp_path: Path) -> None:
    assert rendered.problems == []
    keys = [{"alias": "team", "key": CLIENT_KEY, "models": ["far-away", "chart"]}]
    short, unknown = render(tmp_path, gate_keys_resolved=keys, gate_engine_api_key="short").problems
    assert (short["host"], short["variable"], short["value"]) == ("localhost", "llm_engine_api_key", "(hidden)")
    assert short["problem"] == "it has fewer than 16 characters"
    assert (unknown["variable"], unknown["value"]) == ("gate_keys_resolved[team].models", "chart")
    assert unknown["remedy"] == "did you mean chat"
