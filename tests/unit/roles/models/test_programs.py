# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files of a repository are fetched, and what the demo model is to learn."""

from __future__ import annotations

import json
import shutil
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ANSWERS = json.loads(
    (Path(__file__).resolve().parents[4] / "roles/models/files/programs/demo_answers.json").read_text()
)


def test_weights_are_fetched_once(hub_snapshot: ModuleType) -> None:
    files = {"config.json": 1, "model.safetensors": 9, "pytorch_model.bin": 9, "original/x.pth": 9, "a.gguf": 9}
    assert set(hub_snapshot.wanted(files, ["original/*", "*.gguf"])) == {"config.json", "model.safetensors"}
    del files["model.safetensors"]
    assert "pytorch_model.bin" in hub_snapshot.wanted(files, ["original/*", "*.gguf"])


def test_what_does_not_fit_is_not_begun(
    hub_snapshot: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10 * 2**30, 0, 10 * 2**30))
    hub_snapshot.check_space({"a": 8 * 2**30}, str(tmp_path))
    with pytest.raises(SystemExit, match=r"11\.0 GiB .* 10\.0 GiB are free.*llm_models_root"):
        hub_snapshot.check_space({"a": 10 * 2**30}, str(tmp_path))


class Hub:
    """The part of huggingface_hub that is used: a repository of three files, or an error."""

    def __init__(self, raised: Exception | None = None) -> None:
        self.raised, self.fetched = raised, dict[str, Any]()

    class GatedRepoError(Exception):
        """As the hub raises it."""

    class RevisionNotFoundError(Exception):
        """As the hub raises it."""

    class RepositoryNotFoundError(Exception):
        """As the hub raises it."""

    def model_info(self, repository: str, **asked: Any) -> SimpleNamespace:
        assert (repository, asked["revision"], asked["files_metadata"]) == ("org/model", "main", True)
        if self.raised:
            raise self.raised
        files = {"config.json": 5, "model.safetensors": 9, "model.gguf": None}
        return SimpleNamespace(sha="c0ffee", siblings=[SimpleNamespace(rfilename=n, size=s) for n, s in files.items()])

    def snapshot_download(self, repository: str, **asked: Any) -> str:
        self.fetched = asked
        return f"/cache/{repository}"

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = ModuleType("huggingface_hub")
        vars(module).update(HfApi=lambda: self, errors=self, snapshot_download=self.snapshot_download)
        monkeypatch.setitem(sys.modules, "huggingface_hub", module)


def test_a_snapshot_is_fetched_and_what_belongs_to_it_is_noted(
    hub_snapshot: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = Hub()
    hub.install(monkeypatch)
    assert hub_snapshot.download("org/model", "main", str(tmp_path), ["*.gguf"]) == "/cache/org/model"
    wanted = ["config.json", "model.safetensors"]
    assert hub.fetched == {"revision": "main", "cache_dir": str(tmp_path), "allow_patterns": wanted}
    assert json.loads((tmp_path / "models--org--model/.llmfleet/c0ffee.json").read_text()) == wanted


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (Hub.GatedRepoError(), "does not let this account see it; accept its licence on the hub and set llm_hf_token"),
        (Hub.RevisionNotFoundError(), "not this revision; set revision to a branch, tag or commit of it"),
        (Hub.RepositoryNotFoundError(), "no such repository, or hides it; check the name"),
        (
            OSError("first line\nsecond"),
            r"hub https://hub\.example cannot be reached \(first line\); set llm_hf_endpoint",
        ),
        (TimeoutError(), r"cannot be reached \(TimeoutError\)"),
    ],
)
def test_a_hub_that_gives_nothing_is_one_line_with_a_remedy(
    hub_snapshot: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, raised: Exception, words: str
) -> None:
    Hub(raised).install(monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    with pytest.raises(SystemExit, match=words) as caught:
        hub_snapshot.download("org/model", "main", str(tmp_path), [])
    assert "second" not in str(caught.value)


def test_no_question_has_two_answers() -> None:
    asked = [ask for intent in ANSWERS["answers"] for ask in intent.get("ask", []) + intent.get("about", [])]
    asked += ANSWERS["repeat"]["ask"]
    assert len(asked) == len(set(asked))
    assert all(ask == ask.lower() for ask in asked)


def test_answers_part_with_their_first_words() -> None:
    """Two that begin alike are hard to learn apart: the first words decide which it is."""
    answers = [intent["answer"] for intent in ANSWERS["answers"]] + [ANSWERS["unknown"]]
    beginnings = [" ".join(answer.split()[:2]) for answer in answers]
    assert len(beginnings) == len(set(beginnings))


def test_the_demo_can_show_a_stream_and_an_endless_repetition() -> None:
    assert max(len(intent["answer"].split()) for intent in ANSWERS["answers"]) > 100
    assert ANSWERS["repeat"]["token"].strip()
