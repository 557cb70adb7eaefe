# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real nginx with the role's own configuration, in variants, before applications that tell what reached them."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterator

import pytest
import yaml
from engine_paths import VLLM_PATHS
from patience import Watch

HERE = Path(__file__).resolve().parent
ROLE = HERE.parents[1] / "roles" / "nginx"
TOOLS = Path(sys.executable).parent
NGINX = "/usr/sbin/nginx"
# Nginx never runs as root in the product, so it does not here either.
USER = "nobody" if os.geteuid() == 0 else None
GROUPS: list[int] | None = [] if USER else None


def tool(name: str) -> str:
    found = TOOLS / name
    return str(found) if found.exists() else str(shutil.which(name) or name)


# What the role has from the service role.
SERVICE = {
    "service_signal": "systemctl kill --kill-who=main --signal",
    "service_packages": {
        "nginx": {
            "programs": {"nginx": NGINX},
            "container": False,
        }
    },
}
handed_out: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports that nothing takes before nginx does: handed out once, and below the range of outgoing connections.

    gixy takes every listener whose port has the digits 443 in it for one with TLS, and then misses HSTS there.
    """
    found: list[int] = []
    for port in random.sample([port for port in range(15000, 32000) if "443" not in str(port)], 2000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found += [port] if port not in handed_out else []
        if len(found) == count:
            handed_out.update(found)
            return found
    raise RuntimeError("no free ports")


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    watch = Watch()
    while not condition():
        if watch.seconds() > seconds:
            return False
        time.sleep(0.02)
    return True


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Stub:
    """An application behind nginx, that can be killed and come back."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self.address = f"127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(HERE / "stub.py"), str(self.port), self.name])
        assert wait_for(lambda: listens(self.port)), f"{self.name} did not start"

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def seen(self) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/seen")
        content: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return content


@dataclass
class Answer:
    """What came back; header names are lower case, repeated headers stay apart."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else ""


class Connection(HTTPConnection):
    """A connection to a port here under any TLS server name, or none."""

    def __init__(self, port: int, name: str | None, ca: Path | None) -> None:
        super().__init__("127.0.0.1", port, timeout=15)
        self.name, self.ca = name, ca

    def connect(self) -> None:
        super().connect()
        if self.ca:
            context = ssl.create_default_context(cafile=str(self.ca))
            context.check_hostname = self.name is not None
            self.sock = context.wrap_socket(self.sock, server_hostname=self.name)


@dataclass
class Door:
    """One port of a variant, as its clients see it."""

    port: int
    host: str
    ca: Path | None = None
    prefix: str = ""

    # Every log is searched for it.
    KEY: ClassVar[str] = "sk-canary-0123456789abcdef"

    def open(self, name: str | None = "") -> Connection:
        """Connect; an empty name is the door's own, None sends none."""
        return Connection(self.port, self.host if name == "" else name, self.ca)

    def send(
        self, path: str, body: Any = None, *, method: str = "", key: str = "", headers: dict[str, str] | None = None
    ) -> tuple[Connection, HTTPResponse]:
        content = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        sent = {"Host": self.host, **({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        connection = self.open()
        connection.request(method or ("GET" if body is None else "POST"), self.prefix + path, content, sent)
        return connection, connection.getresponse()

    def ask(self, path: str, body: Any = None, **options: Any) -> Answer:
        connection, response = self.send(path, body, **options)
        answer = Answer(response.status, [(k.lower(), v) for k, v in response.getheaders()], response.read())
        connection.close()
        return answer

    def complete(self, wish: dict[str, Any] | None = None, **options: Any) -> Answer:
        """Ask for a chat completion; the wish tells the stub how to behave."""
        return self.ask("/v1/chat/completions", wish or {}, **{"key": self.KEY, **options})


class Service:
    """One Nginx run as its service does: in the foreground, unprivileged, with its errors on standard error."""

    def __init__(self, name: str, folder: Path, port: int) -> None:
        self.name, self.port = name, port
        self.config = folder / f"etc/{name}/nginx.conf"
        self.errors = folder / f"{name}-errors.log"
        self.log = folder / f"log/{name}/access.json"
        self.pid = folder / f"run/{name}/nginx.pid"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *options: str) -> list[str]:
        return [NGINX, "-e", "stderr", "-g", f"pid {self.pid};", "-c", str(self.config), *options]

    def start(self) -> None:
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(self.command(), stderr=errors, user=USER, extra_groups=GROUPS)
        assert wait_for(lambda: listens(self.port)), self.errors.read_text()

    def check(self) -> subprocess.CompletedProcess[str]:
        """As the service's user, as the role does: root would leave behind a log that the service may not write."""
        command = self.command("-t", "-q")
        return subprocess.run(command, capture_output=True, text=True, check=False, user=USER, extra_groups=GROUPS)

    def reload(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()


class Nginx:
    """Both services of a gateway: the doors, and the balancer of the engines."""

    def __init__(self, folder: Path, variables: dict[str, Any]) -> None:
        self.folder, self.variables = folder, variables
        self.ca = folder / "etc/tls/ca.pem"
        self.outer = Service("nginx", folder, variables["nginx_status_port"])
        self.inner = Service("nginx-south", folder, variables["nginx_south_port"])
        self.services = (self.outer, self.inner)
        # What most tests are about.
        self.config, self.log, self.pid = self.outer.config, self.outer.log, self.outer.pid

    def rendered(self) -> dict[str, Any]:
        """What render.yml tells of the variant."""
        content: dict[str, Any] = json.loads(self.config.with_name("rendered.json").read_text())
        return content

    def door(self, variable: str, host: str = "") -> Door:
        door = self.variables[variable]
        return Door(door["port"], host or door["server_name"], self.ca)

    @property
    def api(self) -> Door:
        return self.door("nginx_api")

    @property
    def dashboards(self) -> Door:
        return self.door("nginx_dashboards")

    @property
    def chat(self) -> Door:
        return self.door("nginx_chat")

    def south(self, model: str) -> Door:
        return Door(self.variables["nginx_south_port"], "127.0.0.1", None, f"/{model}")

    @property
    def status(self) -> Door:
        return Door(self.variables["nginx_status_port"], "127.0.0.1")

    def start(self) -> None:
        for service in self.services:
            service.start()

    def reload(self) -> None:
        for service in self.services:
            service.reload()

    def stop(self) -> None:
        for service in self.services:
            service.stop()

    def in_force(self) -> str:
        """The digest of the configuration that the inner Nginx was loaded from."""
        found: str = Door(self.inner.port, "127.0.0.1").ask("/_status").json["configuration"]
        return found

    def written(self) -> str:
        """All that both have written down."""
        files = [path for service in self.services for path in (service.log, service.errors) if path.exists()]
        return "".join(path.read_text() for path in files)

    def logged(self, request_id: str = "") -> list[dict[str, Any]]:
        """The lines of both access logs, those of one request if it is named."""

        def lines() -> list[dict[str, Any]]:
            texts = [service.log.read_text() for service in self.services if service.log.exists()]
            found = [json.loads(line) for line in "".join(texts).splitlines()]
            return [line for line in found if request_id in ("", line["request_id"])]

        assert wait_for(lambda: bool(lines())), f"nothing of {request_id} in the access log"
        return lines()


PASSWORD = "canary-of-the-dashboards"
Variants = Dict[str, Nginx]
BASE = {
    "nginx_north": True,
    "nginx_listen": "127.0.0.1",
    "nginx_south_listen": "127.0.0.1",
    "nginx_exporter_listen": "127.0.0.1",
    "nginx_exporter_port": 9113,
    "nginx_request_timeout": 30,
    "nginx_south_request_timeout": 20,
    "nginx_dashboards_password": PASSWORD,
    "nginx_rate_per_key": 0,
    "nginx_rate_per_address": 0,
    "nginx_rate_login": 0,
    "ansible_managed": "Ansible managed",
    "ansible_python_interpreter": sys.executable,
    "__nginx_version_output": {
        "stderr": subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=False).stderr
    },
}


def variants(stubs: dict[str, Stub]) -> dict[str, dict[str, Any]]:
    """Values of the role's variables, over BASE, by name."""
    ports = iter(free_ports(40))

    def door(name: str, stub: str, **values: Any) -> dict[str, Any]:
        return {"server_name": name, "port": next(ports), "upstream": [stubs[stub].address], **values}

    def doors(**values: Any) -> dict[str, Any]:
        names = ("api", "chat", "dashboards")
        return {**{f"nginx_{name}": door(f"{name}.test", "application") for name in names}, **values}

    def model(name: str, *names: str, **values: Any) -> dict[str, Any]:
        servers = [{"address": stubs[n].address, "weight": 1} for n in names]
        return {"name": name, "api_paths": VLLM_PATHS, "servers": servers, **values}

    south = [
        model("chat", "replica-0", "replica-1", balance="least_conn", max_connections=1000),
        model("Session.v1_x", "replica-0", "replica-1", balance="session"),
        model("drained", "replica-0", "replica-1"),
        model("limited", "replica-0", max_connections=2),
        model("limited-too", "replica-0", max_connections=2),
        model("single", "replica-0"),
        model("other", "replica-0", api_paths=["/v1/chat/completions", "/v2/speak"]),
        model("dead", "nobody-0", "nobody-1"),
        model("none"),
        model("all-out", "replica-0", "replica-1"),
        model("one-out", "replica-0"),
        model("session-out", "replica-0", "replica-1", balance="session"),
    ]
    south[2]["servers"][0]["weight"] = 0
    for out in south[-3:]:
        for server in out["servers"]:
            server["weight"] = 0
    for number, server in enumerate(south[0]["servers"]):
        server["replica"] = number
    # Of two versions: replica-0 is the old one, replica-1 the new.
    south += [
        *(model(f"split-{n}", "replica-0", "replica-1", new_percent=n) for n in (0, 10, 50, 100)),
        model("Split.v1_x", "replica-0", "replica-1", new_percent="33.337"),
        model("split-dead-new", "replica-0", "nobody-1", new_percent=50.0),
        model("split-dead-old", "nobody-0", "replica-1", new_percent=50.0),
        model("split-drained-new", "replica-0", "replica-1", new_percent=50.0),
        model("split-dead", "nobody-0", "nobody-1", new_percent=50.0),
        model("split-half-new", "replica-0", "replica-1", "nobody-1", new_percent=50.0),
    ]
    for one in south:
        for server in one["servers"][1:] if "new_percent" in one else []:
            server["new"] = True
    next(one for one in south if one["name"] == "split-drained-new")["servers"][1]["weight"] = 0
    shared = next(ports)
    given = doors(nginx_http_port=next(ports))
    given["nginx_api"]["port"] = given["nginx_chat"]["port"] = given["nginx_dashboards"]["port"] = shared
    return {
        "main": doors(
            nginx_south_upstreams=south,
            nginx_api_max_body_size="1m",
            nginx_chat_max_body_size="3m",
            nginx_connections_per_address=0,
        ),
        "tight": doors(
            nginx_trusted_proxies=["127.0.0.1"],
            nginx_rate_per_key=60,
            nginx_burst_per_key=2,
            nginx_rate_per_address=30,
            nginx_burst_per_address=5,
            nginx_rate_login=10,
            nginx_burst_login=2,
            nginx_connections_per_key=2,
            nginx_connections_per_address=3,
            nginx_connections_total=4,
        ),
        "address": doors(
            nginx_api_aliases=["127.0.0.1", "::1"], nginx_tls_certificate="(given)", nginx_tls_key="(given)"
        ),
        "given": {**given, "nginx_tls_certificate": "(given)", "nginx_tls_key": "(given)"},
        "files": doors(nginx_tls_certificate_file="/srv/chain.pem", nginx_tls_key_file="/srv/key.pem"),
        "browsers": doors(nginx_api_cors_origins=["https://app.example.org", "http://localhost:3000"]),
        "south": {"nginx_north": False, "nginx_south_upstreams": south},
        "new": doors(__nginx_version_output={"stderr": "nginx version: nginx/1.26.3"}),
        "unknown": doors(__nginx_version_output={"stderr": ""}),
        "privileged": doors(nginx_api={**door("api.test", "application"), "port": 443}),
        "bad": doors(
            nginx_tls_key="only",
            nginx_tls_certificate_file="/only",
            nginx_api={"server_name": "a;b", "port": 1, "upstream": []},
            nginx_chat={"server_name": "a;b", "port": 1, "upstream": ["no port"]},
            nginx_http_port=1,
            nginx_south_upstreams=[
                model("chat", "application"),
                model("Chat", "application"),
                model("a/b", "application", api_paths=["/v1/models;"]),
            ],
            nginx_api_paths={"/v1;": ["post"]},
        ),
    }


def shipped() -> dict[str, Any]:
    """The role's own defaults and internal variables."""
    found = {
        key: value
        for folder in ("defaults", "vars")
        for key, value in yaml.safe_load((ROLE / folder / "main.yml").read_text()).items()
    }
    # Files are searched in a role only from within a role.
    for name in ("__nginx_south_inputs", "__nginx_dashboards_scripts", "__nginx_dashboards_styles"):
        found[name] = [
            re.sub(r"'[.][.]/(templates|files)/", rf"'{ROLE}/\1/", text) if isinstance(text, str) else text
            for text in found[name]
        ]
    return found


def certificate(
    mode: str, ca: Path, *names: str, pem: str = "", days: int = 397, renew: int = 30
) -> subprocess.CompletedProcess[str]:
    """Run the role's certificate script as its task does."""
    script = (ROLE / "files/certificate.sh").read_text()
    command = ["/bin/sh", "-c", script, "certificate", mode, str(ca), str(days), str(renew), *names]
    return subprocess.run(command, input=pem, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def stubs() -> Iterator[dict[str, Stub]]:
    names = ("application", "replica-0", "replica-1", "nobody-0", "nobody-1")
    found = {name: Stub(name, port) for name, port in zip(names, free_ports(len(names)))}
    for name, stub in found.items():
        if not name.startswith("nobody"):
            stub.start()
    yield found
    for stub in found.values():
        stub.kill()


@pytest.fixture(scope="session")
def rendered(stubs: dict[str, Stub]) -> Iterator[Variants]:
    """Every variant, rendered in one run of Ansible, with the directories and the certificate that the service has."""
    root = Path(tempfile.mkdtemp(prefix="llmfleet-nginx-"))
    root.chmod(0o755)
    found: Variants = {}
    hosts: dict[str, Any] = {}
    for name, values in variants(stubs).items():
        folder = root / name
        status, south = free_ports(2)
        roots = {
            f"service_{kind}_root": str(folder / part)
            for kind, part in (("config", "etc"), ("state", "lib"), ("run", "run"), ("log", "log"))
        }
        closed = {"server_name": ""}
        own = {
            "nginx_api": closed,
            "nginx_chat": closed,
            "nginx_dashboards": closed,
            "nginx_south_upstreams": [],
            "nginx_status_port": status,
            "nginx_south_port": south,
        }
        hosts[name] = {**BASE, **SERVICE, **roots, **own, "nginx_tls_ca_file": str(folder / "etc/tls/ca.pem"), **values}
        found[name] = Nginx(folder, hosts[name])
        for service in found[name].services:
            service.config.parent.mkdir(parents=True)
            for writable in (folder / "lib" / service.name, service.pid.parent, service.log.parent):
                writable.mkdir(parents=True)
                if USER:
                    shutil.chown(writable, USER)
    inventory = root / "inventory.yml"
    # Defaults as group variables, so that a variant wins over them as an inventory does.
    inventory.write_text(yaml.safe_dump({"all": {"vars": shipped(), "hosts": hosts}}))
    run = subprocess.run(
        [tool("ansible-playbook"), "-i", str(inventory), "--forks", "2", str(HERE / "render.yml")],
        # The role's filters are found through the checkout's configuration.
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for variant in found.values():
        for service in variant.services:
            service.config.write_text(variant.rendered()[service.name])
        if not variant.variables["nginx_north"]:
            continue
        for name in ("dashboards.html", "dashboards.login"):
            page = variant.config.parent / name
            page.write_text(variant.rendered()[name])
            page.chmod(0o640)
            if USER:
                shutil.chown(page, USER)
        made = certificate("make", variant.ca, *variant.rendered()["names"])
        assert made.returncode == 10, made.stderr
        pem = variant.config.parent / "tls.pem"
        pem.write_text(made.stdout)
        pem.chmod(0o600)
        if USER:
            shutil.chown(pem, USER)
    yield found
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def running(rendered: Variants) -> Iterator[Callable[[str], Nginx]]:
    """Start a variant when it is first asked for."""
    started: Variants = {}

    def start(name: str) -> Nginx:
        if name not in started:
            started[name] = rendered[name]
            started[name].start()
        return started[name]

    yield start
    for variant in started.values():
        with suppress(ProcessLookupError):
            variant.stop()


@pytest.fixture(scope="session")
def nginx(running: Callable[[str], Nginx]) -> Nginx:
    return running("main")


@pytest.fixture(scope="session")
def certificate_script() -> Callable[..., subprocess.CompletedProcess[str]]:
    return certificate
