"""The ticker: turns due fires into executions, at the instant they are due.

Any number of tickers run, and none leads: each wakes at the next due time and calls tick_shard, which elects
inside its own short transaction who does the shard's work. A ticker that is killed or frozen holds nothing,
so there is no failover to wait for. Nothing is remembered between two turns but which shards were slow, and
when a herd was looked for: schedules change at any time, and the database alone knows them.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Iterator

import structlog

from workers import metrics, queries
from workers.database import DeadlineExceededError, Link
from workers.looper import Looper, Outage, jitter

MAX_SLEEP_SECONDS = 1.0
"""A schedule that is created or changed is seen after this at the latest."""

AHEAD_SECONDS = 4.0
"""So long before something is due it is asked whether a herd comes,"""
AHEAD_PAUSE_SECONDS = 1.0
"""so long after the last time,"""
SOON_SECONDS = 0.05
"""and not when it might hold up what is due."""

REAP_SECONDS = 0.5
MAINTAIN_SECONDS = 60.0
MAINTAIN_CALL_SECONDS = 300.0


class Ticker(Looper):
    """Calls tick_shard for each due shard until nothing is due, then sleeps until the next fire."""

    name = "ticker"

    def __init__(self, link: Link, outage: Outage) -> None:
        super().__init__(outage)
        self._link = link
        self._slow: set[int] = set()
        self._ahead_at = 0.0

    async def turn(self) -> float:
        """Look which shards are due and work on each."""
        with _shown_as_active():
            return await self._turn()

    async def _turn(self) -> float:
        async with self._link.call() as conn:
            shards = await queries.due_shards(conn)
        due = [row for row in shards if row.due_in_seconds <= 0]
        if not due:
            soonest = min((row.due_in_seconds for row in shards), default=math.inf)
            if SOON_SECONDS < soonest <= AHEAD_SECONDS and time.monotonic() >= self._ahead_at:
                await self._tick_ahead()
                return 0.0
            # Waited on this machine's monotonic clock: only the difference comes from the database's.
            return min(MAX_SLEEP_SECONDS, soonest)
        # Each ticker in an order of its own, so that several share the shards instead of queueing at the
        # first; one that did not answer in time comes last, so that it does not starve the others.
        random.shuffle(due)
        due.sort(key=lambda row: row.shard in self._slow)
        decided = 0
        for row in due:
            decided += await self._tick(row)
            if self.stopping:
                break
        # Nothing decided: another ticker holds the shards' locks and is about to be done.
        return 0.0 if decided else jitter(0.01, 0.03)

    async def _tick_ahead(self) -> None:
        """Makes some fires of a herd that comes."""
        self._ahead_at = time.monotonic() + AHEAD_PAUSE_SECONDS
        async with self._link.call() as conn:
            made = await queries.tick_ahead(conn)
        if made:  # then there may be more
            self._ahead_at = 0.0
            metrics.lateness.observe(0.0)

    async def _tick(self, row: queries.DueShard) -> int:
        try:
            async with self._link.call() as conn:
                ticked = await queries.tick_shard(conn, shard=row.shard)
        except DeadlineExceededError:
            self._slow.add(row.shard)
            raise
        self._slow.discard(row.shard)
        if ticked.fired:
            metrics.lateness.observe(-row.due_in_seconds)
        return ticked.fired + ticked.skipped


@contextlib.contextmanager
def _shown_as_active() -> Iterator[None]:
    gauge = metrics.ticker.labels(shard_group="all")
    gauge.set(1)
    try:
        yield
    except BaseException:
        gauge.set(0)
        raise


class Reaper(Looper):
    """Takes back, twice a second, what silent workers held."""

    name = "reaper"

    def __init__(self, link: Link, outage: Outage) -> None:
        super().__init__(outage)
        self._link = link

    async def turn(self) -> float:
        """Reap once."""
        async with self._link.call() as conn:
            reaped = await queries.reap(conn)
        if reaped:
            self._log.warning("took executions back from silent workers", executions=reaped)
        return REAP_SECONDS * jitter(0.8, 1.2)


class Maintainer(Looper):
    """Keeps partitions ahead of time, every minute."""

    name = "maintainer"

    def __init__(self, link: Link, outage: Outage) -> None:
        super().__init__(outage)
        self._link = link

    async def turn(self) -> float:
        """Maintain once."""
        async with self._link.call(seconds=MAINTAIN_CALL_SECONDS) as conn:
            await queries.maintain(conn)
        return MAINTAIN_SECONDS * jitter(0.8, 1.2)


async def run_ticker(conninfo: str, *, node_id: str, stop: asyncio.Event) -> None:
    """Run a ticker with its reaper and maintainer until `stop` is set."""
    links = [
        Link(conninfo, application_name=f"pgtick {part} {node_id}") for part in ("ticker", "reaper", "upkeep")
    ]
    outage = Outage()
    loopers: list[Looper] = [Ticker(links[0], outage), Reaper(links[1], outage), Maintainer(links[2], outage)]
    try:
        # Fail at once and clearly where no retry helps: a wrong password, an old schema.
        async with links[0].call() as conn:
            await queries.check(conn)
        structlog.get_logger("ticker").info("ticking")
        async with asyncio.TaskGroup() as group:
            for looper in loopers:
                group.create_task(looper.run())
            await stop.wait()
            for looper in loopers:
                looper.stop()
    finally:
        for link in links:
            await link.close()
