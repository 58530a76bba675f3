"""How the cost of a call grows: with schedules, ended executions, workers and queues."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle
from multiprocessing import get_context
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from loadtest.bench_throughput import (
    ITEM,
    claim_batch,
    drain,
    enqueue_batch,
    finish_batch,
    rate,
    register,
    together,
)
from loadtest.figures import Figure, Report, server_settings
from loadtest.history import FILL
from loadtest.schedules import make_patterns, mixed_schedules, plant
from loadtest.server import Database, database

ROUNDS = 5
SCHEDULES = (1_000, 10_000, 100_000, 1_000_000)
DUE = 1_000
DUE_AT = "2031-05-14 10:07:30+00"
# Of every schedule there is an instant in the forty days between.
REST_UNTIL = "2031-06-23 10:07:30+00"
HISTORY = (100_000, 1_000_000, 10_000_000)
WORKERS = (1, 2, 4, 8, 16)
QUEUES = (1, 4, 16, 64)
BATCH = 100
EXECUTIONS = 10_000
LOOK_UPS = 200

Connection = psycopg.Connection[Any]


def run(dsn: str | None) -> Report:
    """Measures one curve after the other, each in a database of its own."""
    figures = []
    for curve in (_schedules, _history, _workers, _queues):
        with database(dsn) as db:
            figures += list(curve(db))
            with db.connect() as conn:
                settings = server_settings(conn)
    return Report(
        benchmark="growth",
        note=f"claims and ends in batches of {BATCH}, one connection unless said otherwise, nothing prepared",
        settings=settings,
        figures=figures,
    )


def _schedules(db: Database) -> Iterator[Figure]:
    """What a ticker pays: to ask when something is due, and for a thousand that are, among so many."""
    with db.connect() as conn:
        name = sql.Identifier(conn.info.dbname)
        conn.execute(sql.SQL("alter database {} set scheduler.fake_clock = on").format(name))
        conn.execute("select set_config('scheduler.fake_now', %s, false)", [DUE_AT])
        make_patterns(conn, mixed_schedules())
        for count in SCHEDULES:
            plant(conn, count=count, due_at=REST_UNTIL)
            asked = _rounds(lambda: conn.execute("select scheduler.due_shards()"), calls=LOOK_UPS)
            yield Figure(name=f"{count:,} schedules: due_shards()", unit="ms", values=asked)
            ticked = []
            for _ in range(ROUNDS):
                _make_due(conn)
                ticked.append(_milliseconds(lambda: _tick(conn)) / DUE * 1000)
            yield Figure(name=f"{count:,} schedules: a fire, {DUE:,} due", unit="µs", values=ticked)


def _history(db: Database) -> Iterator[Figure]:
    """What claims, ends and look-ups pay for what is kept."""
    rows = 0
    with db.connect() as conn:
        worker_id = register(conn)
        for count in HISTORY:
            conn.execute(FILL.replace("$rows", str(count - rows)).encode())
            rows = count
            conn.execute("vacuum (analyze)")
            yield Figure(
                name=f"{count:,} ended: disk, all of history",
                unit="bytes/row",
                values=[_history_bytes(conn) / count],
            )
            drained = []
            for _ in range(ROUNDS):
                for _ in range(EXECUTIONS // BATCH):
                    enqueue_batch(conn, BATCH)
                drained.append(_drain(conn, worker_id, [None]))
                rows += EXECUTIONS
            yield Figure(name=f"{count:,} ended: claim and finish", unit="1/s", values=drained)
            yield Figure(
                name=f"{count:,} ended: get_execution()",
                unit="ms",
                values=_rounds(_look_up(conn, rows), calls=LOOK_UPS),
            )
            yield Figure(
                name=f"{count:,} ended: newest 50, list_executions()",
                unit="ms",
                values=_rounds(lambda: conn.execute("select scheduler.list_executions()"), calls=LOOK_UPS),
            )


def _workers(db: Database) -> Iterator[Figure]:
    """What workers that claim at once take from each other."""
    with db.connect() as conn, ProcessPoolExecutor(max(WORKERS), mp_context=get_context("spawn")) as pool:
        for count in WORKERS:
            rates = []
            for _ in range(ROUNDS):
                for _ in range(EXECUTIONS // BATCH):
                    enqueue_batch(conn, BATCH)
                drained = together(pool, count, drain, db.conninfo, BATCH, EXECUTIONS)
                _check(sum(spent.executions for spent in drained))
                rates.append(rate(drained))
            yield Figure(name=f"{count} workers: claim and finish, all together", unit="1/s", values=rates)


def _queues(db: Database) -> Iterator[Figure]:
    """What claims pay for queues: of a worker that serves all of them, and of one for each."""
    with db.connect() as conn:
        worker_id = register(conn)
        for count in QUEUES:
            queues = [f"queue-{number}" for number in range(count)]
            served: dict[str, list[list[str] | None]] = {
                "a worker for all of them": [queues],
                "a worker for each": [[name] for name in queues],
            }
            for name, groups in served.items():
                rates = []
                for _ in range(ROUNDS):
                    _enqueue_into(conn, queues)
                    rates.append(_drain(conn, worker_id, groups))
                yield Figure(name=f"{count} queues, {name}: claim and finish", unit="1/s", values=rates)


def _make_due(conn: Connection) -> None:
    conn.execute("truncate scheduler_internal.waiting")  # else what fired before is in their way
    conn.execute(
        """
        update scheduler_internal.schedules s set next_fire_at = %s
        from (select job_id from scheduler_internal.schedules order by job_id limit %s) d
        where s.job_id = d.job_id
        """,
        [DUE_AT, DUE],
    )


def _tick(conn: Connection) -> None:
    row = conn.execute(
        "select sum(t.fired) from generate_series(0, 15) s, lateral scheduler.tick_shard(shard => s) t"
    ).fetchone()
    if row != (DUE,):
        raise RuntimeError(f"{row} instead of {DUE} schedules fired")


def _drain(conn: Connection, worker_id: UUID, groups: Sequence[list[str] | None]) -> float:
    """Returns how many a second are claimed and finished, the groups of queues one after the other."""
    ended = 0
    started = time.perf_counter()
    for queues in groups:
        while claimed := claim_batch(conn, worker_id, BATCH, queues):
            finish_batch(conn, worker_id, claimed)
            ended += len(claimed)
    seconds = time.perf_counter() - started
    _check(ended)
    return ended / seconds


def _check(ended: int) -> None:
    if ended != EXECUTIONS:
        raise RuntimeError(f"{ended} of {EXECUTIONS} executions were claimed and finished")


def _enqueue_into(conn: Connection, queues: list[str]) -> None:
    for start in range(0, EXECUTIONS, BATCH):
        items = [ITEM | {"queue": queues[(start + number) % len(queues)]} for number in range(BATCH)]
        conn.execute("select scheduler.enqueue_many(%s)", [json.dumps(items)])


def _look_up(conn: Connection, rows: int) -> Callable[[], object]:
    """Returns what looks up one of them, each time another from anywhere in the history."""
    found = conn.execute(
        """
        select execution_id from scheduler_internal.history tablesample system (least(100, 1e6 / %s))
        order by random() limit %s
        """,
        [rows, LOOK_UPS],
    ).fetchall()
    ids = cycle(row[0] for row in found)
    return lambda: conn.execute("select * from scheduler.get_execution(%s)", [next(ids)])


def _history_bytes(conn: Connection) -> int:
    row = conn.execute(
        "select sum(pg_total_relation_size(relid)) from pg_partition_tree('scheduler_internal.history')"
    ).fetchone()
    assert row is not None  # noqa: S101 - one row
    return int(row[0])


def _rounds(call: Callable[[], object], *, calls: int) -> list[float]:
    """Returns what a call takes on average, in milliseconds, round by round."""
    return [_milliseconds(lambda: [call() for _ in range(calls)]) / calls for _ in range(ROUNDS)]


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000
