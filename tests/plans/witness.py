"""How much a call has read, as the server counts it: rows from end to end, entries of indexes."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

READ = """
    select coalesce(sum(pg_stat_get_xact_tuples_returned(c.oid)), 0),
        coalesce(sum(pg_stat_get_xact_tuples_returned(c.oid)) filter (where c.relkind = 'r'), 0)
    from pg_class c
    where c.relnamespace = 'scheduler_internal'::regnamespace and c.relkind in ('r', 'i')
        and c.relname ~ %s
"""


def read_of(conn: Connection[Any], tables: str) -> tuple[int, int]:
    """Returns how many rows and entries of some tables this session has read; and those from end to end."""
    row = conn.execute(READ.encode(), [f"^({tables})_[0-9]+(_|$)"]).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def fetched_of(conn: Connection[Any], tables: str) -> int:
    """Returns how many living rows of some tables this session has fetched by their indexes.

    Dead entries do not count: whether one is still walked over depends on every snapshot of the database.
    """
    row = conn.execute(
        """select coalesce(sum(pg_stat_get_xact_tuples_fetched(c.oid)), 0) from pg_class c
        where c.relnamespace = 'scheduler_internal'::regnamespace and c.relname ~ %s""",
        [f"^({tables})_[0-9]+(_|$)"],
    ).fetchone()
    assert row is not None
    return int(row[0])


TELL_PLANS = """
    load 'auto_explain';
    set client_min_messages = log;
    set auto_explain.log_level = log;
    set auto_explain.log_min_duration = 0;
    set auto_explain.log_nested_statements = on;
"""
"""Has the session be told the plan of each statement, also of those within functions, as a notice."""
