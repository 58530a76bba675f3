"""How many next fires a second one core computes, beside croniter on the same schedules in the same run."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from croniter import croniter

from loadtest.figures import Figure, Report, server_settings
from loadtest.server import database

ROUNDS = 5
CALLS = 20_000
CRONITER_CALLS = 1_000
# What croniter cannot read has no figure for it.
SCHEDULES = [
    ("* * * * *", "UTC", True),
    ("* * * * *", "America/New_York", True),
    ("0 9 * * *", "America/New_York", True),
    ("0 9 * * 1-5", "America/New_York", True),
    ("*/15 9-17 * * 1-5", "Europe/Berlin", True),
    ("0 0 29 2 *", "UTC", True),
    ("0 0 15W * *", "Europe/Berlin", True),
    ("0 0 LW * *", "Europe/Berlin", False),
    ("0 0 29 2 +1", "UTC", False),
    ("every 15 minutes", "America/New_York", False),
    ("every 1 month from 2024-01-31", "America/New_York", False),
]
START = datetime(2024, 1, 1, tzinfo=UTC)
STRIDE = timedelta(minutes=37)


def run(dsn: str | None) -> Report:
    """Asks for the next instant after many times, 37 minutes apart; each round measures everything once."""
    rates: dict[str, list[float]] = {}
    with database(dsn) as db, db.connect() as conn:
        # As every caller in the schema; another one would measure planning.
        conn.execute("set search_path = pg_catalog, pg_temp")
        conn.execute("set jit = off")
        for _ in range(ROUNDS):
            for schedule, timezone, is_for_croniter in SCHEDULES:
                name = f"{schedule} {timezone}"
                rates.setdefault(f"{name}, next_instant", []).append(_next_instants(conn, schedule, timezone))
                if is_for_croniter:
                    for label, is_kept in (("croniter kept", True), ("croniter made each time", False)):
                        rate = _croniter(schedule, timezone, is_kept=is_kept)
                        rates.setdefault(f"{name}, {label}", []).append(rate)
            rates.setdefault("compile_schedule", []).append(_compile(conn))
            rates.setdefault("last_instant", []).append(_last_instants(conn))
        settings = server_settings(conn)
    return Report(
        benchmark="cron",
        note=f"next fires on one core, {CALLS:,} calls a round in one SELECT, {CRONITER_CALLS:,} of croniter",
        settings=settings,
        figures=[Figure(name=name, unit="calls/s", values=values) for name, values in rates.items()],
    )


def _next_instants(conn: psycopg.Connection[Any], schedule: str, timezone: str) -> float:
    return _timed(
        conn,
        CALLS,
        """
        select count(scheduler_internal.next_instant(spec, %(timezone)s, at))
        from scheduler_internal.compile_schedule(%(schedule)s, %(timezone)s) as spec,
            generate_series(%(start)s, %(start)s + (%(calls)s - 1) * %(stride)s, %(stride)s) as at
        """,
        schedule=schedule,
        timezone=timezone,
    )


def _compile(conn: psycopg.Connection[Any]) -> float:
    return _timed(
        conn,
        CALLS // 20,
        """
        select count(scheduler_internal.compile_schedule(minute || ' 9-17 * * MON-FRI'))
        from (select n %% 60 as minute from generate_series(1, %(calls)s) as n) as m
        """,
    )


def _last_instants(conn: psycopg.Connection[Any]) -> float:
    return _timed(
        conn,
        CALLS // 20,
        """
        select count(scheduler_internal.last_instant(spec, 'Europe/Berlin', at))
        from scheduler_internal.compile_schedule('*/15 9-17 * * MON-FRI', 'Europe/Berlin') as spec,
            generate_series(%(start)s, %(start)s + (%(calls)s - 1) * %(stride)s, %(stride)s) as at
        """,
    )


def _timed(conn: psycopg.Connection[Any], calls: int, query: str, **parameters: str) -> float:
    arguments = {"start": START, "stride": STRIDE, "calls": calls, **parameters}
    started = time.perf_counter()
    (counted,) = conn.execute(query.encode(), arguments).fetchall()[0]
    seconds = time.perf_counter() - started
    if counted != calls:
        raise RuntimeError(f"{counted} answers to {calls} calls")
    return calls / seconds


def _croniter(schedule: str, timezone: str, *, is_kept: bool) -> float:
    """Returns the calls a second with one object for all of them, or with an object for each."""
    zone = ZoneInfo(timezone)
    times = [(START + n * STRIDE).astimezone(zone) for n in range(CRONITER_CALLS)]
    started = time.perf_counter()
    if is_kept:
        kept = croniter(schedule, times[0])
        for at in times:
            kept.get_next(datetime, start_time=at)
    else:
        for at in times:
            croniter(schedule, at).get_next(datetime)
    return CRONITER_CALLS / (time.perf_counter() - started)
