"""Migrations: whole or not at all, twice as good as once, two at a time, from every direction the same."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest

from app.binaries import Origin
from migrations import runner
from migrations.runner import MigrationError, migrate, offline_sql, pending
from tests.conftest import Database
from tests.support.cli import environment, error_line, pgtick
from tests.support.dump import dump_schema
from tests.support.server import Server
from tests.support.tree import Tree
from workers import queries
from workers.database import Link

NOW = "sql/common/now.sql"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Another version of pgtick."""
    return Tree.copy(tmp_path / "tree")


def dump(database: Database) -> str:
    """Returns the schema of a test's database."""
    return dump_schema(database.server.cluster, database.dsn(direct=True))


def query(conninfo: str, statement: str) -> list[tuple[object, ...]]:
    """Runs a statement in a connection of its own."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def wait_until_it_waits(process: subprocess.Popen[str], conninfo: str) -> None:
    """Waits until a migration waits for a lock."""
    waiting = """
        select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
    """
    with psycopg.connect(conninfo, autocommit=True) as conn:
        while conn.execute(waiting).fetchone() == (0,):
            assert process.poll() is None


def test_twice_changes_nothing(empty_database: Database) -> None:
    dsn = empty_database.dsn()
    expected = pending(dsn)
    assert expected[0] == "0001"
    assert expected[-1] == "sql/grants.sql"
    assert migrate(dsn) == expected
    first = dump(empty_database)
    assert pending(dsn) == []
    assert migrate(dsn) == []
    assert dump(empty_database) == first


def test_two_at_once(empty_database: Database, tree: Tree) -> None:
    processes = [tree.start("migrate", empty_database.dsn()) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sorted(len(out.split()) > 1 for out, _ in outputs) == [False, True]
    assert pending(empty_database.dsn()) == []


@pytest.mark.slow
def test_two_databases_of_one_server_at_once(server_folder: Path, tree: Tree) -> None:
    server = Server.start(server_folder / "home", origin=None)
    try:
        for _ in range(3):
            names = [server.create_database() for _ in range(2)]
            processes = [tree.start("migrate", server.conninfo(name)) for name in names]
            outputs = [process.communicate(timeout=120) for process in processes]
            assert [process.returncode for process in processes] == [0, 0], outputs
            for name in names:
                server.drop_database(name)
            # The next round makes the roles anew: they are what the two have in common.
            roles = query(
                server.conninfo("postgres"), "select rolname from pg_roles where rolname ~ '^scheduler'"
            )
            for (role,) in roles:
                query(server.conninfo("postgres"), f"drop role {role}")
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["system", "wheel"])
def test_oldest_and_newest_server(server_folder: Path, origin: Origin) -> None:
    server = Server.start(server_folder / "home", origin=origin)
    try:
        name = server.clone_template()
        assert pending(server.conninfo(name)) == []
        assert query(server.conninfo(name), "select count(*) > 400 from scheduler_internal.time_zones") == [
            (True,)
        ]
    finally:
        server.stop()


def test_applied_again_dumps_alike(database: Database) -> None:
    first = dump(database)
    query(database.dsn(direct=True), "delete from scheduler_internal.repeatables")
    assert len(migrate(database.dsn(direct=True))) > 100
    assert dump(database) == first


def test_offline_sql_makes_the_same(database: Database, empty_database: Database) -> None:
    with psycopg.connect(empty_database.dsn(), autocommit=True) as conn:
        conn.execute(offline_sql().encode())
    assert pending(empty_database.dsn()) == []
    assert dump(empty_database) == dump(database)


def test_everything_is_owned_by_the_owner(database: Database) -> None:
    strangers = """
        select o.name from (
            select relname, relowner, relnamespace from pg_class
            union all select proname, proowner, pronamespace from pg_proc
            union all select typname, typowner, typnamespace from pg_type
            union all select nspname, nspowner, oid from pg_namespace
        ) o (name, owner, namespace)
        where o.namespace = any (array['scheduler', 'scheduler_internal']::regnamespace[])
            and o.owner <> 'scheduler_owner'::regrole
    """
    # The one exception is what drops to the rights of a SQL job.
    assert query(database.dsn(direct=True), strangers) == [("run_as_scheduler_sql",)]


def test_only_what_changed_is_applied(database: Database, tree: Tree) -> None:
    file = tree.file(NOW)
    file.write_text(file.read_text() + "\n-- changed\n")
    dsn = database.dsn(direct=True)
    assert tree.pending(dsn) == [NOW, "sql/grants.sql"]
    assert tree.migrate(dsn) == [NOW, "sql/grants.sql"]
    assert tree.pending(dsn) == []


def test_what_somebody_dropped_is_made_again(database: Database) -> None:
    dsn = database.dsn(direct=True)
    before = dump(database)
    query(dsn, "drop function scheduler.report_progress; drop view scheduler.stats")
    # What a SQL job can do to the role that it runs as.
    query(dsn, "set role scheduler_sql; drop owned by scheduler_sql cascade")
    names = [
        "sql/claim/report_progress.sql",
        "sql/finish/run_as_scheduler_sql.sql",
        "sql/views/stats.sql",
        "sql/grants.sql",
    ]
    assert pending(dsn) == names
    assert migrate(dsn) == names
    assert dump(database) == before


def test_a_new_function_is_not_for_everybody(database: Database, tree: Tree) -> None:
    body = "returns integer language sql immutable set search_path = pg_catalog, pg_temp as 'select 1'"
    tree.file("sql/common/brand_new.sql").write_text(
        f"create or replace function scheduler.brand_new() {body};\n"
    )
    dsn = database.dsn(direct=True)
    assert tree.migrate(dsn) == ["sql/common/brand_new.sql", "sql/grants.sql"]
    right = "select has_function_privilege('public', 'scheduler.brand_new()', 'execute')"
    assert query(dsn, right) == [(False,)]


def test_a_file_that_has_gone_is_forgotten(database: Database, tree: Tree) -> None:
    tree.file(NOW).unlink()
    dsn = database.dsn(direct=True)
    assert tree.migrate(dsn) == [f"{NOW} (gone)"]
    assert tree.migrate(dsn) == []
    # What it made is dropped by a revision, with a name, when no version in use calls it any more.
    assert query(dsn, "select to_regprocedure('scheduler.now()') is null") == [(False,)]


def test_a_broken_file_changes_nothing_and_is_named(database: Database, tree: Tree) -> None:
    good, bad = tree.file("sql/common/setting.sql"), tree.file("sql/views/stats.sql")
    good.write_text(good.read_text() + "\n-- changed\n")
    bad.write_text("-- a comment\nselect 1 from nothing;\n")
    dsn = database.dsn(direct=True)
    with pytest.raises(RuntimeError, match=r'^sql/views/stats.sql:2: relation "nothing" does not exist$'):
        tree.migrate(dsn)
    assert tree.pending(dsn) == ["sql/common/setting.sql", "sql/views/stats.sql", "sql/grants.sql"]


def test_a_newer_schema_is_left_alone(database: Database) -> None:
    dsn = database.dsn(direct=True)
    query(dsn, "update scheduler_internal.alembic_version set version_num = '9999'")
    with pytest.raises(MigrationError, match=r"\(9999\) is newer than this pgtick"):
        migrate(dsn)


def test_a_new_revision_comes_after_the_others(database: Database, tree: Tree) -> None:
    revision = tree.file("migrations/versions/9999_expand_x.py")
    head = max(path.name[:4] for path in revision.parent.glob("[0-9]*.py"))
    revision.write_text(
        f'from alembic import op\n\nrevision = "9999"\ndown_revision = "{head}"\n\n'
        'def upgrade() -> None:\n    op.execute("create table scheduler_internal.x ()")\n'
    )
    dsn = database.dsn(direct=True)
    assert tree.migrate(dsn) == ["9999"]
    owner = "select relowner::regrole::text from pg_class where oid = 'scheduler_internal.x'::regclass"
    assert query(dsn, owner) == [("scheduler_owner",)]


def test_a_lock_that_is_let_go_is_waited_for(database: Database, tree: Tree) -> None:
    file = tree.file("sql/views/stats.sql")
    file.write_text(file.read_text() + "\n-- changed\n")
    dsn = database.dsn(direct=True)
    with psycopg.connect(dsn) as holder:
        holder.execute("select from scheduler.stats limit 0")
        process = tree.start("migrate", dsn)
        wait_until_it_waits(process, dsn)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.split()) == (0, ["sql/views/stats.sql", "sql/grants.sql"]), err


def test_who_is_in_the_way_to_the_end_is_named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tickers and workers are, to a change of their tables: in short transactions, one after the other."""
    dsn = database.dsn(direct=True)
    monkeypatch.setattr(runner, "LOCK_ATTEMPTS", 1)
    query(dsn, "drop function scheduler.report_progress")
    with psycopg.connect(dsn) as holder:
        holder.execute("lock table scheduler_internal.repeatables")
        with pytest.raises(
            MigrationError, match=r"lock timeout.* stop tickers and workers, end old transactions"
        ):
            migrate(dsn)


def test_a_procedure_of_somebody_else_is_left_alone(database: Database) -> None:
    """No `alter function` takes it over: that ended each migration."""
    dsn = database.dsn(direct=True)
    query(dsn, "create procedure scheduler.theirs() language sql as 'select 1'")
    assert migrate(dsn) == []
    owner = "select proowner::regrole::text from pg_proc where proname = 'theirs'"
    assert query(dsn, owner) == [("postgres",)]


def test_a_start_does_not_wait_for_a_migration(database: Database) -> None:
    """Tickers and workers look whether the database is theirs, and wait for it only when they are at work."""

    async def check() -> None:
        link = Link(database.dsn(user="pgtick_worker", direct=True), application_name="test")
        try:
            async with link.call(seconds=2) as conn:
                await queries.check(conn)
        finally:
            await link.close()

    with psycopg.connect(database.dsn(direct=True)) as holder:
        holder.execute("lock table scheduler_internal.schedules")
        asyncio.run(check())


def test_a_deadlock_is_tried_again(database: Database, tree: Tree) -> None:
    """Somebody reads the views, in one transaction, in another order than that in which they are made."""
    for name in ("queues", "stats"):
        file = tree.file(f"sql/views/{name}.sql")
        file.write_text(file.read_text() + "\n-- changed\n")
    dsn = database.dsn(direct=True)
    with psycopg.connect(dsn) as reader:
        reader.execute("set deadlock_timeout = '1min'")  # it is the migration that finds it
        reader.execute("select from scheduler.stats limit 0")
        process = tree.start("migrate", dsn)
        wait_until_it_waits(process, dsn)
        reader.execute("select from scheduler.queues limit 0")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.split()[-1:]) == (0, ["sql/grants.sql"]), err


def test_a_function_that_somebody_else_changes_is_tried_again(database: Database, tree: Tree) -> None:
    file = tree.file(NOW)
    file.write_text(file.read_text() + "\n-- changed\n")
    dsn = database.dsn(direct=True)
    with psycopg.connect(dsn) as other:
        other.execute("grant execute on function scheduler.now() to pgtick_sql")
        process = tree.start("migrate", dsn)
        wait_until_it_waits(process, dsn)
        other.commit()  # "tuple concurrently updated"
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.split()) == (0, [NOW, "sql/grants.sql"]), err


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["system", "wheel"])
def test_without_the_right_to_create_roles(server_folder: Path, origin: Origin) -> None:
    # A server of its own: in the run's, the roles are there already.
    server = Server.start(server_folder / "home", origin=origin)
    try:
        query(server.conninfo("postgres"), "create role app login password 'x'")
        query(server.conninfo("postgres"), "create database app owner app")
        conninfo = f"{server.conninfo('app')} user=app password=x"
        with pytest.raises(MigrationError, match=r"permission denied to create role: migrate as .* --sql"):
            migrate(conninfo)
        query(server.conninfo("postgres"), "alter role app createrole")
        assert len(migrate(conninfo)) > 100
        assert migrate(conninfo) == []
    finally:
        server.stop()


def test_a_database_that_holds_only_some_characters(server: Server) -> None:
    name = f"test_latin_{token_hex(4)}"
    with server.connect() as conn:
        conn.execute(f"create database {name} template template0 encoding 'LATIN1' locale 'C'".encode())
    try:
        with pytest.raises(MigrationError, match=r"its encoding is LATIN1: .* --encoding UTF8 NAME"):
            migrate(server.conninfo(name))
    finally:
        server.drop_database(name)


def test_the_console_tells(empty_database: Database) -> None:
    dsn = empty_database.dsn()
    checked = pgtick("migrate", "--check", DB_WRITE_CONNECTION_STRING=dsn)
    assert "pending: run `pgtick migrate`" in error_line(checked)
    applied = pgtick(
        "migrate", DB_DIRECT_CONNECTION_STRING=dsn, DB_WRITE_CONNECTION_STRING="host=127.0.0.1 port=1"
    )
    assert applied.returncode == 0
    assert applied.stdout.replace("applied", "pending") == checked.stdout
    again = pgtick("migrate", "--check", DB_WRITE_CONNECTION_STRING=dsn)
    assert (again.returncode, again.stdout) == (0, "the schema is up to date\n")


def test_offline_sql_runs_in_psql(server: Server, empty_database: Database, tmp_path: Path) -> None:
    file = tmp_path / "schema.sql"
    file.write_text(offline_sql())
    psql = server.cluster.binaries.program("psql")
    command = [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(file), "-d", empty_database.dsn()]
    quiet = environment(PGOPTIONS="-c client_min_messages=warning")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    assert (done.returncode, done.stderr) == (0, "")
    assert pending(empty_database.dsn()) == []


@pytest.mark.parametrize("moment", ["CREATE SCHEMA", "CREATE TABLE", "CREATE VIEW"])
def test_a_connection_that_is_lost_on_the_way(empty_database: Database, moment: str) -> None:
    dsn = empty_database.dsn(direct=True)
    # Before the revisions, in one of them, and after them.
    query(
        dsn,
        f"""
        create function public.end_session() returns event_trigger language plpgsql security definer as
        'begin perform pg_terminate_backend(pg_backend_pid()); end';
        create event trigger end_session on ddl_command_start when tag in ('{moment}')
        execute function public.end_session()
        """,
    )
    line = error_line(pgtick("migrate", DB_WRITE_CONNECTION_STRING=dsn))
    assert "connection to the database was lost" in line
    assert line.endswith(": run it again")
    query(dsn, "drop event trigger end_session")
    expected = pending(dsn)
    assert expected[0] == "0001"
    assert migrate(dsn) == expected


def test_a_connection_that_is_lost_at_the_end(database: Database) -> None:
    dsn = database.dsn(direct=True)
    query(
        dsn,
        """
        delete from scheduler_internal.repeatables where path = 'sql/common/now.sql';
        create function public.end_session() returns trigger language plpgsql security definer as
        'begin perform pg_terminate_backend(pg_backend_pid()); return null; end';
        create constraint trigger end_session after insert on scheduler_internal.repeatables
        deferrable initially deferred for each row execute function public.end_session()
        """,
    )
    with pytest.raises(MigrationError, match="was lost on the way"):
        migrate(dsn)
    assert pending(dsn) == [NOW, "sql/grants.sql"]


def test_no_connection_is_postgresqls_own_error() -> None:
    with pytest.raises(psycopg.OperationalError, match="Connection refused"):
        migrate("host=127.0.0.1 port=1")
