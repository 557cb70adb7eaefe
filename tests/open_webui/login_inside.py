# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run by test_login.py in a network namespace: people log in to Open WebUI through a real identity provider."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import threading
from http.cookiejar import CookieJar
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from inside import SECRETS, Gateway, started, wait_until_ready
from page_client import PAGE, ask, call

PORT = 8443
PASSWORD = "a-password-at-the-provider"
CLIENT_SECRET = "canary-of-a-client-secret"
WRONG_CODE = "canary-of-a-code"
HIDDEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
TOKEN = re.compile(r"eyJ[\w-]{8,}")
CLIENT = {
    "client_id": "chat-page",
    "client_secret": CLIENT_SECRET,
    "client_name": "Chat page",
    # Canaille asks nobody for consent to a client on loopback.
    "client_uri": PAGE,
    "redirect_uris": [f"{PAGE}/oauth/oidc/callback"],
    "grant_types": ["authorization_code"],
    "response_types": ["code"],
    "scope": ["openid", "email", "profile", "groups"],
    "token_endpoint_auth_method": "client_secret_basic",
}


class Provider:
    """Canaille, and who is in which of its groups."""

    def __init__(self, python: str, folder: Path) -> None:
        people = {"people": ["ann", "eve", "dan", "bob"], "password": PASSWORD, "client": CLIENT, "port": PORT}
        wanted = json.dumps({**people, "secret": "0123456789abcdef0123456789abcdef"})
        command = [python, str(Path(__file__).with_name("provider.py")), str(folder), wanted]
        with (folder / "provider").open("wb") as log:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, cwd=folder)

    def has(self, groups: dict[str, list[str]]) -> list[str]:
        """Set the groups; return codes and tokens that were issued so far."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(groups) + "\n")
        self.process.stdin.flush()
        return list(json.loads(self.process.stdout.readline()))


class Redirections(HTTPRedirectHandler):
    """Follows redirections, and notes where they lead."""

    def __init__(self, visited: list[str]) -> None:
        self.visited = visited

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        self.visited.append(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Browser:
    """A browser of one person, with cookies."""

    def __init__(self, folder: Path) -> None:
        self.cookies = CookieJar()
        trusted = HTTPSHandler(context=ssl.create_default_context(cafile=str(folder / "cert.pem")))
        self.visited: list[str] = []
        self.opener = build_opener(HTTPCookieProcessor(self.cookies), trusted, Redirections(self.visited))

    def open(self, url: str, form: dict[str, str] | None = None) -> tuple[str, str]:
        """Address and text of the page at the end of all redirections."""
        data = urlencode(form).encode() if form else None
        # Canaille takes a form only from a page of its own.
        with self.opener.open(Request(url, data, {"Referer": url}), timeout=60) as answer:
            return str(answer.geturl()), answer.read().decode(errors="replace")

    def sign_out(self) -> dict[str, Any]:
        """What the page answers to a sign-out."""
        with self.opener.open(Request(f"{PAGE}/api/v1/auths/signout", b""), timeout=60) as answer:
            return dict(json.loads(answer.read()))

    def log_in(self, name: str) -> dict[str, Any]:
        """What the page says after a log-in, and its session."""
        url, text = self.open(f"{PAGE}/oauth/oidc/login")
        for field, value in (("login", name), ("password", PASSWORD)):
            found = HIDDEN.search(text)
            if url.startswith(PAGE) or not found:
                sys.exit(f"{url}: no form for {field}: {text[:2000]}")
            url, text = self.open(urljoin(url, urlsplit(url).path), {field: value, "csrf_token": found[1]})
        token = next((cookie.value for cookie in self.cookies if cookie.name == "token"), "")
        return {"url": url, "token": token or "", "cookies": sorted(cookie.name for cookie in self.cookies)}


def person(token: str) -> dict[str, Any]:
    """Status of a session, and what it says of the person."""
    status, text = ask("/api/v1/auths/", token)
    said = json.loads(text) if status == 200 else {}
    return {"status": status, **{name: said.get(name) for name in ("role", "email", "name", "profile_image_url")}}


def with_a_wrong_code(folder: Path) -> dict[str, Any]:
    """What the provider was asked for, and where somebody gets with a code that it has not issued."""
    browser = Browser(folder)
    browser.open(f"{PAGE}/oauth/oidc/login")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(browser.visited[0]).query).items()}
    answer = urlencode({"code": WRONG_CODE, "state": asked["state"]})
    return {"asked": asked, "url": browser.open(f"{PAGE}/oauth/oidc/callback?{answer}")[0]}


def logged_in(folder: Path, provider: Provider) -> dict[str, Any]:
    both = {"chat-users": ["ann"], "chat-admins": ["eve"], "others": ["dan"]}
    provider.has(both)
    ann, eve, bob, dan = (Browser(folder).log_in(name) for name in ("ann", "eve", "bob", "dan"))
    report: dict[str, Any] = {
        "config": call("/api/config"),
        "first": {"ann": person(ann["token"]), "eve": person(eve["token"])},
        "cookies": ann["cookies"],
        "refused": {"bob": bob, "dan": dan},
        "password": ask("/api/v1/auths/signin", body={"email": "admin@localhost", "password": PASSWORD})[0],
    }
    admin = eve["token"]
    report["accounts"] = sorted(one["email"] for one in call("/api/v1/users/", admin)["users"])
    # The group of one is taken away, the other is a user now.
    provider.has({"chat-users": ["eve"], "others": ["ann"]})
    report["away"] = {"before": person(ann["token"])["status"], **Browser(folder).log_in("ann")}
    listed = {one["email"]: one["role"] for one in call("/api/v1/users/", admin)["users"]}
    report["away"] |= {"after": person(ann["token"])["status"], "role": listed["ann@mail.example"]}
    report["moved"] = person(Browser(folder).log_in("eve")["token"])
    issued = provider.has(both)
    browser = Browser(folder)
    report["back"] = person(browser.log_in("ann")["token"])
    report["out"] = browser.sign_out()["redirect_url"]
    report["wrong"] = with_a_wrong_code(folder)
    report["issued"] = issued
    return report


def main(program: str, folder: Path, canaille: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    provider = Provider(canaille, folder)
    gateway = ThreadingHTTPServer(("127.0.0.1", 4000), Gateway)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    process, _environment = started(program, folder, {**SECRETS, "OAUTH_CLIENT_SECRET": CLIENT_SECRET})
    try:
        wait_until_ready(process)
        report = logged_in(folder, provider)
    finally:
        for one in (process, provider.process):
            one.terminate()
            one.wait(30)
    lines = (folder / "log").read_text(errors="replace").splitlines()
    secret = [*report.pop("issued"), CLIENT_SECRET, WRONG_CODE, PASSWORD]
    report["leaks"] = [line for line in lines if TOKEN.search(line) or any(word in line for word in secret)]
    report["secrets"] = len(secret)
    report["pictures"] = (folder / "provider").read_text(errors="replace").count("picture-of-a-person")
    report["logged"] = len(lines)
    print(json.dumps(report))


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
