"""20 executions enqueued every second: how long until a real worker starts them, by polling alone; and what
workers cost that poll and find nothing.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from loadtest.bench_throughput import enqueue_batch
from loadtest.figures import Figure, Report, Target, percentile, server_settings
from loadtest.processes import running
from loadtest.server import Database, database
from loadtest.usage import usage

RATE = 20
SECONDS = 20
WARM_UP_SECONDS = 3
# Until each has started and knows its turn.
REST_SECONDS = 10
DRAIN_SECONDS = 10
P99_TARGET_MS = Target(100.0)
IDLE_WORKERS = 4
IDLE_TARGET_PERCENT = Target(2.0)


def run(dsn: str | None) -> Report:
    """Enqueues at random moments, as callers come, and compares created_at with started_at."""
    with database(dsn) as db, db.connect() as conn:
        idle = _idle_percent(db)  # to begin with, while nothing has ended: who has had work asks more often
        with running("worker", "--handlers", "loadtest.handlers", conninfo=db.worker_conninfo):
            time.sleep(WARM_UP_SECONDS)
            enqueue_batch(conn, 1)
            enqueued = 0
            started = due = time.monotonic()
            while due < started + SECONDS:
                due += random.expovariate(RATE)
                time.sleep(max(0.0, due - time.monotonic()))
                enqueue_batch(conn, 1)
                enqueued += 1
            give_up_at = time.monotonic() + DRAIN_SECONDS
            while time.monotonic() < give_up_at:
                left = conn.execute(
                    "select exists (select from scheduler_internal.waiting) "
                    "or exists (select from scheduler_internal.running)"
                ).fetchone()
                if left == (False,):
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError(f"executions are left {DRAIN_SECONDS} s after the last was enqueued")
        rows = conn.execute(
            """
            select extract(epoch from started_at - created_at)::float8 * 1000 from scheduler_internal.history
            where status = 'succeeded' order by created_at offset 1
            """
        ).fetchall()
        settings = server_settings(conn)
    waited_ms = [row[0] for row in rows]
    if len(waited_ms) != enqueued:
        raise RuntimeError(f"{len(waited_ms)} of {enqueued} executions succeeded")
    return Report(
        benchmark="latency",
        note=f"enqueue to start, {RATE} a second, one worker process, {len(waited_ms)} executions",
        settings=settings,
        figures=[
            Figure(
                name=f"p{percent}",
                unit="ms",
                values=[percentile(waited_ms, percent)],
                target=P99_TARGET_MS if percent == 99 else None,
            )
            for percent in (50, 95, 99)
        ]
        + idle,
    )


def _idle_percent(db: Database) -> list[Figure]:
    """Measures idle workers and the sessions that answer them; nothing where the server runs elsewhere."""
    if not db.is_local:
        return []
    arguments = ("worker", "--handlers", "loadtest.handlers")
    with (
        db.connect() as conn,
        running(*arguments, conninfo=db.worker_conninfo, count=IDLE_WORKERS) as workers,
    ):
        stat = Path(f"/proc/{conn.info.backend_pid}/stat").read_text()
        server = int(stat.rpartition(")")[2].split()[1])
        parts = {"workers": workers, "server": [server]}
        time.sleep(REST_SECONDS)
        before = usage(parts)
        time.sleep(SECONDS)
        after = usage(parts)
    percent = {
        part: (after[part].processor_seconds - before[part].processor_seconds) / SECONDS * 100
        for part in parts
    }
    return [
        Figure(name=f"{IDLE_WORKERS} idle {name}", unit="% of a core", values=[value], target=target)
        for name, value, target in (
            ("workers", percent["workers"], None),
            ("workers' server", percent["server"], None),
            ("workers, together", sum(percent.values()), IDLE_TARGET_PERCENT),
        )
    ]
