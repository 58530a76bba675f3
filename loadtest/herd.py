"""The midnight herd: thousands of jobs whose schedules are due in the same second."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import msgspec
import psycopg

from loadtest.figures import percentile

DRAIN_SECONDS = 120.0
HERD = "herd"

# create_job takes 1.7 ms, for 50,000 of them a minute and a half.
_COPY: LiteralString = """
    with copied as materialized (
        select gen_random_uuid() as job_id, i from generate_series(2, %(count)s) i
    ), added as (
        insert into scheduler_internal.jobs (shard, job_id, name, version, created_at, created_by, updated_at)
        select scheduler.get_shard_id(c.job_id), c.job_id, j.name || ' ' || c.i, j.version, j.created_at,
               j.created_by, j.updated_at
        from scheduler_internal.jobs j, copied c where j.job_id = %(job_id)s
    ), defined as (
        insert into scheduler_internal.job_versions
            (shard, job_id, version, name, definition, spec, created_at)
        select scheduler.get_shard_id(c.job_id), c.job_id, v.version, v.name || ' ' || c.i, v.definition,
               v.spec, v.created_at
        from scheduler_internal.job_versions v, copied c where v.job_id = %(job_id)s
    )
    insert into scheduler_internal.schedules
        (shard, job_version, job_id, next_fire_at, jitter, rank, misfire, overlap, timezone, queue, job_type,
         handler, spec)
    select scheduler.get_shard_id(c.job_id), s.job_version, c.job_id, s.next_fire_at, s.jitter, s.rank,
           s.misfire, s.overlap, s.timezone, s.queue, s.job_type, s.handler, s.spec
    from scheduler_internal.schedules s, copied c where s.job_id = %(job_id)s
"""


class Late(msgspec.Struct, frozen=True):
    """How the herd came through."""

    due: int
    fired_seconds: list[float]
    """From the instant to the tick that made it, of each that ran,"""
    started_seconds: list[float]
    """to its start,"""
    drained_seconds: float
    """and to the last end."""

    def line(self) -> str:
        """Returns it as a line."""
        if not self.started_seconds:
            return f"none of {self.due:,} schedules due in one second ran"
        fired, started = (
            " and ".join(f"{percentile(seconds, percent):.2f} s (p{percent})" for percent in (50, 99))
            for seconds in (self.fired_seconds, self.started_seconds)
        )
        return (
            f"{len(self.started_seconds):,} of {self.due:,} schedules due in one second ran; they fired late "
            f"by {fired}, started late by {started}; the last ended after {self.drained_seconds:.1f} s"
        )


class Herd:
    """Jobs that are due in the same second, once it is set."""

    def __init__(self, conninfo: str, count: int) -> None:
        """Makes them, due once a year: one as users do, the rest as copies of its rows."""
        self._conninfo = conninfo
        self._count = count
        self._due_at = self._until = datetime.now(UTC)
        with psycopg.connect(self._conninfo, autocommit=True) as conn:
            row = conn.execute(
                """
                select scheduler.create_job(name => %s, job_type => 'python', target => '"noop"',
                    schedule => '@yearly')
                """,
                [HERD],
            ).fetchone()
            conn.execute(_COPY, {"count": count, "job_id": row and row[0]})

    def set_due(self, *, in_seconds: int, over_seconds: int = 1) -> None:
        """Has all of them be due at the full second in so many seconds, or spread over some that follow."""
        self._due_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=in_seconds)
        self._until = self._due_at + timedelta(seconds=over_seconds)
        with psycopg.connect(self._conninfo, autocommit=True) as conn:
            conn.execute(
                """
                update scheduler_internal.schedules s
                set next_fire_at = %s + make_interval(secs => j.position %% %s)
                from (
                    select j.shard, j.job_id, row_number() over () as position
                    from scheduler_internal.jobs j where starts_with(j.name, %s)
                ) j
                where j.shard = s.shard and j.job_id = s.job_id
                """,
                [self._due_at, over_seconds, HERD],
            )
            conn.execute("vacuum (analyze) scheduler_internal.schedules, scheduler_internal.job_versions")

    def wait(self, *, but_first_seconds: int = 0) -> Late:
        """Waits until none is left to run, or for as long as can be expected; returns how late they were.

        But for those that were due in the first seconds.
        """
        give_up_at = time.monotonic() + DRAIN_SECONDS
        with psycopg.connect(self._conninfo, autocommit=True) as conn:
            while self._is_under_way(conn) and time.monotonic() < give_up_at:
                time.sleep(0.5)
            rows = self._ended(conn)
        counted = [row for row in rows if row[3] >= but_first_seconds]
        fired, started, ended = ([row[number] for row in counted] for number in range(3))
        return Late(self._count, fired, started, max(ended, default=0.0))

    def _is_under_way(self, conn: psycopg.Connection[Any]) -> bool:
        """Tells whether one is to fire or to end; costs little, as they want all of the machine."""
        row = conn.execute(
            """
            select exists (select from scheduler_internal.schedules
                           where next_fire_at >= %(due_at)s and next_fire_at < %(until)s)
                or exists (select from scheduler_internal.waiting
                           where fire_at >= %(due_at)s and fire_at < %(until)s)
                or exists (select from scheduler_internal.running
                           where fire_at >= %(due_at)s and fire_at < %(until)s)
            """,
            {"due_at": self._due_at, "until": self._until},
        ).fetchone()
        return row == (True,)

    def _ended(self, conn: psycopg.Connection[Any]) -> list[tuple[float, float, float, float]]:
        """Returns of each that has run when it was made (or before), started and ended, in seconds after its
        instant; and that in seconds after the first.
        """
        return conn.execute(
            """
            select extract(epoch from greatest(created_at - fire_at, '0'))::float8,
                   extract(epoch from started_at - fire_at)::float8,
                   extract(epoch from finished_at - fire_at)::float8,
                   extract(epoch from fire_at - %(due_at)s)::float8
            from scheduler_internal.history
            where fire_at >= %(due_at)s and fire_at < %(until)s and status = 'succeeded' and final
            """,
            {"due_at": self._due_at, "until": self._until},
        ).fetchall()
