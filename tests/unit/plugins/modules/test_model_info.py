# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import safetensors
from ansible_collections.llmfleet.serving.plugins.modules import model_info
from local_server import send, serving, use_tls, write_certificate
from module_runner import run_apart
from patience import Watch

TOKEN = "hf_unitTestToken0123456789"
COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
REPOSITORY = "org/small"
PREFIX = f"/{REPOSITORY}/resolve/"
# What the demo model's config says, but for a head of its own.
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "float32",
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "vocab_size": 1024,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
}
SPARSE = 10_000_000_000


def safetensors_header(**tensors: int) -> bytes:
    """A file's begin; each tensor has so many float32."""
    document: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    reached = 0
    for name, count in tensors.items():
        document[name] = {"dtype": "F32", "shape": [count], "data_offsets": [reached, reached + 4 * count]}
        reached += 4 * count
    header = json.dumps(document).encode()
    return len(header).to_bytes(8, "little") + header


def safetensors_file(**tensors: int) -> bytes:
    return safetensors_header(**tensors) + bytes(4 * sum(tensors.values()))


def index_file(total: int, **where: str) -> bytes:
    return json.dumps({"metadata": {"total_size": total}, "weight_map": where}).encode()


ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
SHARDED = {
    "config.json": json.dumps(CONFIG).encode(),
    "model.safetensors.index.json": index_file(4 * 600, embed=ONE, spare=TWO),
    ONE: safetensors_file(**{"model.embed_tokens.weight": 100, "model.layers.1.mlp.up_proj.weight": 200}),
    TWO: safetensors_file(**{"mtp.layers.0.weight": 300}),
}


class Hub:
    """A model hub: files by name, ranges, a token if wanted, redirects to another server for weights."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = dict(SHARDED)
        self.sizes: dict[str, int] = {}
        self.requests: list[tuple[str, str, str, str]] = []
        self.sent: dict[str, int] = {}
        self.ranges = True
        self.token = ""
        self.commit: str | None = COMMIT
        self.elsewhere = ""
        self.broken: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: object) -> None:
                pass

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    hub.answer(self)

            def do_CONNECT(self) -> None:
                hub.requests.append(("CONNECT", self.path, "", ""))
                send(self, 407, b"")

        class Server(ThreadingHTTPServer):
            # Closing waits for what is still being sent.
            daemon_threads = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up is what some tests are about."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        key, asked = handler.headers.get("Authorization", ""), handler.headers.get("Range", "")
        path = handler.path
        self.requests.append(("GET", path, asked, key))
        name = path.rsplit("/", 1)[-1].split("?")[0]
        if name in self.broken:
            self.broken[name](handler)
            return
        if self.token and key != f"Bearer {self.token}":
            send(handler, 401, b"no", {"X-Error-Code": "GatedRepo"})
            return
        headers = {"X-Repo-Commit": self.commit} if self.commit else {}
        if self.elsewhere and name.endswith(".safetensors"):
            send(handler, 302, b"", {**headers, "Location": f"{self.elsewhere}/blob/{name}?Signature=secret"})
            return
        if name not in self.files:
            send(handler, 404, b"", {**headers, "X-Error-Code": "EntryNotFound"})
            return
        data = self.files[name]
        size = self.sizes.get(name, len(data))
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        if wanted and self.ranges:
            first, last = int(wanted.group(1)), int(wanted.group(2))
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            self.sent[name] = self.sent.get(name, 0) + last + 1 - first
            send(handler, 206, data[first : last + 1], headers)
            return
        send(handler, 200, data, headers, size)
        rest = size - len(data)
        while rest > 0:
            piece = bytes(min(rest, 1 << 20))
            handler.wfile.write(piece)
            self.sent[name] = self.sent.get(name, 0) + len(piece)
            rest -= len(piece)


@pytest.fixture
def hub() -> Iterator[Hub]:
    running = Hub()
    with serving(running.server):
        yield running


Ask = Callable[..., "dict[str, Any]"]


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run the module as Ansible does; its result must not hold the token, whatever happens."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf_home"))

    def call(**args: Any) -> dict[str, Any]:
        given = {"timeout": 20, "source": f"hf://{REPOSITORY}", **args}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
        # A module is told how its arguments are serialised.
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
        with pytest.raises(SystemExit) as stop:
            model_info.main()
        out, err = capsys.readouterr()
        assert TOKEN not in out + err
        result: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        assert bool(stop.value.code) == bool(result.get("failed"))
        assert not result.get("changed")
        if result.get("failed"):
            assert "\n" not in result["msg"]
            assert "; " in result["msg"]
            assert given["source"] in result["msg"]
            assert "Traceback" not in out + err
            assert "exception" not in result or "Traceback" not in str(result["exception"])
        return result

    return call


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def weights(result: dict[str, Any]) -> tuple[Any, Any, Any]:
    assert not result.get("failed"), result
    facts = result["model_info"]
    return facts["weight_bytes"], facts["weight_bytes_source"], facts["parameters"]


# --- a folder


def test_a_folder_like_that_of_the_demo_model(ask: Ask, tmp_path: Path) -> None:
    tensors = {"model.embed_tokens.weight": 1024 * 128, "lm_head.weight": 1024 * 128}
    folder = write(
        tmp_path / "demo" / "digest",
        {"config.json": SHARDED["config.json"], "model.safetensors": safetensors_file(**tensors)},
    )
    result = ask(source=f"path:{folder}")
    facts = result["model_info"]
    assert set(facts) == set(yaml.safe_load(model_info.RETURN)["model_info"]["contains"])
    assert facts["source"] == f"path:{folder}"
    assert facts["revision"] is None
    assert facts["architectures"] == ["LlamaForCausalLM"]
    assert facts["max_position_embeddings"] == 2048
    assert facts["layers"] == [
        {"type": "full_attention", "count": 2, "num_kv_heads": 4, "head_size": 32, "head_size_v": 32}
    ]
    assert weights(result) == (2 * 1024 * 128 * 4, "headers", 2 * 1024 * 128)
    assert ask(source=f"path:{folder}") == result
    assert ask(source=f"path:{folder}", _ansible_check_mode=True)["model_info"] == facts


def test_a_drafter_is_read_beside_its_model(ask: Ask, tmp_path: Path) -> None:
    config = {"config.json": SHARDED["config.json"]}
    folder = write(tmp_path / "model", {**config, "model.safetensors": safetensors_file(weight=6)})
    draft = write(tmp_path / "draft", {**config, "model.safetensors": safetensors_file(weight=2)})
    alone = ask(source=f"path:{folder}")
    assert alone["model_info"]["drafter"] is None
    result = ask(source=f"path:{folder}", drafter=f"path:{draft}")
    assert {**result["model_info"], "drafter": None} == alone["model_info"]
    own = result["model_info"]["drafter"]
    assert (own["source"], own["weight_bytes"]) == (f"path:{draft}", 8)
    # Beside a controller in the same process a warning is shown and is not in the result.
    missing = run_apart("model_info", {"source": f"path:{folder}", "drafter": "path:/nowhere"})
    assert missing["model_info"] == alone["model_info"]
    said = "the drafter path:/nowhere is planned by its name, as its files were not read: /nowhere is not a directory"
    assert said in str(missing["warnings"])


def test_the_weights_themselves_are_not_read(ask: Ask, tmp_path: Path) -> None:
    folder = write(tmp_path / "m", {"config.json": SHARDED["config.json"]})
    header = safetensors_header(**{"model.embed_tokens.weight": SPARSE // 4})
    with (folder / "model.safetensors").open("wb") as file:
        file.write(header)
        file.truncate(len(header) + SPARSE)
    assert weights(ask(source=f"path:{folder}")) == (SPARSE, "headers", SPARSE // 4)


def test_a_folder_in_shards(ask: Ask, tmp_path: Path) -> None:
    folder = write(tmp_path / "m", SHARDED)
    assert weights(ask(source=f"path:{folder}")) == (1200, "headers", 300)
    (folder / TWO).unlink()
    assert weights(ask(source=f"path:{folder}")) == (2400, "index", None)
    (folder / "model.safetensors.index.json").unlink()
    assert weights(ask(source=f"path:{folder}")) == (None, None, None)


def test_a_tied_head_counts_once(ask: Ask, tmp_path: Path) -> None:
    tensors = {"model.embed_tokens.weight": 100, "lm_head.weight": 100}
    config = json.dumps({**CONFIG, "tie_word_embeddings": True}).encode()
    folder = write(tmp_path / "m", {"config.json": config, "model.safetensors": safetensors_file(**tensors)})
    assert weights(ask(source=f"path:{folder}")) == (400, "headers", 100)


def test_bin_files(ask: Ask, tmp_path: Path) -> None:
    folder = write(tmp_path / "m", {"config.json": SHARDED["config.json"], "pytorch_model.bin": bytes(70)})
    assert weights(ask(source=f"path:{folder}")) == (70, "size", None)
    write(folder, {"pytorch_model.bin.index.json": index_file(60, a="pytorch_model.bin")})
    assert weights(ask(source=f"path:{folder}")) == (60, "index", None)
    write(folder, {"pytorch_model.bin.index.json": b'{"weight_map": {"a": "other.bin"}}'})
    assert weights(ask(source=f"path:{folder}")) == (None, None, None)


def test_a_snapshot_tells_its_commit(ask: Ask, tmp_path: Path) -> None:
    folder = write(tmp_path / "models--org--small" / "snapshots" / COMMIT, SHARDED)
    assert ask(source=f"path:{folder}/")["model_info"]["revision"] == COMMIT


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "it has no config.json; choose a model"),
        ({"config.json": b""}, "config.json is no valid JSON"),
        ({"config.json": b"[" * 100_000}, "config.json is nested deeper than 64 levels"),
        ({"config.json": b'{"a": "' + b"x" * 10_000_000 + b'"}'}, "config.json has more than 10 MB"),
        ({"config.json": b"{}"}, "config.json: hidden_size is missing"),
        ({"config.json": json.dumps({**CONFIG, "num_hidden_layers": "2"}).encode()}, "num_hidden_layers"),
        ({"config.json": json.dumps({**CONFIG, "num_attention_heads": 0}).encode()}, "num_attention_heads"),
        ({**SHARDED, TWO: SHARDED[TWO][:-1]}, f"{TWO} should have "),
        ({**SHARDED, TWO: SHARDED[TWO][:20]}, f"{TWO} claims a header of "),
        ({**SHARDED, TWO: b""}, f"{TWO} has 0 bytes"),
        ({**SHARDED, TWO: (2 << 30).to_bytes(8, "little") + bytes(100)}, "claims a header of 2147483648 bytes"),
        ({**SHARDED, TWO: b"version https://git-lfs.github.com/spec/v1\noid"}, "run git lfs pull"),
        ({**SHARDED, "model.safetensors.index.json": index_file(1, a="../../etc/x.safetensors")}, "the same folder"),
        ({**SHARDED, "model.safetensors.index.json": b"{}"}, "has no weight_map"),
    ],
)
def test_a_folder_that_cannot_be_used(ask: Ask, tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    result = ask(source=f"path:{write(tmp_path / 'm', files)}")
    assert result["failed"]
    assert words in result["msg"]


SCHEME = {"producer": {"name": "modelopt", "version": "0.23.0"}}
FP8 = {**SCHEME, "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
NVFP4 = {**SCHEME, "quantization": {"quant_algo": "NVFP4", "group_size": 16, "kv_cache_quant_algo": None}}
MXFP8 = {**SCHEME, "quantization": {"quant_algo": "mxfp8", "kv_cache_quant_algo": "fp8"}}


@pytest.mark.parametrize(
    ("scheme", "method", "kv"),
    [(FP8, "modelopt", "fp8"), (NVFP4, "modelopt_fp4", None), (MXFP8, "modelopt_mxfp8", "fp8")],
)
def test_a_scheme_in_a_file_of_its_own(
    ask: Ask, hub: Hub, tmp_path: Path, scheme: dict[str, Any], method: str, kv: str | None
) -> None:
    data = json.dumps(scheme).encode()
    hub.files["hf_quant_config.json"] = data
    folder = write(tmp_path / "m", {**SHARDED, "hf_quant_config.json": data})
    for result in (ask(source=f"path:{folder}"), ask(endpoint=hub.url)):
        facts = result["model_info"]
        assert (facts["quantization"], facts["kv_cache_quantization"]) == (method, kv)
        assert weights(result) == (1200, "headers", 300)
    # The config itself comes first.
    own = json.dumps({**CONFIG, "quantization_config": {"quant_method": "awq", "bits": 4}}).encode()
    write(folder, {"config.json": own})
    assert ask(source=f"path:{folder}")["model_info"]["quantization"] == "awq"


MISTRAL = {
    "dim": 256,
    "n_layers": 2,
    "head_dim": 32,
    "hidden_dim": 512,
    "n_heads": 8,
    "n_kv_heads": 4,
    "vocab_size": 1024,
    "rope_theta": 1000000.0,
    "norm_eps": 1e-05,
    "max_position_embeddings": 32768,
}
OWN = {"tok_embeddings.weight": 100, "layers.0.attention.wq.weight": 100, "output.weight": 100}


def test_a_model_in_mistrals_own_layout(ask: Ask, hub: Hub, tmp_path: Path) -> None:
    files = {"params.json": json.dumps(MISTRAL).encode(), "consolidated.safetensors": safetensors_file(**OWN)}
    folder = write(tmp_path / "m", files)
    hub.files = dict(files)
    for result in (ask(source=f"path:{folder}"), ask(endpoint=hub.url)):
        facts = result["model_info"]
        assert weights(result) == (1200, "headers", 300)
        assert (facts["architectures"], facts["max_position_embeddings"]) == (["MistralForCausalLM"], 32768)
        assert facts["layers"] == [
            {"type": "full_attention", "count": 2, "num_kv_heads": 4, "head_size": 32, "head_size_v": 32}
        ]
        # It names no data type: that of its weights is taken.
        assert facts["dtype"] == "float32"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({**MISTRAL, "n_layers": None}, "params.json: num_hidden_layers is missing"),
        ({**MISTRAL, "moe": {"num_experts": 8, "num_experts_per_tok": 2}}, "of a model with shared experts"),
        ({**MISTRAL, "quantization": {"qformat_weight": "int3"}}, "fp8_e4m3 or compressed-tensors"),
        ({**MISTRAL, "sliding_window": [None, 4, 8]}, "one width, or a pattern"),
    ],
)
def test_what_mistrals_own_layout_may_not_say(ask: Ask, tmp_path: Path, params: dict[str, Any], words: str) -> None:
    folder = write(tmp_path / "m", {"params.json": json.dumps(params).encode()})
    assert words in ask(source=f"path:{folder}")["msg"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"adapter_config.json": b'{"base_model_name_or_path": "org/base", "peft_type": "LORA"}'},
            "it is an adapter (LORA) of org/base, no whole model; make org/base the source, and load the",
        ),
        (
            {"adapter_config.json": b'{"peft_type": "IA3", "base_model_name_or_path": null}'},
            "it is an adapter (IA3) of the model that it was made for, no whole model",
        ),
        ({"adapter_config.json": b"[]"}, "adapter_config.json is no JSON object"),
        (
            {"x-Q4_K_M.gguf": b"GGUF", "tokenizer.json": b"{}"},
            "it holds GGUF files (x-Q4_K_M.gguf), for which vLLM has",
        ),
        ({"README.md": b""}, "it has no config.json; choose a model in the layout of transformers"),
    ],
)
def test_what_is_no_whole_model_is_told_as_what_it_is(
    ask: Ask, hub: Hub, tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    assert words in ask(source=f"path:{write(tmp_path / 'm', files)}")["msg"]
    hub.files = {name: data for name, data in files.items() if not name.endswith(".gguf")}
    assert (words if hub.files == files else "it has no config.json") in ask(endpoint=hub.url)["msg"]


def test_a_repository_of_gguf_says_so_by_its_name(ask: Ask, hub: Hub) -> None:
    hub.files = {}
    assert "it holds GGUF files (org/small-GGUF)" in ask(source="hf://org/small-GGUF", endpoint=hub.url)["msg"]


@pytest.mark.parametrize(
    ("stored", "named", "dtype"),
    [("BF16", None, "bfloat16"), ("F16", None, "float16"), ("F32", None, "float32"), ("F16", "bfloat16", "bfloat16")],
)
def test_headers_name_a_data_type_that_the_config_does_not(
    ask: Ask, tmp_path: Path, stored: str, named: str | None, dtype: str
) -> None:
    size = 400 if stored == "F32" else 200
    entry = {"dtype": stored, "shape": [100], "data_offsets": [0, size]}
    packed = {"dtype": "U8", "shape": [10], "data_offsets": [size, size + 10]}
    header = json.dumps({"model.embed_tokens.weight": entry, "model.layers.0.mlp.experts.blocks": packed}).encode()
    config = json.dumps({**CONFIG, "torch_dtype": named}).encode()
    data = len(header).to_bytes(8, "little") + header + bytes(size + 10)
    folder = write(tmp_path / "m", {"config.json": config, "model.safetensors": data})
    assert ask(source=f"path:{folder}")["model_info"]["dtype"] == dtype


def test_no_pipe_and_no_folder_in_place_of_a_file(ask: Ask, tmp_path: Path) -> None:
    folder = write(tmp_path / "m", {})
    os.mkfifo(folder / "config.json")
    assert "config.json is no regular file" in ask(source=f"path:{folder}")["msg"]
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    assert "config.json is no regular file" in ask(source=f"path:{folder}")["msg"]


def test_a_folder_that_may_not_be_read(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "m", SHARDED)
    refused = PermissionError(13, "Permission denied")

    def refuse(*_args: Any) -> Any:
        raise refused

    with monkeypatch.context() as patch:
        patch.setattr(model_info.os, "stat", refuse)
        patch.setattr(model_info.os.path, "isdir", lambda _path: True)
        message = ask(source=f"path:{folder}")["msg"]
    assert "config.json cannot be read (Permission denied); correct its permissions" in message
    (folder / "model.safetensors.index.json").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(model_info.os, "listdir", refuse)
        assert f"{folder} cannot be read (Permission denied)" in ask(source=f"path:{folder}")["msg"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("path:/no/such/folder", "/no/such/folder is not a directory of this host; copy the model there"),
        ("path:models", "path: needs an absolute directory"),
        ("demo:", "give its directory as path:/directory"),
        ("small", "it is unknown; use hf://"),
        ("hf://../x", "it names no repository"),
    ],
)
def test_what_is_no_source(ask: Ask, source: str, words: str) -> None:
    assert words in ask(source=source)["msg"]


# --- the cache


def stage(root: Path, files: dict[str, bytes], ref: str = "main") -> Path:
    folder = root / "models--org--small"
    write(folder / "snapshots" / COMMIT, files)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / ref).write_text(COMMIT)
    return root


def test_the_cache_comes_first(ask: Ask, hub: Hub, tmp_path: Path) -> None:
    stage(tmp_path / "cache", SHARDED)
    for args in ({}, {"offline": True}, {"revision": COMMIT}, {"revision": None}):
        result = ask(cache_dir=str(tmp_path / "cache"), endpoint=hub.url, **args)
        assert weights(result) == (1200, "headers", 300)
        assert result["model_info"]["revision"] == COMMIT
        assert result["model_info"]["source"] == f"hf://{REPOSITORY}"
    assert hub.requests == []
    stage(tmp_path / "hf_home" / "hub", SHARDED, "v1")
    assert weights(ask(revision="v1", offline=True)) == (1200, "headers", 300)


def test_offline_without_a_snapshot(ask: Ask, hub: Hub, tmp_path: Path) -> None:
    stage(tmp_path / "cache", {"model.safetensors": b""})
    result = ask(cache_dir=str(tmp_path / "cache"), endpoint=hub.url, offline=True)
    assert f"hf://{REPOSITORY} at revision main: no snapshot of it is in the hub's cache; correct" in result["msg"]
    assert hub.requests == []


def test_the_hub_is_asked_for_what_the_cache_lacks(ask: Ask, hub: Hub, tmp_path: Path) -> None:
    stage(tmp_path / "cache", {"config.json": SHARDED["config.json"]})
    args = {"cache_dir": str(tmp_path / "cache"), "endpoint": hub.url}
    assert weights(ask(**args, offline=True)) == (None, None, None)
    assert weights(ask(**args)) == (1200, "headers", 300)
    assert all(path.startswith(f"{PREFIX}{COMMIT}/") for _method, path, _range, _key in hub.requests)


def test_a_hub_in_trouble_is_no_harm_to_what_is_at_hand(
    ask: Ask, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Inside a controller's process Ansible keeps warnings to itself, so they are caught where the module gives them.
    warnings: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _self, text, **_given: warnings.append(text))
    stage(tmp_path / "cache", {"config.json": SHARDED["config.json"]})
    hub.broken["model.safetensors.index.json"] = lambda handler: send(handler, 503, b"")
    result = ask(cache_dir=str(tmp_path / "cache"), endpoint=hub.url)
    assert weights(result) == (None, None, None)
    assert "has trouble of its own (status 503)" in str(warnings)


# --- the hub


def test_a_hub(ask: Ask, hub: Hub) -> None:
    result = ask(endpoint=f"{hub.url}/")
    assert weights(result) == (1200, "headers", 300)
    assert result["model_info"]["revision"] == COMMIT
    # Nothing but config, index and headers, to the byte.
    asked = {path.rsplit("/", 1)[-1] for _method, path, _range, _key in hub.requests}
    assert asked == {*SHARDED, "hf_quant_config.json"}
    for name in (ONE, TWO):
        assert hub.sent[name] == 8 + int.from_bytes(SHARDED[name][:8], "little")
    # One commit throughout, although the branch may move meanwhile.
    assert hub.requests[0][1] == f"{PREFIX}main/config.json"
    assert all(path.startswith(f"{PREFIX}{COMMIT}/") for _method, path, _range, _key in hub.requests[1:])
    assert ask(endpoint=hub.url, _ansible_check_mode=True)["model_info"] == result["model_info"]


def test_a_hub_that_tells_no_commit(ask: Ask, hub: Hub) -> None:
    hub.commit = None
    assert ask(endpoint=hub.url)["model_info"]["revision"] is None
    assert ask(endpoint=hub.url, revision=COMMIT)["model_info"]["revision"] == COMMIT
    assert ask(endpoint=hub.url, revision="refs/pr/1")["model_info"]["revision"] is None
    assert hub.requests[-1][1].startswith(f"{PREFIX}refs%2Fpr%2F1/")


def test_a_server_that_sends_all_is_cut_off(ask: Ask, hub: Hub) -> None:
    del hub.files["model.safetensors.index.json"]
    hub.files["model.safetensors"] = safetensors_header(**{"model.embed_tokens.weight": SPARSE // 4})
    hub.sizes["model.safetensors"] = len(hub.files["model.safetensors"]) + SPARSE
    hub.ranges = False
    assert weights(ask(endpoint=hub.url)) == (SPARSE, "headers", SPARSE // 4)
    hub.close()
    # What lay in the buffers of two connections, not the weights.
    assert hub.sent.get("model.safetensors", 0) < 50_000_000


def test_a_header_of_2_gb_is_not_fetched(ask: Ask, hub: Hub) -> None:
    hub.files[TWO] = (2 << 30).to_bytes(8, "little")
    hub.sizes[TWO] = 3 << 30
    assert "claims a header of 2147483648 bytes" in ask(endpoint=hub.url)["msg"]
    assert hub.sent[TWO] == 8


def test_headers_have_a_limit_together(ask: Ask, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "HEADER_LIMIT", len(SHARDED[ONE]) - 1200 + 50)
    folder = write(tmp_path / "m", SHARDED)
    for result in (ask(endpoint=hub.url), ask(source=f"path:{folder}")):
        assert "the headers of its safetensors files take more than 0 MB; choose another checkpoint" in result["msg"]


def test_a_config_without_end_is_cut_off(ask: Ask, hub: Hub) -> None:
    hub.sizes["config.json"] = SPARSE
    assert "config.json has more than 10 MB" in ask(endpoint=hub.url)["msg"]
    hub.close()
    assert hub.sent.get("config.json", 0) < 50_000_000


def test_a_hub_without_weights(ask: Ask, hub: Hub) -> None:
    hub.files = {"config.json": SHARDED["config.json"]}
    assert weights(ask(endpoint=hub.url)) == (None, None, None)
    hub.files["pytorch_model.bin"] = bytes(500)
    assert weights(ask(endpoint=hub.url)) == (500, "size", None)
    hub.files["pytorch_model.bin.index.json"] = index_file(400, a="pytorch_model.bin")
    assert weights(ask(endpoint=hub.url)) == (400, "index", None)


def test_a_shard_that_is_missing(ask: Ask, hub: Hub) -> None:
    del hub.files[ONE]
    assert weights(ask(endpoint=hub.url)) == (2400, "index", None)


def test_a_hundred_shards(ask: Ask, hub: Hub) -> None:
    names = [f"model-{number:05}-of-00100.safetensors" for number in range(1, 101)]
    hub.files.update({name: safetensors_file(**{f"model.{name}": 10}) for name in names})
    hub.files["model.safetensors.index.json"] = index_file(1, **{name: name for name in names})
    assert weights(ask(endpoint=hub.url)) == (4000, "headers", 1000)


def test_the_token_goes_to_the_hub_alone(ask: Ask, hub: Hub) -> None:
    hub.token = TOKEN
    store = Hub()
    with serving(store.server):
        hub.elsewhere = f"http://localhost:{store.port}"
        assert weights(ask(endpoint=hub.url, token=f"{TOKEN}\n")) == (1200, "headers", 300)
        assert {key for _method, _path, _range, key in hub.requests} == {f"Bearer {TOKEN}"}
        assert {key for _method, _path, _range, key in store.requests} == {""}
        assert len(store.requests) == 4
        del store.files[TWO]
        store.broken[TWO] = lambda handler: send(handler, 500, b"")
        message = ask(endpoint=hub.url, token=TOKEN)["msg"]
        assert "status 500" in message
        assert "Signature" not in message


def test_a_redirect_within_the_hub_keeps_the_token(ask: Ask, hub: Hub) -> None:
    hub.token = TOKEN
    moved = "/api/resolve-cache/models/org/small/" + COMMIT + "/config.json"

    def move(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == moved:
            key = handler.headers.get("Authorization")
            send(handler, 200 if key == f"Bearer {TOKEN}" else 401, SHARDED["config.json"])
        else:
            send(handler, 307, b"", {"Location": moved})

    hub.broken["config.json"] = move
    assert ask(endpoint=hub.url, token=TOKEN)["model_info"]["revision"] == COMMIT


def test_a_redirect_in_circles(ask: Ask, hub: Hub) -> None:
    hub.broken["config.json"] = lambda handler: send(handler, 302, b"", {"Location": handler.path})
    assert "redirects in circles; correct endpoint" in ask(endpoint=hub.url)["msg"]
    assert len(hub.requests) == 6


def test_a_redirect_to_a_file_of_the_host(ask: Ask, hub: Hub) -> None:
    hub.broken["config.json"] = lambda handler: send(handler, 302, b"", {"Location": "file:///etc/passwd"})
    assert "redirects to an address that is not http or https" in ask(endpoint=hub.url)["msg"]


def refuse(status: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: send(handler, status, f"no {TOKEN}".encode(), sent)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refuse(401), "does not accept the token for it (status 401); check the name, and set token"),
        (refuse(401, X_Error_Code="GatedRepo"), "accept its licence on the hub and set token"),
        (refuse(403, X_Error_Code="GatedRepo"), "does not let this account see it (status 403)"),
        (refuse(404, X_Error_Code="RevisionNotFound"), "has no such revision"),
        (refuse(404), "has no config.json of it (status 404)"),
        (refuse(429), "asked too often"),
        (refuse(502), "has trouble of its own (status 502)"),
        (refuse(304), "answers for config.json with status 304"),
    ],
)
def test_a_hub_that_refuses(ask: Ask, hub: Hub, answer: Callable[[BaseHTTPRequestHandler], None], words: str) -> None:
    hub.broken["config.json"] = answer
    message = ask(endpoint=hub.url, token=TOKEN)["msg"]
    assert f"hf://{REPOSITORY} at revision main: {hub.url} " in message
    assert words in message


def test_a_gated_model_without_a_token(ask: Ask, hub: Hub) -> None:
    hub.token = TOKEN
    assert "does not let strangers see it (status 401), it is gated or private" in ask(endpoint=hub.url)["msg"]


def test_a_server_that_trickles(ask: Ask, hub: Hub) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _tenth in range(300):
            handler.wfile.write(b" ")
            time.sleep(0.1)

    hub.broken["config.json"] = trickle
    watch = Watch()
    assert "127.0.0.1 does not answer within 1 s; raise timeout" in ask(endpoint=hub.url, timeout=1)["msg"]
    assert watch.seconds() < 20


def test_a_server_that_hangs(ask: Ask, hub: Hub) -> None:
    done = threading.Event()
    hub.broken["config.json"] = lambda _handler: done.wait(20) and None
    assert "does not answer within 1 s" in ask(endpoint=hub.url, timeout=1)["msg"]
    done.set()


def test_an_answer_cut_short(ask: Ask, hub: Hub) -> None:
    hub.broken["config.json"] = lambda handler: send(handler, 200, b"{", None, 100)
    assert "does not answer in HTTP (IncompleteRead)" in ask(endpoint=hub.url)["msg"]


def test_what_is_no_http(ask: Ask, hub: Hub) -> None:
    def babble(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    hub.broken["config.json"] = babble
    assert "does not answer in HTTP (BadStatusLine)" in ask(endpoint=hub.url)["msg"]
    hub.broken["config.json"] = lambda handler: send(handler, 206, b"{}", {"Content-Range": "bytes 5-6/10"})
    hub.broken[ONE] = hub.broken["config.json"]
    del hub.broken["config.json"]
    assert f"returned another part of {ONE}" in ask(endpoint=hub.url)["msg"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_port_where_nothing_listens(ask: Ask) -> None:
    message = ask(endpoint=f"http://127.0.0.1:{free_port()}")["msg"]
    assert "127.0.0.1 cannot be reached (connection refused); correct endpoint or http_proxy, or give a copy" in message


def test_a_name_that_does_not_resolve(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: Any, **_kwargs: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "the name of hub.unit.test does not resolve" in ask(endpoint="https://hub.unit.test")["msg"]


@pytest.mark.parametrize("error", [http.client.InvalidURL("x"), ValueError("odd"), OSError()])
def test_whatever_else_goes_wrong(ask: Ask, hub: Hub, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(model_info.urllib.request.OpenerDirector, "open", fail)
    message = ask(endpoint=hub.url)["msg"]
    assert re.search(r"\((InvalidURL|odd|OSError)\); correct endpoint", message)


def test_proxies_of_the_environment(ask: Ask, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", hub.url)
    assert weights(ask(endpoint="http://hub.unit.test")) == (1200, "headers", 300)
    assert all(path.startswith("http://hub.unit.test/") for _method, path, _range, _key in hub.requests)
    direct = Hub()
    with serving(direct.server):
        assert weights(ask(endpoint=direct.url, use_proxy=False)) == (1200, "headers", 300)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert weights(ask(endpoint=direct.url)) == (1200, "headers", 300)
        assert len(direct.requests) == 14


def test_a_proxy_that_refuses(ask: Ask, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://me:hunter2@127.0.0.1:{hub.port}")
    message = ask(endpoint="https://hub.unit.test", token=TOKEN)["msg"]
    assert f"hub.unit.test by way of the proxy 127.0.0.1:{hub.port} cannot be reached (Tunnel" in message
    assert "407" in message
    assert "hunter2" not in message
    assert hub.requests == [("CONNECT", "hub.unit.test:443", "", "")]


def test_a_token_that_is_none(ask: Ask, hub: Hub) -> None:
    for odd in (f"{TOKEN} {TOKEN}", f"{TOKEN}\nx", f"{TOKEN}é"):
        assert (
            "the token contains characters that are not allowed in a token" in ask(endpoint=hub.url, token=odd)["msg"]
        )
    assert hub.requests == []


def test_an_endpoint_or_revision_that_is_none(ask: Ask) -> None:
    assert "is not an http or https URL" in ask(endpoint="huggingface.co")["msg"]
    assert "is not valid; give a branch" in ask(revision="../../x")["msg"]


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls") / "server.pem", "hub.unit.test")


def test_tls_with_an_authority_of_its_own(ask: Ask, hub: Hub, certificate: Path, tmp_path: Path) -> None:
    use_tls(hub.server, certificate)
    url = f"https://127.0.0.1:{hub.port}"
    assert weights(ask(endpoint=url, ca_path=str(certificate))) == (1200, "headers", 300)
    message = ask(endpoint=url)["msg"]
    assert "the certificate of 127.0.0.1 is not trusted (self" in message
    assert "; set ca_path to the PEM file of its authority" in message
    missing = ask(endpoint=url, ca_path="/no/such.pem")["msg"]
    assert "ca_path /no/such.pem holds no certificate (No such file or directory); set it to a PEM file" in missing
    (tmp_path / "empty.pem").touch()
    assert "empty.pem holds no certificate" in ask(endpoint=url, ca_path=str(tmp_path / "empty.pem"))["msg"]


def test_no_tls_where_it_should_be(ask: Ask, hub: Hub) -> None:
    assert "no TLS with 127.0.0.1 (" in ask(endpoint=f"https://127.0.0.1:{hub.port}")["msg"]
