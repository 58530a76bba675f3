"""The reporter: shows how far executions have come; of many values soon after each other only the last is
written.
"""

from __future__ import annotations

import psycopg

from workers import queries
from workers.database import Link, describe, may_pass
from workers.executions import Run
from workers.lease import Lease
from workers.looper import Looper, Outage, wait_for
from workers.runner import ids

# Progress is for people: one write a second for each execution is enough.
PAUSE_SECONDS = 1.0


class Reporter(Looper):
    """Writes the latest progress of each execution that reported any."""

    name = "reporter"

    def __init__(self, link: Link, outage: Outage, *, lease: Lease) -> None:
        super().__init__(outage)
        self._link = link
        self._lease = lease
        self._latest: dict[Run, str] = {}

    def report(self, run: Run, value: str) -> None:
        """Take a progress, as JSON text."""
        self._latest[run] = value
        if len(self._latest) == 1:
            self.wake()

    def forget(self, run: Run) -> None:
        """The run has ended: its progress is written with its next attempt, if any."""
        self._latest.pop(run, None)

    async def turn(self) -> float:
        """Write what was reported since the last turn, then rest."""
        for run in list(self._latest):
            value = self._latest.get(run)
            if value is None:  # it has ended meanwhile
                continue
            try:
                async with self._link.call() as conn:
                    await queries.report_progress(
                        conn,
                        worker_id=self._lease.worker_id,
                        execution_id=run.execution.execution_id,
                        attempt=run.execution.attempt,
                        progress=value,
                    )
            except psycopg.Error as error:
                if may_pass(error):
                    raise
                self._log.warning("a progress cannot be recorded", error=describe(error), **ids(run))
            if self._latest.get(run) is value:
                del self._latest[run]
        await wait_for(self._stopped, seconds=PAUSE_SECONDS)
        return 0.0 if self._latest else 3600.0
