"""The shapes that the hot tables could have, with the real columns: how many executions a second, and how much WAL.

A: one queue table; a claim updates its state, a finish moves the row to history.
C: ours; a claim moves the row from waiting to running, a finish moves it from running to history.
D: a claim moves the row from waiting to history, a finish updates it there, in place where the page has room.

The statements are the least that each shape needs. All shapes have the columns of waiting, running and history and one
partition each; where a shape adds columns to a table, they are those that ours has in another.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from loadtest.figures import Figure, Report, server_settings
from loadtest.server import database

ROUNDS = 5
# Batch size -> executions a round.
EXECUTIONS = {1: 300, 100: 6_000, 500: 12_000}
_COMMON: LiteralString = """
    job_id, job_version, rank, origin, queue, job_type, dedup_key, traceparent, target, payload, policy,
    shard, execution_id, run_at, created_at, fire_at"""


class Shape(NamedTuple):
    """One shape: its tables and the three statements of an execution's life."""

    name: str
    tables: LiteralString
    claim: LiteralString
    finish: LiteralString


_ENQUEUE: LiteralString = """
    insert into waiting (shard, attempt, execution_id, run_at, created_at, attempt_base, rank, crashes, origin,
                         exclusive, queue, job_type, handler, target, payload)
    select 3, 0, scheduler_internal.new_id(3, now()), now(), now(), 0, 0, 0, 'e', false, 'default', 'python', 'noop',
           '{"handler": "noop"}', jsonb_build_object('order', 1000000 + g)
    from generate_series(1, %(size)s) g
"""
_WAITING: LiteralString = """
    create table waiting (like scheduler_internal.waiting_3 including indexes) with (vacuum_truncate = off);
"""
_PICKED: LiteralString = """
    with picked as materialized (
        select w.ctid as row_id from waiting w
        where w.shard = 3 and w.queue = 'default' and w.rank = 0 and w.run_at <= now() {state}
        order by w.run_at limit %(size)s for update skip locked
    )
"""

_A = Shape(
    "A",
    _WAITING
    + """
    alter table waiting add worker_id uuid, add started_at timestamptz, add deadline timestamptz;
    create index on waiting (worker_id) where worker_id is not null;
    create table history (like scheduler_internal.history including indexes);
    drop index waiting_queue_rank_run_at_idx;
    create index waiting_queue_rank_run_at_idx on waiting (queue, rank, run_at) where worker_id is null;
    """,
    _PICKED.replace("{state}", "and w.worker_id is null")
    + """
    update waiting w
    set attempt = attempt + 1, worker_id = %(worker_id)s, started_at = now(), deadline = now() + interval '1 hour'
    where w.ctid = any (array(select p.row_id from picked p))
    returning w.execution_id
    """,
    """
    with gone as (delete from waiting r where r.execution_id = any (%(ids)s) and r.shard = 3 returning r.*)
    insert into history (attempt, worker_id, started_at, finished_at, final, status, result, """
    + _COMMON
    + """)
    select attempt, worker_id, started_at, now(), true, 'succeeded', '{"done": true}', """
    + _COMMON
    + " from gone",
)
_C = Shape(
    "C",
    _WAITING
    + """
    create table running (like scheduler_internal.running_3 including indexes) with (vacuum_truncate = off);
    create table history (like scheduler_internal.history including indexes);
    """,
    _PICKED.replace("{state}", "")
    + """
    , taken as (
        delete from waiting w where w.ctid = any (array(select p.row_id from picked p)) returning w.*
    )
    insert into running (attempt, worker_id, started_at, deadline, attempt_base, crashes, exclusive, handler, """
    + _COMMON
    + """)
    select attempt + 1, %(worker_id)s, now(), now() + interval '1 hour', attempt_base, crashes, exclusive, handler, """
    + _COMMON
    + """
    from taken
    returning execution_id
    """,
    _A.finish.replace("delete from waiting r", "delete from running r"),
)
_D = Shape(
    "D",
    _WAITING
    + """
    create table history (like scheduler_internal.history including indexes) with (fillfactor = {fillfactor});
    alter table history alter finished_at drop not null, add deadline timestamptz, add attempt_base integer,
        add crashes smallint, add exclusive boolean, add handler text, add cancel_requested_at timestamptz;
    -- What a silent worker held. It must not be about a column that the finish writes, or no update stays in place.
    create index on history (worker_id);
    """,
    _PICKED.replace("{state}", "")
    + """
    , taken as (
        delete from waiting w where w.ctid = any (array(select p.row_id from picked p)) returning w.*
    )
    insert into history (attempt, worker_id, started_at, deadline, final, status, attempt_base, crashes, exclusive,
                         handler, """
    + _COMMON
    + """)
    select attempt + 1, %(worker_id)s, now(), now() + interval '1 hour', true, 'running', attempt_base, crashes,
           exclusive, handler, """
    + _COMMON
    + """
    from taken
    returning execution_id
    """,
    """
    update history h set finished_at = now(), status = 'succeeded', result = '{"done": true}'
    where h.execution_id = any (%(ids)s) and h.attempt = 1 and h.shard = 3 and h.status = 'running'
    """,
)
SHAPES = (
    _A,
    _C,
    _D._replace(name="D, fillfactor 50", tables=_D.tables.replace("{fillfactor}", "50")),
    _D._replace(name="D, fillfactor 70", tables=_D.tables.replace("{fillfactor}", "70")),
)


def run(dsn: str | None) -> Report:
    """Drives each shape in turn, round by round, on one connection."""
    rates: dict[tuple[str, int], list[float]] = {}
    wal: dict[tuple[str, int], list[float]] = {}
    in_place: dict[str, float] = {}
    kept: dict[str, float] = {}
    with database(dsn) as db, psycopg.connect(db.conninfo, autocommit=True) as conn:
        for number, shape in enumerate(SHAPES):
            conn.execute(sql.SQL("create schema {0}; set search_path = {0}").format(_schema(number)))
            conn.execute(shape.tables)
        for _ in range(ROUNDS):
            for size, executions in EXECUTIONS.items():
                for number, shape in enumerate(SHAPES):
                    conn.execute(sql.SQL("set search_path = {}").format(_schema(number)))
                    rate, bytes_each = _live(conn, shape, size, executions)
                    rates.setdefault((shape.name, size), []).append(rate)
                    wal.setdefault((shape.name, size), []).append(bytes_each)
        for number, shape in enumerate(SHAPES):
            in_place[shape.name], kept[shape.name] = _remains(conn, number)
        settings = server_settings(conn)
    figures = [
        figure
        for size in EXECUTIONS
        for shape in SHAPES
        for figure in (
            Figure(name=f"{shape.name}: lives, batches of {size}", unit="1/s", values=rates[shape.name, size]),
            Figure(
                name=f"{shape.name}: against C, batches of {size}",
                unit="ratio",
                values=[a / c for a, c in zip(rates[shape.name, size], rates["C", size], strict=True)],
            ),
            Figure(name=f"{shape.name}: WAL, batches of {size}", unit="bytes", values=wal[shape.name, size]),
        )
    ]
    figures += [
        Figure(name=f"{shape.name}: disk for one kept", unit="bytes", values=[kept[shape.name]]) for shape in SHAPES
    ]
    figures += [
        Figure(name=f"{shape.name}: updated in place", unit="%", values=[in_place[shape.name]])
        for shape in SHAPES
        if shape.name.startswith("D")
    ]
    return Report(
        benchmark="shapes",
        note="enqueue, claim and finish in raw SQL, one connection, prepared, the shapes in turn",
        settings=settings,
        figures=figures,
    )


def _schema(number: int) -> sql.Identifier:
    return sql.Identifier(f"shape_{number}")


def _live(conn: psycopg.Connection[Any], shape: Shape, size: int, executions: int) -> tuple[float, float]:
    """Returns executions a second and bytes of WAL an execution, from enqueue to history."""
    worker_id = uuid.uuid4()
    conn.execute("checkpoint")
    conn.execute("vacuum (analyze) waiting")
    # The plans that a long-lived session has: made once, for tables that were not empty.
    conn.execute("set plan_cache_mode = force_generic_plan; set enable_seqscan = off")
    wal_before = _wal_position(conn)
    started = time.perf_counter()
    for _ in range(executions // size):
        conn.execute(_ENQUEUE, {"size": size}, prepare=True)
        claimed = conn.execute(shape.claim, {"size": size, "worker_id": worker_id}, prepare=True).fetchall()
        if len(claimed) != size:
            raise RuntimeError(f"shape {shape.name} claimed {len(claimed)} of {size}")
        ended = conn.execute(shape.finish, {"ids": [row[0] for row in claimed]}, prepare=True).rowcount
        if ended != size:
            raise RuntimeError(f"shape {shape.name} finished {ended} of {size}")
    seconds = time.perf_counter() - started
    return executions / seconds, (_wal_position(conn) - wal_before) / executions


def _remains(conn: psycopg.Connection[Any], number: int) -> tuple[float, float]:
    """Returns how many per cent of history's updates stayed in place, and its bytes a row, indexes included."""
    conn.execute("select pg_stat_force_next_flush()")
    row = conn.execute(
        """
        select 100.0 * n_tup_hot_upd / greatest(n_tup_upd, 1), pg_total_relation_size(relid)::float8 / n_tup_ins
        from pg_stat_user_tables where schemaname = %s and relname = 'history'
        """,
        [f"shape_{number}"],
    ).fetchone()
    assert row is not None  # noqa: S101 - created above
    return float(row[0]), float(row[1])


def _wal_position(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    assert row is not None  # noqa: S101 - one row
    return int(row[0])
