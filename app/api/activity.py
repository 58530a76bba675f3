"""What is going on in the database, as live events tell of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import msgspec

from app.api.database import Database
from app.api.queries import Read
from app.api.streams import Name

LSN_SECONDS = 1.0


class Activity(msgspec.Struct, frozen=True):
    """What the database says is going on."""

    at: datetime
    state: Mapping[Name, bytes]
    """What is told when it has changed, by topic."""
    ended: list[msgspec.Raw]
    """Executions that have ended of late."""
    more_ended: bool
    lsn: int
    """The LSN of the primary after all this was read."""


class _Executions(msgspec.Struct):
    ended: list[msgspec.Raw] = []
    more: bool = False


class _Document(msgspec.Struct):
    at: datetime
    queues: msgspec.Raw
    stats: msgspec.Raw
    executions: _Executions = msgspec.field(default_factory=_Executions)


Look = Callable[[datetime | None], Awaitable[Activity]]


def look_at_activity(database: Database) -> Look:
    """Returns the look at what is going on: on the primary alone; a replica may know less than was told."""

    async def look(since: datetime | None) -> Activity:
        read = Read("activity", {"since": since})
        text, _ = await database.primary.run(read.text(), read.arguments)
        seen = msgspec.json.decode(text or "{}", type=_Document)
        lsn = await database.primary.look(seconds=LSN_SECONDS)
        state: dict[Name, bytes] = {"queues": bytes(seen.queues), "stats": bytes(seen.stats)}
        return Activity(seen.at, state, seen.executions.ended, seen.executions.more, lsn)

    return look
