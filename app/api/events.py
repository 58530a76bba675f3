"""Live events: one hub a process looks at the database and tells all streams what has changed.

It looks once a second while somebody listens, and at once when a change is notified. What it sees is compared
with what it saw: nothing is sent where nothing changed. Only aggregates and ids go out, with the LSN that a
read has to include to see what the event is about.

A stream begins with `hello`. Who was there before (Last-Event-ID) gets what he missed; where that is not to
be had, `reset` tells him to fetch everything anew. It ends with `bye` when this process leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog

from app.api.activity import Look
from app.api.context import Key, format_token
from app.api.errors import Problem
from app.api.streams import Event, EventId, Name, Ring, Stream

LOOK_SECONDS = 1.0
SHORTEST_PAUSE_SECONDS = 0.1
LINGER_SECONDS = 10.0
"""For so long it goes on looking when the last one has left: he may only have lost his connection."""
LONGEST_GAP = timedelta(seconds=30)
"""After an outage that took longer, those who listen begin anew."""
RETRY_MS = 2000
MOST_IDS = 100

_log = structlog.get_logger("events")


class SomethingChanged(Protocol):
    """What was changed: a job, an execution or a key."""

    @property
    def kind(self) -> str:
        """Which of these."""

    @property
    def id(self) -> str:
        """Its id."""


FindKey = Callable[[bytes], Awaitable[Key | None]]


class EventHub:
    """All streams of this process."""

    def __init__(
        self,
        look: Look,
        *,
        find_key: FindKey | None,
        draining: asyncio.Event,
        max_streams: int,
        max_streams_per_key: int,
    ) -> None:
        """Looks by `look`; `find_key` tells whether a key still works (None: nobody needs one)."""
        self._look = look
        self._find_key = find_key
        self._draining = draining
        self._max_streams = max_streams
        self._max_streams_per_key = max_streams_per_key
        self._streams: set[Stream] = set()
        self._newcomers: dict[Stream, str | None] = {}
        self._changed_jobs: set[str] = set()
        self._any_job_changed = False
        self._wake = asyncio.Event()
        self._ring: Ring | None = None
        self._seen: Mapping[Name, bytes] = {}
        self._ended: frozenset[bytes] = frozenset()
        self._looked_at: datetime | None = None
        self._left_at = 0.0
        self._is_failing = False

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    @property
    def is_looking(self) -> bool:
        """Tells whether it looks at the database, as somebody listens or has just left."""
        return self._ring is not None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks and tells for as long as the block lasts."""
        tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._say_bye())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def changed(self, changes: Iterable[SomethingChanged] | None) -> None:
        """Takes the news of what was changed; None: it may have been any job."""
        if self._ring is None:  # then nobody has fetched anything yet that this could change
            return
        if changes is None:
            self._any_job_changed = True
        else:
            self._changed_jobs |= {change.id for change in changes if change.kind == "job"}
        if self._any_job_changed or self._changed_jobs:
            self._wake.set()

    def join(
        self, topics: frozenset[str], *, key: Key, peer: str, digest: bytes | None, last: str | None
    ) -> Stream:
        """Returns a new stream, which goes on after the event `last`; raises the problem of too many."""
        owner = key.key_id if self._find_key is not None else peer
        if len(self._streams) >= self._max_streams:
            raise _too_many(f"this process has {self._max_streams} streams open")
        if sum(stream.owner == owner for stream in self._streams) >= self._max_streams_per_key:
            raise _too_many(f"{key.name!r} has {self._max_streams_per_key} streams open")
        stream = Stream(topics, owner=owner, digest=digest)
        self._streams.add(stream)
        if self._draining.is_set():
            stream.end(_bye("this process is about to leave"))
        elif self._ring is not None:
            _welcome(stream, self._ring, last)
        else:
            self._newcomers[stream] = last
            self._wake.set()
        return stream

    def leave(self, stream: Stream) -> None:
        """Forgets a stream."""
        self._streams.discard(stream)
        self._newcomers.pop(stream, None)
        self._left_at = time.monotonic()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            while self._streams or time.monotonic() < self._left_at + LINGER_SECONDS:
                self._wake.clear()
                try:
                    await self._check_keys()
                    await self._look_once()
                except Exception as error:
                    self._failed(error)
                else:
                    self._is_failing = False
                await self._pause()
            # A change in the last pause is for nobody: left set it would be waited for no more, and this loop
            # would never let another have its turn.
            self._wake.clear()
            self._ring = None

    async def _pause(self) -> None:
        await asyncio.sleep(SHORTEST_PAUSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS - SHORTEST_PAUSE_SECONDS):
                await self._wake.wait()

    async def _check_keys(self) -> None:
        """Ends the streams of keys that work no more; raises where that is not to be known."""
        if self._find_key is None:
            return
        for digest in {stream.digest for stream in self._streams if stream.digest is not None}:
            if await self._find_key(digest) is None:
                for stream in self._streams:
                    if stream.digest == digest:
                        stream.end(_bye("the API key works no more"))

    async def _look_once(self) -> None:
        jobs, self._changed_jobs = self._changed_jobs, set()
        is_any, self._any_job_changed = self._any_job_changed, False
        try:
            activity = await self._look(self._looked_at if self._ring is not None else None)
        except BaseException:
            self._changed_jobs |= jobs
            self._any_job_changed |= is_any
            raise
        milliseconds = int(activity.at.timestamp() * 1000)
        if self._ring is None:
            self._begin(Ring(EventId(milliseconds, 0)))
        elif self._looked_at is not None and activity.at - self._looked_at > LONGEST_GAP:
            self._begin(Ring(self._ring.next_id(milliseconds)))
        else:
            if jobs or is_any:
                ids = sorted(jobs)
                told: dict[str, Any] = {"changed": ids[:MOST_IDS], "more": is_any or len(ids) > MOST_IDS}
                self._tell("jobs", told, milliseconds, activity.lsn)
            # The database tells an end for a while, as it may be committed late: from look to look.
            if ended := [each for each in activity.ended if bytes(each) not in self._ended]:
                told = {"ended": ended, "more": activity.more_ended}
                self._tell("executions", told, milliseconds, activity.lsn)
            for topic, section in activity.state.items():
                if self._seen.get(topic) != section:
                    self._tell(topic, msgspec.Raw(section), milliseconds, activity.lsn)
        self._seen, self._ended = activity.state, frozenset(map(bytes, activity.ended))
        self._looked_at = activity.at

    def _begin(self, ring: Ring) -> None:
        """From here on everything is known; those who listened before have to fetch it anew."""
        self._ring = ring
        newcomers, self._newcomers = self._newcomers, {}
        for stream in self._streams - newcomers.keys():
            stream.push(_reset("the database was away for too long", ring.newest))
        for stream, last in newcomers.items():
            _welcome(stream, ring, last)

    def _tell(self, topic: Name, section: Any, milliseconds: int, lsn: int) -> None:
        assert self._ring is not None  # noqa: S101
        data = {"consistency_token": format_token(lsn), topic: section}
        event = Event.of(topic, data, event_id=self._ring.next_id(milliseconds))
        self._ring.add(event)
        for stream in self._streams:
            stream.push(event)

    def _failed(self, error: Exception) -> None:
        """Notes that the database does not answer; told once."""
        if not self._is_failing:
            _log.warning(
                "no events until the database answers again", error=" ".join(str(error).split())[:300]
            )
        self._is_failing = True

    async def _say_bye(self) -> None:
        await self._draining.wait()
        for stream in self._streams:
            stream.end(_bye("this process is about to leave"))


def _welcome(stream: Stream, ring: Ring, last: str | None) -> None:
    """Begins a stream: with what was missed, if that is known."""
    last_id = EventId.parse(last) if last else None
    missed = ring.after(last_id) if last_id is not None else None
    hello = {"topics": sorted(stream.topics), "resumed": missed is not None}
    if missed is not None:
        stream.preload([Event.of("hello", hello, retry_ms=RETRY_MS), *missed])
        return
    stream.push(Event.of("hello", hello, event_id=ring.newest, retry_ms=RETRY_MS))
    if last:
        stream.push(_reset("what came after the last event is not known here", ring.newest))


def _reset(reason: str, event_id: EventId) -> Event:
    return Event.of("reset", {"reason": reason, "hint": "fetch anew what you show"}, event_id=event_id)


def _bye(reason: str) -> Event:
    """Returns the last event of a stream: all come back, but not all at once."""
    return Event.of("bye", {"reason": reason}, retry_ms=random.randint(100, RETRY_MS))  # noqa: S311


def _too_many(detail: str) -> Problem:
    return Problem(
        429,
        "too-many-streams",
        detail,
        hint="close some, or listen to several topics on one",
        headers={"Retry-After": "30"},
    )
