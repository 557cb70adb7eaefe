# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The balancer: which replica gets a request, and what happens when replicas die."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.service import readiness
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import parts
from gate_process import Gate, said
from patience import Watch

COMPLETE = "/v1/chat/completions"


def replicas(door: Any, count: int, **options: Any) -> Counter[str]:
    return Counter(door.complete(**options).json["backend"] for _ in range(count))


def test_the_models_name_is_taken_off_and_the_rest_arrives(nginx: Any) -> None:
    answer = nginx.south("chat").ask("/v1/models?x=1", key="upstream-key")
    assert answer.json["path"] == "/v1/models?x=1"
    sent = dict(answer.json["headers"])
    assert sent["Authorization"] == "Bearer upstream-key"
    assert "Connection" not in sent or sent["Connection"].lower() == "keep-alive"


def test_every_request_has_a_name_of_its_own_inside(nginx: Any) -> None:
    names = {
        dict(nginx.south("chat").complete(headers={"X-Request-Id": "the-same-twice"}).json["headers"])["X-Request-Id"]
        for _ in range(2)
    }
    assert len(names) == 2
    assert "the-same-twice" not in names


@pytest.mark.parametrize("path", ["/unknown/v1/models", "/", "/Chat/v1/models", "/v1/models"])
def test_an_unknown_model_is_404(nginx: Any, path: str) -> None:
    answer = nginx.south("chat")
    answer.prefix = ""
    refusal = answer.ask(path)
    assert (refusal.status, refusal.json["error"]["code"]) == (404, "not_found")


def test_requests_are_spread_over_the_replicas(nginx: Any) -> None:
    door = nginx.south("chat")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: door.complete({"sleep": 0.1}).json["backend"], range(32)))
    assert min(Counter(answers).values()) >= 12, Counter(answers)


@pytest.mark.parametrize("number", [0, 1])
def test_a_replica_can_be_asked_by_its_number(nginx: Any, number: int) -> None:
    door = nginx.south("chat")
    door.prefix = f"/chat/replicas/{number}"
    assert set(replicas(door, 6)) == {f"replica-{number}"}


def test_a_session_keeps_its_replica(nginx: Any) -> None:
    door = nginx.south("Session.v1_x")
    homes = {}
    for session in range(12):
        found = replicas(door, 3, headers={"X-Session-Id": f"session-{session}"})
        assert len(found) == 1
        homes[session] = next(iter(found))
    assert set(homes.values()) == {"replica-0", "replica-1"}
    # Those without a session are spread.
    assert len(replicas(door, 24)) == 2


def test_a_drained_replica_gets_nothing(nginx: Any) -> None:
    assert set(replicas(nginx.south("drained"), 12)) == {"replica-1"}


def test_requests_in_flight_are_limited_by_model(nginx: Any) -> None:
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: nginx.south("limited").complete({"sleep": 0.5}), range(5)))
        # Another model is not touched by it.
        assert nginx.south("chat").complete().status == 200
    assert sorted(answer.status for answer in answers) == [200, 200, 429, 429, 429]
    refusal = next(answer for answer in answers if answer.status == 429)
    assert (refusal.json["error"]["code"], refusal.header("retry-after")) == ("rate_limit_exceeded", "1")


def test_a_model_at_its_limit_takes_nothing_from_another_with_one(nginx: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        models = ("limited", "limited", "limited-too", "limited-too")
        answers = list(pool.map(lambda model: nginx.south(model).complete({"sleep": 0.5}), models))
    assert [answer.status for answer in answers] == [200] * 4


@pytest.mark.parametrize("model", ["dead", "none", "all-out", "one-out", "session-out"])
def test_a_model_without_a_living_replica_is_503_at_once(nginx: Any, model: str) -> None:
    for _ in range(10):
        watch = Watch()
        answer = nginx.south(model).complete()
        assert watch.seconds() < 2
        assert (answer.status, answer.json["error"]["code"], answer.header("retry-after")) == (
            503,
            "service_unavailable",
            "2",
        )


def test_the_engines_own_errors_pass_untouched(nginx: Any) -> None:
    for status in (400, 401, 404, 422, 500):
        answer = nginx.south("chat").complete({"status": status})
        assert (answer.status, answer.json["error"]["code"]) == (status, "its_own")


def test_a_bad_prompt_takes_no_replica_away(nginx: Any) -> None:
    """500s are answers, not failures of a replica."""
    for _ in range(20):
        nginx.south("chat").complete({"status": 500})
    assert len(replicas(nginx.south("chat"), 8)) == 2


def test_a_stream_comes_as_it_is_made(nginx: Any) -> None:
    connection, response = nginx.south("chat").send(COMPLETE, {"stream": 5})
    arrivals = [time.monotonic() for line in iter(response.readline, b"") if line.startswith(b"data:")]
    connection.close()
    assert arrivals[-1] - arrivals[0] > 0.3


def test_a_client_that_hangs_up_frees_the_replica(nginx: Any, stubs: Any) -> None:
    before = stubs["replica-0"].seen()["hung_up"]
    connection, response = nginx.south("single").send(COMPLETE, {"stream": 100})
    response.readline()
    response.close()
    connection.close()
    end = time.monotonic() + 5
    while stubs["replica-0"].seen()["hung_up"] == before and time.monotonic() < end:
        time.sleep(0.05)
    assert stubs["replica-0"].seen()["hung_up"] == before + 1
    assert nginx.south("single").complete().status == 200


def load(door: Any, seconds: float, disturb: Any, at: float) -> Counter[tuple[int, str]]:
    """Ask with eight clients at once, disturb in between, and count the answers by status and replica."""
    end = time.monotonic() + seconds
    found: Counter[tuple[int, str]] = Counter()
    lock = threading.Lock()

    def ask() -> None:
        while time.monotonic() < end:
            answer = door.complete({"sleep": 0.05})
            with lock:
                found[answer.status, answer.json.get("backend", "")] += 1

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(at)
    disturb()
    for thread in threads:
        thread.join()
    return found


def test_a_replica_that_is_killed_under_load_costs_no_request(nginx: Any, stubs: Any) -> None:
    try:
        found = load(nginx.south("chat"), 2.0, stubs["replica-0"].kill, 0.7)
    finally:
        stubs["replica-0"].start()
    assert {status for status, _ in found} == {200}, found
    assert found[200, "replica-1"] > found[200, "replica-0"] > 0
    # It is back within seconds.
    end = time.monotonic() + 8
    while "replica-0" not in replicas(nginx.south("chat"), 4):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_all_replicas_killed_is_503_and_back_within_seconds(nginx: Any, stubs: Any) -> None:
    for name in ("replica-0", "replica-1"):
        stubs[name].kill()
    try:
        for _ in range(8):
            watch = Watch()
            answer = nginx.south("chat").complete()
            assert (answer.status, answer.header("retry-after")) == (503, "2")
            assert watch.seconds() < 2
    finally:
        for name in ("replica-0", "replica-1"):
            stubs[name].start()
    end = time.monotonic() + 8
    while nginx.south("chat").complete().status != 200:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_reload_under_load_costs_no_request_and_no_stream(nginx: Any) -> None:
    connection, response = nginx.south("single").send(COMPLETE, {"stream": 20})
    found = load(nginx.south("chat"), 1.5, nginx.reload, 0.5)
    assert {status for status, _ in found} == {200}, found
    assert sum(line.startswith(b"data:") for line in iter(response.readline, b"")) == 20
    connection.close()


def kept(port: int, seconds: float) -> Counter[str]:
    """Ask again and again over one connection while the server keeps it, as an HTTP client with a pool does."""
    found: Counter[str] = Counter()
    end = time.monotonic() + seconds
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    while time.monotonic() < end:
        try:
            connection.request("POST", f"/_once/chat{COMPLETE}", b"{}")
            response = connection.getresponse()
            response.read()
            found[str(response.status)] += 1
        except (OSError, HTTPException) as error:
            found[type(error).__name__] += 1
            connection.close()
    connection.close()
    return found


def test_a_connection_is_kept_unless_its_client_wants_it_once(nginx: Any) -> None:
    """The gate, which can send a request again, keeps connections. LiteLLM would lose one at a reload."""
    for model in ("chat", "unknown", "none"):
        assert nginx.south(model).complete().header("connection") != "close"
        assert nginx.south(f"_once/{model}").complete().header("connection") == "close"


def test_reloads_cost_clients_with_a_pool_nothing(nginx: Any) -> None:
    port = nginx.variables["nginx_south_port"]
    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(kept, port, 3.0) for _ in range(8)]
        for _reload in range(8):
            time.sleep(0.3)
            nginx.reload()
        found = sum((client.result() for client in clients), Counter[str]())
    assert set(found) == {"200"}, found


def test_reloads_cost_the_gate_nothing(nginx: Any, tmp_path: Path) -> None:
    gate = Gate(tmp_path, nginx.variables["nginx_south_port"])
    gate.settings["engines_url"] = f"http://127.0.0.1:{nginx.variables['nginx_south_port']}"
    gate.key("team")
    gate.start()
    found: Counter[int] = Counter()
    end = time.monotonic() + 4

    def ask() -> None:
        connection = HTTPConnection("127.0.0.1", gate.port, timeout=10)
        headers = {"authorization": f"Bearer {gate.key_of('team')}"}
        while time.monotonic() < end:
            connection.request("POST", COMPLETE, json.dumps(said("hi")), headers)
            response = connection.getresponse()
            response.read()
            found[response.status] += 1

    try:
        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(ask) for _ in range(8)]
            while time.monotonic() < end:
                time.sleep(0.3)
                nginx.reload()
            for client in clients:
                client.result()
    finally:
        gate.end()
    assert set(found) == {200}, found
    assert found[200] > 100


def test_the_doors_keep_their_clients_connections(nginx: Any) -> None:
    """It is the inner server alone that closes them: a handshake for each request would be dear."""
    assert nginx.api.complete().header("connection") != "close"


async def pooled(port: int, seconds: float) -> Counter[str]:
    """Ask again and again with LiteLLM's transport, which keeps connections where it may."""
    found: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < end:
            try:
                async with session.post(f"http://127.0.0.1:{port}/_once/chat{COMPLETE}", data=b"{}") as response:
                    await response.read()
                    found[str(response.status)] += 1
            except aiohttp.ClientError as error:
                found[type(error).__name__] += 1

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(ask(session) for _ in range(16)))
    return found


def test_reloads_cost_clients_with_aiohttp_nothing(nginx: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        client = pool.submit(asyncio.run, pooled(nginx.inner.port, 4.0))
        while not client.done():
            time.sleep(0.3)
            nginx.inner.reload()
    found = client.result()
    assert set(found) == {"200"}, found
    assert found["200"] > 200


def ready(nginx: Any) -> dict[str, Any]:
    """The readiness check of the inner Nginx as service_state gets it."""
    return parts.ready("nginx-south", nginx.rendered()["ready"], {}, "")


def test_the_inner_nginx_says_which_configuration_it_was_loaded_from(nginx: Any) -> None:
    check = ready(nginx)
    assert readiness.answers(check) == ""
    assert nginx.in_force() == check["body"]
    assert readiness.answers({**check, "body": "f" * 16}) == f"{check['url']} answers 200 without '{'f' * 16}'"


def test_a_change_of_traffic_is_in_force_when_its_digest_answers(nginx: Any) -> None:
    """From then on, new requests go where the new configuration sends them. Streams end in the old workers."""
    config, before = nginx.inner.config, nginx.inner.config.read_text()
    first, second = ready(nginx), {**ready(nginx), "body": "f" * 16}
    address = next(line for line in before.splitlines() if "server 127" in line and "weight=1" in line).split()[1]
    connection, response = nginx.south("chat").send(COMPLETE, {"stream": 20})
    try:
        config.write_text(
            before.replace(first["body"], second["body"]).replace(f"{address} weight=1", f"{address} down")
        )
        nginx.inner.reload()
        end = time.monotonic() + 5
        while readiness.answers(second):
            assert time.monotonic() < end
            time.sleep(0.05)
        # Old workers accept until they know that they end.
        time.sleep(0.2)
        assert readiness.answers(first), "the old one is not in force any more"
        assert set(replicas(nginx.south("chat"), 12)) == {"replica-1"}
        assert sum(line.startswith(b"data:") for line in iter(response.readline, b"")) == 20
    finally:
        connection.close()
        config.write_text(before)
        nginx.inner.reload()
    end = time.monotonic() + 5
    while readiness.answers(first):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_refused_configuration_is_not_taken_for_the_new_one(nginx: Any) -> None:
    """The master keeps the old one and says why in its log, which service_state shows when the deadline is over."""
    config, before = nginx.inner.config, nginx.inner.config.read_text()
    kept = shutil.copyfile(nginx.inner.errors, nginx.inner.errors.with_suffix(".before")).read_text()
    try:
        config.write_text(before.replace(ready(nginx)["body"], "f" * 16).replace("least_conn;", "most_conn;", 1))
        nginx.inner.reload()
        time.sleep(1)
        assert "without 'ffffffffffffffff'" in readiness.answers({**ready(nginx), "body": "f" * 16})
        assert nginx.south("chat").complete().status == 200
        assert 'unknown directive "most_conn"' in nginx.inner.errors.read_text()[len(kept) :]
    finally:
        config.write_text(before)
        nginx.inner.reload()


def test_the_gate_books_which_instance_has_answered(nginx: Any, stubs: Any, tmp_path: Path) -> None:
    gate = Gate(tmp_path, nginx.variables["nginx_south_port"], models=[{"name": "chat"}, {"name": "single"}])
    gate.settings["engines_url"] = f"http://127.0.0.1:{nginx.variables['nginx_south_port']}"
    gate.key("team")
    gate.start()
    try:
        answers = [gate.chat("hi") for _number in range(8)]
        backends = [answer.json()["backend"] for answer in answers]
        assert [entry["instance"] for entry in gate.log()] == [name.replace("replica", "chat") for name in backends]
        assert set(backends) == {"replica-0", "replica-1"}
        # Clients are not told.
        assert not [name for answer in answers for name in answer.headers if "instance" in name]
        # Of a replica that is gone nothing comes, so it is not the one that is booked.
        stubs["replica-0"].kill()
        try:
            assert [gate.chat("hi").status for _number in range(4)] == [200] * 4
        finally:
            stubs["replica-0"].start()
        assert {entry["instance"] for entry in gate.log()[8:]} == {"chat-1"}
    finally:
        gate.end()
