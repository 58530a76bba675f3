"""Schedules by the thousand: a few made by put_job, as users make them, the rest copies of their rows."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg

# What people write, roughly as often as they write it, and where they live.
EXPRESSIONS = (
    "* * * * *",
    "*/5 * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "0 9-17 * * MON-FRI",
    "15 6 1 * *",
    "0 0 * * 0",
    "*/10 8-18 * * *",
    "0 3 L * *",
    "0 12 * * MON#2",
    "every 7 minutes",
)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Tokyo",
    "Europe/London",
)

_COPY: LiteralString = """
    with numbered as materialized (
        select x.*, row_number() over (order by x.job_id) - 1 as position, count(*) over () as kinds,
               scheduler_internal.last_instant(x.spec, x.timezone, %(due_at)s) as due_at
        from pattern x
    )
    insert into scheduler_internal.schedules
        (shard, job_version, job_id, next_fire_at, jitter, rank, misfire, overlap, timezone, queue, job_type,
         handler, spec)
    select scheduler.get_shard_id(n.job_id), s.job_version, n.job_id,
           s.due_at, s.jitter, s.rank, s.misfire, s.overlap,
           s.timezone, s.queue, s.job_type, s.handler, s.spec
    from numbered s
    join (select g, gen_random_uuid() as job_id from generate_series(1, %(count)s) g) n
      on n.g %% s.kinds = s.position
"""


def make_patterns(conn: psycopg.Connection[Any], schedules: list[tuple[str, str]]) -> None:
    """Creates a job for each (expression, zone) and sets their schedules aside, to be copied by `plant`."""
    for number, (expression, zone) in enumerate(schedules):
        conn.execute(
            "select scheduler.put_job(%s, job_type => 'sql', target => %s, schedule => %s, timezone => %s)",
            [f"pattern {number}", '"select 1"', expression, zone],
        )
    conn.execute("create temporary table pattern as table scheduler_internal.schedules")


def plant(conn: psycopg.Connection[Any], *, count: int, due_at: str) -> None:
    """Leaves just `count` schedules, each with one instant due at that time, spread over all shards."""
    conn.execute("truncate scheduler_internal.schedules, scheduler_internal.waiting")
    conn.execute(_COPY, {"count": count, "due_at": due_at})
    conn.execute("vacuum (analyze) scheduler_internal.schedules")


def mixed_schedules() -> list[tuple[str, str]]:
    """Returns every expression in every zone."""
    return [(expression, zone) for expression in EXPRESSIONS for zone in ZONES]
