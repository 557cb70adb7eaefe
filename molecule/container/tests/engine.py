# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of this scenario need to know of containers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from bench_hosts import in_host

HOST = "docked"
REGISTRY_FOLDER = Path(__file__).resolve().parents[3] / "build" / "bench" / "container" / "registry"

# Service: its image by the name that the collection knows, and where it says that it is well.
SERVICES = {
    "vllm-chat-0": ("vllm", 8100, "/health"),
    "vllm-guide-0": ("vllm", 8101, "/health"),
    "litellm": ("litellm", 4000, "/health/liveliness"),
    "gate": ("litellm", 4200, "/health"),
    "nginx": ("nginx", 4101, "/health"),
    "nginx-south": ("nginx", 4100, "/_status"),
    "nginx-exporter": ("nginx_exporter", 9113, "/metrics"),
    "open-webui": ("open_webui", 3000, "/ready"),
    "prometheus": ("prometheus", 9090, "/-/ready"),
    "node-exporter": ("node_exporter", 9100, "/metrics"),
}


def images() -> dict[str, str]:
    """References that the inventory asks for, each with tag and digest."""
    content = json.loads((REGISTRY_FOLDER / "images.json").read_text(encoding="utf-8"))
    return {name: image["image"] for name, image in content.items()}


def docker(*arguments: str) -> str:
    return in_host(HOST, "docker", *arguments)


def containers() -> dict[str, dict[str, Any]]:
    """Everything the engine knows of its containers, by the name of the service."""
    names = docker("container", "ls", "--all", "--format", "{{.Names}}").split()
    found = json.loads(docker("container", "inspect", *names)) if names else []
    return {entry["Name"].removeprefix("/llm-"): entry for entry in found}


def is_init(pid: int) -> bool:
    """Whether a process is the engine's own, which only waits for the service's."""
    return in_host(HOST, "cat", f"/proc/{pid}/comm").strip() == "docker-init"


def main_process(container: dict[str, Any]) -> int:
    """Process of the service: the child of the container's init, or the first process where there is no init."""
    first = int(container["State"]["Pid"])
    return int(in_host(HOST, "pgrep", "-P", str(first)).split()[0]) if is_init(first) else first


def address_of(host: str) -> str:
    """Address of the host in the bench's network: the engine inside gives it others, of networks of its own."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    command = ["docker", "inspect", "--format", form, host]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
