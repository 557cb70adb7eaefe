# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models are made once, taken from where they are, and missed with one clear sentence."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
# Stands in for the engine's Python: runs the program it is given with a shell.
PYTHON = "/bin/sh"


def parts(source: str) -> dict[str, str]:
    """What the filter source_parts hands to the program."""
    return sources.parse(source).parts()


def checkpoint(directory: Path) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    (directory / "model.safetensors").write_text("weights")
    return directory


def snapshot(root: Path, revision: str = "main") -> Path:
    """A repository as the hub's own tools leave it."""
    folder = root / "hub" / "models--org--name"
    if revision != COMMIT:
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / revision).write_text(COMMIT)
    return checkpoint(folder / "snapshots" / COMMIT)


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, Any]:
    """A request whose programs are shell scripts: one makes a checkpoint, one finds no hub."""
    demo, hub = tmp_path / "demo.sh", tmp_path / "hub.sh"
    demo.write_text(
        f'mkdir "$2" && echo made >>{tmp_path}/log && cp "$1" "$2/config.json" && touch "$2/model.safetensors"'
    )
    hub.write_text(
        f"echo asked >>{tmp_path}/log; echo 'noise' >&2; echo 'the hub https://hub cannot be reached' >&2; exit 1"
    )
    answers = tmp_path / "answers.json"
    answers.write_text("{}")
    return {
        "host": "node1",
        "check": False,
        "root": str(tmp_path / "models"),
        "python": PYTHON,
        "demo": {"program": str(demo), "answers": str(answers), "digest": "0123456789ab"},
        "hub": {"program": str(hub), "ignore": ["*.pth"], "refresh": False},
        "sources": {"chat": parts("demo:")},
        "revisions": {"chat": None},
    }


def log(asked: dict[str, Any]) -> list[str]:
    path = Path(asked["root"]).parent / "log"
    return path.read_text().split() if path.exists() else []


def failure(module: ModuleType, asked: dict[str, Any]) -> str:
    with pytest.raises(module.ModelError) as caught:
        module.provision(asked)
    text = str(caught.value)
    assert "node1" in text
    assert "llm_models[chat].source" in text
    assert "\n" not in text
    return text


def test_the_demo_model_is_made_once_for_all_that_serve_it(provision_models: ModuleType, asked: dict[str, Any]) -> None:
    asked["sources"] = {"chat": parts("demo:"), "small": parts("demo:")}
    first = provision_models.provision(asked)
    assert first["changed"]
    assert set(first["paths"]) == {"chat", "small"}
    assert len(set(first["paths"].values())) == 1
    assert Path(first["paths"]["chat"], "config.json").exists()
    second = provision_models.provision(asked)
    assert not second["changed"]
    assert second["paths"] == first["paths"]
    assert log(asked) == ["made"]


def test_another_recipe_makes_another_demo_model(provision_models: ModuleType, asked: dict[str, Any]) -> None:
    before = provision_models.provision(asked)["paths"]["chat"]
    asked["demo"]["digest"] = "ba9876543210"
    after = provision_models.provision(asked)
    assert after["changed"]
    assert after["paths"]["chat"] != before
    assert Path(before).exists()


def test_check_mode_says_what_would_be_made_and_makes_nothing(
    provision_models: ModuleType, asked: dict[str, Any]
) -> None:
    asked["check"] = True
    asked["sources"]["big"] = parts("hf://org/name")
    result = provision_models.provision(asked)
    assert result["changed"]
    assert len(result["actions"]) == 2
    assert all("would" in action for action in result["actions"])
    assert not Path(asked["root"]).exists()
    assert log(asked) == []


def test_a_demo_model_that_cannot_be_made_leaves_nothing_half_done(
    provision_models: ModuleType, asked: dict[str, Any]
) -> None:
    Path(asked["demo"]["program"]).write_text('mkdir "$2"; echo reason >&2; exit 1')
    assert "reason" in failure(provision_models, asked)
    assert not list(Path(asked["root"]).glob("demo/[!.]*"))


@pytest.fixture
def visible(provision_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tests keep their files, services see nothing, and often not everybody may look."""
    monkeypatch.setattr(provision_models, "HIDDEN", ())
    monkeypatch.setattr(provision_models, "unreadable", lambda directory: "")


@pytest.mark.usefixtures("visible")
def test_a_path_is_used_as_it_is(provision_models: ModuleType, asked: dict[str, Any], tmp_path: Path) -> None:
    directory = checkpoint(tmp_path / "x")
    asked["sources"] = {"chat": parts(f"path:{directory}")}
    assert provision_models.provision(asked) == {"changed": False, "actions": [], "paths": {"chat": str(directory)}}


@pytest.mark.usefixtures("visible")
@pytest.mark.parametrize(
    ("missing", "told"), [("config.json", "config.json"), ("model.safetensors", "weights"), (".", "no directory")]
)
def test_a_path_that_is_no_model(
    provision_models: ModuleType, asked: dict[str, Any], tmp_path: Path, missing: str, told: str
) -> None:
    directory = checkpoint(tmp_path / "x")
    asked["sources"] = {"chat": parts(f"path:{directory}{'-other' if missing == '.' else ''}")}
    if missing != ".":
        (directory / missing).unlink()
    text = failure(provision_models, asked)
    assert told in text
    assert str(directory) in text


@pytest.mark.usefixtures("visible")
def test_a_missing_shard_is_named(provision_models: ModuleType, asked: dict[str, Any], tmp_path: Path) -> None:
    directory = checkpoint(tmp_path / "x")
    shards = {"a": "model.safetensors", "b": "model-2.safetensors"}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    asked["sources"] = {"chat": parts(f"path:{directory}")}
    assert "model-2.safetensors" in failure(provision_models, asked)


def test_a_path_that_the_service_cannot_see_or_read(
    provision_models: ModuleType, asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = checkpoint(tmp_path / "x")
    asked["sources"] = {"chat": parts(f"path:{directory}")}
    monkeypatch.setattr(provision_models, "HIDDEN", (str(tmp_path),))
    assert "sight" in failure(provision_models, asked)
    monkeypatch.setattr(provision_models, "HIDDEN", ())
    directory.chmod(0o700)
    assert "chmod" in failure(provision_models, asked)


@pytest.mark.parametrize("revision", [None, "v1", COMMIT])
def test_a_cached_snapshot_is_served_without_the_hub(
    provision_models: ModuleType, asked: dict[str, Any], revision: str | None
) -> None:
    directory = snapshot(Path(asked["root"]), revision or "main")
    asked["sources"] = {"chat": parts("hf://org/name")}
    asked["revisions"] = {"chat": revision}
    result = provision_models.provision(asked)
    assert result == {"changed": False, "actions": [], "paths": {"chat": str(directory)}}
    assert log(asked) == []


def test_a_refresh_without_a_hub_serves_what_is_there(provision_models: ModuleType, asked: dict[str, Any]) -> None:
    directory = snapshot(Path(asked["root"]))
    asked["sources"] = {"chat": parts("hf://org/name")}
    asked["hub"]["refresh"] = True
    assert provision_models.provision(asked)["paths"] == {"chat": str(directory)}
    assert log(asked) == ["asked"]


def test_a_hub_that_cannot_be_reached_is_one_clear_error(provision_models: ModuleType, asked: dict[str, Any]) -> None:
    asked["sources"] = {"chat": parts("hf://org/name")}
    asked["revisions"] = {"chat": "v2"}
    text = failure(provision_models, asked)
    assert '"hf://org/name" at revision v2' in text
    assert "https://hub cannot be reached" in text
    assert "noise" not in text


def test_a_download_cut_short_is_not_taken_for_a_model(provision_models: ModuleType, asked: dict[str, Any]) -> None:
    asked["sources"] = {"chat": parts("hf://org/name")}
    directory = snapshot(Path(asked["root"]))
    noted = directory.parents[1] / ".llmfleet" / f"{COMMIT}.json"
    noted.parent.mkdir()
    noted.write_text(json.dumps(["config.json", "model.safetensors", "tokenizer.json"]))
    failure(provision_models, asked)
    (directory / "tokenizer.json").touch()
    assert not provision_models.provision(asked)["changed"]


def test_a_download_that_succeeds_is_a_change(provision_models: ModuleType, asked: dict[str, Any]) -> None:
    asked["sources"] = {"chat": parts("hf://org/name")}
    directory = snapshot(Path(asked["root"]))
    (directory / "model.safetensors").unlink()
    Path(asked["hub"]["program"]).write_text(
        f'[ "$1 $2 $4" = "org/name main *.pth" ] && touch {directory}/model.safetensors && echo {directory}'
    )
    assert provision_models.provision(asked)["changed"]
    assert not provision_models.provision(asked)["changed"]


def test_a_model_without_an_organisation(provision_models: ModuleType, asked: dict[str, Any]) -> None:
    directory = checkpoint(Path(asked["root"]) / "hub" / "models--gpt2" / "snapshots" / COMMIT)
    asked["sources"] = {"chat": parts("hf://gpt2")}
    asked["revisions"] = {"chat": COMMIT}
    assert provision_models.provision(asked)["paths"] == {"chat": str(directory)}
