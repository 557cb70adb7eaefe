# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which updates wait for what services run, and which services run what was replaced, out of what programs print."""

from __future__ import annotations

from datetime import date

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import updates

MAPS = """\
55d0c0a00000-55d0c0a30000 r--p 00000000 08:01 131 /usr/sbin/nginx (deleted)
55d0c0a30000-55d0c0b00000 r-xp 00030000 08:01 131 /usr/sbin/nginx (deleted)
7f00a0000000-7f00a0021000 rw-p 00000000 00:00 0
7f00a1000000-7f00a1300000 r-xp 00000000 08:01 99 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)
7f00a2000000-7f00a2300000 r-xp 00000000 08:01 98 /usr/lib/x86_64-linux-gnu/libc.so.6
7f00a3000000-7f00a3300000 r-xp 00000000 08:01 97 /opt/llmfleet/venvs/vllm-0/lib/torch libs/libtorch.so
7f00a4000000-7f00a4300000 r-xp 00000000 00:01 96 /memfd:jit (deleted)
7f00a5000000-7f00a5300000 r-xp 00000000 08:01 95 /var/lib/llmfleet/vllm/cache/kernel.so (deleted)
7f00a6000000-7f00a6300000 r--p 00000000 08:01 94 /usr/lib/locale/C.utf8/LC_CTYPE (deleted)
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0 [vdso]
"""
# Recorded with apt 2.6 of Debian 12 and 2.8 of Ubuntu 24.04.
SIMULATED = """\
NOTE: This is only a simulation!
The following packages will be upgraded:
  base-files libgcrypt20 libssl3
Inst base-files [12.4+deb12u11] (12.4+deb12u15 Debian:12.15/oldstable [amd64])
Inst libgcrypt20 [1.10.1-3] (1.10.1-3+deb12u1 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64])
Inst libssl3 [3.0.19-1~deb12u2] (3.0.22-1~deb12u2 Debian-Security:12/oldstable-security [amd64]) []
Inst openssl [3.0.13-0ubuntu3.4] (3.0.13-0ubuntu3.6 Ubuntu:24.04/noble-updates, Ubuntu:24.04/noble-security [amd64])
Inst brand-new (1.0 Debian-Security:12/oldstable-security [amd64])
Conf libssl3 (3.0.22-1~deb12u2 Debian-Security:12/oldstable-security [amd64])
"""


def test_what_a_process_runs_and_what_of_it_is_gone() -> None:
    files, deleted = updates.mapped(MAPS)
    assert deleted == {"/usr/sbin/nginx", "/usr/lib/x86_64-linux-gnu/libssl.so.3"}
    assert files - deleted == {
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/opt/llmfleet/venvs/vllm-0/lib/torch libs/libtorch.so",
    }
    assert updates.mapped("") == (set(), set())


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            ["/usr/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6"],
        ),
        ("/lib/x86_64-linux-gnu/libc.so.6", ["/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6"]),
        ("/usr/sbin/nginx", ["/usr/sbin/nginx", "/sbin/nginx"]),
        ("/opt/llmfleet/venvs/a/lib/b.so", []),
    ],
)
def test_names_of_a_file(path: str, names: list[str]) -> None:
    assert updates.spellings(path) == names


def test_owners_of_files() -> None:
    said = (
        "libc6:amd64, libc6:i386: /lib/x86_64-linux-gnu/libc.so.6\n"
        "nginx: /usr/sbin/nginx\n"
        "other: /usr/sbin/nginx-other\n"
        "dpkg-query: no path found matching pattern /usr/lib/x.so\n"
    )
    asked = ["/lib/x86_64-linux-gnu/libc.so.6", "/usr/sbin/nginx", "/usr/lib/x.so"]
    assert updates.owners(said, asked) == {"libc6", "nginx"}


def test_security_updates_that_wait() -> None:
    waits = updates.waiting(SIMULATED)
    assert set(waits) == {"libgcrypt20", "libssl3", "openssl"}
    assert waits["libssl3"] == "3.0.19-1~deb12u2 -> 3.0.22-1~deb12u2"
    found = updates.updates(waits, {"libssl3", "nginx"}, 0)
    assert (found.check, found.severity) == ("updates", "warning")
    assert found.found == "security updates wait for libssl3 (3.0.19-1~deb12u2 -> 3.0.22-1~deb12u2)"
    assert found.remedy.startswith("apt-get install --only-upgrade libssl3, then restart the services; ")
    many = {f"p{number:02}": "1 -> 2" for number in range(11)}
    assert updates.updates(many, many, 0).found.endswith("p07 (1 -> 2) and 3 more")


def test_nothing_waits_or_nobody_knows() -> None:
    assert updates.updates({"libssl3": "1 -> 2"}, {"nginx"}, 86400).severity == "ok"
    old = updates.updates({}, {"nginx"}, 9.5 * 86400)
    assert (old.severity, old.found) == ("warning", "apt's lists are 9 days old")
    assert "apt-get update" in old.remedy


def test_services_that_run_what_was_replaced() -> None:
    (fine,) = updates.libraries({})
    assert (fine.check, fine.severity) == ("libraries", "ok")
    litellm, nginx = updates.libraries({"llm-nginx": ["/b", "/a"], "llm-litellm": ["/c"]})
    assert nginx.sentence("gw1") == (
        "gw1: libraries of llm-nginx: it runs /a, /b as it was before an update; an update takes effect only in "
        "processes that start after it; restart llm-nginx; see 'Security updates' in docs/operations.md."
    )
    assert litellm.subject == "llm-litellm"


PIN = {"title": "vLLM", "version": "0.32.0", "released": "2026-10-18"}


@pytest.mark.parametrize(
    ("today", "most", "severity"),
    [
        (date(2026, 10, 17), 180, "ok"),
        (date(2027, 4, 16), 180, "ok"),
        (date(2027, 4, 17), 180, "warning"),
        (date(2026, 10, 20), 1, "warning"),
    ],
)
def test_the_age_of_a_release(today: date, most: int, severity: str) -> None:
    (found,) = updates.pins([PIN], most, today)
    assert (found.check, found.severity, found.subject) == ("pins", severity, "vLLM 0.32.0")


def test_an_old_release_is_named_with_its_remedy_and_none_with_zero() -> None:
    (found,) = updates.pins([PIN], 180, date(2027, 5, 1))
    assert found.sentence("gpu1") == (
        "gpu1: pins of vLLM 0.32.0: released on 2026-10-18, 195 days ago; that is more than doctor_pins_max_age_days "
        "(180), and newer releases have security fixes; install a newer release of the collection; if you set a lock "
        "or an image of your own, update it and name its release in llm_releases; see 'Security updates' in "
        "docs/operations.md."
    )
    assert updates.pins([PIN], 0, date(2030, 1, 1)) == []
