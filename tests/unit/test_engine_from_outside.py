# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An engine from outside is planned, served, wired and verified, and nothing but its file and its role knows it.

tests/engine_echo is what docs/contributing/add-an-engine.md describes.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.filter import fleet as filters
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import keys, registry
from ansible_collections.llmfleet.serving.plugins.modules import serving_plan_info, verify_chain
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import summary, wiring
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import spec as service_spec
from ansible_playbook import run_playbook
from load_file import load_file
from local_server import serving
from module_runner import run_module

ROOT = Path(__file__).resolve().parents[2]
ECHO = ROOT / "tests" / "engine_echo"
ENGINES = {
    "vllm": {"role": "llmfleet.serving.vllm"},
    "echo": {"role": "echo", "file": str(ECHO / "echo_engine.py")},
}
MODELS = [
    {"name": "chat", "source": "demo:", "engine": "echo", "replicas": 2, "args": {"prefix": "You said:"}},
    {"name": "other", "source": "demo:"},
]
HOST = {"device": "cpu", "address": "127.0.0.1", "cpu": {"vcpus": 4, "memory_mib": 16000}}
KEY = "sk-echo-0123456789"


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ENGINES", {"vllm": registry.of({})})


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def models() -> list[dict[str, Any]]:
    resolved: list[dict[str, Any]] = filters.resolve_models(MODELS, {}, {}, {}, ENGINES)
    return resolved


@pytest.fixture
def instances(
    models: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    """The plan, as the module makes it on the control node."""
    args = {"hosts": {"h": HOST}, "models": models, "engines": ENGINES, "first_port": free_port()}
    planned = run_module(serving_plan_info.main, args, monkeypatch, capsys)["plan"]
    assert planned["problems"] == []
    return list(planned["instances"])


def test_it_is_planned(instances: list[dict[str, Any]]) -> None:
    assert [(one["name"], one["engine"]) for one in instances] == [
        ("chat-0", "echo"),
        ("chat-1", "echo"),
        ("other-0", "vllm"),
    ]
    assert instances[0]["args"] == {"prefix": "You said:"}
    assert len({one["port"] for one in instances}) == 3


def test_it_is_put_behind_the_gateway(instances: list[dict[str, Any]], models: list[dict[str, Any]]) -> None:
    chat, other = wiring.litellm_deployments(instances, models, "http://127.0.0.1:4100")
    assert (chat["provider"], other["provider"]) == ("openai", "hosted_vllm")
    upstream = wiring.south_upstreams(instances, models, ENGINES)[0]
    assert upstream["api_paths"] == ["/v1/models", "/v1/chat/completions"]
    assert [server["address"] for server in upstream["servers"]] == [one["address"] for one in instances[:2]]
    jobs = wiring.scrape_targets(instances)
    assert [(job["job"], len(job["targets"])) for job in jobs] == [("echo", 2), ("vllm", 1)]
    hops = wiring.hops(instances, [], "journalctl -u llm-{}")
    assert (hops[0]["name"], hops[0]["url"]) == ("llm-echo-chat-0", f"http://{instances[0]['address']}/ready")
    assert hops[0]["remedy"] == "see `journalctl -u llm-echo-chat-0`"
    assert wiring.listeners(instances, [])[0]["name"] == "echo-chat-0"
    assert "llm-echo-chat-0" in summary.fleet_summary(instances, {}, [])


def test_its_own_flags_are_refused_and_an_unknown_engine_is_named() -> None:
    wrong = [{**MODELS[0], "args": {"port": 1}}, {**MODELS[1], "engine": "ech"}]
    found = filters.inventory_problems(wrong, engines=ENGINES)
    assert [(one["variable"], one["remedy"]) for one in found] == [
        ("llm_models[chat].args[port]", "the port follows from the plan"),
        ("llm_models[other].engine", "did you mean echo"),
    ]


@pytest.fixture
def served(instances: list[dict[str, Any]], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The first instance, run by the spec that its role writes."""
    module = load_file(ECHO / "roles/echo/filter_plugins/echo.py")
    specs = module.echo_specs(instances[:1], str(ECHO / "roles/echo/files/echo_server.py"), str(tmp_path))
    (spec,) = service_spec.normalise(specs, str(tmp_path), "/var/lib/llmfleet")
    Path(spec["config_dir"]).mkdir()
    (file,) = spec["files"]
    Path(file["dest"]).write_text(keys.text([keys.fingerprint("sk-earlier-0123456789"), keys.fingerprint(KEY)]))
    command = [sys.executable, *spec["command"][1:]]
    with subprocess.Popen(command, env={**os.environ, **spec["environment"], **spec["secrets"]}) as process:
        deadline = time.monotonic() + spec["ready"]["deadline"]
        while True:
            try:
                urllib.request.urlopen(spec["ready"]["url"], timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "it was not ready in time"
                time.sleep(0.05)
        yield process
        process.kill()


class Door(BaseHTTPRequestHandler):
    """What Nginx and LiteLLM are to a client: it passes /v1 on, and nothing else."""

    behind = ""

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.pass_on(None)

    def do_POST(self) -> None:
        self.pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def pass_on(self, body: bytes | None) -> None:
        if not self.path.startswith("/v1/"):
            self.send_error(404)
            return
        connection = http.client.HTTPConnection(self.behind, timeout=10)
        try:
            headers = {"Authorization": self.headers.get("Authorization", "")}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self.send_response(answer.status)
            self.send_header("Content-Type", str(answer.getheader("Content-Type")))
            self.end_headers()
            self.wfile.write(answer.read())
        except OSError:
            self.send_error(502)
        finally:
            connection.close()


@pytest.fixture
def door(instances: list[dict[str, Any]]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Door,), {"behind": instances[0]["address"]}))
    with serving(server) as address:
        yield f"http://{address}/v1"


def verify(
    door: str, instances: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    args = {
        "api_url": door,
        "api_key": KEY,
        "models": ["chat"],
        "hops": wiring.hops(instances[:1], [], "journalctl -u llm-{}"),
        "timeout": 10,
    }
    return run_module(verify_chain.main, args, monkeypatch, capsys)


def test_it_is_served_and_verified(
    door: str,
    instances: list[dict[str, Any]],
    served: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = verify(door, instances, monkeypatch, capsys)
    assert not whole.get("failed"), whole["msg"]
    served.kill()
    served.wait()
    broken = verify(door, instances, monkeypatch, capsys)
    assert broken["failed"]
    assert "llm-echo-chat-0" in broken["msg"]


PLAY: list[dict[str, Any]] = [
    {
        "hosts": "all",
        "become": True,
        "gather_facts": True,
        "vars_files": [str(ROOT / "group_vars" / "all" / "llm_images.yml")],
        "roles": [{"role": "llmfleet.serving.fleet_defaults"}],
        "tasks": [
            {"ansible.builtin.include_tasks": str(ROOT / "playbooks" / "tasks" / "prepare_engines.yml")},
            {
                "ansible.builtin.include_tasks": str(ROOT / "playbooks" / "tasks" / "run_engines.yml"),
                "vars": {
                    "__llm_mine": {
                        "engines": "{{ llm_engines | list }}",
                        "planned": "{{ llm_instances_here }}",
                        "untouched": [],
                    }
                },
            },
        ],
    }
]


def test_the_playbook_calls_its_role_in_check_mode_on_a_host_that_has_nothing(
    instances: list[dict[str, Any]], tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("the playbook becomes root, which needs a password here: run as root")
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "llm_engines_extra": {"echo": ENGINES["echo"]},
        "llm_models": MODELS,
        "llm_device": "cpu",
        "llm_package": "native",
        "llm_address": "127.0.0.1",
        "llm_planned": {"plan": {"instances": [{**one, "host": "h"} for one in instances[1:]]}},
        "llm_secrets": {"vllm_api_key": KEY},
        **{f"service_{name}_root": str(tmp_path / name) for name in ("config", "state", "run", "log")},
        "service_root": str(tmp_path / "opt"),
        "service_manager": "supervisor",
    }
    (tmp_path / "hosts.yml").write_text(
        yaml.safe_dump({"all": {"vars": variables, "children": {"llm_inference": {"hosts": {"h": None}}}}})
    )
    (tmp_path / "play.yml").write_text(yaml.safe_dump(PLAY))
    given = ["--check", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"]
    done = run_playbook(*given, ANSIBLE_ROLES_PATH=str(ECHO / "roles"))
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    called = re.findall(r"^TASK \[(\S+) : (.*?)\]", said, re.MULTILINE)
    assert ("echo", "Copy the program") in called
    assert ("llmfleet.serving.models", "Register the directory of each model") in called
    assert re.findall(r"^included: (\S+) for h => \(item=", said, re.MULTILINE) == [
        *("echo", "llmfleet.serving.vllm"),
        *("echo", "llmfleet.serving.vllm"),
        # Every engine is called, with or without an instance here: it removes what nothing asks for any more.
        *("llmfleet.serving.vllm", "echo"),
    ]
    assert not (tmp_path / "opt").exists()
    assert json.dumps(KEY) not in said


def test_nothing_else_knows_it() -> None:
    """The wall: outside its file, its role and this test the word is not to be found."""
    folders = ("plugins", "roles", "playbooks")
    found = [
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yml", ".j2") and re.search(r"\bEcho\b|echo_|engine_echo", path.read_text())
    ]
    assert not found
