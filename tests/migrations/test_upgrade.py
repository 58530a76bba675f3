"""A database that an older version made becomes the one that a fresh install makes."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql

from migrations.runner import migrate, pending
from tests.conftest import Database
from tests.support.dump import dump_schema

# What `pgtick migrate --sql` said when the revision in the file's name was the newest.
OLDER = sorted(Path(__file__).parent.glob("older/*.sql.gz"))

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


@pytest.mark.parametrize("older", OLDER, ids=lambda path: path.name[:4])
def test_each_older_schema_becomes_todays(database: Database, empty_database: Database, older: Path) -> None:
    """Tables, and every function of then whose signature has changed since; and what was in it stays."""
    dsn = empty_database.dsn()
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(gzip.decompress(older.read_bytes()))
        conn.execute(
            """
            select scheduler.create_job('busy', 'sql', '"select 1"', '* * * * *');
            select scheduler.enqueue('http', '"https://example.org"', dedup_key => 'd');
            """
        )
    assert pending(dsn)[0] > older.name[:4]
    migrate(dsn)
    assert pending(dsn) == []
    assert dump(empty_database) == dump(database)
    with psycopg.connect(dsn, autocommit=True) as conn:
        assert conn.execute("select name, version from scheduler.jobs").fetchall() == [("busy", 1)]
        assert conn.execute("select dedup_key from scheduler.executions").fetchall() == [("d",)]
        audited = "select action, object_name, api_key from scheduler.audit_log"
        assert conn.execute(audited).fetchall() == [("create_job", "busy", None)]


def test_beside_clients(empty_database: Database) -> None:
    """They go on reading and writing in the order in which they like to, and keep views of their own."""
    dsn = empty_database.dsn()
    theirs = 'scheduler."Theirs"'
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(gzip.decompress(OLDER[0].read_bytes()))
        conn.execute(f"create view {theirs} with (security_barrier) as select 1 as one".encode())
        conn.execute(f"alter view {theirs} owner to scheduler_owner".encode())
    is_over = threading.Event()

    def call() -> int:
        calls = 0
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as conn:
            while not is_over.is_set():
                conn.execute("select scheduler.enqueue('http', '\"https://example.org\"')")
                conn.execute("select count(*) from scheduler.executions")
                calls += 1
        return calls

    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(call) for _ in range(3)]
        try:
            migrate(dsn)
        finally:
            is_over.set()
    with psycopg.connect(dsn, autocommit=True) as conn:
        kept = conn.execute("select count(*) from scheduler.executions").fetchone()
        options = conn.execute(
            "select reloptions from pg_class where oid = %s::regclass", [theirs]
        ).fetchone()
    assert kept == (sum(call.result() for call in calls),)
    assert options == (["security_barrier=true"],)


def test_there_is_an_older_schema() -> None:
    """The test above has something to do."""
    assert [path.name[:4] for path in OLDER] == ["0001", "0002"]
