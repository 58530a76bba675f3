"""1,000 schedules due every second: how late their executions are made by two real tickers."""

from __future__ import annotations

import time

from loadtest.figures import Figure, Report, Target, percentile, server_settings
from loadtest.processes import running
from loadtest.schedules import make_patterns, plant
from loadtest.server import database

RATE = 1_000
TICKERS = 2
WARM_UP_SECONDS = 3
# Each schedule fires once a minute, so that none fires twice in a run.
SECONDS = 20
P99_TARGET_MS = Target(100.0)


def run(dsn: str | None) -> Report:
    """Lets the tickers run and compares created_at with fire_at, both by the database's clock."""
    patterns = [(f"{second} * * * * *", "UTC") for second in range(60)]
    with database(dsn) as db, db.connect() as conn:
        make_patterns(conn, patterns)
        plant(conn, count=RATE * len(patterns), due_at="2000-01-01 00:00+00")
        conn.execute(
            "update scheduler_internal.schedules s set next_fire_at = "
            "scheduler_internal.next_instant(s.spec, s.timezone, clock_timestamp() + interval '2 seconds')"
        )
        conn.execute("vacuum (analyze) scheduler_internal.schedules")
        with running("ticker", conninfo=db.worker_conninfo, count=TICKERS):
            time.sleep(WARM_UP_SECONDS + SECONDS + 2)
        rows = conn.execute(
            """
            select extract(epoch from created_at - fire_at)::float8 * 1000 from scheduler_internal.waiting
            where fire_at > (select min(fire_at) from scheduler_internal.waiting) + make_interval(secs => %s)
            """,
            [WARM_UP_SECONDS],
        ).fetchall()
        settings = server_settings(conn)
    late_ms = [row[0] for row in rows]
    if len(late_ms) < RATE * (SECONDS - 5):
        raise RuntimeError(f"only {len(late_ms)} fires in {SECONDS} s: the tickers do not keep up")
    return Report(
        benchmark="lateness",
        note=f"{RATE:,} schedules due at each full second, {TICKERS} tickers, {len(late_ms):,} fires",
        settings=settings,
        figures=[
            Figure(name="p50", unit="ms", values=[percentile(late_ms, 50)]),
            Figure(name="p99", unit="ms", values=[percentile(late_ms, 99)], target=P99_TARGET_MS),
            Figure(name="latest", unit="ms", values=[max(late_ms)]),
        ],
    )
