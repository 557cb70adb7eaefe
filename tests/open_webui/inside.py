# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run by test_outside.py in a network namespace: uses Open WebUI and prints what left by the only way out."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError

from page_client import JSON, ask, call, form
from page_mistakes import mistaken
from page_models import model_tries
from page_private import private_tries
from page_sockets import socket_tries

PASSWORD = "a-password-of-a-user"
# A function of an administrator, which would leave a file in the service's directory.
CODE = "open('ran', 'w')\n\n\nclass Filter:\n    pass\n"
IPV4 = 0x0800
STREAMED = {"content": "streamed"}
# A word of prompts, files and names that fail.
WORD = "canaryofaprompt"
# What the gateway answers for these models.
REFUSALS = {
    "limited": (429, "Too many requests of this key. Try again in 7 seconds."),
    "gone": (503, "The model chat is not available. Try again soon."),
}
SECRETS = {
    "WEBUI_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "WEBUI_ADMIN_PASSWORD": "a-password-for-this-test",
    "OPENAI_API_KEYS": "sk-for-this-test",
}


class Gateway(BaseHTTPRequestHandler):
    """As much of the gateway as a page needs."""

    asked: ClassVar[list[str]] = []
    bodies: ClassVar[list[str]] = []
    # Paths, and for whom requests are as the page says; empty for nobody.
    persons: ClassVar[set[tuple[str, str]]] = set()

    def reply(self, kind: str, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        models = [{"id": name, "object": "model"} for name in ("chat", "limited", "gone", "echo", "garbled", "cut")]
        self.reply("application/json", json.dumps({"data": models}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(f"{self.path} {body['model']}")
        self.bodies.append(json.dumps(body))
        self.persons.add((self.path, self.headers.get("X-OpenWebUI-User-Id", "")))
        if body["model"] in ("echo", "garbled", "cut"):
            self.fail(body["model"], json.dumps(body.get("messages") or body.get("input")))
        elif self.path == "/v1/embeddings":
            vectors = [{"index": place, "embedding": [0.5, 0.25, 0.125]} for place in range(len(body["input"]))]
            self.reply("application/json", json.dumps({"data": vectors}).encode())
        elif body["model"] in REFUSALS:
            status, message = REFUSALS[body["model"]]
            self.reply("application/json", json.dumps({"error": {"message": message, "code": "x"}}).encode(), status)
        else:
            chunk = {"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": STREAMED}]}
            self.reply("text/event-stream", f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())

    def fail(self, how: str, prompt: str) -> None:
        """Answer with what quotes a prompt: an error, a stream that is none, and one that breaks off."""
        if how == "echo":
            self.reply("application/json", json.dumps({"error": {"message": f"refused: {prompt}"}}).encode(), 400)
        elif how == "garbled":
            self.reply("text/event-stream", f"data: {{{prompt}\n\ndata: [{prompt}\n\n".encode())
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(f"data: {{{prompt}".encode())
            self.close_connection = True

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class WayOut:
    """A cable that ends at a wall, with the default route into it, and what arrives at the wall."""

    def __init__(self, folder: Path) -> None:
        names = folder / "resolv.conf"
        names.write_text("nameserver 192.0.2.53\n")
        for command in (
            "ip link set lo up",
            "ip link add out0 type veth peer name wall0",
            "ip link set wall0 up",
            "ip link set out0 up",
            "ip address add 192.0.2.1/24 dev out0",
            "ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev out0",
            "ip neighbour add 192.0.2.53 lladdr 02:00:00:00:00:02 dev out0",
            "ip route add default via 192.0.2.2",
            f"mount --bind {names} /etc/resolv.conf",
        ):
            subprocess.run(command.split(), check=True)
        self.sent: list[str] = []
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4))
        self.socket.bind(("wall0", IPV4))
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        while True:
            packet = self.socket.recv(65535)
            header = (packet[0] & 15) * 4
            port = int.from_bytes(packet[header + 2 : header + 4], "big")
            printable = "".join(chr(byte) if 32 < byte < 127 else "." for byte in packet[header + 8 : header + 72])
            self.sent.append(f"{ipaddress.ip_address(packet[16:20])}:{port} {printable}")


def started(program: str, folder: Path, secrets: dict[str, str]) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """The page's process, which writes to the folder's file `log`, and its environment."""
    state = folder / "open-webui"
    state.mkdir()
    made = {key: str(value) for key, value in json.loads((folder / "environment").read_text()).items()}
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(state), **made, **secrets}
    with (folder / "log").open("wb") as log:
        command = [program, "-m", "uvicorn", "llmfleet_page:app", "--host", "127.0.0.1", "--port", "3000"]
        return subprocess.Popen(command, env=environment, cwd=state, stdout=log, stderr=subprocess.STDOUT), environment


def wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(URLError, OSError):
            call("/ready")
            return
        time.sleep(0.5)
    sys.exit("Open WebUI did not become ready")


def deeds() -> dict[str, tuple[Any, ...]]:
    """What a person can do that could reach the outside, by what it is: path, body, kind."""
    page = {"url": "https://pages.example/a", "collection_name": "pages"}
    chat = {"stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    picture = {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}
    return {
        "chat": ("/api/chat/completions", {**chat, "model": "chat"}),
        "limited": ("/api/chat/completions", {**chat, "model": "limited"}),
        "gone": ("/api/chat/completions", {**chat, "model": "gone"}),
        "picture": (
            "/api/chat/completions",
            {**chat, "model": "chat", "messages": [{"role": "user", "content": [picture]}]},
        ),
        "upload": ("/api/v1/files/", *form("a.txt", "text/plain", b"Text")),
        "large": ("/api/v1/files/", *form("b.txt", "text/plain", b"x" * 3_000_000)),
        "quota": ("/api/v1/files/", *form("c.txt", "text/plain", b"x" * 1_200_000)),
        "update": ("/api/version/updates",),
        "memory": ("/api/v1/memories/add", {"content": "a private remark"}),
        "recall": ("/api/v1/memories/query", {"content": "remark"}),
        "knowledge": ("/api/v1/knowledge/create", {"name": "private name", "description": "private text"}),
        "search": ("/api/v1/retrieval/query/collection", {"collection_names": ["file-1"], "query": "private"}),
        "page": ("/api/v1/retrieval/process/web", page),
        "address": ("/api/v1/retrieval/process/url", page),
        "film": ("/api/v1/retrieval/process/youtube", {**page, "url": "https://www.youtube.com/watch?v=dQw4w9WgXcQ"}),
        "web": ("/api/v1/retrieval/process/web/search", {"queries": ["private"]}),
        "speak": ("/api/v1/audio/speech", {"input": "private words", "model": "tts-1", "voice": "alloy"}),
        "voices": ("/api/v1/audio/voices",),
        "speech models": ("/api/v1/audio/models",),
        "listen": ("/api/v1/audio/transcriptions", *form("a.wav", "audio/wav", b"RIFF")),
        "image": ("/api/v1/images/generations", {"prompt": "private picture"}),
        "edit": ("/api/v1/images/edit", {"prompt": "private picture", "image": "https://pictures.example/a.png"}),
        "image models": ("/api/v1/images/models",),
        "skill": ("/api/v1/skills/load/url", {"url": "https://github.com/a/b"}),
        "tool": ("/api/v1/tools/load/url", {"url": "https://github.com/a/b/blob/main/c.py"}),
        "function": ("/api/v1/functions/load/url", {"url": "https://github.com/a/b/blob/main/c.py"}),
        "code": ("/api/v1/functions/create", {"id": "code", "name": "code", "meta": {}, "content": CODE}),
        "avatar": ("/api/v1/utils/gravatar?email=person@mail.example",),
        "leaders": ("/api/v1/evaluations/leaderboard?query=private",),
    }


def log_in(email: str, password: str) -> str:
    return str(call("/api/v1/auths/signin", body={"email": email, "password": password})["token"])


def tried(token: str, sent: list[str]) -> dict[str, Any]:
    """Status and text of each deed, and what left meanwhile."""
    found: dict[str, Any] = {}
    for name, (path, *rest) in deeds().items():
        before = len(sent)
        status, text = ask(path, token, *rest)
        time.sleep(0.2)
        found[name] = {"status": status, "text": text[:2000], "sent": sent[before:]}
    return found


def main(program: str, folder: Path, what: str) -> None:
    out = WayOut(folder)
    # A name that nobody knows: the way out has to be seen to work.
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.sendto(b"control", ("198.51.100.1", 9))
    time.sleep(0.5)
    control = list(out.sent)
    out.sent.clear()

    gateway = ThreadingHTTPServer(("127.0.0.1", 4000), Gateway)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    process, environment = started(program, folder, SECRETS)
    try:
        wait_until_ready(process)
        if what == "models":
            report = granted(environment["WEBUI_ADMIN_EMAIL"])
        else:
            report = used(environment["WEBUI_ADMIN_EMAIL"], out.sent)
        gateway.shutdown()
        gateway.server_close()
        path, chat = deeds()["chat"]
        token = report.pop("token")
        report["down"] = ask(path, token, chat)
        report["mistakes"] += mistaken(WORD, token)
        # What it does by itself from time to time, it has begun by now.
        time.sleep(5)
    finally:
        process.terminate()
        process.wait(30)
    told = {"control": control, "sent": out.sent, "ran": (folder / "open-webui" / "ran").exists()}
    lines = (folder / "log").read_text(errors="replace").splitlines()
    print(json.dumps({**report, **told, "quoted": [line for line in lines if WORD in line], "logged": len(lines)}))


def attacks(owned: dict[str, str]) -> dict[str, tuple[Any, ...]]:
    """What a person may try against another one and against the page: path, body, kind, method."""
    chat, file, ids = (owned.get(name, "") for name in ("chat", "file", "id"))
    connection = {"OPENAI_API_BASE_URLS": ["http://127.0.0.1:9"], "OPENAI_API_KEYS": [""], "OPENAI_API_CONFIGS": {}}
    person = {"name": "Eve", "email": "eve@mail.example", "password": PASSWORD, "role": "admin"}
    mine = {"name": "Ann", "email": "ann@mail.example", "profile_image_url": "", "role": "admin"}
    return {
        "chat": (f"/api/v1/chats/{chat}",),
        "change a chat": (f"/api/v1/chats/{chat}", {"chat": {"title": "mine"}}),
        "delete a chat": (f"/api/v1/chats/{chat}", None, JSON, "DELETE"),
        "clone a chat": (f"/api/v1/chats/{chat}/clone", {}),
        "share a chat": (f"/api/v1/chats/{chat}/share", {}),
        "chats of a user": (f"/api/v1/chats/list/user/{ids}",),
        "all chats": ("/api/v1/chats/all/db",),
        "file": (f"/api/v1/files/{file}",),
        "content of a file": (f"/api/v1/files/{file}/content",),
        "delete a file": (f"/api/v1/files/{file}", None, JSON, "DELETE"),
        "all users": ("/api/v1/users/",),
        "make a user": ("/api/v1/auths/add", person),
        "become administrator": (f"/api/v1/users/{ids}/update", mine),
        "delete a user": (f"/api/v1/users/{ids}", None, JSON, "DELETE"),
        "settings": ("/api/v1/configs/export",),
        "change settings": ("/api/v1/configs/import", {"config": {}}),
        "sign-up": ("/api/v1/auths/admin/config",),
        "connections": ("/openai/config",),
        "change connections": ("/openai/config/update", connection),
        "verify a connection": ("/openai/verify", {"url": "http://127.0.0.1:9", "key": ""}),
        "database": ("/api/v1/utils/db/download",),
        "retrieval": ("/api/v1/retrieval/config",),
        "images": ("/api/v1/images/config",),
        "audio": ("/api/v1/audio/config",),
        "permissions of users": ("/api/v1/users/default/permissions",),
        "functions": ("/api/v1/functions/export",),
        "pipelines": ("/api/v1/pipelines/list",),
    }


def attacked(victim: str, user: str, identity: str) -> dict[str, Any]:
    """Status of each attack, by a user and by nobody, and whether what was attacked is there afterwards."""
    said = {"role": "user", "content": "a private question"}
    chat = call("/api/v1/chats/new", victim, {"chat": {"title": "private", "messages": [said]}})["id"]
    file = call_file(victim)
    owned = {"chat": chat, "file": file, "id": identity}
    found: dict[str, Any] = {
        who: {name: ask(path, token, *rest)[0] for name, (path, *rest) in attacks(owned).items()}
        for who, token in (("user", user), ("nobody", ""))
    }
    found["kept"] = [ask(f"/api/v1/chats/{chat}", victim)[0], ask(f"/api/v1/files/{file}", victim)[0]]
    found["title"] = call(f"/api/v1/chats/{chat}", victim)["chat"]["title"]
    return found


def call_file(token: str) -> str:
    """The name of a file that a person has sent."""
    status, text = ask("/api/v1/files/", token, *form("p.txt", "text/plain", b"private"))
    if status != 200:
        sys.exit(f"upload: {status} {text[:500]}")
    return str(json.loads(text)["id"])


def people_of(administrator: str) -> tuple[str, str, str, dict[str, str]]:
    """Sessions of the administrator and of two users, and the users' ids by name."""
    admin = log_in(administrator, SECRETS["WEBUI_ADMIN_PASSWORD"])
    ids, tokens = {}, []
    for name in ("Ann", "Bob"):
        person = {"name": name, "email": f"{name.lower()}@mail.example", "password": PASSWORD, "role": "user"}
        ids[name] = call("/api/v1/auths/add", admin, person)["id"]
        tokens.append(log_in(person["email"], PASSWORD))
    return admin, tokens[0], tokens[1], ids


def granted(administrator: str) -> dict[str, Any]:
    """A page whose models are granted, where nobody has granted any."""
    admin, ann, _bob, ids = people_of(administrator)
    return {"models": model_tries(admin, ann, ids["Ann"], Gateway.asked), "mistakes": [], "token": ann}


def used(administrator: str, sent: list[str]) -> dict[str, Any]:
    """The page, used by its administrator and by a user."""
    admin, ann, bob, ids = people_of(administrator)
    again = log_in("ann@mail.example", PASSWORD)
    picture = {"name": "Ann", "profile_image_url": "https://pictures.example/a.png"}
    report = {
        "attacks": attacked(bob, ann, ids["Bob"]),
        "private": private_tries(admin, bob, ann, ids, Gateway.bodies),
        "sockets": socket_tries(bob, ann, ids),
        # What is there at all: reading alone changes nothing.
        "readable": {name: ask(path, admin)[0] for name, (path, *rest) in attacks(ids).items() if not rest},
        "models": [model["id"] for model in call("/api/models", ann)["data"]],
        "settings": call("/api/config", ann),
        "permissions": call("/api/v1/users/permissions", ann),
        "admin": tried(admin, sent),
        "user": tried(ann, sent),
        "users of admin": call("/api/v1/users/search", admin),
        "users of user": call("/api/v1/users/search", ann),
        "users by address": call("/api/v1/users/search?query=mail.example", ann),
        "users by name": call("/api/v1/users/search?query=bo", ann),
        "other": call(f"/api/v1/users/{ids['Bob']}/info", ann),
        "own": call("/api/v1/auths/", ann),
        "administrator": ask("/api/v1/auths/admin/details", ann),
        "picture set": ask("/api/v1/auths/update/profile", ann, picture),
        "picture": ask(f"/api/v1/users/{ids['Ann']}/profile/image", bob)[0],
        "before": ask("/api/v1/auths/", again)[0],
    }
    report["gateway"] = list(Gateway.asked)
    report["persons"] = sorted(Gateway.persons)
    report["accounts"] = sorted([call("/api/v1/auths/", admin)["id"], *ids.values()])
    report["mistakes"] = mistaken(WORD, ann) + mistaken(WORD, admin)
    call("/api/v1/auths/signout", ann, {})
    report["after"] = {
        name: ask("/api/v1/auths/", token)[0] for name, token in {"ann": ann, "again": again, "bob": bob}.items()
    }
    report["token"] = log_in("ann@mail.example", PASSWORD)
    report["later"] = ask("/api/v1/auths/", report["token"])[0]
    return report


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
