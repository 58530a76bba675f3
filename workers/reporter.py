"""The reporter: shows how far executions have come; of many values soon after each other only the last is
written.
"""

from __future__ import annotations

from workers import queries
from workers.database import Link
from workers.executions import Run
from workers.lease import Lease
from workers.looper import Looper, Outage

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
        """Write what was reported since the last turn."""
        latest, self._latest = self._latest, {}
        for run, value in latest.items():
            async with self._link.call() as conn:
                await queries.report_progress(
                    conn,
                    worker_id=self._lease.worker_id,
                    execution_id=run.execution.execution_id,
                    attempt=run.execution.attempt,
                    progress=value,
                )
        return 3600.0
