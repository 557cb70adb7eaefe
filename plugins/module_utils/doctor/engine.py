# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the output of the test program in an engine's own environment: CUDA, an all-reduce, shared memory.

Pure functions over values; no Ansible, no files, no network.
"""

from __future__ import annotations

import json
from typing import Any, Iterable, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import GROUP_ON_LOOPBACK
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import causes
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.cause import Cause
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.finding import ERROR, WARNING, Finding, fine
from ansible_collections.llmfleet.serving.plugins.module_utils.shared_memory import GROUP_SHARED_MIB

CUDA, REDUCE, SHARED = "cuda", "all-reduce", "shared memory"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - nothing is put there # nosec B108
# Prefix of the program's answer, because images may print other lines before it.
MARK = "LLMFLEET-DOCTOR "
EXCERPT = 300
VARIABLES = ("NCCL_", "GLOO_", "CUDA_", "TORCH_NCCL_", "LD_LIBRARY_PATH")
# MiB of a GPU that CUDA, NCCL and a small tensor need. With less free memory a test could take it from a running
# engine.
NEEDED_MIB = 2048


def with_torch(instances: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the instances whose engine has torch; those planned by an earlier version do not say, and have it."""
    return [one for one in instances if (one.get("interface") or {}).get("has_torch", True)]


def variables(instance: Mapping[str, Any], environments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the variables with which an instance is tested; null leaves one out.

    Only variables that affect how GPUs are found and communicate are passed on, because others may be secret.

    :param environments: variables of every instance by the engine's name; the instance's own win.
    """
    common = (environments or {}).get(str(instance.get("engine"))) or {}
    given = {**GROUP_ON_LOOPBACK, **common, **(instance.get("env") or {})}
    return {key: value for key, value in given.items() if key.startswith(VARIABLES) and value is not None}


def engines(
    instances: Iterable[Mapping[str, Any]],
    packages: Mapping[str, Mapping[str, Any]],
    environments: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the environments of the instances of a host whose engine is installed there.

    :param packages: ``{python}`` by the engine's name.
    :param environments: see :func:`variables`.
    """
    found = []
    for one in with_torch(instances):
        python = (packages.get(str(one.get("engine"))) or {}).get("python")
        if python:
            kept = variables(one, environments)
            found.append({"name": one["name"], "python": [python], "gpus": one.get("gpus") or [], "environment": kept})
    return found


def installed(marks: Iterable[Mapping[str, Any]], names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return ``{python}`` of the newest environment of each engine, even if nothing was started from it yet.

    :param marks: ``path`` and ``mtime`` of the file ``.complete`` in each environment; the directory of an environment
        is called ``<engine>-<digest>``.
    :param names: the engines.
    """
    found = {}
    wanted = set(names)
    for one in sorted(marks, key=lambda mark: float(mark["mtime"])):
        folder = str(one["path"]).rpartition("/")[0]
        engine = folder.rpartition("/")[2].rpartition("-")[0]
        if engine in wanted:
            found[engine] = {"python": f"{folder}/bin/python"}
    return found


def missing(instances: Iterable[Mapping[str, Any]], known: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Return the instances whose engine cannot be tested, because it is not installed."""
    there = {str(one["name"]) for one in known}
    cause, remedy = "no engine is installed on this host yet", "run site.yml, which tries it before it starts"
    return [
        Finding(CUDA, WARNING, str(one["name"]), "not tried", cause, remedy)
        for one in instances
        if str(one["name"]) not in there
    ]


def request(gpus: list[str], ranks: int | None, load: int, cuda: int, reduce: int) -> dict[str, Any]:
    """Return the input of the test program.

    :param ranks: processes that sum up together; None for one on each GPU.
    :param load: seconds for loading torch, ``cuda`` for computing on each GPU, ``reduce`` for the all-reduce.
    """
    return {
        "backend": "nccl" if gpus else "gloo",
        "ranks": len(gpus) if ranks is None else ranks,
        "load_seconds": load,
        "cuda_seconds": cuda,
        "reduce_seconds": reduce,
        # The program loads torch twice, and a third and fourth time (from memory then) to find out why an all-reduce
        # hangs.
        "total_seconds": 3 * load + cuda + 2 * reduce,
    }


def answer(printed: str) -> dict[str, Any] | None:
    """Return the answer of the program; None if there is none."""
    for line in reversed(printed.splitlines()):
        if line.startswith(MARK):
            try:
                found = json.loads(line[len(MARK) :])
            except ValueError:
                return None
            return found if isinstance(found, dict) else None
    return None


def excerpt(text: str) -> str:
    """Return the end of a program's output on one line."""
    words = " ".join(text.split())
    return words if len(words) <= EXCERPT else f"... {words[-EXCERPT:]}"


def failed(name: str, ending: str, said: str) -> Finding:
    """Judge an engine's Python that gave no answer.

    :param ending: what became of it, for example ``did not end within 300 s``.
    """
    cause = causes.explain(said, Cause("", "not known", "run it by hand on the host"))
    # A missing installation is not an error: site.yml installs it and tests it then.
    severity = WARNING if cause.words == causes.NO_IMAGE else ERROR
    return Finding(CUDA, severity, name, f"{ending}: {excerpt(said) or 'no output'}", cause.cause, cause.remedy)


def untried(name: str, free: int) -> Finding:
    """Return the finding that an engine's GPUs are in use, so that nothing was tested on them."""
    return fine(CUDA, name, f"not tried: its GPUs are in use ({free} MiB free), so somebody's CUDA works on them")


def _bare(uuid: str) -> str:
    return uuid.lower().partition("gpu-")[2] if uuid.lower().startswith("gpu-") else uuid.lower()


def cuda(name: str, planned: list[str], reply: Mapping[str, Any]) -> Finding:
    """Judge whether the engine's torch sees exactly the planned GPUs and computes on each."""
    heard = reply.get("torch") or {}
    if heard.get("error"):
        cause = causes.explain(heard["error"], Cause("", "not known", "run nvidia-smi, then read dmesg"))
        return Finding(CUDA, ERROR, name, excerpt(heard["error"]), cause.cause, cause.remedy)
    devices = heard.get("devices") or []
    built = f"torch {heard.get('version')}" + (f", CUDA {heard['cuda']}" if heard.get("cuda") else ", without CUDA")
    if not planned:
        return fine(CUDA, name, f"{built}, on processors")
    seen = [_bare(str(device.get("uuid") or "")) for device in devices]
    wanted = [_bare(uuid) for uuid in planned]
    # Some releases of CUDA name a MIG device by its parent GPU, so only the number of devices can be checked.
    if len(seen) == len(wanted) and (
        sorted(seen) == sorted(wanted) or not all(seen) or any(u.startswith("mig-") for u in wanted)
    ):
        kinds = ", ".join(sorted({str(device.get("name")) for device in devices}))
        return fine(CUDA, name, f"{built} computes on {len(devices)} x {kinds}")
    names = ", ".join(f"{device.get('name')} {device.get('uuid')}" for device in devices) or "none"
    why = (
        "the engine is started with other GPUs than planned, or without CUDA"
        if heard.get("cuda")
        else "this torch was built without CUDA"
    )
    remedy = f"planned are {', '.join(planned)}; see its --device flags and CUDA_VISIBLE_DEVICES, then run site.yml"
    if not heard.get("cuda"):
        remedy = "have an engine for llm_device cuda on this host"
    return Finding(CUDA, ERROR, name, f"{built} sees {names}", why, remedy)


def reduce(name: str, ranks: int, reply: Mapping[str, Any], iommu: int) -> list[Finding]:
    """Judge the all-reduce over an engine's group.

    :param iommu: number of groups of the IOMMU, 0 where it is off.
    """
    heard = reply.get("all_reduce") or {}
    if ranks < 2 or (reply.get("torch") or {}).get("error"):
        return []
    subject = f"{name}, {ranks} ranks"
    if heard.get("ok"):
        speed = f", {heard['gbytes_per_second']:.1f} GB/s" if heard.get("gbytes_per_second") else ""
        return [fine(REDUCE, subject, f"{heard.get('backend')} in {heard.get('seconds', 0):.1f} s{speed}")]
    said = str(heard.get("said") or "")
    cause = causes.explain(said, causes.GROUP)
    works = heard.get("works_with")
    if heard.get("wrong") or works == "NCCL_P2P_DISABLE":
        cause = causes.BLOCKED
    elif works == "NCCL_P2P_DISABLE and NCCL_SHM_DISABLE":
        cause = causes.SHM
    elif (
        (cause is causes.GROUP or cause in causes.VAGUE)
        and heard.get("stage") == "joining"
        and "bootstrap" in said.lower()
    ):
        cause = causes.NETWORK
    what = "it gives a wrong sum" if heard.get("wrong") else f"it does not end while {heard.get('stage') or 'starting'}"
    if heard.get("error") and not heard.get("wrong"):
        what = f"it fails while {heard.get('stage') or 'starting'}"
    parts = [
        f"{heard.get('backend')}: {what}, after {heard.get('seconds', 0):.0f} s",
        f"it works with {works} set" if works else "",
        f"the IOMMU is on, with {iommu} groups" if iommu else "",
        excerpt(str(heard.get("error") or "") or said),
    ]
    return [Finding(REDUCE, ERROR, subject, "; ".join(filter(None, parts)), cause.cause, cause.remedy)]


def shared_memory(name: str, ranks: int, reply: Mapping[str, Any], needed: int) -> list[Finding]:
    """Judge the shared memory as the engine sees it.

    :param needed: MiB that the engine needs.
    """
    mib = reply.get("shared_mib")
    if mib is None:
        return []
    found = f"{mib} MiB in {SHARED_MEMORY}"
    cause = "a container gets 64 MiB when it is made without --shm-size or --ipc; else /dev/shm was mounted small"
    remedy = (
        f"--shm-size {GROUP_SHARED_MIB}m or --ipc host for a container; else "
        f"mount -o remount,size={GROUP_SHARED_MIB}M {SHARED_MEMORY}, and /etc/fstab"
    )
    if mib < needed:
        return [Finding(SHARED, ERROR, name, f"{found}, an engine needs {needed}", cause, remedy)]
    if ranks > 1 and mib < GROUP_SHARED_MIB:
        return [Finding(SHARED, WARNING, name, f"{found}, little for {ranks} ranks", cause, remedy)]
    return [fine(SHARED, name, found)]
