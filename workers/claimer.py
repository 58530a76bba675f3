"""The claimer: takes executions as fast as they can be started, and asks rarely where there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg

from workers import queries
from workers.database import Link
from workers.executions import Execution
from workers.finisher import Finisher
from workers.lease import Lease
from workers.looper import Looper, Outage, jitter
from workers.runner import Runner
from workers.settings import Settings

# Woken earlier by whatever it waits for: a free place, a lease, a finisher that catches up.
WAIT_SECONDS = 0.5
NO_LEASE = "JB001"


class Claimer(Looper):
    """Claims what the runner has room for; while nothing is found its pause grows up to poll_max."""

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
        give_back: Callable[[Execution], None],
    ) -> None:
        super().__init__(outage)
        self._link = link
        self._settings = settings
        self._lease = lease
        self._runner = runner
        self._finisher = finisher
        self._handlers = handlers
        self._on_no_lease = on_no_lease
        self._give_back = give_back
        self._pause = settings.poll_min_seconds

    async def turn(self) -> float:
        """Claim once."""
        job_types = self._runner.job_types()
        if self._runner.free <= 0 or self._finisher.overloaded or not self._lease.held or not job_types:
            return WAIT_SECONDS
        worker_id = self._lease.worker_id
        try:
            async with self._link.call() as conn:
                executions = await queries.claim(
                    conn,
                    worker_id=worker_id,
                    max_executions=self._runner.free,
                    queues=self._settings.queues,
                    job_types=job_types,
                    handlers=self._handlers,
                )
        except psycopg.Error as error:
            if error.sqlstate != NO_LEASE:
                raise
            self._on_no_lease()
            return WAIT_SECONDS
        for execution in executions:
            # Claimed while the worker was told to leave, or in the name of an id that is no longer ours.
            if self.stopping or worker_id != self._lease.worker_id:
                self._give_back(execution)
            else:
                self._runner.start(execution)
        if executions:
            self._pause = self._settings.poll_min_seconds
            return 0.0
        pause = jitter(self._pause / 2, self._pause)
        self._pause = min(self._pause * 2, self._settings.poll_max_seconds)
        return pause
