# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to one request: key, path, body, model, limits, and then the relay.

Every step may end it, and none of those before the body reads any of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import time
from datetime import datetime, timezone
from decimal import Decimal
from urllib.parse import parse_qsl, unquote

import aiohttp
import gate_booked as booked
import gate_conversation as conversation
import gate_errors as errors
import gate_fields as kinds
import orjson
from aiohttp import http, web
from gate_answers import Answers, Kept, question
from gate_budgets import Budget, shown, units
from gate_content import RequestError
from gate_cost import text as digits
from gate_form import Form
from gate_keyring import Key, Keyring, Team
from gate_limits import LimitReachedError, Limits, Side, Slot
from gate_log import UsageLog
from gate_metrics import Metrics
from gate_models import Directory, may_use
from gate_person import person_of
from gate_probe import Prober
from gate_relay import Forward, Relay
from gate_requests import ENDPOINTS, Endpoint, check_body, check_form, check_query
from gate_requests import Limits as BodyLimits
from gate_settings import Model, Settings
from gate_shared import AWAY, Shared, StoreAwayError

LOG = logging.getLogger("gate")
HEALTH, METRICS, MODELS = "/health", "/metrics", "/v1/models"
BEARER = re.compile(r"(?i)bearer +([!-~]+)")
TOKEN = re.compile(r"[!-~]+")
HTTP_OK = 200
VERSION = re.compile(r"[0-9A-Za-z._-]{1,32}")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
# Streams of these have chunks with the usage so far.
CHUNKED = frozenset(("/v1/chat/completions", "/v1/completions"))
# vLLM obeys the header on every path that generates text, and LiteLLM passes it on; a field of that name LiteLLM's own
# router would take for its queue. On paths that generate none vLLM reads the field alone.
PRIORITY_HEADER = "x-vllm-priority"
PRIORITY_FIELD = "priority"
WITH_PRIORITY = CHUNKED | {"/v1/embeddings", "/v1/rerank", "/v1/score"}
# Bodies that end early, or whose framing or parts are broken.
UNREADABLE = (aiohttp.ClientError, web.RequestPayloadError, http.HttpProcessingError, ValueError, AssertionError)
# More objects and lists than any request has; a few bytes each, they would keep the parser for seconds.
MOST_CONTAINERS = 100_000


STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class RefusalError(Exception):
    """A request that ends here."""

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        # The model's own name, once it is known.
        self.model = ""
        self.status, self.message, self.code, self.param, self.headers = status, message, code, param, headers or {}


class Gate:
    """The handler of the server, and what it knows."""

    def __init__(self, settings: Settings, engine_key: str, translator_key: str, store_url: str = "") -> None:
        self._translator_key = translator_key
        self.limits = Limits(settings.key_share)
        self.metrics = Metrics()
        self.shared = Shared(self.limits, self.metrics.store)
        self.shared.budgeted = self._budgets
        self.answers = Answers(self.shared)
        self.log = UsageLog(settings.usage_log, settings.usage_log_bytes, settings.usage_log_files)
        self.keyring = Keyring(settings.keys_file)
        self.relay = Relay()
        self.prober: Prober | None = None
        self.configure(settings, engine_key, store_url)

    def configure(self, settings: Settings, engine_key: str, store_url: str = "") -> None:
        """Take new settings, the key of the engines and the URL of the store; requests in flight and counts go on."""
        self._engine_key = engine_key
        self.log.configure(settings.usage_log, settings.usage_log_bytes, settings.usage_log_files)
        if settings.keys_file != self.keyring.path:
            # Another object would forget the last good keys of a file that is no good now.
            self.keyring = Keyring(settings.keys_file)
        self.relay.configure(settings.engines_url, settings.translator_url, settings.request_timeout)
        if self.prober is not None:
            self.prober.configure(settings, engine_key)
        self.settings = settings
        self.directory = Directory(settings.models)
        self.limits.key_share = settings.key_share
        self._slots: dict[tuple[str, str], tuple[Key, Model, Slot]] = {}
        self.shared.configure(store_url, settings.store_ca_file, settings.without_store == "closed")
        self.answers.configure(settings.answer_bytes, settings.answer_max_bytes)
        self._body_limits = BodyLimits(
            choices=settings.max_choices,
            prompts=settings.max_prompts,
            # Who comes first is said by the key, whatever an operator lets through.
            extra_fields=frozenset(settings.extra_fields) - {PRIORITY_FIELD},
            tools=settings.max_tools,
            grammar_bytes=settings.max_grammar_bytes,
            grammar_entries=settings.max_grammar_entries,
        )

    def begin(self) -> Prober:
        """Begin to ask replicas by itself; the loop runs now."""
        self.shared.begin()
        self.prober = Prober(self.metrics)
        self.prober.configure(self.settings, self._engine_key)
        return self.prober

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path, _mark, query = request.raw_path.partition("?")
        key: Key | None = None
        try:
            if path == HEALTH and request.method in ("GET", "HEAD"):
                return answer(b'{"status":"ok"}')
            key = self._key(request)
            if path == METRICS:
                return self._metrics(request, key)
            if key.scope != "inference":
                raise RefusalError(403, f"The API key {key.alias} may not use {path[:100]}.", "path_not_allowed")
            if path == MODELS or path.startswith(f"{MODELS}/"):
                return self._models(request, path, key)
            return await self._inference(request, path, query, key)
        except RefusalError as refusal:
            self._refused(refusal, key, path)
            return refused(request, path, refusal)
        except Exception as error:  # noqa: BLE001
            # A mistake of ours; a traceback could quote a prompt.
            LOG.error("%s failed (%s, %s)", path[:100], type(error).__name__, errors.place(error))
            return refused(request, path, RefusalError(500, "The gateway failed.", "internal_error"))

    def _refused(self, refusal: RefusalError, key: Key | None, path: str) -> None:
        who = labels(key) if key else ("", "")
        self.metrics.refusals.labels(*who, refusal.code).inc()
        if path in ENDPOINTS:
            self.metrics.requests.labels(*who, refusal.model, path, str(refusal.status)).inc()

    def _key(self, request: web.BaseRequest) -> Key:
        """The one key of a request."""
        given = request.headers.getall("authorization", [])
        second = request.headers.getall("x-api-key", [])
        if len(given) + len(second) > 1 and len({*map(bare, given), *second}) > 1:
            raise RefusalError(400, "The request has more than one API key.", "invalid_api_key")
        token = bare(given[0]) if given else second[0] if second else ""
        key = self.keyring.find(token) if token and TOKEN.fullmatch(token) else None
        challenge = {"www-authenticate": "Bearer"}
        if key is None:
            raise RefusalError(401, "The API key is missing or not known here.", "invalid_api_key", headers=challenge)
        if key.blocked:
            raise RefusalError(401, f"The API key {key.alias} is blocked.", "blocked_api_key", headers=challenge)
        if key.expired(datetime.now(timezone.utc)):
            raise RefusalError(401, f"The API key {key.alias} has expired.", "expired_api_key", headers=challenge)
        return key

    def _metrics(self, request: web.BaseRequest, key: Key) -> web.Response:
        only(request, ("GET", "HEAD"))
        if key.scope != "metrics":
            raise RefusalError(403, f"The API key {key.alias} may not use {METRICS}.", "path_not_allowed")
        self.metrics.booking(booked.lag(self.settings.usage_log, self.settings.usage_log_files))
        now = self.shared.now()
        spent = self.limits.spent
        self.metrics.budgets(
            {
                (*of, budget.per): (shown(spent.of(name, budget.per, now)), budget.amount)
                for name, (of, budget) in self._budgets().items()
            }
        )
        return answer(self.metrics.text(), kind="text/plain; version=0.0.4; charset=utf-8")

    def _budgets(self) -> dict[str, tuple[tuple[str, str, str], Budget]]:
        """Key, team and model of each budget, and the budget, by the name of its count."""
        found: dict[str, tuple[tuple[str, str, str], Budget]] = {}
        for key in self.keyring.every():
            if key.budget:
                found[f"key/{key.alias}"] = ((key.alias, "", ""), key.budget)
            if key.team and key.team.budget:
                found[f"team/{key.team.name}"] = (("", key.team.name, ""), key.team.budget)
        for model in self.directory.models:
            if model.budget:
                found[f"model/{model.name}"] = (("", "", model.name), model.budget)
        return found

    def _models(self, request: web.BaseRequest, path: str, key: Key) -> web.Response:
        only(request, ("GET", "HEAD"))
        anthropic = "anthropic-version" in request.headers
        names = self.directory.names(key.models, key.team.models if key.team else ())
        if path == MODELS:
            return answer(self.directory.listing(names, anthropic))
        name = unquote(path[len(MODELS) + 1 :])
        if name not in names:
            raise RefusalError(404, f"There is no model {name[:100]} here.", "model_not_found", "model")
        return answer(self.directory.entry(name, anthropic))

    async def _inference(self, request: web.BaseRequest, path: str, query: str, key: Key) -> web.StreamResponse:
        endpoint = ENDPOINTS.get(path)
        if endpoint is None:
            raise RefusalError(404, f"There is nothing at {path[:100]}.", "not_found")
        only(request, ("POST",))
        body: object
        try:
            check_query(endpoint, (name for name, _value in parse_qsl(query, keep_blank_values=True)))
            if endpoint.file:
                fields, body = await self._form(request, endpoint)
            else:
                body = fields = check_body(endpoint, load(await self._read(request)), self._body_limits)
        except RequestError as error:
            raise RefusalError(error.status, error.message, error.code, error.param) from None
        name = str(fields["model"])
        model = self.directory.find(name)
        if model is None:
            raise RefusalError(404, f"There is no model {name[:100]} here.", "model_not_found", "model")
        if not may_use(key.models, name, model):
            raise RefusalError(403, f"The API key {key.alias} may not use {name}.", "model_not_allowed", "model")
        if key.team and not may_use(key.team.models, name, model):
            raise RefusalError(403, f"The team {key.team.name} may not use {name}.", "model_not_allowed", "model")
        try:
            slot = self._slot(key, model)
            await self.shared.admit(slot)
        except LimitReachedError as reached:
            headers = {"retry-after": str(reached.retry_after)}
            refusal = RefusalError(429, reached.message, reached.limit, headers=headers)
            refusal.model = model.name
            raise refusal from None
        except StoreAwayError:
            message = "The gateway cannot count requests at this moment."
            refusal = RefusalError(503, message, "limits_unavailable", headers={"retry-after": str(AWAY)})
            refusal.model = model.name
            raise refusal from None
        forward = Forward(path, {}, person=person_of(key.person, request.headers))
        started = time.monotonic()
        gauge = self.metrics.running.labels(slot.model)
        gauge.inc()

        def book() -> None:
            gauge.dec()
            now = time.time()
            cost = model.cost.of(forward.usage.prompt, forward.usage.completion, forward.usage.cached)
            self.shared.end(slot, forward.usage.total, units(cost))
            self._book(forward, slot, key, started, now, cost)

        forward.book = book
        try:
            await self._address(request, model, body, forward, key)
            if forward.question is None:
                return await self.relay.send(request, forward)
            return await self._kept_or_sent(request, forward, slot.model)
        finally:
            forward.end()

    def _slot(self, key: Key, model: Model) -> Slot:
        """For whom a request counts. It is made once for each key and model, until one of these is another."""
        names = (key.alias, model.name)
        known = self._slots.get(names)
        if known is None or known[0] is not key or known[1] is not model:
            known = self._slots[names] = (key, model, self.shared.slot(sides(key, model)))
        return known[2]

    async def _kept_or_sent(self, request: web.BaseRequest, forward: Forward, model: str) -> web.StreamResponse:
        """Give the answer that was kept for an equal request, or have the request answered and keep that."""
        asked = forward.question
        assert asked is not None
        kept = await self.answers.find(asked) if asked.asks else None
        self.metrics.answers.labels(model, "hit" if kept else "miss").inc()
        if kept:
            return again(forward, kept)
        forward.shown["cache-status"] = f"llmfleet; fwd={'miss' if asked.asks else 'request'}"
        response = await self.relay.send(request, forward)
        if forward.whole and forward.status == HTTP_OK and forward.usage.known:
            self.answers.keep(asked, response.headers.get("content-type", ""))
        return response

    async def _read(self, request: web.BaseRequest) -> bytes:
        """The body, once the key is known to be good."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise RefusalError(400, "Send the body without a content encoding.", "invalid_content_encoding")
        await self._go_on(request, self.settings.max_json_bytes)
        if request.content.is_eof():
            # It came together with the header, as nearly all do.
            whole = await request.content.read()
            self._fits(len(whole), self.settings.max_json_bytes)
            return whole
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.settings.body_timeout):
                async for part in request.content.iter_any():
                    size += len(part)
                    self._fits(size, self.settings.max_json_bytes)
                    parts.append(part)
        except TimeoutError:
            raise RefusalError(408, "The body did not arrive in time.", "timeout") from None
        except UNREADABLE:
            raise RefusalError(400, "The body cannot be read.", "invalid_body") from None
        return b"".join(parts)

    async def _go_on(self, request: web.BaseRequest, most: int) -> None:
        """Tell a client that waits for it to send its body."""
        self._fits(request.content_length or 0, most)
        if request.headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    @staticmethod
    def _fits(size: int, most: int) -> None:
        if size > most:
            raise RefusalError(413, f"The body is larger than {most} bytes.", "request_too_large")

    async def _form(self, request: web.BaseRequest, endpoint: Endpoint) -> tuple[dict[str, object], Form]:
        """The fields of a form, and the form."""
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise RequestError("Send the body as multipart/form-data.", None, "invalid_content_type")
        most = self.settings.max_file_bytes
        await self._go_on(request, most)
        form = Form()
        size = 0
        try:
            async with asyncio.timeout(self.settings.body_timeout):
                reader = aiohttp.MultipartReader(request.headers, request.content)
                while (part := await reader.next()) is not None:
                    if not isinstance(part, aiohttp.BodyPartReader) or not part.name or form.full():
                        raise RequestError("The form cannot be read.", None, "invalid_form")
                    content = bytearray()
                    while chunk := await part.read_chunk(1 << 16):
                        size += len(chunk)
                        self._fits(size, most)
                        content += chunk
                    form.add(part.name, bytes(content), part.filename, part.headers.get("content-type", ""))
        except TimeoutError:
            raise RefusalError(408, "The body did not arrive in time.", "timeout") from None
        except UNREADABLE:
            raise RequestError("The form cannot be read.", None, "invalid_form") from None
        fields = [(name, value) for name, value, _filename, _kind in form.items]
        check_form(endpoint, fields, self._body_limits)
        return dict(fields), form

    async def _address(self, request: web.BaseRequest, model: Model, body: object, forward: Forward, key: Key) -> None:
        """Make the request that an engine or the translator gets."""
        path, headers, alias = forward.path, forward.headers, key.alias
        priority = key.priority if model.priorities else 0
        if priority:
            headers[PRIORITY_HEADER] = str(priority)
        native = path not in self.settings.translated_paths and not model.translated
        forward.server = self.relay.engines if native else self.relay.translator
        forward.target = f"/{model.name}{path}" if native else path
        headers["authorization"] = f"Bearer {self._engine_key if native else self._translator_key}"
        identifier = request.headers.get("x-request-id", "")
        if REQUEST_ID.fullmatch(identifier):
            headers["x-request-id"] = identifier
        session = request.headers.get("x-session-id", "")
        session = session if REQUEST_ID.fullmatch(session) else ""
        if native and session:
            headers["x-session-id"] = session
        if errors.is_anthropic(path):
            version = request.headers.get("anthropic-version", "")
            headers["anthropic-version"] = version if VERSION.fullmatch(version) else "2023-06-01"
        if isinstance(body, Form):
            headers["content-type"], forward.body = await body.written(model.name)
        elif isinstance(body, dict):
            headers["content-type"] = "application/json"
            name = "" if model.translated else conversation.digest(path, body, model.name, alias, session)
            if name:
                headers[conversation.HEADER] = name
            sent = self._body(body, model, forward, native)
            if native and path in CHUNKED and self.settings.separate_caches:
                # Whoever names a salt stays within the own key's cache.
                given = str(sent.get("cache_salt", ""))
                sent["cache_salt"] = hashlib.sha256(f"{alias}\0{given}".encode()).hexdigest()
            if priority and native and path in WITH_PRIORITY:
                sent[PRIORITY_FIELD] = priority
            forward.body = orjson.dumps(sent)
            if model.answer_seconds and self.shared.used:
                tenant = ("team", key.team.name) if key.team else ("key", alias)
                shown = (forward.include_usage, forward.continuous_usage, headers.get("anthropic-version"))
                directives = ",".join(request.headers.getall("cache-control", []))
                most = self.answers.most_answer
                forward.question = question(path, sent, model, tenant, shown, directives, most)

    @staticmethod
    def _body(body: dict[str, object], model: Model, forward: Forward, native: bool) -> dict[str, object]:
        """The body with the model's own name, what the inventory gives where a client says nothing, and usage."""
        path = forward.path
        body = {**(model.request_defaults if path in CHUNKED else {}), **body, "model": model.name}
        if model.context:
            # Clients send the most that they know of. The engine refuses what no prompt leaves room for, and without
            # the field it takes the room that there is.
            for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
                value = body.get(name)
                if isinstance(value, (int, float)) and value >= model.context:
                    if path in CHUNKED or path == "/v1/responses":
                        del body[name]
                    else:
                        body[name] = max(1, model.context // 2)
        if path in CHUNKED and body.get("stream") is True:
            asked = body.get("stream_options")
            options = dict(asked) if isinstance(asked, dict) else {}
            forward.chunks = True
            forward.include_usage = options.get("include_usage") is True
            forward.continuous_usage = options.pop("continuous_usage_stats", None) is True
            choices, prompts = body.get("n"), body.get("prompt")
            forward.choices = int(choices) if isinstance(choices, (int, float)) else 1
            forward.prompts = len(prompts) if isinstance(prompts, list) and not kinds.whole(prompts[0]) else 1
            options["include_usage"] = True
            if native:
                # A stream that its client leaves is booked by the last chunk that came.
                options["continuous_usage_stats"] = True
            body["stream_options"] = options
        return body

    def _book(self, forward: Forward, slot: Slot, key: Key, started: float, now: float, cost: Decimal) -> None:
        """Count a request that has ended, and write its line."""
        seconds, usage = time.monotonic() - started, forward.usage
        metrics, who = self.metrics, labels(key)
        metrics.requests.labels(*who, slot.model, forward.path, str(forward.status)).inc()
        metrics.seconds.labels(slot.model).observe(seconds)
        first = round(forward.first - started, 4) if forward.first else None
        if first is not None:
            metrics.first_seconds.labels(slot.model).observe(first)
        for kind, count in (("prompt", usage.prompt), ("cached", usage.cached), ("completion", usage.completion)):
            if count:
                metrics.tokens.labels(*who, slot.model, kind).inc(count)
        entry = {
            "time": round(now, 3),
            "request_id": forward.headers.get("x-request-id"),
            "key": slot.key,
            "team": key.team.name if key.team else None,
            "tags": key.tags,
            "person": forward.person,
            "model": slot.model,
            "instance": forward.instance,
            "path": forward.path,
            "status": forward.status,
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "cached_tokens": usage.cached,
            "usage_known": usage.known,
            "cost": digits(cost),
            "seconds": round(seconds, 4),
            "first_byte_seconds": first,
            # No engine has answered it.
            **({"kept_answer": True} if forward.again else {}),
        }
        try:
            self.log.write(entry)
        except OSError as error:
            metrics.lost.inc()
            LOG.error("the usage of a request could not be written (%s)", error)


def again(forward: Forward, kept: Kept) -> web.Response:
    """An answer that was kept. No engine has computed anything, so it has used no token."""
    forward.again, forward.status, forward.usage.known = True, HTTP_OK, True
    headers = {"cache-status": "llmfleet; hit", "age": str(kept.age)}
    if kept.kind.startswith("text/event-stream"):
        headers["cache-control"] = "no-cache"
    return answer(kept.body, headers=headers, kind=kept.kind)


def sides(key: Key, model: Model) -> tuple[Side, ...]:
    """For whom a request counts. Budgets are for models that cost something: others can be used on."""

    def budget(of: Key | Team | Model) -> Budget | None:
        return None if model.cost.free else of.budget

    team = (Side("team", key.team.name, key.team, budget(key.team)),) if key.team else ()
    return (Side("key", key.alias, key, budget(key)), *team, Side("model", model.name, model, budget(model)))


def labels(key: Key) -> tuple[str, str]:
    """Key and team of a metric. Tags are none: there may be any number of them, and they are in the usage log."""
    return key.alias, key.team.name if key.team else ""


def bare(header: str) -> str:
    """The token of an Authorization header, or the header itself if it has none."""
    match = BEARER.fullmatch(header.strip())
    return match[1] if match else header


def containers(body: bytes) -> int:
    """Braces and brackets that open, also those in strings."""
    return body.count(b"{") + body.count(b"[")


def load(body: bytes) -> object:
    """The JSON of a body."""
    if containers(body) > MOST_CONTAINERS and containers(STRING.sub(b"", body)) > MOST_CONTAINERS:
        raise RequestError(f"The body has more than {MOST_CONTAINERS} objects and lists.", None, "invalid_json")
    try:
        return orjson.loads(body)
    except ValueError:
        raise RequestError("The body is not valid JSON.", None, "invalid_json") from None


def refused(request: web.BaseRequest, path: str, refusal: RefusalError) -> web.Response:
    """The answer to a request that ends here."""
    if path.startswith(MODELS) and "anthropic-version" in request.headers:
        path = "/v1/messages"
    body = errors.content(path, refusal.status, refusal.message, refusal.code, refusal.param)
    response = answer(body, refusal.status, refusal.headers)
    if not request.content.is_eof():
        # What was not read is not read now either.
        response.force_close()
    return response


def only(request: web.BaseRequest, allowed: tuple[str, ...]) -> None:
    """Refuse any other method."""
    if request.method not in allowed:
        message = f"This path takes {' and '.join(allowed)} alone."
        raise RefusalError(405, message, "method_not_allowed", headers={"allow": ", ".join(allowed)})


def answer(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None, kind: str = "application/json"
) -> web.Response:
    return web.Response(status=status, body=body, headers={**errors.SERVER, "content-type": kind, **(headers or {})})


class Connection(web.RequestHandler):
    """A client's connection. What is no HTTP gets an answer of the usual shape, and no line in the log."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to bytes that cannot be read; they are in `message`, which nobody is shown."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        response = answer(errors.content("", status, "The request is not valid HTTP.", "invalid_http"), status)
        response.force_close()
        return response


class Server(web.Server):
    """Makes connections."""

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


async def move(runner: web.ServerRunner, site: web.TCPSite | None, wanted: tuple[str, int]) -> web.TCPSite:
    """Listen there, and no longer where it was. What is served already stays served if that cannot be."""
    new = web.TCPSite(runner, *wanted, backlog=1024)
    try:
        await new.start()
    except OSError as error:
        if site is None:
            raise
        LOG.error("%s cannot be used (%s); it listens where it did", new.name, error)
        await new.stop()
        return site
    if site is not None:
        await site.stop()
    return new


async def serve(gate: Gate, stopping: asyncio.Event, changed: asyncio.Event) -> None:
    """Listen until it is time to stop, and then let requests in flight end; `changed` says that settings were read."""
    prober = gate.begin()
    server = Server(
        gate.handle,
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=120.0,
        # Larger than the north door's own limit, so that it alone answers.
        max_line_size=32_768,
        max_field_size=32_768,
        lingering_time=1.0,
    )
    runner = web.ServerRunner(server, shutdown_timeout=gate.settings.stop_timeout)
    await runner.setup()
    await gate.shared.tried()
    try:
        at: tuple[str, int] | None = None
        site: web.TCPSite | None = None
        while not stopping.is_set():
            changed.clear()
            wanted = (gate.settings.listen, gate.settings.port)
            if wanted != at:
                site, at = await move(runner, site, wanted), wanted
            done = [asyncio.ensure_future(event.wait()) for event in (stopping, changed)]
            await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.cancel()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await runner.cleanup()
        await prober.close()
        await gate.shared.close()
        gate.relay.close()
        gate.log.close()
