# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""scripts/demo_env.py finds the value of a key under the name that the collection keeps it under, and has clients trust
the fleet's CA besides what they trusted before.
"""

from __future__ import annotations

import http.server
import os
import shlex
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.client_keys import secret_name

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "roles/nginx/files/certificate.sh"
TRUST = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"}
# What a shell, or pip, may be told of certificates.
PLAIN = {name: value for name, value in os.environ.items() if "CERT" not in name and "CA_BUNDLE" not in name}
ASK = {
    "curl": ["curl", "--silent", "--show-error", "--fail", "{url}"],
    "python": [sys.executable, "-c", "import sys, urllib.request as r; r.urlopen(sys.argv[1])", "{url}"],
    "requests": [sys.executable, "-c", "import sys, requests as r; r.get(sys.argv[1], timeout=9)", "{url}"],
    "node": ["node", "-e", "fetch(process.argv[1]).then(() => 0, error => process.exit(1))", "{url}"],
    "uv": [
        str(Path(sys.executable).with_name("uv")),
        *("pip", "compile", "--no-config", "--no-cache", "--default-index", "{url}", "{requirements}"),
    ],
}


class Index(http.server.BaseHTTPRequestHandler):
    """An index with one package, at every path."""

    def do_GET(self) -> None:
        body = b"<a href='/one-1-py3-none-any.whl' data-dist-info-metadata='true'>one-1-py3-none-any.whl</a>"
        if self.path.endswith(".metadata"):
            body = b"Metadata-Version: 2.1\nName: one\nVersion: 1\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, str]]]:
    """The CA and the URL of an index of the company, and of the fleet."""
    found = {}
    running = []
    for name in ("company", "fleet"):
        folder = tmp_path_factory.mktemp(name)
        command = ["/bin/sh", str(SCRIPT), "make", str(folder / "ca.pem"), "9", "1", "localhost"]
        pem = folder / "pair.pem"
        pem.write_text(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        found[name] = folder / "ca.pem", f"https://localhost:{server.server_port}/"
    yield found
    for server in running:
        server.shutdown()


def inventory(folder: Path, **variables: object) -> Path:
    given = {"llm_api_server_name": "localhost", "llm_api_port": 8443, "litellm_keys": [{"alias": "me"}], **variables}
    (folder / "group_vars").mkdir()
    (folder / "group_vars" / "all.yml").write_text(yaml.safe_dump(given))
    return folder


def exports(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    command = [sys.executable, str(ROOT / "scripts/demo_env.py"), str(folder)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    lines = (line.removeprefix("export ").partition("=") for line in text.splitlines())
    return {name: shlex.split(value)[0] for name, _equals, value in lines}


@pytest.mark.parametrize("alias", ["guest", "guide-only", "team.a", "Ann_2", "me@example"])
def test_the_key_of_a_client(tmp_path: Path, alias: str) -> None:
    folder = inventory(tmp_path, litellm_keys=[{"alias": alias}])
    (folder / ".llm_secrets.yml").write_text(yaml.safe_dump({"secrets": {secret_name(alias): "it's $HOME"}}))
    assert exports(folder, dict(os.environ))["OPENAI_API_KEY"] == "it's $HOME"


@pytest.fixture
def trusting(tmp_path: Path, servers: dict[str, tuple[Path, str]]) -> tuple[Path, dict[str, str]]:
    """An inventory of a fleet, and a shell that trusts the company."""
    folder = inventory(tmp_path, nginx_tls_ca_file=str(servers["fleet"][0]))
    (folder / ".llm_secrets.yml").write_text(yaml.safe_dump({"secrets": {secret_name("me"): "canary"}}))
    return folder, {**PLAIN, "SSL_CERT_FILE": str(servers["company"][0])}


@pytest.mark.parametrize("client", sorted(ASK))
def test_clients_trust_the_fleet_and_what_they_trusted_before(
    client: str, trusting: tuple[Path, dict[str, str]], servers: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    if not shutil.which(ASK[client][0]):
        pytest.skip(f"there is no {ASK[client][0]}")
    folder, environment = trusting
    printed = exports(folder, environment)
    assert {name for name, value in printed.items() if value == str(folder / ".llm_ca.pem")} == TRUST
    requirements = tmp_path / "requirements.in"
    requirements.write_text("one")
    for name, (_ca, url) in servers.items():
        command = [part.format(url=url, requirements=requirements) for part in ASK[client]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**PLAIN, **printed})
        assert done.returncode == 0, f"{client} does not trust the {name}: {done.stderr}"


def test_in_its_own_shell_the_bundle_stays_and_follows_what_changes(
    trusting: tuple[Path, dict[str, str]], servers: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    folder, environment = trusting
    company = tmp_path / "company.pem"
    shutil.copy(servers["company"][0], company)
    printed = exports(folder, {**environment, "SSL_CERT_FILE": str(company)})
    bundle = folder / ".llm_ca.pem"
    first = bundle.stat()
    assert oct(first.st_mode & 0o777) == "0o644"
    assert exports(folder, {**PLAIN, **printed}) == printed
    assert (bundle.stat().st_ino, bundle.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    shutil.copy(servers["fleet"][0], company)
    exports(folder, {**PLAIN, **printed})
    assert bundle.read_text().count(servers["fleet"][0].read_text()) == 2
    assert [path.name for path in folder.iterdir() if path.name.startswith(".llm_ca.pem")] == [".llm_ca.pem"]


def test_a_variable_of_an_earlier_version_counts_for_nothing(
    trusting: tuple[Path, dict[str, str]], servers: dict[str, tuple[Path, str]]
) -> None:
    """It named the fleet's CA alone, which leaves uv without an index."""
    folder, environment = trusting
    company, fleet = (str(servers[name][0]) for name in ("company", "fleet"))
    exports(folder, {**environment, "SSL_CERT_FILE": fleet, "PIP_CERT": company})
    assert (folder / ".llm_ca.pem").read_text().startswith(f"# Trusted before: {company}\n")


@pytest.mark.parametrize(("there", "kept"), [(True, True), (False, False)])
def test_make_drops_variables_that_name_a_bundle_that_is_gone(tmp_path: Path, there: bool, kept: bool) -> None:
    bundle = tmp_path / ".llm_ca.pem"
    if there:
        bundle.write_text("")
    program = tmp_path / "show.mk"
    program.write_text(f"include {ROOT}/mk/demo.mk\n.PHONY: show\nshow:\n\t@env\n")
    done = subprocess.run(
        ["make", "--no-print-directory", "-f", str(program), "show"],
        cwd=ROOT,
        env={**PLAIN, **dict.fromkeys(TRUST, str(bundle))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {line.partition("=")[0] for line in done.stdout.splitlines()} & TRUST == (TRUST if kept else set())


def test_a_machine_that_was_not_set_up(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("{}")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/demo_env.py"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "make demo" in done.stderr
