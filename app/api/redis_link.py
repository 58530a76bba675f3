"""The one way to Redis: no call takes longer than the timeout, and none raises into a request.

    down ── a probe came through ──► up ── too many calls failed, or a ping ──► down

While Redis is down every call ends at once with "no answer" (None); only the watcher, which is no request,
tries it: at once, then every PROBE_SECONDS. A probe does what requests do: it finds out anew who answers
there (a single server or a cluster), connects, pings every primary and writes a key. So a server that was
frozen, replaced, made read-only or turned into a cluster is found out by the watcher, not by requests. A
cluster counts as one server: it is up when all of its primaries are.

An answer that was lost on the way may have had its effect: whoever writes through here must be able to
bear that.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
import structlog
from prometheus_client import Counter
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from app.api.redis_client import Client, addresses_of, close, connect, parse_url, ping

TIMEOUT_SECONDS = 0.05
PROBE_TIMEOUT_SECONDS = 1.0
PROBE_SECONDS = 0.25
PING_SECONDS = 1.0
PING_TIMEOUT_SECONDS = 0.25
WINDOW_SECONDS = 1.0
FAILURES = 5
CONNECTIONS = 16
STEADY_SECONDS = 5.0

Value: TypeAlias = str | bytes | int | float
Status = Literal["up", "down"]

_calls = Counter("redis_calls", "Calls to Redis", ["result"])
_answered, _failed, _spared = (_calls.labels(result) for result in ("answered", "failed", "spared"))


class Script(msgspec.Struct, frozen=True):
    """A Lua script, and the name that Redis knows it by."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> Script:
        """Returns the script with this text."""
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class RedisLink:
    """Redis, a cluster or not, behind a breaker."""

    def __init__(
        self, url: str, *, password: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """Takes REDIS_URL and REDIS_PASSWORD; raises SettingsError when the URL is none."""
        self._target = parse_url(url, password=password)
        self._addresses = self._target.addresses
        self._timeout_seconds = timeout_seconds
        self._client: Client | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._woken = asyncio.Event()
        self._log = structlog.get_logger("redis")
        self._up_since = 0.0
        self._window_ends_at = 0.0
        self._calls = self._failures = self._in_a_row = 0
        self._probes_needed = 1
        self.up = False
        """Whether calls go to Redis; not before a first probe came through."""
        self.latency_ms: float | None = None
        """How long the last ping took; None while Redis is down."""
        self.error: str | None = None
        """What was wrong when last something was."""
        self.gone = False
        """Whether nobody answers where it was, as against: not in time."""
        self.times_down = 0

    @property
    def status(self) -> Status:
        """What /health says of Redis."""
        return "up" if self.up else "down"

    async def open(self) -> None:
        """Starts the watcher; returns after its first probe, whatever came of that."""
        client = await self._probe()
        if client is None or not await self._go_up(client):
            self._log.warning("redis does not answer, going on without", error=self.error)
        self._watcher = asyncio.create_task(self._watch(), name="redis watcher")

    async def close(self) -> None:
        """Closes all connections; calls that come later get no answer."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        self.up = False
        await _discard(self._client)

    async def get(self, key: str) -> bytes | None:
        """Returns what is stored under the key; None also when there is no answer."""
        answer: bytes | None = await self._call(_get, key)
        return answer

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> bool:
        """Stores a value for so long; says whether Redis has confirmed it."""
        return await self._call(_set, key, value, ttl_ms) is not None

    async def run_script(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Value],
        *,
        first_args: Sequence[Value] | None = None,
    ) -> Any:
        """Runs a script on keys of one slot; None when there is no answer, and then it may have run.

        A server that does not know the script yet has begun anew, or took over from another: it gets
        `first_args`, if there are any.
        """
        return await self._call(_run_script, script, keys, args, args if first_args is None else first_args)

    async def _call(self, send: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if not self.up:
            _spared.inc()
            return None
        client = self._client
        try:
            async with asyncio.timeout(self._timeout_seconds), self._places:
                answer = await send(client, *args)
        except Exception as error:  # a cluster's client raises more than RedisError
            _failed.inc()
            # What the last server did to its callers is not held against this one.
            if client is self._client:
                self._count(error)
                self._woken.set()  # to find out by a ping what is the matter
            return None
        _answered.inc()
        self._count(None)
        return answer

    def _count(self, error: Exception | None) -> None:
        now = time.monotonic()
        if now > self._window_ends_at:
            self._window_ends_at = now + WINDOW_SECONDS
            self._calls = self._failures = 0
        self._calls += 1
        if error is None:
            self._in_a_row = 0
            return
        self._failures += 1
        self._in_a_row += 1
        # A few that are lost among thousands are no reason to do without the rest.
        if self._in_a_row >= FAILURES or self._failures >= max(FAILURES, self._calls / 2):
            self._go_down(error)

    def _go_down(self, error: Exception) -> None:
        self.error = describe(error)
        if not self.up:
            return
        self.up = False
        self.latency_ms = None
        self.times_down += 1
        self._woken.set()
        # A server that answers probes and fails between them must not be let in again each time.
        steady = time.monotonic() - self._up_since > STEADY_SECONDS
        self._probes_needed = 1 if steady else min(self._probes_needed + 1, 3)
        self._log.warning("redis does not answer, going on without", error=self.error)

    async def _watch(self) -> None:
        came_through = 0
        while True:
            if self.up:
                came_through = 0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PING_SECONDS):
                        await self._woken.wait()
                self._woken.clear()
                if self.up and self._client is not None:
                    await self._ping(self._client)
                continue
            client = await self._probe()
            came_through = came_through + 1 if client is not None else 0
            if client is not None and came_through >= self._probes_needed and await self._go_up(client):
                continue
            await _discard(client)
            await asyncio.sleep(PROBE_SECONDS)

    async def _ping(self, client: Client) -> bool:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PING_TIMEOUT_SECONDS):
                await ping(client)
        except Exception as error:
            self._go_down(error)
            return False
        self.latency_ms = (time.perf_counter() - started) * 1000
        return True

    async def _probe(self) -> Client | None:
        for address in self._addresses:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                    return await connect(self._target, address, connections=CONNECTIONS)
            except Exception as error:
                self.error = describe(error)
                self.gone = isinstance(error, RedisConnectionError)
        return None

    async def _go_up(self, client: Client) -> bool:
        if not await self._ping(client):
            return False
        old, self._client = self._client, client
        # A cluster may move away, node by node, from those that the URL names.
        self._addresses = tuple(dict.fromkeys(self._target.addresses + addresses_of(client)))
        self._calls = self._failures = self._in_a_row = 0
        self._up_since = time.monotonic()
        self.gone = False
        self.up = True
        self._log.info("redis answers", cluster=bool(addresses_of(client)))
        await _discard(old)
        return True


def describe(error: Exception) -> str:
    """Returns an error in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")


async def _get(client: Client, key: str) -> Any:
    return await client.execute_command("GET", key)


async def _set(client: Client, key: str, value: bytes, ttl_ms: int) -> Any:
    return await client.execute_command("SET", key, value, "PX", ttl_ms)


async def _run_script(
    client: Client, script: Script, keys: Sequence[str], args: Sequence[Value], first_args: Sequence[Value]
) -> Any:
    try:
        return await client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
    except NoScriptError:
        return await client.execute_command("EVAL", script.text, len(keys), *keys, *first_args)


async def _discard(client: Client | None) -> None:
    if client is not None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                await close(client)
