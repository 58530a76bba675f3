"""Answers kept for a moment, in this process and in Redis.

An entry says which LSN it includes for certain; whoever asks states a floor, the LSN that the answer must
include. An entry below the floor is no hit, wherever it lies and whoever put it there: a change is made known
by raising a floor (see floors.py), so nothing is ever deleted, and a load that was under way during the
change cannot bring the old state back.

No entry is served longer after its read than its life, which is at most the TTL of its rule, and no other
node's clock decides that: Redis drops an entry after half of its life (PX), and a copy taken from there lives
for the other half, by the monotonic clock. Who made an entry notes the wall clock: for its Age, and for the
one case that PX misses, a Redis that was frozen and takes a SET much later than it was sent. Where two nodes'
clocks are apart, copies are taken less often, not longer.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import msgspec
import structlog

from app.api.floors import Floors

MAX_ENTRIES = 10_000
MAX_BYTES = 64 << 20
ENTRY_BYTES = 1_500
"""What an entry takes beside its body."""

JITTER = 0.1
"""So much of a TTL is left to chance, so that what was filled together does not expire together."""
EARLY = 0.3
"""In the last part of a life, at most so much of it, a hit has the entry refreshed. How much is drawn for
each entry: of several processes one comes first, and the others find its answer in Redis."""
REFRESH_AGAIN_SECONDS = 0.25
CLOCK_SECONDS = 0.1
MAX_PENDING_SETS = 64


class Link(Protocol):
    """The way to Redis: never raises, answers None where Redis does not answer."""

    async def get(self, key: str, /) -> bytes | None: ...

    async def set(self, key: str, value: bytes, /, *, ttl_ms: int) -> bool: ...


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """An answer as it is kept, and lies in Redis."""

    body: bytes
    headers: list[tuple[bytes, bytes]]
    etag: bytes
    route: str
    lsn: int
    """What it includes for certain."""
    life_seconds: float
    made_at: float = 0.0
    """When it was read, by the wall clock of who read it."""


class Entry:
    """An answer with its times on this process's monotonic clock."""

    __slots__ = ("answer", "hard_at", "read_at", "size", "soft_at")

    def __init__(self, answer: Answer, *, read_at: float, hard_at: float, soft_at: float) -> None:
        self.answer = answer
        self.read_at = read_at
        self.hard_at = hard_at
        self.soft_at = soft_at
        self.size = len(answer.body) + ENTRY_BYTES


class Flight:
    """One load of one key; those who ask for the same meanwhile wait for it."""

    __slots__ = ("abandoned", "began_at", "entry", "floor", "over")

    def __init__(self, *, floor: int, began_at: float) -> None:
        self.floor = floor
        self.began_at = began_at
        self.over = asyncio.Event()
        self.entry: Entry | None = None
        self.abandoned = False
        """Whether it ended because who led it went away: then another leads."""

    def give_up(self) -> None:
        """Sends those who wait on their own way: this brings nothing to share."""
        self.over.set()


Load = Callable[[Flight], Awaitable[Answer | None]]
"""Brings an answer that includes the flight's floor; None if there is none to be shared."""


class Cache:
    """The two levels, and one flight for each key in this process."""

    def __init__(
        self,
        link: Link | None = None,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Takes the way to Redis, if there is one; the rest is for tests."""
        self.floors = Floors()
        self.clock = clock
        self._link = link
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._wall_clock = wall_clock
        self._chance = chance
        self._history = ""
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0
        self._flights: dict[str, Flight] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pending_sets = 0
        self._log = structlog.get_logger("cache")

    @property
    def size(self) -> tuple[int, int]:
        """How many entries this process keeps, and their bytes."""
        return len(self._entries), self._bytes

    @property
    def busy(self) -> int:
        """How much goes on behind the scenes: renewals, and what is on its way to Redis."""
        return len(self._tasks)

    def begin(self, history: str, lsn: int) -> None:
        """Starts at an LSN of a history: of this database in this timeline.

        To be called whenever changes may have been missed: what is older is unfit from now on. LSNs of two
        histories cannot be compared, so in Redis each has keys of its own; before the first is known, Redis
        is not asked.
        """
        self._entries.clear()
        self._bytes = 0
        self._flights.clear()
        if history == self._history:
            self.floors.raise_all(lsn)
        else:
            self._history = history
            self.floors.reset(lsn)

    def find(self, key: str, floor: int, now: float) -> Entry | None:
        """Returns an entry of this process that may be served: alive, and at or above the floor."""
        entry = self._entries.get(key)
        if entry is None or entry.answer.lsn < floor:
            return None
        if now >= entry.hard_at:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    async def fetch(
        self, key: str, floor: int, load: Load, *, ttl_seconds: float, fresh: bool = False
    ) -> Entry | None:
        """Returns an entry from Redis, from a load that is under way, or from a load of one's own.

        `fresh`: from a load of one's own. None where that brought nothing to keep. An error of a load is
        raised to who led it; those who waited for it load once more, each alone.
        """
        while not fresh:
            flight = self._flights.get(key)
            if flight is None or flight.floor < floor:
                break
            if self.clock() >= flight.began_at + ttl_seconds:  # it may bring what has expired by now
                break
            await flight.over.wait()
            if flight.entry is not None:
                return flight.entry
            if not flight.abandoned:
                return await self._fly(key, Flight(floor=floor, began_at=self.clock()), load)
        flight = self._flights[key] = Flight(floor=floor, began_at=self.clock())
        return await self._lead(key, flight, load, look=not fresh)

    def refresh(self, key: str, entry: Entry, floor: int, load: Load) -> None:
        """Has an entry renewed behind the scenes, unless that is going on; it is served meanwhile."""
        entry.soft_at = self.clock() + REFRESH_AGAIN_SECONDS
        if key not in self._flights:
            flight = self._flights[key] = Flight(floor=floor, began_at=self.clock())
            self._spawn(self._refresh(key, flight, load))

    async def close(self) -> None:
        """Ends what goes on behind the scenes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _lead(self, key: str, flight: Flight, load: Load, *, look: bool) -> Entry | None:
        try:
            if look:
                flight.entry = await self._find_in_redis(key, flight.floor)
            if flight.entry is None:
                flight.entry = await self._fly(key, flight, load)
            return flight.entry
        except asyncio.CancelledError:
            flight.abandoned = True
            raise
        finally:
            flight.over.set()
            if self._flights.get(key) is flight:
                del self._flights[key]

    async def _fly(self, key: str, flight: Flight, load: Load) -> Entry | None:
        history, began_at, made_at = self._history, self.clock(), self._wall_clock()
        answer = await load(flight)
        if answer is None:
            return None
        life_seconds = answer.life_seconds * (1 - JITTER * self._chance())
        answer = msgspec.structs.replace(answer, life_seconds=life_seconds, made_at=made_at)
        entry = self._make_entry(answer, read_at=began_at, hard_at=began_at + life_seconds)
        # What was read in another history is for who asked meanwhile, not for those to come.
        if history == self._history:
            self._keep(key, entry)
            self._put_into_redis(key, entry)
        return entry

    async def _refresh(self, key: str, flight: Flight, load: Load) -> None:
        try:
            await self._lead(key, flight, load, look=True)
        except Exception as error:
            self._log.warning("an answer could not be refreshed", exc_info=error)

    async def _find_in_redis(self, key: str, floor: int) -> Entry | None:
        history, asked_at = self._history, self.clock()
        if self._link is None or not history:
            return None
        value = await self._link.get(_redis_key(history, key))
        if value is None or history != self._history:
            return None
        try:
            answer = msgspec.msgpack.decode(value, type=Answer)
        except msgspec.DecodeError:
            return None
        age = self._wall_clock() - answer.made_at
        half = answer.life_seconds / 2
        if answer.lsn < floor or not -CLOCK_SECONDS <= age <= half:
            return None
        entry = self._make_entry(answer, read_at=asked_at - max(age, 0.0), hard_at=asked_at + half)
        self._keep(key, entry)
        return entry

    def _put_into_redis(self, key: str, entry: Entry) -> None:
        ttl_ms = int((entry.read_at + entry.answer.life_seconds / 2 - self.clock()) * 1000)
        if self._link is None or not self._history or ttl_ms <= 0 or self._pending_sets >= MAX_PENDING_SETS:
            return
        value = msgspec.msgpack.encode(entry.answer)
        self._pending_sets += 1
        task = self._spawn(self._link.set(_redis_key(self._history, key), value, ttl_ms=ttl_ms))
        task.add_done_callback(self._set_ended)

    def _set_ended(self, _: asyncio.Task[Any]) -> None:
        self._pending_sets -= 1

    def _make_entry(self, answer: Answer, *, read_at: float, hard_at: float) -> Entry:
        now = self.clock()
        load_seconds = now - read_at
        early_seconds = max((hard_at - now) * EARLY * self._chance(), 2 * load_seconds)
        # A load that takes longer than the entry lives is not begun again at once.
        soft_at = max(hard_at - early_seconds, now + REFRESH_AGAIN_SECONDS)
        return Entry(answer, read_at=read_at, hard_at=hard_at, soft_at=soft_at)

    def _keep(self, key: str, entry: Entry) -> None:
        present = self._entries.get(key)
        if present is not None:
            if present.answer.lsn > entry.answer.lsn and self.clock() < present.hard_at:
                return
            self._drop(key)
        if entry.size > self._max_bytes // 8:
            return
        self._entries[key] = entry
        self._bytes += entry.size
        while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        self._bytes -= self._entries.pop(key).size

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _redis_key(history: str, key: str) -> str:
    return f"pgtick:cache:{history}:{key}"
