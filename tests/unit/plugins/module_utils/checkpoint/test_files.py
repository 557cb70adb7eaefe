# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import files as checkpoint_files
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import hub as checkpoint_hub
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import layouts
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.hub import Extent
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.safetensors import SafetensorsError, Tensor
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.sources import SourceError

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
FACTS = {"num_hidden_layers": 2, "tie_word_embeddings": False}


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", COMMIT, "release-1.0+cu12", "a_b"])
def test_revisions(revision: str) -> None:
    assert checkpoint_files.check_revision(revision) == revision


@pytest.mark.parametrize("revision", ["", "/main", "../main", "a/../b", "a//b", "a b", "a\n", "-x", ".", "a/"])
def test_what_is_no_revision(revision: str) -> None:
    with pytest.raises(SourceError, match="give a branch, a tag or a commit"):
        checkpoint_files.check_revision(revision)


@pytest.mark.parametrize(
    ("environment", "root"),
    [
        ({}, "/home/u/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/x", "HF_HOME": "/h"}, "/h/hub"),
        ({"HF_HOME": "/h", "HF_HUB_CACHE": "/c"}, "/c"),
        ({"HF_HUB_CACHE": ""}, "/home/u/.cache/huggingface/hub"),
    ],
)
def test_where_the_cache_is(environment: dict[str, str], root: str) -> None:
    assert checkpoint_files.cache_root(environment, "/home/u") == root


def test_the_layout_of_a_cache() -> None:
    folder = "/c/models--org--name"
    assert checkpoint_files.reference(folder, "refs/pr/1") == f"{folder}/refs/refs/pr/1"
    place = (COMMIT, f"{folder}/snapshots/{COMMIT}")
    assert checkpoint_files.snapshot(folder, "main", f"{COMMIT}\n") == place
    assert checkpoint_files.snapshot(folder, COMMIT, None) == place
    assert checkpoint_files.snapshot(folder, "main", None) is None
    assert checkpoint_files.snapshot(folder, "main", "../../../../etc") is None
    assert checkpoint_files.commit_of(f"{place[1]}/") == COMMIT
    assert checkpoint_files.commit_of("/srv/models/x") is None


class Memory:
    """The files of a model, in memory."""

    def __init__(self, **files: Any) -> None:
        self.files = {name.replace("__", "-"): value for name, value in files.items()}

    def add(self, name: str, value: Any) -> Memory:
        self.files[name] = value
        return self

    def read(self, name: str, limit: int) -> bytes | None:
        assert limit >= 10_000_000
        return json.dumps(self.files[name]).encode() if name in self.files else None

    def weights(self, suffix: str) -> list[str]:
        return sorted(name for name in self.files if name.endswith(suffix))

    def headers(self, names: Sequence[str]) -> list[dict[str, Tensor]] | None:
        found = [self.files[name] for name in names if name in self.files]
        return found if len(found) == len(names) else None

    def sizes(self, names: Sequence[str]) -> list[int] | None:
        found = [self.files[name] for name in names if name in self.files]
        return found if len(found) == len(names) else None


def said(files: Memory) -> tuple[Any, Any, Any]:
    weights = checkpoint_files.read_weights(files, FACTS)
    return weights["weight_bytes"], weights["weight_bytes_source"], weights["parameters"]


def shard(name: str) -> dict[str, Tensor]:
    return {name: Tensor(10, 20)}


ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def index(*names: str, **metadata: Any) -> dict[str, Any]:
    return {"weight_map": {f"tensor-{name}": name for name in names}, "metadata": metadata}


def test_a_config() -> None:
    assert layouts.read(Memory().add("config.json", {"a": 1})) == ("config.json", {"a": 1})
    with pytest.raises(SourceError, match=r"it has no config\.json"):
        layouts.read(Memory())


def test_a_model_without_weights() -> None:
    assert said(Memory()) == (None, None, None)
    assert said(Memory().add("training_args.bin", 100)) == (None, None, None)


def test_headers_say_it_best() -> None:
    files = Memory().add(ONE, shard("a")).add(TWO, shard("mtp.x"))
    assert said(files) == (20, "headers", 10)
    # The index names what is loaded, whatever else lies there.
    files.add("other.safetensors", shard("b")).add("model.safetensors.index.json", index(ONE, TWO, total_size=40))
    assert said(files) == (20, "headers", 10)


def test_the_index_says_it_where_a_shard_is_missing() -> None:
    files = Memory().add(ONE, shard("a")).add("model.safetensors.index.json", index(ONE, TWO, total_size=40))
    assert said(files) == (40, "index", None)
    assert said(files.add("model.safetensors.index.json", index(ONE, TWO))) == (None, None, None)


def test_shards_without_an_index_have_to_be_all() -> None:
    assert said(Memory().add(ONE, shard("a"))) == (None, None, None)
    assert said(Memory().add(ONE, shard("a")).add(TWO, shard("b"))) == (40, "headers", 20)


def test_a_second_copy_is_not_loaded() -> None:
    copy = Memory().add("consolidated.safetensors", shard("a"))
    assert said(copy) == (20, "headers", 10)
    assert said(copy.add("model.safetensors", {**shard("b"), **shard("c")})) == (40, "headers", 20)


def test_bin_files_by_index_or_size() -> None:
    files = Memory().add("pytorch_model.bin", 50).add("optimizer.bin", 1000)
    assert said(files) == (50, "size", None)
    one, two = "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
    files = Memory().add(one, 30).add("pytorch_model.bin.index.json", index(one, two))
    assert said(files) == (None, None, None)
    assert said(files.add(two, 20)) == (50, "size", None)
    assert said(files.add("pytorch_model.bin.index.json", index(one, two, total_size=49))) == (49, "index", None)


def test_an_index_of_too_many_files() -> None:
    names = [f"{number}.safetensors" for number in range(2001)]
    with pytest.raises(SafetensorsError, match="names 2001 files, at most 2000 are read"):
        said(Memory().add("model.safetensors.index.json", index(*names)))


# --- hub_client


def test_endpoints() -> None:
    for good in ("https://huggingface.co", "http://127.0.0.1:8080", "https://art.example.com/api/huggingfaceml/hub"):
        assert checkpoint_hub.check_endpoint(good + "/") == good


NO_ENDPOINTS = (
    "",
    "huggingface.co",
    "ftp://x",
    "https://",
    "https://x:99999",
    "https://x?a",
    "https://[x",
    "https://x\n",
)


@pytest.mark.parametrize("endpoint", NO_ENDPOINTS)
def test_what_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(SourceError, match="is not an http or https URL"):
        checkpoint_hub.check_endpoint(endpoint)


def test_a_password_in_the_endpoint_is_not_shown() -> None:
    with pytest.raises(SourceError) as raised:
        checkpoint_hub.check_endpoint("https://me:hunter2@hub.example.com")
    assert "hunter2" not in str(raised.value)
    assert "set token" in str(raised.value)


def test_the_address_of_a_file() -> None:
    url = checkpoint_hub.file_url("https://h/x", "org/name", "refs/pr/1", "config.json")
    assert url == "https://h/x/org/name/resolve/refs%2Fpr%2F1/config.json"


@pytest.mark.parametrize(
    ("location", "target", "token"),
    [
        ("/api/resolve-cache/x", "https://h/api/resolve-cache/x", True),
        ("https://h/y", "https://h/y", True),
        ("https://h:443/y", "https://h:443/y", True),
        ("https://h:444/y", "https://h:444/y", False),
        ("https://cdn/y?signature=1", "https://cdn/y?signature=1", False),
        ("//cdn/y", "https://cdn/y", False),
    ],
)
def test_where_the_token_may_go(location: str, target: str, token: bool) -> None:
    assert checkpoint_hub.follow("https://h/org/name", location) == (target, token)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("file:///etc/shadow", "h redirects to an address that is not http or https"),
        ("data:,x", "h redirects to an address that is not http"),
        ("https://x:99999/", "h redirects to an address that is not http"),
        ("http://h/x", "h redirects to h without TLS"),
    ],
)
def test_where_no_redirect_may_go(location: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        checkpoint_hub.follow("https://h/x", location)
    assert checkpoint_hub.follow("http://h/x", "https://h/x") == ("https://h/x", False)


def test_the_commit_of_an_answer() -> None:
    resolved = f"https://h/api/resolve-cache/models/org/name/{COMMIT}/config.json"
    assert checkpoint_hub.commit_of("https://h/x", {"X-Repo-Commit": COMMIT}) == COMMIT
    assert checkpoint_hub.commit_of(resolved, {}) == COMMIT
    assert checkpoint_hub.commit_of("https://h/x", {"X-Repo-Commit": "../x"}) is None


def test_extents() -> None:
    assert checkpoint_hub.extent(206, {"Content-Range": "bytes 8-9/100"}, 8, "x") == Extent(0, 100)
    assert checkpoint_hub.extent(206, {"Content-Range": "bytes 8-9/*"}, 8, "x") == Extent(0, None)
    assert checkpoint_hub.extent(200, {"Content-Length": "100"}, 8, "x") == Extent(8, 100)
    assert checkpoint_hub.extent(200, {}, 8, "x") == Extent(8, None)
    for wrong in ("bytes 0-9/100", "bytes */100", "", "items 8-9/100"):
        with pytest.raises(SourceError, match="another part of x"):
            checkpoint_hub.extent(206, {"Content-Range": wrong}, 8, "x")


@pytest.mark.parametrize(
    ("status", "code", "token", "words"),
    [
        (
            401,
            "",
            False,
            "knows no such repository, or hides it from strangers (status 401); check the name",
        ),
        (401, "", True, "does not accept the token for it (status 401)"),
        (401, "RepoNotFound", False, "knows no such repository"),
        (
            401,
            "GatedRepo",
            False,
            "does not let strangers see it (status 401), it is gated or private; accept",
        ),
        (403, "GatedRepo", True, "does not let this account see it (status 403)"),
        (403, "", False, "does not let strangers see it"),
        (404, "RepoNotFound", False, "knows no such repository"),
        (404, "RevisionNotFound", False, "has no such revision; set revision"),
        (404, "", False, "has no config.json of it (status 404); check the name, the revision and endpoint"),
        (407, "", False, "wants a password (status 407)"),
        (416, "", False, "config.json is too short"),
        (429, "", False, "asked too often"),
        (503, "", False, "has trouble of its own (status 503); try again later"),
        (418, "", False, "answers for config.json with status 418; correct endpoint"),
    ],
)
def test_refusals(status: int, code: str, token: bool, words: str) -> None:
    assert words in checkpoint_hub.refusal(status, code, "https://h", "config.json", token)
