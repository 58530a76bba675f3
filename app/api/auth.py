"""API keys: who asks, and what they may.

A key is looked up in the database by its hash and then believed for two seconds, so that one that is revoked
has no more than that left, whatever becomes of the notification that usually ends it at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import msgspec
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from app.api.cache_rules import tags_of
from app.api.context import SCOPES, Context, Key, context_of
from app.api.database import Database
from app.api.errors import FieldError, Problem, problem_of, send_problem, unavailable
from app.api.floors import Floors
from app.api.limits import Limiter
from app.api.peer import client_at
from app.api.queries import Read

BELIEVED_SECONDS = 2.0
OUTAGE_SECONDS = 4.5
"""How long a key is believed while no database answers: revoked within 5 s is the promise."""
MOST_KEYS = 10_000
STRANGERS = 4
"""So many unknown keys are looked up at once: a burst of guesses is charged before it has cost much."""
STRANGER_SECONDS = 2.0
"""So long a request waits for its turn among these."""
EVERYBODY = Key(key_id=UUID(int=0), name="anonymous", scopes=frozenset(SCOPES))
"""Who asks where authentication is off."""

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="pgtick"'}


class _Row(msgspec.Struct):
    key_id: UUID
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None


class KeyRing:
    """The keys that were looked up lately, also those that there are not."""

    def __init__(self, look_up: Callable[[bytes], Coroutine[None, None, Key | None]]) -> None:
        self._look_up = look_up
        self._known: OrderedDict[bytes, tuple[float, Key | None]] = OrderedDict()
        self._under_way: dict[bytes, tuple[float, asyncio.Task[Key | None]]] = {}

    def remembers(self, digest: bytes) -> bool:
        """Tells whether this was a key when it was last looked up."""
        found = self._known.get(digest)
        return found is not None and found[1] is not None

    def is_looking_up(self, digest: bytes) -> bool:
        """Tells whether somebody else has this looked up just now."""
        return digest in self._under_way

    async def find(self, digest: bytes) -> Key | None:
        """Returns the key of a secret that has this SHA-256, if it is valid."""
        found = self._known.get(digest)
        now = time.monotonic()
        if found is None or now - found[0] > BELIEVED_SECONDS:
            began_at, task = self._under_way.get(digest, (-math.inf, None))
            if task is None or now - began_at > BELIEVED_SECONDS:
                began_at, task = self._begin(digest, now)
            try:
                found = (began_at, await asyncio.shield(task))  # who asked may go away; others wait for it
            except Exception:
                found = self._known.get(digest)  # it may have been forgotten meanwhile
                if found is None or time.monotonic() - found[0] > OUTAGE_SECONDS:
                    raise
        key = found[1]
        if key is not None and key.expires_at is not None and key.expires_at <= datetime.now(UTC):
            return None
        return key

    def forget(self) -> None:
        """Looks every key up again: one was changed, perhaps since a look-up that is under way."""
        self._under_way.clear()
        for digest, (_, key) in self._known.items():
            self._known[digest] = (-math.inf, key)

    def _begin(self, digest: bytes, now: float) -> tuple[float, asyncio.Task[Key | None]]:
        task = asyncio.create_task(self._look_up(digest))
        task.add_done_callback(partial(self._end, digest))
        self._under_way[digest] = (now, task)
        return now, task

    def _end(self, digest: bytes, task: asyncio.Task[Key | None]) -> None:
        began_at, latest = self._under_way.get(digest, (-math.inf, None))
        if latest is task:
            del self._under_way[digest]
        else:  # forgotten meanwhile: a key that was met is no stranger, but is to be looked up again
            began_at = -math.inf
        if task.cancelled() or task.exception() is not None:
            return
        if task.result() is None and latest is task:
            began_at = time.monotonic()  # that there is no such key may be believed for as long again
        if latest is task or digest not in self._known:
            self._known[digest] = (began_at, task.result())
            self._known.move_to_end(digest)
            if len(self._known) > MOST_KEYS:
                self._known.popitem(last=False)


def look_up_in(database: Database, floors: Floors) -> Callable[[bytes], Coroutine[None, None, Key | None]]:
    """Returns the look-up of a key by its hash.

    On the primary, which alone knows every revocation; while that is away, on a replica that includes all
    that are known of here.
    """

    async def look_up(digest: bytes) -> Key | None:
        read = Read("check_api_key", {"api_key_hash": digest}, returns_row=True)
        text, _ = await database.router.read_newest(
            read.text(), read.arguments, floor=floors.floor_of(tags_of("key", ""))
        )
        if text is None:
            return None
        row = msgspec.json.decode(text, type=_Row)
        return Key(key_id=row.key_id, name=row.name, scopes=row.scopes, expires_at=row.expires_at)

    return look_up


class AuthLayer:
    """Names the caller, or turns him away."""

    def __init__(self, app: ASGIApp, ring: KeyRing | None, limiter: Limiter | None) -> None:
        """Without a ring everybody may do everything."""
        self._app = app
        self._ring = ring
        self._limiter = limiter
        self._strangers = asyncio.Semaphore(STRANGERS)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answers 401 where a key is needed and none, or no valid one, is shown."""
        context = context_of(scope)
        if context.malformed is not None:
            await send_problem(scope, send, _malformed(context.malformed))
            return
        if self._ring is None:
            context.key = EVERYBODY
        elif not is_public(scope["path"]):
            try:
                context.key = await self._authenticate(scope, context, self._ring)
            except Problem as problem:
                await send_problem(scope, send, problem)
                return
            except Exception as error:
                answer = problem_of(error)
                if answer.status == 500:
                    raise  # a fault of ours, which the layer around us logs
                await send_problem(scope, send, answer)
                return
        await self._app(scope, receive, send)

    async def _authenticate(self, scope: HTTPScope, context: Context, ring: KeyRing) -> Key:
        secret = bearer(scope)
        if secret is None:
            raise Problem(
                401,
                "no-key",
                "this needs an API key",
                hint="send `Authorization: Bearer KEY`; `pgtick keys create` makes one",
                headers=CHALLENGE,
            )
        digest = hashlib.sha256(secret).digest()
        if ring.remembers(digest):
            key = await ring.find(digest)
        else:
            key = await self._meet(digest, client_at(context.peer), ring)
        if key is None:
            raise Problem(
                401,
                "bad-key",
                "the API key is unknown, revoked or expired",
                hint="`pgtick keys list` lists the keys by their first characters",
                headers=CHALLENGE,
            )
        return key

    async def _meet(self, digest: bytes, address: str, ring: KeyRing) -> Key | None:
        """Looks up a key that is new here; those who guess keys are held to a limit, each by his address."""
        if self._limiter is None:
            return await ring.find(digest)
        if ring.is_looking_up(digest):
            key = await ring.find(digest)
        else:
            key = await self._look_up_stranger(digest, address, ring, self._limiter)
        if key is None:
            await self._limiter.check(address, "auth")
        return key

    async def _look_up_stranger(
        self, digest: bytes, address: str, ring: KeyRing, limiter: Limiter
    ) -> Key | None:
        try:
            async with asyncio.timeout(STRANGER_SECONDS):
                await self._strangers.acquire()
        except TimeoutError:
            raise unavailable("too many keys wait to be looked up", slug="database-busy") from None
        try:
            if not ring.remembers(digest) and limiter.gate(address, "auth").is_exhausted():
                await limiter.check(address, "auth")
            return await ring.find(digest)
        finally:
            self._strangers.release()


def is_public(path: str) -> bool:
    """Tells whether a path needs no key: health, metrics, the documentation and the dashboard's own files."""
    return not path.startswith("/v1/") and path != "/v1"


def _malformed(header: str) -> Problem:
    return Problem(
        400,
        "malformed",
        f"the header {header} is none of ours",
        hint="send it as it was given, or leave it out",
        errors=[FieldError(f"header.{header}", "is not as it was given")],
    )


def check_scope(context: Context, scope: str) -> None:
    """Raises the problem of a key that lacks a scope."""
    if context.key is None or not context.key.may(scope):
        name = context.key.name if context.key else ""
        raise Problem(
            403,
            "not-allowed",
            f"the API key {name!r} lacks the scope {scope!r}",
            hint=f"use a key with the scope {scope!r}, or admin",
        )


def bearer(scope: Scope) -> bytes | None:
    """Returns the secret that a request shows."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, secret = value.partition(b" ")
            return secret.strip() if kind.lower() == b"bearer" and secret.strip() else None
    return None
