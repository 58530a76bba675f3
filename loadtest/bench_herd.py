"""50,000 schedules due in one second, nothing else going on: how late they fire and start, by real
tickers and workers.
"""

from __future__ import annotations

import time

from loadtest.figures import Figure, Report, Target, percentile, server_settings
from loadtest.herd import Herd
from loadtest.processes import running
from loadtest.server import database

SCHEDULES = 50_000
PROCESSES = 2
CONCURRENCY = 1_000
ROUNDS = 3
# To start the processes, and for them to come to rest.
LEAD_SECONDS = 6
P99_TARGET = Target(2.0)


def run(dsn: str | None) -> Report:
    """Has them be due again and again, once a round."""
    lates = []
    worker = ("worker", "--handlers", "loadtest.handlers", "--concurrency", str(CONCURRENCY))
    with database(dsn) as db, db.connect() as conn:
        settings = server_settings(conn)
        herd = Herd(db.conninfo, SCHEDULES)
        conn.execute("vacuum (analyze)")
        with (
            running("ticker", conninfo=db.worker_conninfo, count=PROCESSES),
            running(*worker, conninfo=db.worker_conninfo, count=PROCESSES),
        ):
            for _ in range(ROUNDS):
                herd.set_due(in_seconds=LEAD_SECONDS)
                conn.execute("checkpoint")
                time.sleep(LEAD_SECONDS)
                lates.append(herd.wait())
    if any(len(late.started_seconds) < SCHEDULES for late in lates):
        raise RuntimeError(f"not all ran: {', '.join(late.line() for late in lates)}")
    figures = [
        Figure(
            name=f"{name}, p{percent}",
            unit="s",
            values=[percentile(getattr(late, f"{name}_seconds"), percent) for late in lates],
            target=P99_TARGET if (name, percent) == ("started", 99) else None,
        )
        for name in ("fired", "started")
        for percent in (50, 99)
    ]
    figures.append(Figure(name="all ended after", unit="s", values=[late.drained_seconds for late in lates]))
    return Report(
        benchmark="herd",
        note=f"{SCHEDULES:,} schedules due in one second, {PROCESSES} tickers, {PROCESSES} workers",
        settings=settings,
        figures=figures,
    )
