"""The finisher: records how executions ended, many at a time, and gives back what was not begun."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import psycopg

from workers import metrics, queries
from workers.database import DeadlineExceededError, Link, describe, may_pass
from workers.documents import to_json
from workers.executions import Outcome, Run, failed
from workers.lease import Lease
from workers.looper import Looper, Outage
from workers.queries import Ending
from workers.runner import ids

MAX_BATCH = 1000
# Worth waiting for company when more is running: a commit costs more than this.
LINGER_SECONDS = 0.002
# With so many ends unrecorded no more work is claimed: the database is slow or away.
MAX_BACKLOG = 2 * MAX_BATCH


class Finisher(Looper):
    """Sends outcomes to the database; while that is away, keeps them until the lease is lost."""

    name = "finisher"

    def __init__(
        self,
        link: Link,
        outage: Outage,
        *,
        lease: Lease,
        forget: Callable[[Run], None],
        is_busy: Callable[[], bool],
        on_room: Callable[[], None],
    ) -> None:
        super().__init__(outage)
        self._link = link
        self._lease = lease
        self._forget = forget
        self._is_busy = is_busy
        self._on_room = on_room
        self._most = MAX_BATCH
        self._ended: deque[tuple[Run, Outcome]] = deque()
        self._unbegun: list[Run] = []
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def overloaded(self) -> bool:
        """Whether so much waits to be recorded that no more is to be claimed."""
        return len(self._ended) >= MAX_BACKLOG

    @property
    def waiting(self) -> int:
        """How many executions the database does not know the end of, or still has to take back."""
        return len(self._ended) + len(self._unbegun)

    def add(self, run: Run, outcome: Outcome) -> None:
        """Take an outcome."""
        if outcome.status in ("recorded", "discarded"):
            self._forget(run)
            return
        if outcome.status == "released":
            self._unbegun.append(run)
        else:
            self._ended.append((run, outcome))
        self._empty.clear()
        self.wake()

    def discard_all(self) -> None:
        """Drop everything: the lease is lost, and with it the right to record."""
        if self.waiting:
            self._log.warning("ends discarded, because the lease is lost", executions=self.waiting)
        for run in [run for run, _ in self._ended] + self._unbegun:
            self._forget(run)
        self._ended.clear()
        self._unbegun.clear()
        self._empty.set()

    async def wait_empty(self) -> None:
        """Wait until everything is recorded or discarded."""
        await self._empty.wait()

    async def turn(self) -> float:
        """Record one batch."""
        if self._unbegun:
            await self._release()
        if self._ended:
            if len(self._ended) < MAX_BATCH and self._is_busy():
                await asyncio.sleep(LINGER_SECONDS)
            if self._ended:  # else the lease was lost meanwhile
                await self._finish()
        if self._ended or self._unbegun:
            return 0.0
        self._empty.set()
        return 3600.0

    async def _finish(self) -> None:
        worker_id = self._lease.worker_id
        # They stay in the queue until the database has them; new ones only come in behind.
        batch = list(islice(self._ended, self._most))
        try:
            async with self._link.call() as conn:
                stale = await queries.finish(
                    conn, worker_id=worker_id, endings=[_ending(*item) for item in batch]
                )
        except psycopg.Error as error:
            if isinstance(error, DeadlineExceededError):  # perhaps it was too much to send
                self._most = max(1, len(batch) // 2)
            if may_pass(error):
                raise
            await self._find_culprit(batch)
            return
        self._most = min(2 * self._most, MAX_BATCH)
        self._done(batch, stale)

    async def _find_culprit(self, batch: list[tuple[Run, Outcome]]) -> None:
        """One end that the database cannot take must not hold up the others: send each by itself."""
        for run, outcome in batch:
            try:
                async with self._link.call() as conn:
                    stale = await queries.finish(
                        conn, worker_id=self._lease.worker_id, endings=[_ending(run, outcome)]
                    )
            except psycopg.Error as reason:
                if may_pass(reason):
                    raise
                self._log.error("an end cannot be recorded as it is", error=describe(reason), **ids(run))
                message = f"the run {outcome.status}, but its result cannot be stored: {describe(reason)}"
                async with self._link.call() as conn:
                    stale = await queries.finish(
                        conn,
                        worker_id=self._lease.worker_id,
                        endings=[_ending(run, failed("result", message, retry=False))],
                    )
            self._done([(run, outcome)], stale)

    def _done(self, batch: list[tuple[Run, Outcome]], stale: set[tuple[Any, int]]) -> None:
        was_overloaded = self.overloaded
        for run, _ in batch:
            # The lease may have been lost meanwhile, and the queue with it.
            if self._ended and self._ended[0][0] is run:
                self._ended.popleft()
            self._forget(run)
            if stale and run.execution.key in stale:
                metrics.stale.inc()
                self._log.warning(
                    "refused as stale: another attempt owns the execution, or it has ended", **ids(run)
                )
        if was_overloaded and not self.overloaded:
            self._on_room()

    async def _release(self) -> None:
        batch = list(self._unbegun)
        held = [run.execution.key for run in batch]
        async with self._link.call() as conn:
            await queries.release(conn, worker_id=self._lease.worker_id, held=held)
        self._unbegun = [run for run in self._unbegun if run not in batch]
        for run in batch:
            self._forget(run)


def _ending(run: Run, outcome: Outcome) -> Ending:
    return Ending(
        execution_id=run.execution.execution_id,
        attempt=run.execution.attempt,
        status=outcome.status,
        result=outcome.result,
        error=to_json(outcome.error) if outcome.error is not None else None,
        retry_after=outcome.retry_after,
    )
