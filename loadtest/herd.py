"""The midnight herd: thousands of jobs whose schedules are due in the same second."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg

from loadtest.figures import percentile
from tests.support.topology import Topology

BATCH = 2_000
DRAIN_SECONDS = 120.0


class Late(msgspec.Struct, frozen=True):
    """How the herd came through."""

    due: int
    started_seconds: list[float]
    """From the instant to the start, of each that ran."""
    drained_seconds: float
    """From the instant to the last end."""

    def line(self) -> str:
        """Returns it as a line."""
        p50, p99 = (percentile(self.started_seconds, percent) for percent in (50, 99))
        return (
            f"{len(self.started_seconds):,} of {self.due:,} schedules due in one second ran; they started "
            f"{p50:.2f} s late (p50), {p99:.2f} s (p99); the last ended after {self.drained_seconds:.1f} s"
        )


class Herd:
    """Jobs that are due in the same second, once it is set."""

    def __init__(self, topology: Topology, count: int) -> None:
        """Makes the jobs, as users make them; they are due once a year."""
        self._conninfo = topology.conninfo()
        self._count = count
        self._due_at = datetime.now(UTC)
        with psycopg.connect(self._conninfo, autocommit=True) as conn:
            for first in range(0, count, BATCH):
                conn.execute(
                    """
                    select count(scheduler.create_job(name => 'herd ' || i, job_type => 'python',
                        target => '"noop"', schedule => '@yearly'))
                    from generate_series(%s::integer, %s) i
                    """,
                    [first + 1, min(first + BATCH, count)],
                )

    def set_due(self, *, in_seconds: int) -> None:
        """Has all of them be due at the full second in so many seconds."""
        self._due_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=in_seconds)
        with psycopg.connect(self._conninfo, autocommit=True) as conn:
            conn.execute(
                """
                update scheduler_internal.schedules s set next_fire_at = %s
                from scheduler_internal.jobs j
                where j.shard = s.shard and j.job_id = s.job_id and j.name like 'herd %%'
                """,
                [self._due_at],
            )
            conn.execute("vacuum (analyze) scheduler_internal.schedules")

    def wait(self) -> Late:
        """Waits until each has run, or for as long as can be expected, and returns how late they were."""
        give_up_at = time.monotonic() + DRAIN_SECONDS
        with psycopg.connect(self._conninfo, autocommit=True) as conn:
            while len(rows := self._ended(conn)) < self._count and time.monotonic() < give_up_at:
                time.sleep(1.0)
        return Late(self._count, [row[0] for row in rows], max((row[1] for row in rows), default=0.0))

    def _ended(self, conn: psycopg.Connection[Any]) -> list[tuple[float, float]]:
        """Returns of each that has run, seconds after the instant, when it started and ended."""
        return conn.execute(
            """
            select extract(epoch from started_at - fire_at)::float8,
                   extract(epoch from finished_at - fire_at)::float8
            from scheduler_internal.history
            where fire_at = %s and status = 'succeeded' and final
            """,
            [self._due_at],
        ).fetchall()
