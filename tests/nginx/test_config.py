# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration as text: what nginx and gixy say of it, and what depends on the version and the parameters."""

from __future__ import annotations

import grp
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

SERVED = ("main", "tight", "address", "given", "browsers", "south", "unknown")
CHECK = Path(__file__).resolve().parents[2] / "roles" / "nginx" / "files" / "check_config.sh"
GIXY = Path(sys.executable).with_name("gixy")


@pytest.mark.parametrize("service", [0, 1])
@pytest.mark.parametrize("variant", SERVED)
def test_nginx_takes_it_without_a_warning(rendered: Any, variant: str, service: int) -> None:
    result = rendered[variant].services[service].check()
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("service", [0, 1])
@pytest.mark.parametrize("variant", [*SERVED, "files", "new", "privileged"])
def test_gixy_finds_nothing(rendered: Any, variant: str, service: int) -> None:
    program = str(GIXY) if GIXY.exists() else shutil.which("gixy")
    assert program, "gixy-ng is not installed"
    result = subprocess.run(
        [program, "-f", "json", str(rendered[variant].services[service].config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(result.stdout) == [], result.stdout
    assert result.returncode == 0


def test_http2_is_written_in_the_language_of_the_version(rendered: Any) -> None:
    old, new, unknown = (rendered[name].config.read_text() for name in ("main", "new", "unknown"))
    assert re.search(r"listen \S+ ssl http2;", old)
    assert "http2 on;" not in old
    assert "http2 on;" in new
    assert not re.search(r"listen .*http2", new)
    assert "http2 on;" not in unknown


def test_the_right_to_low_ports_is_asked_for_only_with_one(rendered: Any) -> None:
    assert rendered["main"].rendered()["capabilities"] == []
    assert rendered["privileged"].rendered()["capabilities"] == ["CAP_NET_BIND_SERVICE"]
    assert "+net_bind_service" in rendered["privileged"].rendered()["validate"]
    assert "+net_bind_service" not in rendered["main"].rendered()["validate"]


def test_only_the_doors_of_the_host_are_there(rendered: Any) -> None:
    outer, inner = (service.config.read_text() for service in rendered["south"].services)
    for text in (outer, inner):
        assert "ssl" not in text.replace("$ssl_protocol", "")
    assert ("model-chat" in outer, "model-chat" in inner) == (False, True)
    assert "model-chat" not in rendered["main"].config.read_text(), "a change of traffic leaves the doors alone"


def test_the_doors_keep_nginx_own_limit_of_requests_of_a_connection(rendered: Any) -> None:
    """It is the brake on clients that open and reset streams of HTTP/2."""
    text = rendered["main"].config.read_text()
    outside = re.sub(r"upstream \S+ \{.*?\n    \}", "", text, flags=re.S)
    assert ("keepalive_requests" in text, "keepalive_requests" in outside) == (True, False)


def test_files_kept_by_others_are_read_where_they_are(rendered: Any) -> None:
    text = rendered["files"].config.read_text()
    assert "ssl_certificate /srv/chain.pem;" in text
    assert "ssl_certificate_key /srv/key.pem;" in text


def test_good_parameters_pass_and_every_bad_one_is_named(rendered: Any) -> None:
    assert rendered["main"].rendered()["problems"] == []
    assert rendered["bad"].rendered()["problems"] == [
        "nginx_tls_certificate",
        "nginx_tls_key_file",
        "nginx_tls_key",
        "nginx_api.server_name",
        "nginx_api.upstream",
        "nginx_chat.server_name",
        "nginx_chat.upstream",
        "nginx_http_port",
        "nginx_chat.server_name",
        "nginx_south_upstreams.name",
        "nginx_south_upstreams.name",
        "nginx_south_upstreams[a/b].api_paths[0]",
        "nginx_api_paths",
        "nginx_api_paths[/v1;]",
    ]


def test_the_role_checks_a_configuration_with_its_own_script(rendered: Any, tmp_path: Path) -> None:
    """The script as the role runs it, but for the user, who is not there."""
    group = grp.getgrgid(os.getgid()).gr_name
    for name, config in {"good": rendered["main"].config.read_text(), "bad": "events {} nonsense;"}.items():
        (tmp_path / name).write_text(config)
        command = ["/bin/sh", str(CHECK), str(tmp_path / name), group, "env", "A=b", "/usr/sbin/nginx"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env={"TMPDIR": str(tmp_path)})
        assert (result.returncode == 0) == (name == "good"), result.stderr
        assert ("nonsense" in result.stderr) == (name == "bad")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "good"]


def test_the_check_creates_no_log_that_other_users_can_read(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("")
    group = grp.getgrgid(os.getgid()).gr_name
    command = ["/bin/sh", str(CHECK), str(tmp_path / "nginx.conf"), group, "/bin/sh", "-c", "umask"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "0077"


def test_a_rollout_changes_the_lines_of_its_model_alone(rendered: Any) -> None:
    text = rendered["main"].inner.config.read_text()
    blocks = re.findall(r"upstream (\S+) \{(.*?)\n    \}", text, re.S)
    addresses = {name: re.findall(r"server (\S+) (weight=\d+|down)", block) for name, block in blocks}
    assert [state for _, state in addresses["model-drained"]] == ["down", "weight=1"]
    assert [state for _, state in addresses["model-chat"]] == ["weight=1", "weight=1"]
    for _, block in blocks:
        text = text.replace(block, "")
    assert not re.search(rf"server ({'|'.join(a for a, _ in addresses['model-chat'])})", text)


def test_the_log_is_rotated_as_its_owner(rendered: Any) -> None:
    text = rendered["main"].rendered()["logrotate"]
    assert "su llm-nginx llm-nginx" in text
    assert "rotate 14" in text
    assert "--signal USR1 llm-nginx" in text


def test_the_digest_of_the_inner_one_covers_all_that_it_is_made_of(rendered: Any) -> None:
    """Else a change would be taken for loaded while old workers answer."""
    role = CHECK.parents[1]
    template, macros = ((role / "templates" / name).read_text() for name in ("south.conf.j2", "macros.j2"))
    bodies = dict(re.findall(r"{% macro (\w+)\(.*?\) %}(.*?){%-? endmacro %}", macros, re.S))
    used = template + "".join(bodies[name] for name in set(re.findall(r"nginx\.(\w+)\(", template)))
    names = set(re.findall(r"\b_?_?nginx_\w+|\bservice_\w+", used)) - {"__nginx_south_digest"}
    inputs = yaml.safe_load((role / "vars" / "main.yml").read_text())["__nginx_south_inputs"]
    assert names == set(re.findall(r"\b_?_?nginx_\w+", str(inputs))), "add it to __nginx_south_inputs"
    digests = {name: variant.rendered()["ready"]["body"] for name, variant in rendered.items()}
    assert digests["main"] != digests["south"], "other directories"
    assert all(re.fullmatch(r"[0-9a-f]{16}", digest) for digest in digests.values())
