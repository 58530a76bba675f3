"""The heartbeat: a thread with an event loop and a connection of its own.

A handler on the worker's event loop that blocks it, or one that holds the interpreter for seconds, must not
cost the others their lease; so nothing here waits for the main loop. What the database answers is handed over
to it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from workers import queries
from workers.database import Link
from workers.keeper import now
from workers.lease import Lease
from workers.looper import Looper, Outage
from workers.processes import Keeper
from workers.queries import StopOrder
from workers.settings import Settings
from workers.threads import call_in_thread

BEAT_CALL_SECONDS = 2.5


class Heartbeat(Looper):
    """Renews the lease, names what the worker holds, and passes on what it must stop."""

    name = "heartbeat"

    def __init__(
        self,
        settings: Settings,
        outage: Outage,
        *,
        lease: Lease,
        keeper: Keeper,
        job_types: Sequence[str],
        held: Callable[[], list[tuple[UUID, int]]],
        on_orders: Callable[[list[StopOrder]], None],
        on_lease: Callable[[], None],
    ) -> None:
        super().__init__(outage)
        self._settings = settings
        self._lease = lease
        self._keeper = keeper
        self._job_types = job_types
        self._held = held
        self._on_orders = on_orders
        self._on_lease = on_lease
        self._link = Link(settings.database, application_name=f"pgtick heartbeat {settings.node_id}")
        self._draining = False

    async def turn(self) -> float:
        """Beat once."""
        if self._lease.expired:
            return 0.05  # the main loop is about to stop everything and to take a new id
        worker_id = self._lease.worker_id
        asked_at = now()
        async with self._link.call(seconds=BEAT_CALL_SECONDS) as conn:
            orders = await queries.heartbeat(
                conn,
                worker_id=worker_id,
                node_id=self._settings.node_id,
                queues=self._settings.queues,
                job_types=self._job_types,
                concurrency=self._settings.concurrency,
                lease=timedelta(seconds=self._settings.lease_seconds),
                draining=self._draining,
                held=self._held(),
            )
        had_lease = self._lease.held
        end = self._lease.renew(worker_id, asked_at=asked_at)
        if end is None:
            return 0.05
        self._keeper.lease_until(end)
        if not had_lease:
            self._on_lease()
        if orders:
            self._on_orders(orders)
        return self._settings.beat_seconds

    def drain(self) -> None:
        """Tell the database with the next beat, which comes now, that this worker claims no more."""
        self._draining = True
        self.wake()

    async def close(self) -> None:
        """Close the connection."""
        await self._link.close()


class HeartbeatThread:
    """Runs a heartbeat on an event loop in a thread."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main()), name="heartbeat", daemon=True
        )

    def start(self) -> None:
        """Start beating."""
        self._thread.start()
        self._started.wait()

    def wake(self) -> None:
        """Beat now."""
        self._call(self._heartbeat.wake)

    def drain(self) -> None:
        """Beat now, saying that the worker leaves."""
        self._call(self._heartbeat.drain)

    async def stop(self) -> None:
        """Stop beating and wait for the thread."""
        self._call(self._heartbeat.stop)
        # Not in the executor: handlers may hold all its threads.
        await call_in_thread(self._thread.join, name="end of the heartbeat")

    def _call(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(function)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started.set()
        try:
            await self._heartbeat.run()
        finally:
            await self._heartbeat.close()
