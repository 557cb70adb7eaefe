# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's judgements: tables of what is seen and what is to be said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import causes as doctor_causes
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import engine as doctor_engine
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import finding as doctor_finding
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import gpu as doctor_gpu
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import host as doctor_host
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.finding import ERROR, OK, WARNING, Finding
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.errors import Reply
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi import gpu_facts
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem
from ansible_collections.llmfleet.serving.plugins.plugin_utils.doctor import report as doctor_report

DATA = Path(__file__).parents[1] / "data" / "nvidia_smi"
UUID = "GPU-11111111-1111-1111-1111-111111111111"
OTHER = "GPU-22222222-2222-2222-2222-222222222222"


def gpu(**values: Any) -> dict[str, Any]:
    return {
        "index": 0,
        "uuid": UUID,
        "pci_bus_id": "0000:3b:00.0",
        "product_name": "NVIDIA L4",
        "health": "ok",
        "memory_total_mib": 23034,
        "memory_used_mib": 1,
        "memory_reserved_mib": 434,
        "mig_devices": [],
        **values,
    }


def facts(*gpus: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {
        "driver_version": "580.105.08",
        "kernel_module_version": "580.105.08",
        "error": None,
        "reboot_required": False,
        "gpus": list(gpus) or [gpu()],
        **values,
    }


def recorded(name: str) -> tuple[dict[str, Any], str]:
    xml = (DATA / name).read_text()
    return gpu_facts({"xml": Reply(out=xml)}, source="/usr/bin/nvidia-smi"), xml


def severities(found: list[Finding]) -> list[str]:
    return [one.severity for one in found]


# ---- when a host is examined again ---------------------------------------------------------------------------------

ENGINE = {"name": "chat-0", "python": ["/opt/p/bin/python"], "gpus": [UUID], "ranks": None, "environment": {}}


def parts(
    kernel: str = "6.1", engine: dict[str, Any] | None = None, program: str = "p", **values: Any
) -> dict[str, str]:
    return doctor_finding.fingerprint(facts(**values), kernel, [engine or ENGINE], program)


def test_an_unchanged_host_is_not_examined_again() -> None:
    report = doctor_finding.report("gpu1", "now", [], [doctor_finding.fine("clock", "this host", "well")], None)
    kept = json.loads(json.dumps(doctor_finding.record(parts(), report, {})))
    assert doctor_finding.reasons(kept, parts()) == []
    # Neither a name nor the order of engines matters.
    assert doctor_finding.reasons(kept, parts(engine={**ENGINE, "name": "other-0"})) == []


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (parts(kernel="6.2"), "kernel: 6.1 -> 6.2"),
        (parts(driver_version="595.1"), "driver: 580.105.08"),
        (parts(kernel_module_version="570.1"), "driver: "),
        (parts(error="the driver hangs"), "state of the driver: works -> the driver hangs"),
        (parts(gpus=[gpu(), gpu(uuid=OTHER)]), f"GPUs: {UUID} -> {UUID}, {OTHER}"),
        (parts(gpus=[gpu(mig_devices=[{"uuid": "MIG-1"}])]), "MIG-1"),
        (parts(engine={**ENGINE, "python": ["docker", "run", "image@sha256:1", "python3"]}), "engines: "),
        (parts(engine={**ENGINE, "gpus": [UUID, OTHER]}), "engines: "),
        (parts(engine={**ENGINE, "environment": {"NCCL_P2P_DISABLE": "1"}}), "engines: "),
        (parts(program="q"), "checks: "),
    ],
)
def test_what_has_a_host_examined_again(now: dict[str, str], word: str) -> None:
    kept = doctor_finding.record(parts(), doctor_finding.report("gpu1", "now", [], [], None), {})
    (why,) = doctor_finding.reasons(kept, now)
    assert word in why


@pytest.mark.parametrize("kept", [None, [], "text", {}, {"schema": 0, "report": {}}, {"schema": 1, "report": []}])
def test_a_host_without_a_usable_record_is_examined(kept: Any) -> None:
    assert doctor_finding.reasons(kept, parts()) == ["this host was not examined before"]


@pytest.mark.parametrize("report", [{"errors": 1, "findings": []}, {}, {"findings": "none"}])
def test_a_host_with_errors_is_examined_until_it_has_none(report: dict[str, Any]) -> None:
    (why,) = doctor_finding.reasons({"schema": 1, "parts": parts(), "report": report}, parts())
    assert "the last examination" in why


def test_a_record_with_damaged_parts() -> None:
    assert len(doctor_finding.reasons({"schema": 1, "parts": [], "report": {"findings": []}}, parts())) == len(parts())


def test_a_host_without_gpus_has_a_fingerprint() -> None:
    assert doctor_finding.fingerprint(None, "6.1", [], "")["GPUs"] == "none"


@pytest.mark.parametrize(("kept", "sizes"), [({}, {}), ({"sizes": []}, {}), ({"sizes": {"a": 1, "b": "x"}}, {"a": 1})])
def test_recorded_sizes(kept: dict[str, Any], sizes: dict[str, int]) -> None:
    assert doctor_finding.sizes(kept) == sizes


# ---- reports -------------------------------------------------------------------------------------------------------

BAD = Finding("cuda", ERROR, "chat-0", "nothing works", "a cause", "do this.")
ODD = Finding("clock", WARNING, "this host", "adrift", "it drifts", "start chrony")


def test_a_report_has_the_worst_first_and_counts() -> None:
    report = doctor_finding.report(
        "gpu1", "now", ["asked"], [doctor_finding.fine("port", "a", "free"), ODD, BAD], 1.5e9
    )
    assert [one["severity"] for one in report["findings"]] == [ERROR, WARNING, OK]
    assert (report["errors"], report["warnings"], report["read_rate"]) == (1, 1, 1_500_000_000)
    assert doctor_finding.failure(report) == "gpu1: cuda of chat-0: nothing works; a cause; do this."


def test_several_errors_are_a_list_and_none_is_empty() -> None:
    report = doctor_finding.report("gpu1", "now", [], [BAD, BAD], None)
    assert doctor_finding.failure(report).splitlines()[0] == "2 errors:"
    assert doctor_finding.failure(report).splitlines()[1:] == 2 * [
        "  - gpu1: cuda of chat-0: nothing works; a cause; do this."
    ]
    assert doctor_finding.failure(doctor_finding.report("gpu1", "now", [], [ODD], None)) == ""


def test_the_table_and_the_advice() -> None:
    long = Finding("cuda", ERROR, "chat-1", "x" * 200, "a cause", "do this.")
    reports = {
        "gpu1": doctor_finding.report(
            "gpu1", "now", [], [BAD, long, doctor_finding.fine("port", "chat-0 :8100", "free")], None
        ),
        "gpu2": doctor_finding.report("gpu2", "now", [], [ODD], None),
        "gpu3": None,
        "gpu4": {},
    }
    text = doctor_report.render(reports)
    lines = text.splitlines()
    assert lines[0].split() == ["HOST", "CHECK", "SUBJECT", "FOUND"]
    assert max(map(len, lines[:8])) < 150
    # What is wrong in the same way is said once, and in full.
    assert text.count("do:   do this.") == 1
    assert "x" * 200 in text
    assert "gpu2: WARN clock\n    this host: adrift\n    why:  it drifts\n    do:   start chrony" in text
    assert text.endswith("4 hosts: 4 errors, 1 warning.")
    failures = doctor_report.failures(reports)
    assert [sentence.partition(":")[0] for sentence in failures] == ["gpu1", "gpu1", "gpu3", "gpu4"]
    assert "no answer" in failures[2]


# ---- deadlines and disk --------------------------------------------------------------------------------------------

GIB15 = 15 * 1024**3


@pytest.mark.parametrize(
    ("instance", "size", "rate", "seconds"),
    [
        ({"memory": {"weights": GIB15}, "gpus": [UUID]}, 0, 1e9, 360),
        ({"memory": {"weights": GIB15}, "gpus": [UUID, OTHER]}, 0, 1e9, 420),
        # A plan that does not tell: what lies there counts.
        ({"memory": None, "gpus": []}, GIB15, 1e9, 360),
        # Nobody could measure: a slow disk is assumed.
        ({"memory": {"weights": GIB15}, "gpus": [UUID]}, 0, None, 480),
        ({}, 0, 1e9, 300),
    ],
)
def test_deadlines_of_starts(instance: dict[str, Any], size: int, rate: float | None, seconds: int) -> None:
    found = doctor_finding.start_deadlines([{"name": "chat-0", **instance}], {"chat-0": size}, rate, 300)
    assert found == {"chat-0": seconds}


@pytest.mark.parametrize(
    ("instance", "folder"),
    [
        ({"source": "hf://meta-llama/Llama-3.1-8B"}, "/m/hub/models--meta-llama--Llama-3.1-8B"),
        ({"source": "path:/srv/x", "path": "/srv/x"}, "/srv/x"),
        ({"source": "path:/srv/x"}, "/srv/x"),
        ({"source": "demo:"}, "/m/demo"),
        ({"source": "hf://gpt2"}, "/m/hub/models--gpt2"),
    ],
)
def test_where_weights_lie(instance: dict[str, Any], folder: str) -> None:
    assert doctor_host.model_folder(instance, "/m") == folder


@pytest.mark.parametrize(
    ("read", "seconds", "failure", "deadline", "severity", "word"),
    [
        (10**9, 1.0, "", 333, OK, "1000 MB/s; an instance may take 333 s"),
        (10**9, 20.0, "", 1800, WARNING, "50 MB/s"),
        (0, 0.0, "", 333, OK, "no weights"),
        (0, 0.0, "reading did not end", 333, ERROR, "reading did not end"),
    ],
)
def test_disk(read: int, seconds: float, failure: str, deadline: int, severity: str, word: str) -> None:
    found = doctor_host.disk(read, seconds, failure, [{"name": "chat-0"}], {"chat-0": deadline}, 300)
    assert (found.severity, bool(found.remedy)) == (severity, severity != OK)
    assert word in found.found


@pytest.mark.parametrize(
    ("synchronized", "offset", "severity", "word"),
    [
        (True, 1.2, OK, "kept by a time server, 1 s ahead of"),
        (None, None, OK, "nobody tells"),
        (False, 0.0, WARNING, "not kept"),
        (True, -45.0, WARNING, "45 s behind"),
        (True, 4000.0, ERROR, "4000 s ahead"),
    ],
)
def test_clock(synchronized: bool | None, offset: float | None, severity: str, word: str) -> None:
    found = doctor_host.clock(synchronized, offset)
    assert found.severity == severity
    assert word in found.found


def test_ports() -> None:
    instances = [{"name": "chat-0", "port": 8100}, {"name": "chat-1", "port": 8101}]
    taken = Problem("chat-1", "*:8101", "in use by nc (pid 7)", "stop it or choose another port", "gpu1")
    free, bad = doctor_host.ports([taken], instances)
    assert (free.severity, bad.severity, bad.subject) == (OK, ERROR, "chat-1 :8101")
    assert "in use by nc" in bad.cause


# ---- driver and GPUs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "severity", "word", "remedy"),
    [
        (None, ERROR, "nothing is known", "gpu_facts"),
        (facts(), OK, "580.105.08", ""),
        (facts(reboot_required=True, kernel_module_version="570.1"), ERROR, "module 570.1", "reboot"),
        (facts(error="It hangs: reboot it."), ERROR, "driver 580", "reboot it."),
        (facts(error="It hangs"), ERROR, "driver 580", "dmesg"),
        ({"gpus": [], "error": None}, ERROR, "no GPU", "llm_device"),
    ],
)
def test_driver(given: dict[str, Any] | None, severity: str, word: str, remedy: str) -> None:
    (found,) = doctor_gpu.driver(given)
    assert found.severity == severity
    assert word in found.found
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("values", "severity", "word"),
    [
        ({}, OK, "healthy"),
        ({"health": "lost"}, ERROR, "lost"),
        ({"recovery_action": "Drain and Reset"}, ERROR, "Drain and Reset"),
        ({"recovery_action": "None"}, OK, "healthy"),
        (
            {"mig_mode_current": "Disabled", "mig_mode_pending": "Enabled"},
            WARNING,
            "MIG is Disabled and will be Enabled",
        ),
        ({"mig_mode_current": "Enabled", "mig_mode_pending": "Enabled"}, OK, "healthy"),
        ({"fabric": {"state": "In Progress", "status": None}}, ERROR, "state In Progress, status nothing"),
        ({"fabric": {"state": "Completed", "status": "Failure"}}, ERROR, "status Failure"),
        ({"fabric": {"state": "Completed", "status": "Success"}}, OK, "healthy"),
        ({"fabric": {"state": "completed", "status": "success"}}, OK, "healthy"),
        ({"fabric": {"state": "Completed", "status": None}}, ERROR, "status nothing"),
        ({"fabric": {"state": None, "status": None}}, OK, "healthy"),
        ({"persistence_mode": "Disabled"}, WARNING, "persistence mode is off"),
    ],
)
def test_health_by_facts(values: dict[str, Any], severity: str, word: str) -> None:
    (found,) = doctor_gpu.health(facts(gpu(**values)), "")
    assert (found.severity, found.subject) == (severity, "GPU 0 (NVIDIA L4)")
    assert word in found.found


XML = "<nvidia_smi_log><gpu><pci><pci_bus_id>00000000:3B:00.0</pci_bus_id></pci>{}</gpu></nvidia_smi_log>"
SLOW = "<clocks_{0}_reasons><clocks_{0}_reason_{1}>Active</clocks_{0}_reason_{1}></clocks_{0}_reasons>"
POWER = "<{0}><{1}>{2} W</{1}><default_power_limit>72.00 W</default_power_limit></{0}>"


@pytest.mark.parametrize(
    ("inner", "severity", "word"),
    [
        ("", OK, "healthy"),
        (
            "<remapped_rows><remapped_row_failure>Yes</remapped_row_failure></remapped_rows>",
            ERROR,
            "could not be remapped",
        ),
        ("<remapped_rows><remapped_row_pending>Yes</remapped_row_pending></remapped_rows>", WARNING, "pending"),
        ("<retired_pages><pending_retirement>Yes</pending_retirement></retired_pages>", WARNING, "pending"),
        (
            SLOW.format("event", "hw_thermal_slowdown"),
            WARNING,
            "slowed down now (hw_thermal_slowdown)",
        ),
        (
            SLOW.format("throttle", "hw_power_brake_slowdown"),
            WARNING,
            "power_brake",
        ),
        (POWER.format("gpu_power_readings", "current_power_limit", "50.00"), WARNING, "power limit 50 W"),
        (POWER.format("power_readings", "power_limit", "50.00"), WARNING, "the card's own is 72 W"),
        (POWER.format("power_readings", "power_limit", "72.00"), OK, "healthy"),
    ],
)
def test_health_by_what_nvidia_smi_measures(inner: str, severity: str, word: str) -> None:
    (found,) = doctor_gpu.health(facts(), XML.format(inner))
    assert found.severity == severity
    assert word in found.found


@pytest.mark.parametrize("name", ["h100.xml", "t4.xml", "a100-mig.xml", "gb10.xml", "l40s.xml", "rtx-3080.xml"])
def test_recorded_gpus_are_well(name: str) -> None:
    assert ERROR not in severities(doctor_gpu.health(*recorded(name)))


def test_a_recorded_gpu_that_is_lost_and_one_whose_memory_is_worn_out() -> None:
    facts_of_both, xml = recorded("gb200-lost.xml")
    worn = "a row of its memory could not be remapped"
    found = doctor_gpu.health(facts_of_both, xml)
    assert [one.found for one in found if one.severity == ERROR] == [worn]
    assert [one.found for one in found if one.severity == WARNING][:1] == ["lost"]
    planned = doctor_gpu.health(facts_of_both, xml, [{"name": "chat-0", "gpus": [facts_of_both["gpus"][1]["uuid"]]}])
    assert [one.found for one in planned if one.severity == ERROR] == [worn, "lost"]


def test_a_lost_gpu_beside_one_that_works_stops_no_host() -> None:
    degraded, _xml = recorded("gb200-lost.xml")
    assert severities(doctor_gpu.driver(degraded)) == [WARNING]
    assert "is out of service" in doctor_gpu.driver(degraded)[0].cause
    alone = {**degraded, "gpus": degraded["gpus"][1:], "degraded": False}
    assert severities(doctor_gpu.driver(alone)) == [ERROR]
    assert severities(doctor_gpu.health(alone, ""))[0] == ERROR


def test_several_healthy_gpus_are_one_line() -> None:
    pair = facts(gpu(), gpu(index=1, uuid=OTHER, pci_bus_id="0000:3c:00.0", product_name=None))
    assert [one.subject for one in doctor_gpu.health(pair, "")] == ["2 GPUs"]
    assert doctor_gpu.names(pair) == {"0000:3b:00.0": "GPU 0 (NVIDIA L4)", "0000:3c:00.0": "GPU 1"}
    assert doctor_gpu.sound(pair) == ["0000:3b:00.0", "0000:3c:00.0"]
    assert doctor_gpu.health(None, "") == []


def test_planned_gpus_that_are_not_there() -> None:
    engines = [{"name": "chat-0", "gpus": [UUID, "MIG-1"]}, {"name": "chat-1", "gpus": [OTHER]}, {"name": "cpu-0"}]
    (found,) = doctor_gpu.present(facts(gpu(mig_devices=[{"uuid": "MIG-1"}, {"uuid": None}])), engines)
    assert (found.severity, found.subject) == (ERROR, "chat-1")
    assert OTHER in found.found


@pytest.mark.parametrize(("uuid", "free"), [(UUID, 23034 - 1 - 434), ("MIG-1", 9000), ("MIG-2", None), (OTHER, None)])
def test_free_memory(uuid: str, free: int | None) -> None:
    migs = [
        {"uuid": "MIG-1", "memory_total_mib": 10000, "memory_used_mib": 1000},
        {"uuid": "MIG-2", "memory_total_mib": None},
    ]
    assert doctor_gpu.free_mib(facts(gpu(mig_devices=migs)), uuid) == free


# ---- what runs in the engine ---------------------------------------------------------------------------------------


def test_engines_of_a_python_environment() -> None:
    instances = [
        {
            "name": "chat-0",
            "engine": "vllm",
            "gpus": [UUID],
            "env": {"NCCL_DEBUG": None, "NCCL_P2P_DISABLE": "1", "HF_TOKEN": "secret"},
        },
        {"name": "cpu-0", "engine": "vllm"},
        {"name": "other-0", "engine": "other", "interface": {"has_torch": True}},
        {"name": "parrot-0", "engine": "echo", "interface": {"has_torch": False}},
    ]
    packages = {"vllm": {"python": "/p"}, "echo": {"python": "/e"}, "other": {"python": ""}}
    environments = {"vllm": {"GLOO_SOCKET_IFNAME": "eth1", "OTHER": "x"}}
    group = {"GLOO_SOCKET_IFNAME": "eth1", "NCCL_SOCKET_IFNAME": "lo"}
    first, second = doctor_engine.engines(instances, packages, environments)
    assert (first["python"], first["environment"]) == (["/p"], {**group, "NCCL_P2P_DISABLE": "1"})
    assert (second["gpus"], second["environment"]) == ([], group)
    assert doctor_engine.engines(instances, {}) == []
    packages["other"]["python"] = "/o"
    assert [one["python"] for one in doctor_engine.engines(instances, packages)] == [["/p"], ["/p"], ["/o"]]
    (found,) = doctor_engine.missing(instances[:2], [first])
    assert (found.severity, found.subject) == (WARNING, "cpu-0")


def test_the_newest_environment_of_each_engine_is_found_by_its_name() -> None:
    marks = [
        {"path": f"/v/{name}/.complete", "mtime": time}
        for name, time in (("vllm-1", 1.0), ("vllm-2", 3.0), ("vllm-3", 2.0), ("sglang-4", 1.0), ("tools-5", 9.0))
    ]
    assert doctor_engine.installed(marks, ["vllm"]) == {"vllm": {"python": "/v/vllm-2/bin/python"}}
    both = doctor_engine.installed(marks, ["vllm", "sglang", "echo"])
    assert {name: one["python"] for name, one in both.items()} == {
        "vllm": "/v/vllm-2/bin/python",
        "sglang": "/v/sglang-4/bin/python",
    }
    # The name of another package may begin with that of an engine.
    assert doctor_engine.installed([{"path": "/v/vllm-omni-6/.complete", "mtime": 1.0}], ["vllm"]) == {}
    assert doctor_engine.installed([], ["vllm"]) == {}


def test_what_the_program_is_asked() -> None:
    request = doctor_engine.request([UUID, OTHER], None, 120, 60, 60)
    assert (request["backend"], request["ranks"]) == ("nccl", 2)
    request = doctor_engine.request([], 3, 120, 60, 60)
    assert (request["backend"], request["ranks"]) == ("gloo", 3)


@pytest.mark.parametrize(
    ("printed", "answer"),
    [
        ('hello\nLLMFLEET-DOCTOR {"torch": {}}\nbye\n', {"torch": {}}),
        ("hello\n", None),
        ("LLMFLEET-DOCTOR {\n", None),
        ("LLMFLEET-DOCTOR []\n", None),
    ],
)
def test_the_answer_among_other_words(printed: str, answer: Any) -> None:
    assert doctor_engine.answer(printed) == answer


def torch(*devices: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"torch": {"version": "2.11", "cuda": "13.0", "devices": list(devices), **values}}


H100 = {"name": "NVIDIA H100", "uuid": "11111111-1111-1111-1111-111111111111"}


@pytest.mark.parametrize(
    ("planned", "reply", "severity", "word"),
    [
        ([UUID], torch(H100), OK, "torch 2.11, CUDA 13.0 computes on 1 x NVIDIA H100"),
        ([UUID], torch({**H100, "uuid": UUID.upper()}), OK, "computes"),
        # Older releases of torch do not tell UUIDs.
        ([UUID], torch({"name": "NVIDIA H100", "uuid": ""}), OK, "computes"),
        (["MIG-1"], torch(H100), OK, "computes"),
        ([OTHER], torch(H100), ERROR, "sees NVIDIA H100 1111"),
        ([UUID, OTHER], torch(H100), ERROR, "sees"),
        ([UUID], torch(), ERROR, "sees none"),
        ([UUID], torch(cuda=None), ERROR, "without CUDA sees none"),
        ([], torch(cuda=None), OK, "on processors"),
        ([UUID], torch(error="RuntimeError: CUDA driver initialization failed"), ERROR, "initialization failed"),
    ],
)
def test_cuda(planned: list[str], reply: dict[str, Any], severity: str, word: str) -> None:
    found = doctor_engine.cuda("chat-0", planned, reply)
    assert found.severity == severity
    assert word in found.found
    assert bool(found.cause and found.remedy) == (severity == ERROR)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ('docker: Error response from daemon: could not select device driver "nvidia" with capabilities', "runtime"),
        ("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=GPU-1", "older than the GPUs"),
        ("nvidia-container-cli: initialization error: nvml error: driver not loaded", "module is not loaded"),
        ("docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "does not run"),
        ("docker: nvidia.com/gpu=GPU-1 is not an absolute path. See 'docker run --help'.", "too old for CDI"),
        ("Error response from daemon: manifest unknown", "not in the registry"),
        (
            "error setting rlimits for ready process: error setting rlimit type 8: operation not permitted",
            "locked memory",
        ),
        ("Error: crun: setrlimit `RLIMIT_MEMLOCK`: Operation not permitted: OCI permission denied", "locked memory"),
        ("RuntimeError: The NVIDIA driver on your system is too old (found version 11040).", "newer than the driver"),
        ("Error 803: system has unsupported display driver / cuda driver combination", "does not fit the loaded"),
        ("Error 804: forward compatibility was attempted on non supported HW", "compatibility libraries"),
        ("Error 802: system not yet initialized", "NVSwitches"),
        ("CUDA error: no kernel image is available for execution on the device", "was not built for this kind"),
        ("RuntimeError: No CUDA GPUs are available", "sees no GPU"),
        ("CUDA error: out of memory", "other programs hold"),
        ("CUDA-capable device(s) is/are busy or unavailable", "exclusively"),
        ("Found no NVIDIA driver on your system.", "sees no driver"),
        ("libcuda.so.1: cannot open shared object file", "driver's library"),
        ("Error 999: unknown error", "nvidia_uvm"),
        ("ModuleNotFoundError: No module named 'torch'", "not complete"),
        ("something else", "not known"),
    ],
)
def test_causes(said: str, word: str) -> None:
    found = doctor_engine.failed("chat-0", "ended with status 1", said)
    assert found.severity == ERROR
    assert word in found.cause
    assert found.remedy


@pytest.mark.parametrize(
    "said",
    [
        "docker: Error response from daemon: No such image: vllm/vllm-openai@sha256:1",
        "Error: vllm/vllm-openai@sha256:1: image not known",
    ],
)
def test_an_image_that_is_not_there_yet_is_no_error(said: str) -> None:
    found = doctor_engine.failed("chat-0", "ended with status 125", said)
    assert (found.severity, "site.yml" in found.remedy) == (WARNING, True)


def test_a_program_that_says_nothing_or_too_much() -> None:
    assert "no output" in doctor_engine.failed("chat-0", "did not end", "").found
    assert len(doctor_engine.failed("chat-0", "did not end", "word " * 1000).found) < 400


def test_gpus_in_use_are_left_alone() -> None:
    found = doctor_engine.untried("chat-0", 500)
    assert (found.severity, "500 MiB free" in found.found) == (OK, True)


def group(**values: Any) -> dict[str, Any]:
    return {"all_reduce": {"backend": "nccl", "ok": False, "seconds": 60.1, "stage": "joining", **values}}


@pytest.mark.parametrize(
    ("heard", "cause", "word"),
    [
        (group(works_with="NCCL_P2P_DISABLE"), doctor_causes.BLOCKED, "does not end while joining, after 60 s"),
        (group(stage="summing up", wrong=True), doctor_causes.BLOCKED, "wrong sum"),
        (group(works_with="NCCL_P2P_DISABLE and NCCL_SHM_DISABLE"), doctor_causes.SHM, "it works with"),
        (
            group(error="ncclSystemError", said="NCCL WARN Error while creating shared memory segment /dev/shm/nccl-x"),
            doctor_causes.SHM,
            "it fails while joining",
        ),
        (group(said="NCCL WARN Bootstrap : no socket interface found"), doctor_causes.NETWORK, "Bootstrap"),
        (group(), doctor_causes.GROUP, "the IOMMU is on, with 12 groups"),
        (group(error="Error 802: system not yet initialized", said="system not yet initialized"), None, "fails"),
    ],
)
def test_an_all_reduce_that_fails(heard: dict[str, Any], cause: Any, word: str) -> None:
    (found,) = doctor_engine.reduce("chat-0", 2, heard, 12)
    assert (found.severity, found.subject) == (ERROR, "chat-0, 2 ranks")
    assert word in found.found
    if cause:
        assert (found.cause, found.remedy) == (cause.cause, cause.remedy)
    else:
        assert "NVSwitches" in found.cause


def test_an_all_reduce_that_works_or_was_not_tried() -> None:
    (found,) = doctor_engine.reduce("chat-0", 8, group(ok=True, seconds=4.2, gbytes_per_second=312.5), 0)
    assert (found.severity, found.found) == (OK, "nccl in 4.2 s, 312.5 GB/s")
    assert doctor_engine.reduce("chat-0", 1, {}, 0) == []
    assert doctor_engine.reduce("chat-0", 2, {"torch": {"error": "no"}}, 0) == []


@pytest.mark.parametrize(("mib", "ranks", "severity"), [(64, 1, ERROR), (512, 1, OK), (512, 2, WARNING), (8192, 2, OK)])
def test_shared_memory(mib: int, ranks: int, severity: str) -> None:
    (found,) = doctor_engine.shared_memory("chat-0", ranks, {"shared_mib": mib}, 160)
    assert found.severity == severity
    assert bool(found.remedy) == (severity != OK)


def test_shared_memory_that_nobody_told() -> None:
    assert doctor_engine.shared_memory("chat-0", 1, {}, 160) == []
