"""The layer that answers reads from the cache, before anything of the framework runs.

    hit     from this process, from Redis, or from a load that another request had begun
    stale   a hit near its end: served while it is renewed
    miss    loaded for this request
    bypass  loaded for this request, which asked for it by `Cache-Control: no-cache`

What is kept are whole answers of 200 that were read as of a known LSN. Anything else passes through as it
comes.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import Counter

from app.api.cache import Answer, Cache, Entry, Flight
from app.api.cache_rules import Match, canonical, match
from app.api.context import KEY, CacheResult, Context, context_of
from app.api.floors import included

TENANT = "default"
FORMAT = 1
"""To be raised when routes answer in another form: no version then takes another's answers from Redis."""

MAX_BODY_BYTES = 1 << 20
MAX_QUERY_BYTES = 2_048
MAX_TARGETS = 10_000

# An answer with one of these is for one request only.
_UNSHARED = frozenset({b"set-cookie", b"vary", b"content-encoding", b"transfer-encoding"})
# Written by this layer.
_OURS = frozenset({b"age", b"cache-control", b"content-length", b"etag", b"x-cache"})
# Would make the answer a part of itself, or none.
_CONDITIONAL = frozenset(
    {
        b"accept-encoding",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-unmodified-since",
        b"range",
    }
)
# A browser may keep the answer but has to ask before it uses it: it knows nothing of tokens.
_CACHE_CONTROL = (b"cache-control", b"private, no-cache")
_RESULTS: dict[CacheResult, tuple[bytes, bytes]] = {
    "hit": (b"x-cache", b"hit"),
    "stale": (b"x-cache", b"stale"),
    "miss": (b"x-cache", b"miss"),
    "bypass": (b"x-cache", b"bypass"),
}
_reads = Counter("cache_requests", "Reads whose answers may be kept", ["result"])
_COUNTS = {result: _reads.labels(result) for result in _RESULTS}
_AGES = tuple((b"age", str(seconds).encode()) for seconds in range(121))


class Target(msgspec.Struct, frozen=True):
    """What a request asks for, as the cache knows it."""

    key: str
    match: Match


class CacheLayer:
    """Around the framework: answers what a rule allows to be kept."""

    def __init__(self, app: ASGIApp, cache: Cache, rules: Callable[[str], Match | None] = match) -> None:
        self._app = app
        self._cache = cache
        self._rules = rules
        self._targets: OrderedDict[tuple[frozenset[str] | None, str, bytes], Target] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers from the cache if that will do."""
        target = None
        if scope.get("method") in ("GET", "HEAD"):
            target = self._target(scope)
        if target is None:
            await self._app(scope, receive, send)
        else:
            context: Context = scope["state"][KEY]
            try:
                await self._answer(scope, receive, send, context, target)
            finally:
                _COUNTS[context.cache or "miss"].inc()

    async def _answer(
        self, scope: Any, receive: Receive, send: Send, context: Context, target: Target
    ) -> None:
        no_cache = False
        if_none_match = b""
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                if_none_match = value
            elif name == b"cache-control":
                no_cache = b"no-cache" in value
        token = context.floor
        floor = context.floor = max(token, self._cache.floors.floor_of(target.match.tags))
        context.cache = "bypass" if no_cache else "miss"
        now = self._cache.clock()
        entry = None if no_cache else self._cache.find(target.key, floor, now)
        if entry is None:
            load = _Load(self._app, scope, receive, send, target.match)
            entry = await self._cache.fetch(
                target.key, floor, load, ttl_seconds=target.match.rule.ttl_seconds, fresh=no_cache
            )
            if entry is None:
                return
            if not load.called:
                context.cache = "hit"
        elif now < entry.soft_at:
            context.cache = "hit"
        else:
            context.cache = "stale"
            self._refresh(scope, context, target, entry)
        context.route = entry.answer.route
        # What it includes by the word of the reader, if not for certain: the caller's own token.
        context.lsn = max(entry.answer.lsn, token)
        headers = [*entry.answer.headers, _RESULTS[context.cache], self._age(entry)]
        await _send(send, entry.answer, headers, scope["method"], if_none_match)

    def _age(self, entry: Entry) -> tuple[bytes, bytes]:
        seconds = int(self._cache.clock() - entry.read_at)
        return _AGES[min(max(seconds, 0), len(_AGES) - 1)]

    def _target(self, scope: Scope) -> Target | None:
        context: Context = scope["state"][KEY]
        scopes = context.key.scopes if context.key is not None else None
        asked = (scopes, scope["path"], scope["query_string"])
        try:
            return self._targets[asked]
        except KeyError:
            pass
        found = self._rules(scope["path"])
        if found is None or len(scope["query_string"]) > MAX_QUERY_BYTES:
            return None
        target = Target(_key(scopes, found.path, canonical(scope["query_string"])), found)
        self._targets[asked] = target
        if len(self._targets) > MAX_TARGETS:
            self._targets.popitem(last=False)
        return target

    def _refresh(self, scope: HTTPScope, context: Context, target: Target, entry: Entry) -> None:
        floor = self._cache.floors.floor_of(target.match.tags)
        state = {**scope["state"], KEY: msgspec.structs.replace(context, floor=floor, lsn=None)}
        alone: HTTPScope = {**scope, "state": state}
        load = _Load(self._app, alone, _nobody, _nowhere, target.match)
        self._cache.refresh(target.key, entry, floor, load)


class _Load:
    """Runs the application for one answer; what is not to be kept goes to its own client as it comes."""

    def __init__(self, app: ASGIApp, scope: HTTPScope, receive: Receive, send: Send, found: Match) -> None:
        self.called = False
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._match = found
        self._flight: Flight | None = None
        self._held: list[Message] = []
        self._size = 0

    async def __call__(self, flight: Flight) -> Answer | None:
        """Returns the answer if it may be kept."""
        self.called = True
        self._flight = flight
        context = context_of(self._scope)
        headers = [header for header in self._scope["headers"] if header[0] not in _CONDITIONAL]
        scope: HTTPScope = {**self._scope, "method": "GET", "headers": headers}
        try:
            await self._app(scope, self._receive, self._take)
        finally:
            if context.route == "unmatched":
                context.route = scope.get("path_template") or "unmatched"
        if self._flight is None:
            return None
        if context.lsn is None or not self._held or self._held[-1].get("more_body", False):
            await self._let_go()
            return None
        return self._answer(context, context.lsn)

    async def _take(self, message: Message) -> None:
        if self._flight is None:
            await self._pass(message)
            return
        self._held.append(message)
        if message["type"] == "http.response.start":
            keep = _may_be_kept(message)
        elif message["type"] == "http.response.body":
            self._size += len(message.get("body", b""))
            keep = self._size <= MAX_BODY_BYTES
        else:
            keep = False
        if not keep:
            await self._let_go()

    async def _let_go(self) -> None:
        if self._flight is not None:
            self._flight.give_up()
            self._flight = None
        for message in self._held:
            await self._pass(message)
        self._held.clear()

    async def _pass(self, message: Message) -> None:
        if self._scope["method"] == "HEAD" and message["type"] == "http.response.body":
            message["body"] = b""
        await self._send(message)

    def _answer(self, context: Context, seen_lsn: int) -> Answer:
        start: Any = self._held[0]
        bodies: list[Any] = self._held[1:]
        body = b"".join(message.get("body", b"") for message in bodies)
        sent = [(name.lower(), value) for name, value in start["headers"]]
        etag = dict(sent).get(b"etag") or b'"%s"' % hashlib.blake2b(body, digest_size=12).hexdigest().encode()
        headers = [header for header in sent if header[0] not in _OURS]
        headers += [(b"content-length", b"%d" % len(body)), (b"etag", etag), _CACHE_CONTROL]
        rule = self._match.rule
        life_seconds = rule.life_of(body) if rule.life_of is not None else rule.ttl_seconds
        return Answer(
            body=body,
            headers=headers,
            etag=etag,
            route=context.route,
            lsn=included(seen_lsn),
            life_seconds=life_seconds,
        )


def _key(scopes: frozenset[str] | None, path: str, query: bytes) -> str:
    who = "-" if scopes is None else ",".join(sorted(scopes))
    digest = hashlib.blake2b(b"\0".join((who.encode(), path.encode(), query)), digest_size=20).hexdigest()
    return f"{FORMAT}:{TENANT}:{digest}"


async def _send(
    send: Send, answer: Answer, headers: list[tuple[bytes, bytes]], method: str, if_none_match: bytes
) -> None:
    status, body = 200, answer.body
    if if_none_match and _names(if_none_match, answer.etag):
        status, body = 304, b""
        headers = [header for header in headers if not header[0].startswith(b"content-")]
    elif method == "HEAD":
        body = b""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _may_be_kept(start: Any) -> bool:
    if start["status"] != 200:
        return False
    for name, value in start["headers"]:
        name = name.lower()
        if name in _UNSHARED:
            return False
        if name == b"cache-control" and b"no-store" in value:
            return False
        if name == b"content-type" and value.startswith(b"text/event-stream"):
            return False
    return True


def _names(if_none_match: bytes, etag: bytes) -> bool:
    if if_none_match == etag or if_none_match.strip() == b"*":
        return True
    # Our ETags hold no comma, so that the list can be split at each.
    return any(tag.strip().removeprefix(b"W/") == etag for tag in if_none_match.split(b","))


async def _nobody() -> Any:
    return {"type": "http.disconnect"}


async def _nowhere(_: Message) -> None:
    pass
