"""Enqueue, claim and finish through two worker processes, in batches of 1, 100 and 500."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import psycopg

from loadtest.figures import Figure, Report, Target, server_settings
from loadtest.server import connect, database

PROCESSES = 2
ROUNDS = 3
# Batch size -> executions a round: a few seconds' worth.
EXECUTIONS = {1: 600, 100: 10_000, 500: 20_000}
# Executions whose WAL is measured call by call, by one process.
WAL_EXECUTIONS = {1: 200, 100: 2_000, 500: 5_000}
# From enqueue to history, in bulk.
WAL_TARGET = Target(1_200)
ITEM = {"job_type": "python", "target": {"handler": "noop"}}

_START_DELAY_SECONDS = 0.5


class Spent(NamedTuple):
    """How long one process worked and how much of it went into each call."""

    started_at: float
    ended_at: float
    claim_seconds: float
    finish_seconds: float
    executions: int


def run(dsn: str | None) -> Report:
    """Measures each batch size in turn, round by round, so that a slow moment hits all of them."""
    rates: dict[str, list[float]] = {}
    with database(dsn) as db, ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        for _ in range(ROUNDS):
            for size, executions in EXECUTIONS.items():
                share = executions // PROCESSES
                enqueued = together(pool, PROCESSES, enqueue, db.conninfo, size, share)
                drained = together(pool, PROCESSES, drain, db.conninfo, size, share)
                ended = sum(spent.executions for spent in drained)
                if ended != executions:
                    raise RuntimeError(f"{ended} of {executions} executions were claimed and finished")
                figures = {
                    "enqueue": rate(enqueued),
                    "claim": executions / (sum(s.claim_seconds for s in drained) / PROCESSES),
                    "finish": executions / (sum(s.finish_seconds for s in drained) / PROCESSES),
                    "claim and finish": rate(drained),
                }
                for name, value in figures.items():
                    rates.setdefault(f"{name}, batches of {size}", []).append(value)
        with db.connect() as conn:
            wal = {size: _wal_of_phases(conn, size, n) for size, n in WAL_EXECUTIONS.items()}
            settings = server_settings(conn)
    figures_of_wal = [
        Figure(
            name=f"WAL of {phase}, batches of {size}",
            unit="bytes",
            values=[value],
            target=WAL_TARGET if phase == "all three" and size == max(EXECUTIONS) else None,
        )
        for size, phases in wal.items()
        for phase, value in (phases | {"all three": sum(phases.values())}).items()
    ]
    return Report(
        benchmark="throughput",
        note=f"{PROCESSES} processes, one connection each, nothing prepared, history kept",
        settings=settings,
        figures=[Figure(name=name, unit="1/s", values=values) for name, values in rates.items()]
        + figures_of_wal,
    )


def enqueue(conninfo: str, size: int, executions: int, start_at: float) -> Spent:
    """Enqueues so many, a batch a transaction."""
    with connect(conninfo) as conn:
        _wait_until(start_at)
        started_at = time.monotonic()
        for _ in range(executions // size):
            enqueue_batch(conn, size)
        return Spent(started_at, time.monotonic(), 0.0, 0.0, executions)


def drain(conninfo: str, size: int, executions: int, start_at: float) -> Spent:
    """Claims and finishes until nothing is left; how many that is depends on the other processes."""
    del executions
    claiming = finishing = 0.0
    ended = 0
    with connect(conninfo) as conn:
        worker_id = register(conn)
        _wait_until(start_at)
        started_at = time.monotonic()
        while True:
            before = time.monotonic()
            claimed = claim_batch(conn, worker_id, size)
            between = time.monotonic()
            claiming += between - before
            if not claimed:
                break
            finish_batch(conn, worker_id, claimed)
            finishing += time.monotonic() - between
            ended += len(claimed)
        return Spent(started_at, time.monotonic(), claiming, finishing, ended)


def register(conn: psycopg.Connection[Any]) -> uuid.UUID:
    """Announces a worker whose lease outlives the benchmark."""
    worker_id = uuid.uuid4()
    conn.execute("select scheduler.heartbeat(worker_id => %s, lease => '1 hour')", [worker_id])
    return worker_id


def enqueue_batch(conn: psycopg.Connection[Any], size: int) -> None:
    """Enqueues so many small Python jobs in one call."""
    if size == 1:
        conn.execute(
            "select scheduler.enqueue(job_type => %s, target => %s, payload => %s)",
            [ITEM["job_type"], json.dumps(ITEM["target"]), '{"order": 1234567}'],
        )
        return
    items = [ITEM | {"payload": {"order": 1_000_000 + number}} for number in range(size)]
    conn.execute("select scheduler.enqueue_many(%s)", [json.dumps(items)])


def claim_batch(
    conn: psycopg.Connection[Any], worker_id: uuid.UUID, size: int, queues: list[str] | None = None
) -> list[tuple[uuid.UUID, int]]:
    """Claims up to so many, of those queues or of all; reads all columns, as a worker does."""
    rows = conn.execute(
        """
        select execution_id, attempt, job_id, job_name, job_type, queue, target, payload, fire_at, run_at,
               started_at, timeout, max_attempts, traceparent, token
        from scheduler.claim(
            worker_id => %s, max_executions => %s, queues => %s::text[], job_types => '{python}')
        """,
        [worker_id, size, queues],
        binary=True,
    )
    return [(row[0], row[1]) for row in rows]


def finish_batch(
    conn: psycopg.Connection[Any], worker_id: uuid.UUID, claimed: list[tuple[uuid.UUID, int]]
) -> None:
    """Reports all of them as succeeded."""
    stale = conn.execute(
        """
        select execution_id, attempt
        from scheduler.finish(worker_id => %s, execution_ids => %s, attempts => %s, statuses => %s,
                              results => array_fill('{"done": true}'::jsonb, array[%s]))
        """,
        [
            worker_id,
            [execution_id for execution_id, _ in claimed],
            [attempt for _, attempt in claimed],
            ["succeeded"] * len(claimed),
            len(claimed),
        ],
    ).fetchall()
    if stale:
        raise RuntimeError(f"{len(stale)} of {len(claimed)} refused as stale")


def _wal_of_phases(conn: psycopg.Connection[Any], size: int, executions: int) -> dict[str, float]:
    worker_id = register(conn)
    phases = dict.fromkeys(("enqueue", "claim", "finish"), 0)

    position = _wal_position(conn)
    for _ in range(executions // size):
        enqueue_batch(conn, size)
    phases["enqueue"] = _wal_position(conn) - position
    left = executions
    while left:
        position = _wal_position(conn)
        claimed = claim_batch(conn, worker_id, size)
        between = _wal_position(conn)
        finish_batch(conn, worker_id, claimed)
        phases["claim"] += between - position
        phases["finish"] += _wal_position(conn) - between
        left -= len(claimed)
    return {phase: total / executions for phase, total in phases.items()}


def _wal_position(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    assert row is not None  # noqa: S101 - one row
    return int(row[0])


def _wait_until(start_at: float) -> None:
    time.sleep(max(0.0, start_at - time.monotonic()))


def together(
    pool: ProcessPoolExecutor, processes: int, work: Callable[..., Spent], *arguments: Any
) -> list[Spent]:
    """Has so many processes do the same from the same moment on: the monotonic clock is one for all."""
    start_at = time.monotonic() + _START_DELAY_SECONDS
    return [future.result() for future in [pool.submit(work, *arguments, start_at) for _ in range(processes)]]


def rate(spent: list[Spent]) -> float:
    """Returns how many executions a second they all did together."""
    seconds = max(s.ended_at for s in spent) - min(s.started_at for s in spent)
    return sum(s.executions for s in spent) / seconds
