# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dashboards of machines: cards and hosts.

Pure data; no Ansible, no files, no network. Cards are measured by the DCGM exporter; its fields are those of its
default list.
"""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.panels import (
    CARD_HOST,
    HOST,
    Dashboard,
    Panel,
    Row,
    q,
)

HERE = 'host=~"$host"'
CARD = "{{host}} GPU {{gpu}}"
# What is no disk, as the alerts see it.
DISKS = f'{HERE}, fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660"'
DEVICES = f'{HERE}, device!~"lo|veth.*|docker.*|br-.*|cni.*|podman.*"'

GPU = Dashboard(
    "gpu",
    "GPUs",
    "Load, memory, power and faults of each card.",
    (CARD_HOST,),
    (
        Row(
            "Load",
            (
                Panel(
                    "Busy",
                    "share",
                    (q(f"DCGM_FI_DEV_GPU_UTIL{{{HERE}}} / 100", CARD),),
                    "Share of time in which something runs on the card; not how much of it is used.",
                ),
                Panel(
                    "Memory in use",
                    "bytes",
                    (q(f"DCGM_FI_DEV_FB_USED{{{HERE}}} * 1048576", CARD),),
                    "Engines take the memory of their KV cache when they start, so that it is full is no fault.",
                ),
                Panel(
                    "Memory that is free",
                    "bytes",
                    (q(f"DCGM_FI_DEV_FB_FREE{{{HERE}}} * 1048576", CARD),),
                    "What engines leave, and what the load may take beyond the plan.",
                ),
                Panel(
                    "Memory traffic",
                    "share",
                    (q(f"DCGM_FI_DEV_MEM_COPY_UTIL{{{HERE}}} / 100", CARD),),
                    "Share of time in which the card's memory is read or written: what limits the speed of answers.",
                ),
            ),
        ),
        Row(
            "Power and heat",
            (
                Panel(
                    "Power",
                    "watts",
                    (q(f"DCGM_FI_DEV_POWER_USAGE{{{HERE}}}", CARD),),
                    "What each card draws.",
                    "areas",
                ),
                Panel(
                    "Tokens per joule",
                    "tokens/joule",
                    (
                        q(
                            f"""sum by (host) (rate(vllm:generation_tokens_total{{{HERE}}}[5m]))
                            / on (host) (sum by (host) (DCGM_FI_DEV_POWER_USAGE{{{HERE}}}) > 0)""",
                            "{{host}}",
                        ),
                    ),
                    "Tokens of answers for the energy of all cards of a host.",
                ),
                Panel(
                    "Temperature",
                    "celsius",
                    (
                        q(f"DCGM_FI_DEV_GPU_TEMP{{{HERE}}}", CARD),
                        q(f"DCGM_FI_DEV_MEMORY_TEMP{{{HERE}}}", f"{CARD} memory"),
                    ),
                    "Hot cards compute more slowly.",
                ),
                Panel(
                    "Clock",
                    "megahertz",
                    (q(f"DCGM_FI_DEV_SM_CLOCK{{{HERE}}}", CARD),),
                    "A card under load whose clock is below the others' is too hot, or has too little power.",
                ),
            ),
        ),
        Row(
            "Faults",
            (
                Panel(
                    "Last error (Xid)",
                    "count",
                    (q(f"DCGM_FI_DEV_XID_ERRORS{{{HERE}}}", CARD),),
                    "0: none. 13, 31, 43 and 45 are of programs, others of the card: docs/runbooks/GpuFault.md.",
                    "table",
                ),
                Panel(
                    "Memory rows that were replaced",
                    "count",
                    (
                        q(f"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS{{{HERE}}}", CARD),
                        q(f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{HERE}}}", f"{CARD} failed"),
                    ),
                    "A card that cannot replace any more has to be exchanged.",
                ),
                Panel(
                    "Repetitions on PCIe",
                    "per second",
                    (q(f"rate(DCGM_FI_DEV_PCIE_REPLAY_COUNTER{{{HERE}}}[5m])", CARD),),
                    "If it goes on, look at the slot, the riser and the cable.",
                ),
            ),
        ),
    ),
)

HOSTS = Dashboard(
    "host",
    "Hosts",
    "What a host can run out of.",
    (HOST,),
    (
        Row(
            "Processor and memory",
            (
                Panel(
                    "Processor",
                    "share",
                    (
                        q(
                            f'1 - avg by (host) (rate(node_cpu_seconds_total{{{HERE}, mode="idle"}}[5m]))',
                            "{{host}}",
                        ),
                    ),
                    "Share of all cores that work.",
                ),
                Panel(
                    "Load per core",
                    "count",
                    (
                        q(
                            f"""sum by (host) (node_load5{{{HERE}}})
                            / on (host) count by (host) (node_cpu_seconds_total{{{HERE}, mode="idle"}})""",
                            "{{host}}",
                        ),
                    ),
                    "Programs that run or wait, over five minutes. Above 1, some wait.",
                ),
                Panel(
                    "Memory",
                    "bytes",
                    (
                        q(
                            f"""node_memory_MemTotal_bytes{{{HERE}}} - node_memory_MemAvailable_bytes{{{HERE}}}""",
                            "{{host}} in use",
                        ),
                        q(f"node_memory_MemTotal_bytes{{{HERE}}}", "{{host}} all"),
                    ),
                    "In use is what programs cannot get any more.",
                ),
                Panel(
                    "Programs killed for memory",
                    "count",
                    (q(f"increase(node_vmstat_oom_kill{{{HERE}}}[1h])", "{{host}}"),),
                    "In an hour.",
                ),
                Panel(
                    "Time in which programs waited",
                    "share",
                    (
                        q(f"rate(node_pressure_cpu_waiting_seconds_total{{{HERE}}}[5m])", "{{host}} processor"),
                        q(f"rate(node_pressure_memory_waiting_seconds_total{{{HERE}}}[5m])", "{{host}} memory"),
                        q(f"rate(node_pressure_io_waiting_seconds_total{{{HERE}}}[5m])", "{{host}} disks"),
                    ),
                    "Pressure stall information of the kernel, where it has that.",
                ),
            ),
        ),
        Row(
            "Disks and network",
            (
                Panel(
                    "File systems",
                    "share",
                    (
                        q(
                            f"""1 - max by (host, mountpoint)
                            (node_filesystem_avail_bytes{{{DISKS}}} / node_filesystem_size_bytes{{{DISKS}}})""",
                            "{{host}} {{mountpoint}}",
                        ),
                    ),
                    "Share that is full.",
                ),
                Panel(
                    "Disks read and write",
                    "bytes/s",
                    (
                        q(f"sum by (host) (rate(node_disk_read_bytes_total{{{HERE}}}[5m]))", "{{host}} read"),
                        q(f"sum by (host) (rate(node_disk_written_bytes_total{{{HERE}}}[5m]))", "{{host}} written"),
                    ),
                    "All disks of a host together.",
                ),
                Panel(
                    "Network",
                    "bytes/s",
                    (
                        q(
                            f"sum by (host) (rate(node_network_receive_bytes_total{{{DEVICES}}}[5m]))",
                            "{{host}} received",
                        ),
                        q(f"sum by (host) (rate(node_network_transmit_bytes_total{{{DEVICES}}}[5m]))", "{{host}} sent"),
                    ),
                    "All interfaces of a host together, without loopback and those of containers.",
                ),
                Panel(
                    "Open files",
                    "share",
                    (q(f"node_filefd_allocated{{{HERE}}} / node_filefd_maximum{{{HERE}}}", "{{host}}"),),
                    "Of those that the kernel allows.",
                ),
            ),
        ),
        Row(
            "Services",
            (
                Panel(
                    "Services that answer",
                    "count",
                    (q(f"min by (job, host) (up{{{HERE}}})", "{{job}} on {{host}}"),),
                    "1 while Prometheus can read all of them, else 0.",
                ),
                Panel(
                    "Memory of services",
                    "bytes",
                    (q(f"sum by (job, host) (process_resident_memory_bytes{{{HERE}}})", "{{job}} on {{host}}"),),
                    "Of the processes that tell their metrics.",
                ),
                Panel(
                    "Time since a host started",
                    "seconds",
                    (q(f"node_time_seconds{{{HERE}}} - node_boot_time_seconds{{{HERE}}}", "{{host}}"),),
                    "A line that falls to zero is a start.",
                ),
                Panel(
                    "Series in Prometheus",
                    "count",
                    (q("prometheus_tsdb_head_series", "{{instance}}"),),
                    "What it keeps in memory: about 3 KiB for each.",
                ),
            ),
        ),
    ),
)
