"""The claimer: takes executions as fast as they can be started, and asks rarely where there are none.

A poll that finds nothing costs worker and server 2 ms together; so idle workers take turns by the wall
clock, each at its own moment of a common period. Clocks that differ only make the gaps uneven.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import psycopg

from workers import queries
from workers.database import DeadlineExceededError, Lender, Link
from workers.finisher import Finisher
from workers.lease import Lease
from workers.looper import Looper, Outage, jitter
from workers.queries import PollOrder
from workers.runner import Runner
from workers.settings import Settings

# Woken earlier by whatever it waits for: a free place, a lease, a finisher that catches up.
WAIT_SECONDS = 0.5
NO_LEASE = "JB001"
ORDER_SECONDS = 5.0
"""How long a worker goes by the order of polls that it was told."""
MOST_TURNS = 4
"""With more idle workers the period grows no further: the others may just have become busy."""
QUIET_APART_SECONDS = 0.21
"""So far apart are the turns where nothing has ended for a minute: four workers take 1.7 % of a core, not 4.
What only one of four has a handler for, which the order does not know, waits for up to four of these.
"""
REST_TIMES = 3
"""A look that found nothing is not repeated for so many times as long as it took: with 500,000 executions of
a type that others run it takes 0.15 s, and would be made again after 0.07.
"""
MOST_REST_SECONDS = 1.0
ALONE = PollOrder(place=0, workers=1, is_quiet=False)


class Claimer(Looper):
    """Claims what the runner has room for; while nothing is found it asks less and less, then in turn."""

    name = "claimer"

    def __init__(
        self,
        link: Link,
        outage: Outage,
        settings: Settings,
        *,
        lease: Lease,
        runner: Runner,
        finisher: Finisher,
        handlers: Sequence[str],
        on_no_lease: Callable[[], None],
    ) -> None:
        super().__init__(outage)
        self._link = link
        self._settings = settings
        self._lease = lease
        self._runner = runner
        self._finisher = finisher
        self._handlers = handlers
        self._on_no_lease = on_no_lease
        self._pause = settings.poll_min_seconds
        self._most = settings.concurrency
        self._may_be_more = True
        self._told: set[int | None] = set()
        self._everywhere_at = 0.0
        self._order = ALONE
        self._order_until = 0.0
        self.session: Lender | None = None
        """The listener's, while there is one: claims by it need no pooler and no plan."""

    def hear(self, shard: int | None = None) -> None:
        """Claim now: something is ready in a shard; None: perhaps in any."""
        self._told.add(shard)
        self.wake()

    def use_room(self) -> None:
        """Claim now, as there is room again; but not where nothing was left."""
        if self._may_be_more:
            self.wake()

    async def turn(self) -> float:
        """Claim once."""
        job_types = self._runner.job_types()
        if self._runner.free <= 0 or self._finisher.overloaded or not self._lease.held or not job_types:
            self._may_be_more = True
            return WAIT_SECONDS
        worker_id = self._lease.worker_id
        most = min(self._runner.free, self._most)
        shard = self._choose_shard()
        began = time.monotonic()
        # What nobody could record is not claimed past a pooler that is away: 220 runs of 0.3 s ran twice.
        session = None if self._outage.lasts else self.session
        try:
            async with (session or self._link).call() as conn:
                executions = await queries.claim(
                    conn,
                    worker_id=worker_id,
                    max_executions=most,
                    queues=self._settings.queues,
                    job_types=job_types,
                    handlers=self._handlers,
                    shard=shard,
                    is_prepared=session is not None,
                )
        except psycopg.Error as error:
            self._may_be_more = True
            if session is not None:  # by the link, until the listener has made another one that works
                self.session = None
                await session.close()
            # Perhaps it was too much to send: in bytes nothing bounds a claim, and the same would fail again.
            if isinstance(error, DeadlineExceededError):
                self._most = max(1, most // 2)
            if error.sqlstate != NO_LEASE:
                raise
            self._on_no_lease()
            return WAIT_SECONDS
        self._most = min(2 * self._most, self._settings.concurrency)
        # Claimed while the worker was told to leave, or in the name of an id that is no longer ours.
        if executions and (self.stopping or worker_id != self._lease.worker_id):
            held = [execution.key for execution in executions]
            async with self._link.call() as conn:
                await queries.release(conn, worker_id=worker_id, held=held)
            return 0.0
        for execution in executions:
            self._runner.start(execution)
        await asyncio.sleep(0)  # they begin now, what follows here can wait
        self._may_be_more = len(executions) == most
        if executions:
            self._pause = self._settings.poll_min_seconds
            if self._order.is_quiet:  # so the others may still believe
                self._order = ALONE
        if self._may_be_more:
            return 0.0
        if not executions and self._is_resting and time.monotonic() > self._order_until:
            async with self._link.call() as conn:
                self._order = await queries.poll_order(conn, worker_id=worker_id)
            self._order_until = time.monotonic() + ORDER_SECONDS
        pause = self._next_pause()
        if not executions:
            pause = max(pause, min(REST_TIMES * (time.monotonic() - began), MOST_REST_SECONDS))
        if shard is None:
            self._everywhere_at = time.monotonic() + pause
        return min(pause, self._everywhere_at - time.monotonic())

    def _choose_shard(self) -> int | None:
        """The one that was told, which spares the look for it; but all when it is time for that, and of a
        backlog, so that none waits because more is told of another.
        """
        told, self._told = self._told, set()
        if len(told) > 1 or self._may_be_more or time.monotonic() >= self._everywhere_at:
            return None
        return next(iter(told), None)

    def _next_pause(self) -> float:
        if self._is_resting:
            least = QUIET_APART_SECONDS if self._order.is_quiet else 0.0
            apart = max(self._settings.poll_max_seconds, least)
            return until_turn(self._order, now=time.time(), apart=apart)
        pause = jitter(self._pause / 2, self._pause)
        self._pause *= 2
        return pause

    @property
    def _is_resting(self) -> bool:
        return self._pause >= self._settings.poll_max_seconds


def until_turn(order: PollOrder, *, now: float, apart: float) -> float:
    """Return how many seconds it is from a time of the wall clock until a worker's turn to poll.

    Turns are so far `apart`, closer together where there are more than MOST_TURNS workers.
    """
    period = apart * min(order.workers, MOST_TURNS)
    seconds = (period * order.place / order.workers - now) % period
    # A timer that came a little early must not make one turn two.
    return seconds if seconds > apart / 8 else seconds + period
