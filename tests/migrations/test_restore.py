"""A used database, dumped and loaded elsewhere: `pgtick migrate` makes it whole there, and it goes on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrations.runner import migrate, pending
from tests.conftest import Database
from tests.support.dump import dump_schema
from tests.support.server import Server

USE = """
    select scheduler.create_job('beat', 'sql', '"select 1"', 'every 1 hour');
    select scheduler.enqueue('sql', '"select 1"', dedup_key => 'k');
    select scheduler.run_sql_jobs();
    select scheduler.enqueue('http', '"https://example.org"', dedup_key => 'd', run_at => now() + '1 day');
"""
STATE = "select name, next_fire_at from scheduler.jobs; select status, dedup_key from scheduler.executions"


def run(server: Server, program: str, conninfo: str, *options: str, given: str | None = None) -> str:
    """Runs one of PostgreSQL's programs and returns what it says."""
    parts = conninfo_to_dict(conninfo)
    environ = os.environ | {"PGPASSWORD": str(parts.pop("password"))}
    command = [server.cluster.binaries.program(program), *options, "-d", make_conninfo("", **parts)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, env=environ)
    return done.stdout


def state(conninfo: str) -> list[list[tuple[object, ...]]]:
    """Returns its jobs and executions."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        return [conn.execute(part.encode()).fetchall() for part in STATE.split(";")]


WITHOUT = ("--no-owner", "--no-privileges")


def load(database: Database, there: str, *options: str, before: str = "") -> None:
    """Makes a dump of a used database and loads it there; what fails on the way is left out, as psql does."""
    with psycopg.connect(database.dsn(direct=True), autocommit=True) as conn:
        conn.execute(USE)
    dump = run(database.server, "pg_dump", database.dsn(direct=True), *options)
    run(database.server, "psql", there, "-X", "-q", given=before + dump)


def check(database: Database, server: Server, there: str) -> None:
    """Checks that migrating makes it what it was."""
    names = pending(there)
    assert migrate(there) == names
    assert pending(there) == []
    assert dump_schema(server.cluster, there) == dump_schema(
        database.server.cluster, database.dsn(direct=True)
    )
    assert state(there) == state(database.dsn(direct=True))


@pytest.mark.parametrize("options", [WITHOUT, WITHOUT[:1], WITHOUT[1:]], ids=" ".join)
def test_a_dump_in_another_database(
    database: Database, empty_database: Database, options: tuple[str, ...]
) -> None:
    """Without owners and rights a SQL job would run as who loaded it, and everybody might call anything."""
    load(database, empty_database.dsn(), *options)
    check(database, database.server, empty_database.dsn())


def test_a_dump_that_is_loaded_as_its_owner(database: Database, empty_database: Database) -> None:
    """As by `pg_restore --no-owner --role=scheduler_owner`: SQL jobs would have the owner's rights."""
    there = empty_database.dsn()
    with psycopg.connect(there, autocommit=True) as conn:
        conn.execute(f"grant create on database {empty_database.name} to scheduler_owner".encode())
    load(database, there, "--no-owner", before="set role scheduler_owner;")
    assert migrate(there) == ["sql/finish/run_as_scheduler_sql.sql", "sql/grants.sql"]
    assert pending(there) == []
    with psycopg.connect(there, autocommit=True) as conn:
        owner = "select proowner::regrole::text from pg_proc where proname = 'run_as_scheduler_sql'"
        assert conn.execute(owner.encode()).fetchone() == ("scheduler_sql",)
    assert state(there) == state(database.dsn(direct=True))


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), WITHOUT], ids=" ".join)
def test_a_dump_in_another_server(database: Database, server_folder: Path, options: tuple[str, ...]) -> None:
    """The roles are not in a dump of a database."""
    other = Server.start(server_folder / "home", origin=database.server.cluster.origin)
    try:
        there = other.conninfo(other.create_database())
        load(database, there, *options)
        check(database, other, there)
    finally:
        other.stop()
