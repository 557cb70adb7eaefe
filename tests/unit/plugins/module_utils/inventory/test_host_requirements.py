# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import overlap
from ansible_collections.llmfleet.serving.plugins.module_utils.host.sockets import Process, Socket, parse_sockets
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import host_requirements
from hypothesis import given
from hypothesis import strategies as st

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TCP = (
    HEADER
    + "   0: 0100007F:0FA0 00000000:0000 0A 0:0 0:0 0 0 0 4711 1 0000 100\n"
    + "   1: 0100007F:0FA0 0100007F:C350 01 0:0 0:0 0 0 0 4712 1 0000 20\n"
    + "   2: 00000000:01BB 00000000:0000 0A 0:0 0:0 0 0 0 4713 1 0000 100\n"
)
TCP6 = (
    HEADER
    + "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 "
    + "00:00000000 00000000     0        0 4714 1 0000 100 0 0 10 0\n"
    + "   1: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 00000000:00000000 "
    + "00:00000000 00000000     0        0 4715 1 0000 100 0 0 10 0\n"
)
ROOTS = ["/opt/llmfleet", "/etc/llmfleet/"]


def test_listening_sockets_of_the_kernels_tables() -> None:
    assert parse_sockets(TCP) == [Socket("127.0.0.1", 4000, "4711"), Socket("0.0.0.0", 443, "4713")]
    assert parse_sockets(TCP6) == [Socket("::", 80, "4714"), Socket("127.0.0.1", 81, "4715")]
    assert parse_sockets("") == []


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "10.0.0.1", False),
        ("0.0.0.0", "10.0.0.1", True),
        ("", "10.0.0.1", True),
        ("::", "10.0.0.1", True),
        ("[::1]", "::1", True),
        ("::1", "127.0.0.1", False),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("localhost", "10.0.0.1", False),
        ("gateway.example", "10.0.0.1", True),
    ],
)
def test_addresses_that_overlap(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is expected


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (Process(9, 1, "nginx", "nginx: master process nginx", "0::/system.slice/llm-nginx.service"), True),
        (Process(9, 1, "nginx", "nginx: master process nginx", "0::/system.slice/nginx.service"), False),
        (Process(9, 1, "python", "/opt/llmfleet/venvs/x/bin/python -m y", "0::/"), True),
        (Process(9, 1, "nginx", "nginx: master process nginx -c /etc/llmfleet/nginx/nginx.conf", "0::/"), True),
        (Process(9, 1, "python", "/opt/llmfleet-old/bin/python", "0::/"), False),
        (Process(9, 8, "worker", "", "0::/"), True),
        (Process(9, 7, "worker", "", "0::/"), False),
        (Process(9, 9, "loop", "", ""), False),
        # Nobody's child any more, with nothing but its user to tell whose it was.
        (Process(9, 1, "VLLM::EngineCore", "VLLM::EngineCore", "0::/", "llm-vllm"), True),
        (Process(9, 1, "nginx", "nginx: worker process", "0::/", "www-data"), False),
        (Process(9, 1, "nginx", "nginx: worker process", "0::/", "my-llm-user"), False),
    ],
)
def test_whose_process_it_is(process: Process, expected: bool) -> None:
    others = {
        1: Process(1, 0, "init", "/opt/llmfleet/init", ""),
        8: Process(8, 1, "supervisord", "/usr/bin/python3 /opt/llmfleet/tools/bin/supervisord", ""),
        7: Process(7, 1, "sh", "sh", ""),
    }
    assert host_requirements.is_ours(process, {**others, 9: process}, ROOTS, "llm-") is expected


LISTENERS = [{"name": "litellm_port", "address": "127.0.0.1", "port": 4000}]
PYTHON = Process(7, 1, "python3", "", "")


def sentences(listeners: list[dict[str, Any]], owners: dict[str, Process], ours: set[int]) -> list[str]:
    found = host_requirements.listener_problems("h", listeners, parse_sockets(TCP), owners, ours)
    return [problem.sentence() for problem in found]


def test_a_port_that_somebody_else_has() -> None:
    (sentence,) = sentences(LISTENERS, {"4711": PYTHON}, set())
    assert sentence == (
        'h: litellm_port is "127.0.0.1:4000": in use by python3 (pid 7), which this collection did not start; '
        "stop it or choose another port."
    )
    (sentence,) = sentences(LISTENERS, {"4711": PYTHON._replace(user="alice")}, set())
    assert "in use by python3 (pid 7) of user alice, which this collection did not start;" in sentence
    assert "that only root can see" in sentences(LISTENERS, {}, set())[0]


def test_a_port_that_is_ours_or_free() -> None:
    assert sentences(LISTENERS, {"4711": PYTHON}, {7}) == []
    assert sentences([{**LISTENERS[0], "port": 4001}], {}, set()) == []
    assert sentences([{**LISTENERS[0], "address": "10.0.0.1"}], {}, set()) == []


def test_two_that_want_the_same_port() -> None:
    both = [{"name": "a", "address": "", "port": 1}, {"name": "b", "address": "::1", "port": 1}]
    assert sentences(both, {}, set()) == ['h: b is "[::1]:1": a is to listen there too; give each a port of its own.']


def disk(path: str, device: int, needed: int, free: int) -> dict[str, Any]:
    return {"path": path, "needed_mib": needed, "purpose": f"p{path}", "device": device, "free_mib": free}


def test_what_lies_on_one_disk_adds_up() -> None:
    wanted = [disk("/a", 1, 60, 100), disk("/b", 1, 60, 100), disk("/c", 2, 60, 100)]
    (problem,) = host_requirements.disk_problems("h", wanted)
    assert problem.sentence() == (
        'h: free space of /a, /b is "100 MiB": 120 MiB are needed (p/a 60, p/b 60); '
        "free 20 MiB there, or put the directory on a larger disk."
    )
    assert host_requirements.disk_problems("h", []) == []


def test_memory() -> None:
    (small,) = host_requirements.memory_problems("h", 5000, total=4000, available=4000, ours=0)
    assert small.sentence().startswith('h: memory is "4000 MiB": its instances and services need 5000 MiB')
    (held,) = host_requirements.memory_problems("h", 5000, total=8000, available=2000, ours=1000)
    assert "5000 MiB are needed, other programs hold 5000 of 8000 MiB" in held.sentence()
    assert host_requirements.memory_problems("h", 5000, total=8000, available=500, ours=3500) == []


@pytest.mark.parametrize(("engines", "free", "fits"), [(0, 0, True), (1, 160, True), (2, 319, False), (2, 64, False)])
def test_shared_memory(engines: int, free: int, fits: bool) -> None:
    found = host_requirements.shared_memory_problems(
        "h", "/dev/shm", [{"name": f"m-{number}"} for number in range(engines)], free
    )
    assert (not found) is fits
    for problem in found:
        assert problem.sentence() == (
            f'h: free space of /dev/shm is "{free} MiB": 2 engines need 320 MiB there, 160 each; enlarge it with '
            "`mount -o remount,size=640M /dev/shm` and in /etc/fstab (a container gets it when it is made: shm_size, "
            "--shm-size 640m), or take models away."
        )


def test_cores_that_a_container_may_not_use() -> None:
    instances = [{"cpu": {"cores": "0-2"}}, {"cpu": {"cores": ""}}]
    (problem,) = host_requirements.core_problems("h", instances, {1, 2, 5})
    assert problem.sentence().startswith("h: llm_cores is [0]")
    assert problem.remedy.endswith("1,2,5")
    assert host_requirements.core_problems("h", instances, {0, 1, 2}) == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 2048}, 2048),
        ({"n_positions": 8192}, 8192),
        ({"text_config": {"max_position_embeddings": 10}, "max_position_embeddings": 5}, 10),
        ({"text_config": "x", "max_position_embeddings": 5}, 5),
        # Facts of published configurations: Llama-3.1, DeepSeek-V3, gpt-oss, Qwen3.
        ({"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 131072),
        ({"max_position_embeddings": 163840, "rope_scaling": {"type": "yarn", "factor": 40}}, 163840),
        ({"max_position_embeddings": 40960, "rope_scaling": None}, 40960),
        ({"max_position_embeddings": 100, "rope_scaling": {"type": "linear", "factor": 4.0}}, 400),
        ({"max_position_embeddings": 100, "rope_parameters": {"full": {"rope_type": "linear", "factor": 2}}}, 200),
        (
            {"max_position_embeddings": 100, "model_type": "gemma3", "rope_scaling": {"type": "linear", "factor": 8}},
            100,
        ),
        ({"max_position_embeddings": 100, "rope_scaling": {"factor": None}}, 100),
        ({}, None),
        ({"max_position_embeddings": True}, None),
        ({"max_position_embeddings": "many"}, None),
    ],
)
def test_positions_of_a_configuration(config: dict[str, Any], expected: int | None) -> None:
    assert host_requirements.positions(config) == expected


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda x: st.dictionaries(
            st.sampled_from(["text_config", "max_position_embeddings", "rope_scaling", "factor", "type"]), x, max_size=4
        ),
    )
)
def test_any_configuration_gives_a_number_or_nothing(config: Any) -> None:
    if isinstance(config, dict):
        assert host_requirements.positions(config) is None or isinstance(host_requirements.positions(config), int)


def folder(config: dict[str, Any] | None, **instance: Any) -> list[str]:
    full = {"model": "m", "path": "/srv/m", "max_model_len": 4096, "args": {}, "env": {}, **instance}
    return [problem.sentence() for problem in host_requirements.folder_problems("h", full, config)]


def test_a_folder_without_a_model() -> None:
    (sentence,) = folder(None)
    assert sentence.startswith('h: llm_models[m].source is "path:/srv/m": there is no config.json')


def test_a_context_beyond_the_folders_model() -> None:
    (sentence,) = folder({"max_position_embeddings": 2048})
    assert sentence == (
        "h: llm_models[m].context is 4096: the model has 2048 positions by its config.json; "
        "ask for 2048 or fewer, or write auto."
    )
    assert folder({"max_position_embeddings": 4096}) == []
    assert folder({"max_position_embeddings": 2048}, max_model_len=None) == []
    assert folder({"max_position_embeddings": 2048}, args={"hf-overrides": {}}) == []
