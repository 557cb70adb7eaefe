# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory settings of PostgreSQL, derived from the memory of its machine.

Pure functions over numbers; no Ansible, no files, no network. The formulas are those of pgtune
(https://github.com/le0pard/pgtune, "mixed"), whose quarter for ``shared_buffers`` is also what PostgreSQL's manual
begins with (section "Resource Consumption"). pgtune counts on the whole machine; here a share of it takes that place,
because gateways or engines run beside the database.
"""

from __future__ import annotations

# PostgreSQL's own default of work_mem, and what pgtune gives to maintenance at most, in MiB.
LEAST_WORK_MIB = 4
MOST_MAINTENANCE_MIB = 2048
# A small machine still has this much for the database, and a large one no more than this, in MiB.
LEAST_MIB = 256
MOST_MIB = 16384


def settings(memory_mib: int, share: float, connections: int) -> dict[str, str]:
    """Return the settings of PostgreSQL that depend on memory, by their names.

    :param memory_mib: memory of the machine in MiB.
    :param share: part of it that PostgreSQL counts on, above 0 and at most 1.
    :param connections: ``max_connections``.
    """
    counted = round(max(LEAST_MIB, min(MOST_MIB, memory_mib * share)))
    shared = counted // 4
    # A connection may sort and hash at the same time, so pgtune divides by three times their number.
    work = max(LEAST_WORK_MIB, (counted - shared) // (connections * 3))
    return {
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{counted * 3 // 4}MB",
        "maintenance_work_mem": f"{min(MOST_MAINTENANCE_MIB, counted // 16)}MB",
        "work_mem": f"{work}MB",
    }
