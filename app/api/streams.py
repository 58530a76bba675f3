"""A stream of live events: what it is sent, how far it is, and from where it can be taken up again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

RING_EVENTS = 1000
"""So many events are kept for those who come back."""
QUEUE_EVENTS = 200
"""So many may wait for a client that reads slowly; one that is further behind has to begin anew."""
PING_SECONDS = 15.0
PING = b": ping\n\n"
FURTHEST_AHEAD_MS = 60_000
LATE_MS = 3_000
"""So much later than another may a process hear of a job's change: without LISTEN it asks each second."""

Name = Literal["hello", "reset", "bye", "jobs", "executions", "queues", "stats"]
TOPICS: tuple[Name, ...] = ("jobs", "executions", "queues", "stats")
"""What a stream may be about; the other events are sent to all."""


class EventId(NamedTuple):
    """When something was seen, by the clock of the database, and a number within that millisecond.

    So the ids of two processes compare, and who leaves one can go on at the other.
    """

    milliseconds: int
    number: int

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> EventId | None:
        """Reads an id; None if it is none."""
        first, _, second = text.partition("-")
        if not all(part.isascii() and part.isdecimal() and len(part) <= 15 for part in (first, second)):
            return None
        return cls(int(first), int(second))


class Event(msgspec.Struct, frozen=True):
    """One event, in the form in which it is sent."""

    name: Name
    event_id: EventId | None
    frame: bytes

    @classmethod
    def of(
        cls, name: Name, data: Any, *, event_id: EventId | None = None, retry_ms: int | None = None
    ) -> Event:
        """Makes one; its data is JSON, on one line as the format asks for."""
        lines = [f"event: {name}"]
        if event_id is not None:
            lines.append(f"id: {event_id}")
        if retry_ms is not None:
            lines.append(f"retry: {retry_ms}")
        text = msgspec.json.encode(data).replace(b"\n", b" ").replace(b"\r", b" ")
        return cls(name, event_id, "\n".join(lines).encode() + b"\ndata: " + text + b"\n\n")

    def is_after(self, last: EventId) -> bool:
        """Tells whether it came after another."""
        return self.event_id is not None and self.event_id > last


class Ring:
    """The newest events, without a gap."""

    def __init__(self, start: EventId) -> None:
        """Knows everything that was seen after this id."""
        self.newest = start
        self._complete_after = start
        self._events: deque[Event] = deque()

    def next_id(self, milliseconds: int) -> EventId:
        """Returns the id of what is seen at that time: never one that is not beyond all others."""
        if milliseconds <= self.newest.milliseconds:
            return EventId(self.newest.milliseconds, self.newest.number + 1)
        return EventId(milliseconds, 0)

    def add(self, event: Event) -> None:
        """Keeps an event, and lets go of the oldest if there are too many."""
        assert event.event_id is not None  # noqa: S101
        self.newest = event.event_id
        self._events.append(event)
        if len(self._events) > RING_EVENTS:
            oldest = self._events.popleft().event_id
            assert oldest is not None  # noqa: S101
            self._complete_after = oldest

    def after(self, last: EventId) -> Iterator[Event] | None:
        """Returns what came after an event; None where that is not known any more, or never was.

        What another process told before that event it saw at other times than this one, of jobs it may hear
        LATE_MS later, and of one look it tells several events, of which not all may have arrived.
        """
        is_ours = last == self._complete_after or any(event.event_id == last for event in self._events)
        heard = last if is_ours else EventId(last.milliseconds - LATE_MS, 0)
        if heard < self._complete_after or last.milliseconds > self.newest.milliseconds + FURTHEST_AHEAD_MS:
            return None
        return (event for event in self._events if event.is_after(heard))


class Stream:
    """One client's stream: what waits to be sent to it."""

    def __init__(self, topics: frozenset[str], *, owner: UUID | str, digest: bytes | None) -> None:
        """Of these topics; the digest is that of a key, which may listen for as long as it works."""
        self.topics = topics
        self.owner = owner
        self.digest = digest
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._ended = False

    def push(self, event: Event) -> None:
        """Has an event sent, if it is about a topic of this stream."""
        if self._ended or (event.name in TOPICS and event.name not in self.topics):
            return
        if len(self._waiting) >= QUEUE_EVENTS:
            self._waiting.clear()
            self.end(Event.of("reset", {"reason": "this client reads too slowly"}))
            return
        self._waiting.append(event.frame)
        self._news.set()

    def preload(self, events: Iterable[Event]) -> None:
        """Has a beginning sent, however long it is."""
        self._waiting.extend(
            event.frame for event in events if event.name not in TOPICS or event.name in self.topics
        )
        self._news.set()

    def end(self, event: Event | None = None) -> None:
        """Ends it, with a last word if there is one."""
        if not self._ended:
            self._ended = True
            if event is not None:
                self._waiting.append(event.frame)
        self._news.set()

    async def next(self) -> bytes | None:
        """Returns what is to be sent next, after a while of silence a ping, and at the end None."""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return PING
        frames = b"".join(self._waiting)
        self._waiting.clear()
        if not self._ended:
            self._news.clear()
        return frames or None
