"""What a hostile user of each kind tries: to be somebody else, or to have our functions run his code."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Connection, errors, sql

from tests.conftest import Connect

# Names that our functions call or compare with, as an attacker would define them for himself.
SHADOWS = """
    create schema evil authorization pgtick_client;
    grant usage on schema evil to public;
    set role pgtick_client;
    create function evil.caught() returns text language plpgsql as $$
        begin raise exception 'caught as %%', current_user; end $$;
    create function evil.format(text, variadic anyarray) returns text language sql as 'select evil.caught()';
    create function evil.format(text, text) returns text language sql as 'select evil.caught()';
    create function evil.now() returns timestamptz language sql as 'select evil.caught()::timestamptz';
    create function evil.clock_timestamp() returns timestamptz language sql
        as 'select evil.caught()::timestamptz';
    create function evil.current_setting(text, boolean) returns text language sql as 'select evil.caught()';
    create function evil.gen_random_uuid() returns uuid language sql as 'select evil.caught()::uuid';
    create function evil.get_byte(bytea, integer) returns integer language sql
        as 'select evil.caught()::integer';
    create function evil.uuid_send(uuid) returns bytea language sql as 'select evil.caught()::bytea';
    create function evil.jsonb_typeof(jsonb) returns text language sql as 'select evil.caught()';
    create function evil.jsonb_build_object(text, bigint) returns jsonb language sql
        as 'select evil.caught()::jsonb';
    create function evil.floor(double precision) returns double precision language sql
        as 'select evil.caught()::double precision';
    create function evil.arrow(jsonb, text) returns text language sql as 'select evil.caught()';
    create operator evil.->> (leftarg = jsonb, rightarg = text, function = evil.arrow);
    create function evil.eq(integer, integer) returns boolean language sql as 'select evil.caught()::boolean';
    create operator evil.= (leftarg = integer, rightarg = integer, function = evil.eq);
    create function evil.less(integer, integer) returns boolean language sql
        as 'select evil.caught()::boolean';
    create operator evil.< (leftarg = integer, rightarg = integer, function = evil.less);
    reset role;
"""

# Every public function, as its callers call it.
CALLS = {
    "pgtick_client": [
        "select scheduler.create_job('a', 'sql', '\"select 1\"', '*/5 * * * *', jitter => '10 seconds')",
        "select scheduler.put_job('a', 'http', '\"http://example.com\"', 'every 2 hours')",
        "select scheduler.update_job((select j.job_id from scheduler.jobs j), '{\"priority\": 3}')",
        "select scheduler.trigger_job((select j.job_id from scheduler.jobs j))",
        "select scheduler.pause_job((select j.job_id from scheduler.jobs j), 'why not')",
        "select scheduler.resume_job((select j.job_id from scheduler.jobs j))",
        "select scheduler.backfill_job((select j.job_id from scheduler.jobs j), '2020-01-01', '2020-01-02')",
        "select scheduler.enqueue('python', '\"f\"', dedup_key => 'k')",
        'select scheduler.enqueue_many(\'[{"job_type": "sql", "target": "select 1", "dedup_key": "l"}]\')',
        'select scheduler.enqueue_many(\'[{"job_type": "sql", "target": "select 1"}]\')',
        "select scheduler.cancel_execution(scheduler.enqueue('sql', '\"select 1\"'))",
        "select scheduler.delete_job((select j.job_id from scheduler.jobs j))",
        "select scheduler.next_fire('0 9 * * MON-FRI', 'Europe/Berlin')",
        "select scheduler.describe('0 9 * * MON-FRI')",
        "select scheduler.preview('@daily')",
        "select scheduler.get_execution('00000000-0000-4000-8000-000000000001')",
    ],
    "pgtick_worker": [
        "select scheduler.heartbeat('00000000-0000-4000-8000-000000000001')",
        "select scheduler.tick()",
        "select scheduler.claim('00000000-0000-4000-8000-000000000001', 10)",
        "select scheduler.release('00000000-0000-4000-8000-000000000001', '{}', '{}')",
        "select scheduler.stop_worker('00000000-0000-4000-8000-000000000001')",
        "select scheduler.run_sql_jobs()",
        "select scheduler.reap(), scheduler.maintain(), scheduler.health(), scheduler.worker_demand()",
    ],
}

# What the statement of a SQL job may try, and must fail at.
CRIMES = [
    "set role scheduler_owner",
    "set session authorization postgres",
    "set local session authorization postgres",
    "select * from scheduler_internal.running",
    "select token from scheduler_internal.running_0",
    "select * from scheduler.executions",
    "update scheduler_internal.jobs set name = 'mine'",
    "select scheduler.enqueue('sql', '\"select 1\"')",
    "select scheduler.claim(gen_random_uuid())",
    "select scheduler.finish(gen_random_uuid(), '{}', '{}', '{}')",
    "select scheduler.maintain()",
    "select scheduler_internal.run_as_scheduler_sql('select 1')",
    "alter function scheduler_internal.run_as_scheduler_sql(text) owner to pgtick_client",
    "create or replace function scheduler.now() returns timestamptz language sql as 'select null'",
    "create function scheduler.mine() returns integer language sql as 'select 1'",
    "create table scheduler_internal.mine ()",
    "drop schema scheduler_internal cascade",
    "alter table scheduler_internal.history rename to mine",
    "truncate scheduler_internal.history",
    "grant scheduler_owner to pgtick_sql",
    "alter role scheduler_sql superuser",
    "copy (select 1) to program 'true'",
    "do $$ begin perform scheduler.tick(); end $$",
]

# What leaves something behind in the session of whoever calls run_sql_jobs().
LITTER = [
    "set search_path = evil, pg_catalog",
    "reset all",
    "select set_config('search_path', 'evil', false)",
    "set scheduler.fake_now = '2199-01-01'",
    "set scheduler.history_retention = '1 second'",
    "set local scheduler.fake_now = '2199-01-01'",
    "set statement_timeout = 1",
    "create temp view accounts as select 1",
    "create function pg_temp.f() returns integer language sql as 'select 1'",
    "create type pg_temp.integer as enum ('fake')",
    "create operator pg_temp.+ (leftarg = text, rightarg = text, function = textcat)",
    "declare c cursor with hold for select 1",
    "set scheduler.scopes = 'read'",
    "set scheduler.api_key = 'somebody'",
    "set scheduler.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'",
    "set scheduler.notify = on",
    "set scheduler.payload = '1'",
    'prepare "_pg3_0" as select 1',
    "select pg_advisory_lock(1885828201, 3)",
    "select pg_advisory_lock(-1, -2), pg_advisory_lock(-1, -2)",
    "select pg_advisory_lock_shared(-9223372036854775807 - 1)",
]

# The same, but with an error of its own after it.
FAILURES = [
    "do $$ begin perform pg_advisory_lock(7); raise exception 'no'; end $$",
    "do $$ begin prepare p as select 1; raise exception 'no'; end $$",
]

# What takes from whoever calls run_sql_jobs() what no rollback brings back.
THEFTS = [
    "deallocate all",
    "deallocate mine",
    "deallocate mine; prepare mine as select 2",
    "select pg_advisory_unlock(1)",
    "select pg_advisory_unlock_all()",
]

HELD = "select holding from scheduler_internal.session_holdings() order by 1"


def shadow(db: Connection[Any]) -> None:
    """Lets the schema evil, with functions and operators of the usual names, be found first by everybody."""
    db.execute("drop schema if exists evil cascade")
    db.execute(SHADOWS.replace("%%", "%").encode())


def run_in_psql(db: Connection[Any], statement: str) -> Any:
    """Has run_sql_jobs() run one statement; returns its status and error."""
    db.execute("select scheduler.enqueue('sql', %s::jsonb, max_attempts => 1)", [json.dumps(statement)])
    (ended,) = db.execute("select status, error from scheduler.run_sql_jobs()").fetchall()
    return ended


@pytest.mark.direct
@pytest.mark.parametrize("user", CALLS)
def test_functions_and_operators_of_a_user_are_not_called(
    db: Connection[Any], connect: Connect, user: str
) -> None:
    """With a schema of his before pg_catalog, nothing of it runs, least of all as the owner."""
    shadow(db)
    db.execute("select scheduler.enqueue('sql', '\"select 1\"')")
    conn = connect(user=user)
    conn.execute("set search_path = evil, pg_catalog, scheduler")
    with pytest.raises(errors.RaiseException, match=f"caught as {user}"):
        conn.execute("select '{}'::jsonb ->> 'a'")  # it does lie in wait
    for call in CALLS[user]:
        conn.execute(call.encode())


@pytest.mark.direct
def test_temporary_objects_of_a_user_are_not_used(connect: Connect) -> None:
    """A table or type in pg_temp hides nothing that our functions look at."""
    conn = connect(user="pgtick_worker")
    for name in ("pg_class", "pg_inherits", "pg_stat_activity", "workers", "waiting", "schedules", "unnest"):
        conn.execute(f"create temp table {name} (relname text, pid text, x integer)".encode())
    conn.execute("create type pg_temp.uuid as enum ('fake')")
    conn.execute("create type pg_temp.timestamptz as enum ('fake')")
    assert len(conn.execute("select * from scheduler.health()").fetchall()) >= 6
    conn.execute("select scheduler.maintain(), scheduler.reap(), scheduler.tick()")


@pytest.mark.direct
@pytest.mark.parametrize("crime", CRIMES)
def test_crimes_of_sql_jobs(db: Connection[Any], connect: Connect, crime: str) -> None:
    """Refused in psql's runner, and on the connection that a worker opens for SQL jobs."""
    status, error = run_in_psql(db, crime)
    assert status == "failed"
    assert error is not None
    with pytest.raises((errors.InsufficientPrivilege, errors.InvalidGrantOperation)):
        connect(user="pgtick_sql").execute(crime.encode())


@pytest.mark.direct
@pytest.mark.parametrize("litter", LITTER)
def test_litter_of_sql_jobs(db: Connection[Any], litter: str) -> None:
    """A job in psql leaves the session as it was, or fails; the runner itself is not led astray either."""
    shadow(db)
    db.execute("grant create on schema public to scheduler_sql")
    before = db.execute(
        "select current_setting('search_path'), scheduler_internal.session_state()"
    ).fetchone()
    status, error = run_in_psql(db, litter)
    assert (status, error) == ("failed", "the job changes the session that it runs in")
    after = db.execute("select current_setting('search_path'), scheduler_internal.session_state()").fetchone()
    assert after == before
    assert db.execute(HELD).fetchall() == []


@pytest.mark.direct
@pytest.mark.parametrize("failure", FAILURES)
def test_litter_of_sql_jobs_that_fail(db: Connection[Any], failure: str) -> None:
    assert run_in_psql(db, failure) == ("failed", "no")
    assert db.execute(HELD).fetchall() == []


@pytest.mark.direct
@pytest.mark.parametrize("theft", THEFTS)
def test_thefts_of_sql_jobs(db: Connection[Any], theft: str) -> None:
    """What is gone is gone, but that is told, and nothing has taken its place."""
    db.execute("prepare mine as select 1")
    db.execute("select pg_advisory_lock(1)")
    before = db.execute(HELD).fetchall()
    assert len(before) == 2
    assert run_in_psql(db, theft) == ("failed", "the job changes the session that it runs in")
    assert set(db.execute(HELD).fetchall()) < set(before)


@pytest.mark.direct
@pytest.mark.parametrize(
    "statement",
    [
        "set local scheduler.fake_now = '2199-01-01'; reset scheduler.fake_now",
        "select set_config('search_path', 'evil', true)",
        "do $$ begin create temp table t as select 1; drop table t; end $$",
        "select pg_advisory_xact_lock(3)",
        "do $$ begin prepare p as select 1; deallocate p; end $$",
    ],
)
def test_tidy_sql_jobs(db: Connection[Any], statement: str) -> None:
    """What ends with the job is allowed, and has no effect on what comes after it."""
    db.execute("prepare mine as select 1")
    db.execute("select pg_advisory_lock(1)")
    before = db.execute(HELD).fetchall()
    assert run_in_psql(db, statement) == ("succeeded", None)
    assert db.execute(HELD).fetchall() == before
    late = "select count(*) from scheduler.executions e where e.finished_at > clock_timestamp()"
    assert db.execute(late).fetchone() == (0,)


@pytest.mark.direct
def test_a_job_that_drops_all_that_its_role_owns(db: Connection[Any], connect: Connect) -> None:
    """It takes away psql's runner, which says so and burns no attempts; rights it takes from nobody."""
    rights = "select grantee, privilege_type, routine_name from information_schema.role_routine_grants"
    lasting = f"{rights} where routine_name <> 'run_as_scheduler_sql' order by 1, 2, 3"
    before = db.execute(lasting.encode()).fetchall()
    connect(user="pgtick_sql").execute("drop owned by scheduler_sql cascade")
    assert db.execute(lasting.encode()).fetchall() == before
    db.execute("select scheduler.enqueue('sql', '\"select 1\"')")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="the runner of SQL jobs is gone"):
        db.execute("select * from scheduler.run_sql_jobs()")
    assert db.execute("select status, attempt from scheduler.executions").fetchall() == [("ready", 0)]


@pytest.mark.direct
@pytest.mark.parametrize("user", ["pgtick_client", "pgtick_worker", "pgtick_admin", "postgres"])
def test_no_session_moves_the_clock(db: Connection[Any], connect: Connect, user: str) -> None:
    """Unless the database allows it, which a session cannot say, nor a role for itself."""
    name = sql.Identifier(db.info.dbname)
    role = sql.SQL("alter role {} in database {} set scheduler.fake_clock = on")
    db.execute(role.format(sql.Identifier(user), name))
    db.execute(sql.SQL("alter database {} reset scheduler.fake_clock").format(name))
    conn = connect(user=user)
    for claim in ("set scheduler.fake_now = '2199-01-01'", "set scheduler.fake_clock = on"):
        conn.execute(claim.encode())
        is_real = "select abs(extract(epoch from scheduler.now() - clock_timestamp())) < 60"
        assert conn.execute(is_real.encode()).fetchone() == (True,)
    db.execute(sql.SQL("alter database {} set scheduler.fake_clock = on").format(name))
    assert conn.execute("select scheduler.now() = '2199-01-01'").fetchone() == (True,)


@pytest.mark.direct
def test_no_worker_has_history_dropped(db: Connection[Any], connect: Connect) -> None:
    """What a session or a role claims about the retention does not count, nor that there is none."""
    days = "select count(*) from pg_inherits where inhparent = 'scheduler_internal.history'::regclass"
    old = "select scheduler_internal.ensure_partition('history', (now() - interval '40 days')::date)"
    database = sql.Identifier(db.info.dbname)
    keep = sql.SQL("alter database {} set scheduler.history_retention = '90 days'")
    db.execute(keep.format(database))
    for claim in ("1 second", ""):
        role = sql.SQL("alter role pgtick_worker in database {} set scheduler.history_retention = {}")
        db.execute(role.format(database, claim))
        db.execute(old.encode())
        before = db.execute(days.encode()).fetchone()
        conn = connect(user="pgtick_worker")
        conn.execute("select scheduler.maintain()")
        conn.execute("select set_config('scheduler.history_retention', %s, false)", [claim])
        conn.execute("select scheduler.maintain()")
        assert db.execute(days.encode()).fetchone() == before
    db.execute(sql.SQL("alter database {} reset scheduler.history_retention").format(database))
    conn.execute("select scheduler.maintain()")
    assert db.execute(days.encode()).fetchone() != before


@pytest.mark.direct
def test_deferred_triggers_run_as_the_job(db: Connection[Any]) -> None:
    """What a job defers to the commit would run as whoever commits: it runs before, with the job's rights."""
    db.execute(
        """
        create schema jobs authorization scheduler_sql;
        set role scheduler_sql;
        create table jobs.t (a integer);
        create table jobs.ran (as_role text);
        create function jobs.f() returns trigger language plpgsql as $$
            begin insert into jobs.ran values (current_user); return null; end $$;
        create constraint trigger late after insert on jobs.t deferrable initially deferred
            for each row execute function jobs.f();
        reset role;
        """
    )
    assert run_in_psql(db, "insert into jobs.t values (1)") == ("succeeded", None)
    assert db.execute("select * from jobs.ran").fetchall() == [("scheduler_sql",)]


@pytest.mark.direct
def test_tokens(db: Connection[Any], connect: Connect) -> None:
    """A SQL job's connection ends the execution whose token it was given: that one, once."""
    worker_id = uuid4()
    db.execute("select scheduler.heartbeat(%s)", [worker_id])
    for _ in range(2):
        db.execute("select scheduler.enqueue('sql', '\"select 1\"')")
    claimed = "select execution_id, attempt, token from scheduler.claim(%s, 2)"
    mine, other = db.execute(claimed, [worker_id]).fetchall()
    conn = connect(user="pgtick_sql")

    def finish(execution_id: UUID, attempt: int, token: UUID | None) -> bool:
        call = "select scheduler.finish_sql_job(%s, %s, %s, null)"
        row = conn.execute(call, [execution_id, attempt, token]).fetchone()
        assert row is not None
        return bool(row[0])

    assert not finish(other[0], other[1], mine[2])
    assert not finish(other[0], other[1], None)
    assert not finish(other[0], other[1], uuid4())
    assert not finish(mine[0], mine[1] + 1, mine[2])
    assert finish(*mine)
    assert not finish(*mine)
    running = "select e.execution_id from scheduler.executions e where e.status = 'running'"
    assert db.execute(running).fetchall() == [(other[0],)]


def test_the_audit_log_names_the_login(db: Connection[Any], connect: Connect) -> None:
    """Not the owner that the function runs as, and not a role that the caller puts on."""
    client = connect(user="pgtick_client", autocommit=False)
    client.execute("set local role scheduler_client")
    client.execute("select scheduler.create_job('a', 'sql', '\"select 1\"')")
    client.commit()
    assert db.execute("select actor from scheduler.audit_log").fetchall() == [("pgtick_client",)]
    assert db.execute("select created_by from scheduler.jobs").fetchall() == [("pgtick_client",)]


def test_tables_behind_the_views_are_closed(connect: Connect) -> None:
    """A view shows what it shows; the tables and partitions under it stay out of reach, by any name."""
    conn = connect(user="pgtick_admin")
    for table in ("waiting", "waiting_3", "running", "history", "job_versions_0", "workers"):
        with pytest.raises(errors.InsufficientPrivilege):
            conn.execute(f"select * from scheduler_internal.{table}".encode())
