"""The shapes that the hot tables could have, with the real columns: executions a second, WAL, processor time.

A: one queue table; a claim updates its state, a finish moves the row to history.
C: ours; a claim moves the row from waiting to running, a finish moves it from running to history.
D: a claim moves the row from waiting to history, a finish updates it there, in place where the page has room.

The statements are the least that each shape needs. All have the columns of waiting, running and history and
one partition of each; where a shape needs more columns in a table, they are those that ours has in another.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from loadtest.figures import Figure, Report, server_settings
from loadtest.server import Database, connect, database

ROUNDS = 5
# Batch size -> executions a round.
EXECUTIONS = {1: 150, 100: 4_000, 500: 8_000}
_SQL = Path(__file__).parent / "shapes_sql"
_ENQUEUE = (_SQL / "enqueue.sql").read_bytes()


class Shape:
    """One shape: its tables and the statements of an execution's life, from files named after it."""

    def __init__(self, letter: str, *, fillfactor: int | None = None) -> None:
        self.name = letter if fillfactor is None else f"{letter}, fillfactor {fillfactor}"
        self.fillfactor = fillfactor
        self.tables, self.claim, self.finish = (
            (_SQL / f"{letter.lower()}_{part}.sql").read_bytes() for part in ("tables", "claim", "finish")
        )


SHAPES = (Shape("A"), Shape("C"), Shape("D", fillfactor=50), Shape("D", fillfactor=70))


class Life(NamedTuple):
    """What executions cost from enqueue to history, in one round: how many a second, the rest for each."""

    rate: float
    wal_bytes: float
    processor_seconds: float | None


def run(dsn: str | None) -> Report:
    """Drives each shape in turn, round by round, on one connection."""
    lives: dict[tuple[str, int], list[Life]] = {}
    in_place: dict[str, float] = {}
    kept: dict[str, float] = {}
    with database(dsn) as db, connect(db.conninfo) as conn:
        # The plans that a long-lived session has: made once, for tables that were not empty.
        conn.execute("set plan_cache_mode = force_generic_plan; set enable_seqscan = off")
        conn.prepare_threshold = 5  # what has prepare=True is, from its first run
        for number, shape in enumerate(SHAPES):
            conn.execute(sql.SQL("create schema {0}; set search_path = {0}").format(_schema(number)))
            conn.execute(shape.tables)
            if shape.fillfactor is not None:
                conn.execute(
                    sql.SQL("alter table history set (fillfactor = {})").format(sql.Literal(shape.fillfactor))
                )
        for _ in range(ROUNDS):
            for size, executions in EXECUTIONS.items():
                for number, shape in enumerate(SHAPES):
                    conn.execute(sql.SQL("set search_path = {}").format(_schema(number)))
                    lives.setdefault((shape.name, size), []).append(_live(db, conn, shape, size, executions))
        for number, shape in enumerate(SHAPES):
            in_place[shape.name], kept[shape.name] = _remains(conn, number)
        settings = server_settings(conn)
    figures = [
        figure
        for size in EXECUTIONS
        for shape in SHAPES
        for figure in _compare(f"{shape.name}, {size}", lives[shape.name, size], lives["C", size])
    ]
    figures += [
        Figure(name=f"{shape.name}: disk of one in history", unit="bytes", values=[kept[shape.name]])
        for shape in SHAPES
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


def _compare(name: str, ours: list[Life], standard: list[Life]) -> list[Figure]:
    pairs = list(zip(ours, standard, strict=True))
    figures = [
        Figure(name=f"{name}: lives", unit="1/s", values=[o.rate for o in ours]),
        Figure(name=f"{name}: rate against C", unit="ratio", values=[o.rate / c.rate for o, c in pairs]),
        Figure(name=f"{name}: WAL", unit="bytes", values=[o.wal_bytes for o in ours]),
    ]
    processor = [(o.processor_seconds, c.processor_seconds) for o, c in pairs]
    times = [(o, c) for o, c in processor if o is not None and c]
    if times:
        figures.append(Figure(name=f"{name}: processor time", unit="µs", values=[o * 1e6 for o, _ in times]))
        figures.append(Figure(name=f"{name}: time against C", unit="ratio", values=[o / c for o, c in times]))
    return figures


def _live(db: Database, conn: psycopg.Connection[Any], shape: Shape, size: int, executions: int) -> Life:
    worker_id = uuid.uuid4()
    conn.execute("checkpoint")
    conn.execute("vacuum (analyze) waiting")
    wal_before = _wal_position(conn)
    processor_before = db.processor_seconds(conn)
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
    processor_after = db.processor_seconds(conn)
    return Life(
        rate=executions / seconds,
        wal_bytes=(_wal_position(conn) - wal_before) / executions,
        processor_seconds=(
            None
            if processor_before is None or processor_after is None
            else (processor_after - processor_before) / executions
        ),
    )


def _remains(conn: psycopg.Connection[Any], number: int) -> tuple[float, float]:
    """Returns how many per cent of history's updates stayed in place, and its bytes a row with indexes."""
    conn.execute("select pg_stat_force_next_flush()")
    row = conn.execute(
        """
        select 100.0 * n_tup_hot_upd / greatest(n_tup_upd, 1),
               pg_total_relation_size(relid)::float8 / n_tup_ins
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
