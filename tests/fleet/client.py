# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client that keeps its connections and asks all the time, on a gateway, through its inner Nginx or its gate.

client.py PORT STREAMS OUTPUT [PATH]    it asks again and again until it gets SIGTERM; the key is in CLIENT_KEY

OUTPUT gets a line of JSON for each request: moment, conversation, answer, seconds, and what failed. Each stream goes
round a few conversations of its own. The gate knows them by what they say first, and the inner Nginx by the header that
the gate would send. Like the gate, it asks once more on a new connection if a kept one ends before a byte of the answer
has come; nothing else is tried again.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import sys
import threading
import time
from typing import Any

SECONDS = 30
SOUTH = "/chat/v1/chat/completions"
PAUSE = 0.2
CONVERSATIONS = 5


def ask(connection: http.client.HTTPConnection, path: str, key: str, conversation: str) -> str:
    """Ask once, as a stream, and return what the model said."""
    body = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": f"a b {conversation}"}]}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    headers["X-LLMFleet-Conversation"] = conversation
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        raise ValueError(f"{answer.status} {text[:200]}")
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    if lines[-1:] != ["[DONE]"]:
        raise ValueError(f"the stream was cut: {text[-100:]}")
    chunks = [json.loads(line)["choices"] for line in lines[:-1]]
    deltas = [choices[0]["delta"] for choices in chunks if choices]
    return " ".join(delta.get("content", "") for delta in deltas).split()[0]


def go_on(number: int, port: int, path: str, key: str, out: Any, lock: threading.Lock) -> None:
    """Ask until the process ends, as the stream of this number."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    for turn in itertools.count():
        began, conversation = time.time(), f"{number}-{turn % CONVERSATIONS}"
        said, failed = "", ""
        try:
            try:
                said = ask(connection, path, key, conversation)
            except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
                # As the gate does: a kept connection ended before a byte of the answer had come.
                connection.close()
                said = ask(connection, path, key, conversation)
        except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
            failed = f"{type(error).__name__}: {error}"
            connection.close()
        seen = {"at": began, "conversation": conversation, "said": said, "seconds": time.time() - began}
        with lock:
            out.write(json.dumps({**seen, "failed": failed}) + "\n")
            out.flush()
        time.sleep(PAUSE)


def main() -> None:
    """Run the program."""
    port, streams, output = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    path = sys.argv[4] if len(sys.argv) > 4 else SOUTH
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    lock = threading.Lock()
    with open(output, "a", encoding="utf-8") as out:
        given = (port, path, os.environ["CLIENT_KEY"], out, lock)
        threads = [threading.Thread(target=go_on, args=(number, *given)) for number in range(streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
