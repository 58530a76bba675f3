"""100,000 schedules due at once: how long one ticker needs for them."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from psycopg import sql

from loadtest.figures import Figure, Report, Target, server_settings
from loadtest.schedules import make_patterns, mixed_schedules, plant
from loadtest.server import database

SCHEDULES = 100_000
ROUNDS = 3
# A moment at which nothing special happens in any zone.
DUE_AT = "2031-05-14 10:07:30+00"
TARGET_SECONDS = Target(2.5)


def run(dsn: str | None) -> Report:
    """Ticks over all shards, on one connection, until nothing is due; on new schedules each round."""
    seconds = []
    processor = []
    with database(dsn) as db, db.connect() as conn:
        name = sql.Identifier(conn.info.dbname)
        conn.execute(sql.SQL("alter database {} set scheduler.fake_clock = on").format(name))
        conn.execute("select set_config('scheduler.fake_now', %s, false)", [DUE_AT])
        make_patterns(conn, mixed_schedules())
        for _ in range(ROUNDS):
            plant(conn, count=SCHEDULES, due_at=DUE_AT)
            conn.execute("checkpoint")
            before = db.processor_seconds(conn)
            seconds.append(_tick_all(conn))
            after = db.processor_seconds(conn)
            if before is not None and after is not None:
                processor.append(after - before)
        settings = server_settings(conn)
    figures = [
        Figure(name="all decided in", unit="s", values=seconds, target=None if processor else TARGET_SECONDS),
        Figure(name="for one schedule", unit="µs", values=[s / SCHEDULES * 1e6 for s in seconds]),
    ]
    if processor:
        figures.append(Figure(name="time of one core", unit="s", values=processor, target=TARGET_SECONDS))
    return Report(
        benchmark="tick",
        note=f"{SCHEDULES:,} schedules due at once, one connection, 1,000 fires a transaction",
        settings=settings,
        figures=figures,
    )


def _tick_all(conn: psycopg.Connection[Any]) -> float:
    started = time.perf_counter()
    fired = 0
    for shard in range(16):
        while True:
            row = conn.execute("select fired from scheduler.tick_shard(shard => %s)", [shard]).fetchone()
            assert row is not None  # noqa: S101 - one row by contract
            fired += row[0]
            if row[0] == 0:
                break
    seconds = time.perf_counter() - started
    if fired != SCHEDULES:
        raise RuntimeError(f"{fired} of {SCHEDULES} schedules fired")
    return seconds
