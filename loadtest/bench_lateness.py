"""1,000 schedules due at each full second: how late they start, by two tickers and two workers that poll."""

from __future__ import annotations

import time

from loadtest.bench_herd import CONCURRENCY, PROCESSES
from loadtest.figures import Figure, Report, Target, percentile, server_settings
from loadtest.herd import Herd
from loadtest.processes import running
from loadtest.server import database

RATE = 1_000
SECONDS = 20
WARM_UP_SECONDS = 3
LEAD_SECONDS = 6
P99_TARGET_MS = Target(100.0)


def run(dsn: str | None) -> Report:
    """Lets them run and compares started_at with fire_at, both by the database's clock."""
    worker = ("worker", "--handlers", "loadtest.handlers", "--concurrency", str(CONCURRENCY))
    with database(dsn) as db, db.connect() as conn:
        settings = server_settings(conn)
        herd = Herd(db.conninfo, RATE * (WARM_UP_SECONDS + SECONDS))
        conn.execute("vacuum (analyze)")
        with (
            running("ticker", conninfo=db.worker_conninfo, count=PROCESSES),
            running(*worker, conninfo=db.worker_conninfo, count=PROCESSES),
        ):
            herd.set_due(in_seconds=LEAD_SECONDS, over_seconds=WARM_UP_SECONDS + SECONDS)
            time.sleep(LEAD_SECONDS + WARM_UP_SECONDS + SECONDS)
            late = herd.wait(but_first_seconds=WARM_UP_SECONDS)
    if len(late.started_seconds) < RATE * SECONDS:
        raise RuntimeError(f"not all ran: {late.line()}")
    late_ms = [seconds * 1000 for seconds in late.started_seconds]
    return Report(
        benchmark="lateness",
        note=f"{RATE:,} schedules due at each full second, {PROCESSES} tickers, {PROCESSES} workers",
        settings=settings,
        figures=[
            Figure(name="p50", unit="ms", values=[percentile(late_ms, 50)]),
            Figure(name="p99", unit="ms", values=[percentile(late_ms, 99)], target=P99_TARGET_MS),
            Figure(name="latest", unit="ms", values=[max(late_ms)]),
        ],
    )
