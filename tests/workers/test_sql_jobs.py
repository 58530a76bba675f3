"""SQL jobs: effect and end commit together, and no job leaves anything behind or escapes its login."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection, sql
from structlog.testing import capture_logs

from tests.conftest import Database
from tests.support.pooler import Pooler
from tests.workers.conftest import StartWorker
from tests.workers.support import Bench, Schedule, make_execution, until, wait_until
from workers.executions import Outcome
from workers.executors import sql as executors_sql
from workers.executors.sql import SqlExecutor
from workers.settings import load_settings


@pytest.fixture
def schedule(db: Connection[Any]) -> Schedule:
    db.execute("create table public.effect (note text)")
    db.execute("grant select, insert on public.effect to scheduler_sql")
    return Schedule(db)


def effects(schedule: Schedule) -> list[str]:
    return [
        row[0] for row in schedule.conn.execute("select note from public.effect order by note").fetchall()
    ]


def run(schedule: Schedule, statement: str, **arguments: Any) -> Any:
    arguments = {"max_attempts": 1} | arguments
    return schedule.wait(schedule.enqueue("sql", statement, **arguments))


def test_statement_sees_its_execution(start: StartWorker, schedule: Schedule) -> None:
    start("worker")
    row = run(
        schedule,
        """
        insert into public.effect
        select concat_ws('|', current_setting('scheduler.execution_id'),
                         current_setting('scheduler.attempt'),
                         current_setting('scheduler.payload')::jsonb ->> 'n',
                         current_setting('scheduler.fire_at'))
        """,
        payload={"n": "ü"},
    )
    assert row.status == "succeeded"
    assert row.result == {"command": "INSERT 0 1", "rowcount": 1}
    assert effects(schedule) == [f"{row.execution_id}|1|ü|"]


def test_dates_are_understood_however_they_are_written(start: StartWorker, schedule: Schedule) -> None:
    start("worker", PGDATESTYLE="German")
    assert run(schedule, "select current_setting('datestyle') as style").result["rows"] == [
        {"style": "German, DMY"}
    ]
    assert run(schedule, "select pg_sleep(60)", timeout="0.5 seconds").error["type"] == "timeout"


def test_rows_are_kept_as_json(start: StartWorker, schedule: Schedule) -> None:
    start("worker")
    row = run(
        schedule,
        """
        select 1 as n, 1.50 as exact, 'NaN'::float8 as odd, true as yes, null as nothing,
               '{"a": 1}'::jsonb as doc, 'infinity'::timestamptz as never
        """,
    )
    assert row.result["rows"] == [
        {
            "n": 1,
            "exact": "1.50",
            "odd": "NaN",
            "yes": True,
            "nothing": None,
            "doc": {"a": 1},
            "never": "infinity",
        }
    ]
    many = run(schedule, "select g from generate_series(1, 300000) g")
    assert many.result["rowcount"] == 300_000
    assert len(many.result["rows"]) == 100
    assert many.result["truncated"] is True
    wide = run(schedule, "select repeat('x', 1000000) as text")
    assert wide.result == {"command": "SELECT 1", "rowcount": 1, "rows": [], "truncated": True}


@pytest.mark.parametrize(
    "value",
    [
        "'{\"n\": 1e5000}'::jsonb",
        "'{\"x\": 1e999}'::json",
        '\'{"x": -1e999, "y": "z"}\'::json',
        "(repeat('[', 3000) || repeat(']', 3000))::json",
    ],
)
def test_a_value_that_python_does_not_bear_fails_no_job(
    start: StartWorker, schedule: Schedule, value: str
) -> None:
    start("worker")
    row = run(schedule, f"insert into public.effect values ('done') returning {value} as doc")
    assert row.status == "succeeded", row.error
    assert effects(schedule) == ["done"]
    assert isinstance(row.result["rows"][0]["doc"], str)


def test_failed_statement_leaves_no_effect(start: StartWorker, schedule: Schedule) -> None:
    start("worker")
    row = run(
        schedule,
        "with i as (insert into public.effect values ('no') returning 1) select 1 / (count(*) - 1) from i",
    )
    assert row.status == "failed"
    assert row.error["type"] == "22012"
    assert row.error["message"] == "division by zero"
    syntax = run(schedule, "selekt 1", max_attempts=3)
    assert (syntax.status, syntax.attempt) == ("failed", 1)
    assert effects(schedule) == []


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("insert into public.effect values ('no'); commit", "cannot insert multiple commands"),
        ("commit", "the statement ended the transaction that it runs in"),
        ("rollback", "the statement ended the transaction that it runs in"),
        ("do $$ begin commit; end $$", "invalid transaction termination"),
        ("copy public.effect from stdin", "COPY from or to the client is not possible in a job"),
        ("copy public.effect to stdout", "COPY from or to the client is not possible in a job"),
        ("select * from scheduler_internal.running", "permission denied for schema scheduler_internal"),
        ("select * from scheduler.executions", "permission denied for"),
        ("select scheduler.enqueue('sql', '\"select 1\"')", "permission denied for function enqueue"),
        ("set role scheduler_owner", "permission denied to set role"),
        ("set session authorization postgres", "permission denied to set session authorization"),
        ("copy (select 1) to program 'true'", "to or from an external program"),
        ("set transaction read only", "read-only transaction"),
    ],
)
def test_what_a_job_may_not(start: StartWorker, schedule: Schedule, statement: str, message: str) -> None:
    start("worker")
    row = run(schedule, statement)
    assert row.status == "failed"
    assert message in row.error["message"]
    assert run(schedule, "select 1").status == "succeeded"
    assert effects(schedule) == []


LEFTOVERS = """
select (select count(*) from pg_catalog.pg_locks where locktype = 'advisory' and pid = pg_backend_pid())
       + (select count(*) from pg_catalog.pg_prepared_statements)
       + (select count(*) from pg_catalog.pg_cursors where is_holdable)
       + (select count(*) from pg_catalog.pg_listening_channels())
       + (select count(*) from pg_catalog.pg_class where relnamespace = pg_my_temp_schema())
       + (current_setting('work_mem') = '77MB')::integer
       + (current_setting('search_path') = 'mine')::integer
       + (current_setting('my.setting', true) = 'left')::integer as leftovers
"""


@pytest.mark.parametrize("ends_well", [True, False])
def test_nothing_is_left_to_the_next_job(start: StartWorker, schedule: Schedule, ends_well: bool) -> None:
    """One connection for all: the worker runs one job at a time."""
    start("worker", "--concurrency", "1")
    schedule.conn.execute(
        """
        create function public.mess() returns void language plpgsql as $$
        begin
            perform set_config('work_mem', '77MB', false), set_config('my.setting', 'left', false);
            perform pg_advisory_lock(4711);
            execute 'prepare left_over as select 1';
            execute 'declare left_open cursor with hold for select 1';
            execute 'listen somebody';
            execute 'create temporary table uuid_table as select 1';
            execute 'create domain pg_temp.uuid as text';
            execute 'create domain pg_temp.jsonb as text';
            perform set_config('search_path', 'mine', false);
        end $$;
        create function public.mess_later() returns trigger language plpgsql as
            'begin perform public.mess(); return null; end';
        create constraint trigger later after insert on public.effect
            deferrable initially deferred for each row execute function public.mess_later();
        """
    )
    statements = ["select public.mess()", "insert into public.effect values ('x')"]
    if not ends_well:
        statements = [
            "do $$ begin perform public.mess(); perform 1 / 0; end $$",
            "do $$ begin perform public.mess(); set transaction_read_only = on; end $$",
        ]
    for statement in statements:
        assert run(schedule, statement).status == ("succeeded" if ends_well else "failed")
        assert run(schedule, LEFTOVERS).result["rows"] == [{"leftovers": 0}]


def test_timeout_holds_even_if_the_job_resists(start: StartWorker, schedule: Schedule) -> None:
    start("worker")
    stubborn = """
    do $$ begin
        set local statement_timeout = 0;
        loop
            begin perform pg_sleep(600); exception when query_canceled then null; end;
        end loop;
    end $$
    """
    stuck = schedule.enqueue("sql", stubborn, timeout="1 second", max_attempts=1)
    schedule.wait(stuck, "running")  # the start of the worker's process does not count
    begun = time.monotonic()
    row = schedule.wait(stuck)
    assert row.error["type"] == "timeout"
    assert time.monotonic() - begun < 60
    active = """
        select from pg_stat_activity
        where datname = current_database() and usename = 'pgtick_sql' and state = 'active'
    """
    wait_until(lambda: not schedule.conn.execute(active).fetchall(), seconds=5)


def test_stale_job_rolls_back(start: StartWorker, schedule: Schedule, db: Connection[Any]) -> None:
    """The lease is gone while the statement runs, and the heartbeat does not know yet."""
    start("worker", PGTICK_BEAT_SECONDS="4")
    slow = schedule.enqueue(
        "sql", "insert into public.effect select 'stale' from pg_sleep(1.5)", max_attempts=1
    )
    schedule.wait(slow, "running")
    db.execute("update scheduler_internal.running set attempt = attempt + 1 where execution_id = %s", (slow,))
    time.sleep(2.5)  # the job's own time: what is waited for is that nothing comes of it
    assert effects(schedule) == []
    assert schedule.execution(slow).status == "running"


def test_killed_worker_neither_loses_nor_doubles_an_effect(start: StartWorker, schedule: Schedule) -> None:
    lease = {"PGTICK_LEASE_SECONDS": "3", "PGTICK_BEAT_SECONDS": "0.5"}
    start("ticker")
    executions = [
        schedule.enqueue("sql", f"insert into public.effect select '{n:03}' from pg_sleep(0.05)")
        for n in range(60)
    ]
    for _ in range(3):
        worker = start("worker", "--concurrency", "5", **lease)
        before = len(effects(schedule))
        give_up_at = time.monotonic() + 20
        while len(effects(schedule)) < before + 5:
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        worker.signal(signal.SIGKILL)
    start("worker", "--concurrency", "20", **lease)
    for execution_id in executions:
        assert schedule.wait(execution_id).status == "succeeded"
    assert effects(schedule) == [f"{n:03}" for n in range(60)]


def test_frozen_worker_holds_no_transaction(start: StartWorker, schedule: Schedule) -> None:
    """The server ends it before the lease is over: its locks, and its place among a pooler's connections."""
    start("ticker")
    worker = start("worker", PGTICK_LEASE_SECONDS="3", PGTICK_BEAT_SECONDS="0.5")
    slow = schedule.enqueue("sql", "insert into public.effect select 'once' from pg_sleep(1)")
    # At the statement itself: one that has only begun is ended sooner than can be seen for certain.
    sessions = """
        select from pg_stat_activity
        where datname = current_database() and usename = 'pgtick_sql' and xact_start is not null
          and strpos(query, 'pg_sleep(1)') > 0 and (state = 'active') = %s
    """

    def has_session(active: bool) -> bool:
        return bool(schedule.conn.execute(sessions, (active,)).fetchall())

    wait_until(lambda: has_session(True))
    worker.signal(signal.SIGSTOP)
    wait_until(lambda: has_session(False))
    wait_until(lambda: not has_session(False))
    assert effects(schedule) == []
    worker.signal(signal.SIGCONT)
    assert schedule.wait(slow).status == "succeeded"
    assert effects(schedule) == ["once"]


def test_what_a_frozen_worker_had_queued_holds_no_connection(
    start: StartWorker, schedule: Schedule, database: Database, server_folder: Path
) -> None:
    """A pooler carries out what waits in it, although nobody is there who goes on."""
    pooler = Pooler(database.server.cluster, server_folder, pool_size=1)
    pooled = pooler.conninfo(database.name, user="pgtick_sql")
    settings = {"PGTICK_SQL_CONNECTION_STRING": pooled, "PGTICK_LEASE_SECONDS": "90"}
    worker = start("worker", **settings)
    assert run(schedule, "select 1").status == "succeeded"
    with psycopg.connect(pooled, prepare_threshold=None) as holder:
        holder.execute("select 1")
        with schedule.conn.transaction():
            queued = [schedule.enqueue("sql", "select 1", max_attempts=1) for _ in range(4)]
        wait_until(lambda: pooler.waiting(database.name) >= 2)
        worker.signal(signal.SIGSTOP)
        start("worker", **settings)
    assert run(schedule, "select 1").status == "succeeded"
    worker.signal(signal.SIGCONT)
    for execution_id in queued:
        assert schedule.wait(execution_id).status == "succeeded"
    pooler.stop()


def test_jobs_that_queue_for_a_connection_leave_room_for_others(
    start: StartWorker, schedule: Schedule, database: Database, server_folder: Path
) -> None:
    pooler = Pooler(database.server.cluster, server_folder, pool_size=1)
    pooled = pooler.conninfo(database.name, user="pgtick_sql")
    start("worker", "--concurrency", "2", PGTICK_SQL_CONNECTION_STRING=pooled)
    assert run(schedule, "select 1").status == "succeeded"
    with psycopg.connect(pooled, prepare_threshold=None) as holder:
        holder.execute("select 1")
        first = schedule.enqueue("sql", "select 1")
        schedule.wait(first, "running")
        time.sleep(0.5)  # who has queued for a moment only is no sign
        others = [schedule.enqueue("sql", "select 1") for _ in range(3)]
        assert schedule.wait(schedule.enqueue("python", "echo")).status == "succeeded"
        assert schedule.execution(first).status == "running"
        assert {schedule.execution(other).status for other in others} == {"ready"}
    for execution_id in (first, *others):
        assert schedule.wait(execution_id).status == "succeeded"
    pooler.stop()


def make_executor(database: Database) -> SqlExecutor:
    return SqlExecutor(
        load_settings(
            {
                "DB_WRITE_CONNECTION_STRING": "unused",
                "PGTICK_SQL_CONNECTION_STRING": database.dsn(user="pgtick_sql"),
            }
        )
    )


async def test_jobs_beyond_the_connections_of_a_worker_are_given_back(
    schedule: Schedule, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors_sql, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(executors_sql, "POOL_SECONDS", 1.0)
    executor = make_executor(database)
    await executor.start()

    def start_one() -> Bench:
        statement = "select pg_advisory_xact_lock(4711)"
        return Bench(executor, make_execution("sql", {"statement": statement}, token=uuid4()))

    def is_held_up() -> bool:
        waiting = "select from pg_locks where locktype = 'advisory' and objid = 4711 and not granted"
        return bool(schedule.conn.execute(waiting).fetchall())

    with schedule.conn.transaction():
        schedule.conn.execute("select pg_advisory_xact_lock(4711)")
        first = start_one()
        await until(is_held_up)
        assert executor.available
        with capture_logs() as lines:
            others = [start_one() for _ in range(3)]
            await until(lambda: not executor.available)
            assert [(await other.ended()).status for other in others] == ["released"] * 3
        assert [line["log_level"] for line in lines] == ["warning"]
    assert (await first.ended()).status == "discarded"  # nobody has claimed it
    await executor.close()


async def test_timeout_while_it_waits_for_a_connection_costs_no_attempt(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors_sql, "MAX_CONNECTIONS", 1)
    executor = make_executor(database)
    await executor.start()
    first, second = (
        Bench(executor, make_execution("sql", {"statement": "select pg_sleep(60)"}, token=uuid4()))
        for _ in range(2)
    )
    await until(lambda: list(executor._queued) == [second.run])
    second.run.stop("timeout")
    assert await second.ended() == Outcome(status="released")
    await first.stop("timeout")
    await executor.close()


def end_sessions(schedule: Schedule) -> None:
    schedule.conn.execute(
        """
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and usename in ('pgtick_sql', 'pgtick_worker')
        """
    )


def test_lost_connections_cost_no_attempt(start: StartWorker, schedule: Schedule) -> None:
    start("worker")
    assert run(schedule, "select 1").status == "succeeded"
    end_sessions(schedule)
    row = run(schedule, "select 1", max_attempts=1)
    assert row.status == "succeeded"


@pytest.mark.direct  # PgBouncer lets the client in and keeps its query waiting for a server connection
def test_login_that_stops_working_gives_executions_back(
    start: StartWorker, schedule: Schedule, database: Database
) -> None:
    worker = start("worker")
    assert run(schedule, "select 1").status == "succeeded"
    name = sql.Identifier(database.name)
    for refuse in (
        "revoke connect on database {} from public",
        "grant connect on database {} to pgtick_worker",
    ):
        schedule.conn.execute(sql.SQL(refuse).format(name))
    end_sessions(schedule)
    waiting = schedule.enqueue("sql", "select 1", max_attempts=1)
    wait_until(lambda: bool(worker.events("no connection for SQL jobs, giving executions back")))
    assert schedule.wait(schedule.enqueue("python", "echo")).status == "succeeded"
    schedule.conn.execute(sql.SQL("grant connect on database {} to public").format(name))
    assert schedule.wait(waiting, seconds=30).status == "succeeded"
