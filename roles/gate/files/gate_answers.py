# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that are kept for equal requests, in the store that gates share. Only models whose settings say so have it.

An entry is named by one digest of the request and encrypted with another one, so the store and its files tell nobody
anything who does not have the request itself. Whose request it is, is a part of it: nobody gets an answer that was
given to another tenant. A store that is away, or refuses, is as if nothing was kept.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from gate_settings import Model
from gate_shared import Shared
from gate_store import Reply, StoreError

INDEX = "llmfleet:answers"
# What an entry takes in the store beyond its content: its key, and its places in the index.
OVERHEAD = 400
NONCE_BYTES = 12
# Paths whose answers follow from the request alone. /v1/responses may refer to what was said before.
SAMPLED = frozenset(("/v1/chat/completions", "/v1/completions", "/v1/messages"))
KEPT_PATHS = SAMPLED | {"/v1/embeddings", "/v1/rerank", "/v1/score"}
KINDS = ("application/json", "text/event-stream")
DIRECTIVE = re.compile(r"no-(?:cache|store)")
# An answer that says that it did not come to its end.
BROKEN = re.compile(rb'"error" ?: ?\{|"finish_reason" ?: ?"(?:abort|error)"|event: ?error')

# ARGV[1] is what to do: `find NAME` gives the content or nothing; `keep NAME SECONDS MOST_BYTES CONTENT` makes room
# first, by taking away what ends soonest. The index is a sorted set of names by the time at which they end, and two
# hashes: sizes of entries, and their sum.
SCRIPT = """
local index, act, name = KEYS[1], ARGV[1], ARGV[2]
local sizes, sum, entry = index .. ':sizes', index .. ':sum', 'llmfleet:answer:'
if act == 'find' then return redis.call('GET', entry .. name) or '' end

local now = tonumber(redis.call('TIME')[1])
local total = tonumber(redis.call('HGET', sum, 'bytes') or '0')
local function drop(which)
  redis.call('DEL', entry .. which)
  redis.call('ZREM', index, which)
  total = total - tonumber(redis.call('HGET', sizes, which) or '0')
  redis.call('HDEL', sizes, which)
end
drop(name)
for _, old in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 100)) do drop(old) end
local size = #ARGV[5] + OVERHEAD
while total + size > tonumber(ARGV[4]) do
  local oldest = redis.call('ZRANGE', index, 0, 0)[1]
  if not oldest then break end
  drop(oldest)
end
if size <= tonumber(ARGV[4]) then
  redis.call('SET', entry .. name, ARGV[5], 'EX', ARGV[3])
  redis.call('ZADD', index, now + tonumber(ARGV[3]), name)
  redis.call('HSET', sizes, name, size)
  total = total + size
end
redis.call('HSET', sum, 'bytes', total)
return 'ok'
""".replace("OVERHEAD", str(OVERHEAD))
DIGEST = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass
class Question:
    """A request whose answer may be kept, and what of the answer has come."""

    name: str
    secret: bytes
    seconds: int
    # Whether a kept answer may be given, and whether this one may be kept.
    asks: bool = True
    keeps: bool = True
    most: int = 0
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, data: bytes) -> None:
        """Take a piece of the answer as the client gets it."""
        self.size += len(data)
        if self.keeps and self.size <= self.most:
            self.parts.append(data)
        else:
            self.keeps = False
            self.parts.clear()


@dataclass(frozen=True)
class Kept:
    """An answer that was kept: its type, its content, and how old it is in seconds."""

    kind: str
    body: bytes
    age: int


def question(
    path: str,
    body: Mapping[str, object],
    model: Model,
    tenant: tuple[str, ...],
    shown: tuple[object, ...],
    directives: str,
    most: int,
) -> Question | None:
    """What an answer is kept under; None where none is kept.

    `body` is what the engine gets, `shown` what else decides on what the client sees, and `directives` the request's
    header Cache-Control.
    """
    if not model.answer_seconds or path not in KEPT_PATHS:
        return None
    if path in SAMPLED and not model.answer_sampled and body.get("temperature") != 0:
        return None
    said = set(DIRECTIVE.findall(directives.lower()))
    if "no-store" in said:
        return None
    whole = orjson.dumps([path, tenant, model.answer_version, shown, body], option=orjson.OPT_SORT_KEYS)
    name, secret = (hashlib.sha256(use + whole) for use in (b"name\n", b"secret\n"))
    return Question(name.hexdigest(), secret.digest(), model.answer_seconds, asks="no-cache" not in said, most=most)


class Answers:
    """The answers in the store."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._most_bytes = self.most_answer = 0

    def configure(self, most_bytes: int, most_answer: int) -> None:
        """Keep so many bytes in all, and no answer that is larger."""
        self._most_bytes, self.most_answer = most_bytes, most_answer

    async def find(self, asked: Question) -> Kept | None:
        """The kept answer to a request."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._send(("find", asked.name), lambda reply: None if future.done() else future.set_result(reply))
        reply = await future
        return opened(asked, reply) if isinstance(reply, str) and reply else None

    def keep(self, asked: Question, kind: str) -> None:
        """Keep an answer that has come whole; nobody waits for it."""
        body = b"".join(asked.parts)
        if asked.keeps and kind.startswith(KINDS) and kind.isascii() and not BROKEN.search(body):
            words = ("keep", asked.name, str(asked.seconds), str(self._most_bytes), closed(asked, kind, body))
            self._send(words, lambda _reply: None)

    def _send(self, words: tuple[str, ...], take: Callable[[Reply], None]) -> None:
        def read(reply: Reply) -> None:
            if isinstance(reply, StoreError) and str(reply).startswith("NOSCRIPT"):
                # The store was restarted or emptied: it has the script again for the next request.
                self._shared.send(("SCRIPT", "LOAD", SCRIPT), lambda _reply: None)
            take(reply)

        self._shared.send(("EVALSHA", DIGEST, "1", INDEX, *words), read)


def closed(asked: Question, kind: str, body: bytes) -> str:
    """An answer as the store has it."""
    nonce = os.urandom(NONCE_BYTES)
    content = b"%d\n%b\n%b" % (time.time(), kind.encode(), body)
    return base64.b64encode(nonce + AESGCM(asked.secret).encrypt(nonce, content, None)).decode()


def opened(asked: Question, text: str) -> Kept | None:
    """The answer in the text of an entry; None if it is not one of this request's."""
    try:
        data = base64.b64decode(text, validate=True)
        content = AESGCM(asked.secret).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], None)
    except (ValueError, InvalidTag):
        return None
    created, kind, body = content.split(b"\n", 2)
    return Kept(kind.decode(), body, max(0, int(time.time()) - int(created)))
