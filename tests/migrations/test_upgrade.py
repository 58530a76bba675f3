"""A database that an older version made becomes the one that a fresh install makes."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import Connection, sql

from migrations.runner import migrate, pending
from tests.conftest import Database
from tests.support.dump import dump_schema

# Each function as an older version might have had it: another body, other properties, other rights.
FUNCTIONS = """
    select p.oid::regprocedure::text, split_part(pg_get_functiondef(p.oid), 'AS $function$', 1), l.lanname,
        p.prosecdef, obj_description(p.oid, 'pg_proc') is not null
    from pg_proc p
    join pg_language l on l.oid = p.prolang
    where p.pronamespace = any ('{scheduler,scheduler_internal}'::regnamespace[])
"""
BODIES = {"plpgsql": "begin raise exception 'old'; end", "sql": "select 'old'"}


def dump(database: Database) -> str:
    """Returns the schema of a test's database."""
    return dump_schema(database.server.cluster, database.dsn(direct=True))


def make_old(conn: Connection[Any]) -> None:
    """Gives every function, view and grant of the schemas a different past, and forgets the checksums."""
    conn.execute("set check_function_bodies = off")
    functions = conn.execute(FUNCTIONS.encode()).fetchall()
    assert len(functions) > 100
    for signature, head, language, is_definer, is_described in functions:
        conn.execute(f"{head} as $old$ {BODIES[language]} $old$".encode())
        change = "security invoker" if is_definer else "security definer"
        for statement in (
            f"alter function {signature} {change} cost 77 set timezone = 'Asia/Tokyo'",
            f"grant execute on function {signature} to public, scheduler_reader, scheduler_client",
        ):
            conn.execute(statement.encode())
        if is_described:
            conn.execute(f"comment on function {signature} is 'old'".encode())
    views = "select viewname from pg_views where schemaname = 'scheduler'"
    for (view,) in conn.execute(views).fetchall():
        name = sql.Identifier("scheduler", view)
        conn.execute(sql.SQL("comment on view {} is 'old'").format(name))
        conn.execute(sql.SQL("grant all on {} to public, scheduler_worker, scheduler_sql").format(name))
    conn.execute("grant select on all tables in schema scheduler_internal to scheduler_reader")
    conn.execute("update scheduler_internal.repeatables set checksum = 'old'")


def test_upgraded_dumps_as_fresh(database: Database) -> None:
    """Bodies, volatility, settings, comments and rights are today's; nothing of the past stays."""
    fresh = dump(database)
    dsn = database.dsn(direct=True)
    with psycopg.connect(dsn, autocommit=True) as conn:
        make_old(conn)
    old = dump(database)
    assert old != fresh
    assert len(migrate(dsn)) > 100
    assert pending(dsn) == []
    assert dump(database) == fresh
