"""SQL jobs from psql alone, and the token that ends one in its own transaction."""

from __future__ import annotations

from uuid import uuid4

import pytest
from psycopg import sql

from tests.conftest import Connect
from tests.sql.engine import Engine


@pytest.fixture
def books(engine: Engine) -> None:
    """A table of the user's, which SQL jobs may write."""
    engine.db.execute("create table public.books (line text unique deferrable initially deferred)")
    engine.db.execute("grant select, insert on public.books to scheduler_sql")


def lines(engine: Engine) -> list[str]:
    """Returns what is in the user's table."""
    return [row["line"] for row in engine.select("select line from public.books order by 1")]


@pytest.mark.usefixtures("books")
def test_a_whole_scheduler_from_psql(engine: Engine) -> None:
    job_id = engine.job_of(
        "0 * * * *",
        payload={"greeting": "hello"},
        target="""
            insert into books select concat_ws(
                ' ', current_setting('scheduler.payload')::jsonb ->> 'greeting',
                current_setting('scheduler.attempt'),
                current_setting('scheduler.fire_at')::timestamptz at time zone 'UTC')
        """,
    )
    engine.clock.advance(hours=1)
    engine.rows("tick")
    (ran,) = engine.rows("run_sql_jobs")
    assert (ran["status"], ran["error"]) == ("succeeded", None)
    assert lines(engine) == ["hello 1 2031-03-05 13:00:00"]
    seen = engine.execution(ran["execution_id"])
    assert (seen["job_id"], seen["status"], seen["result"]) == (job_id, "succeeded", {"rowcount": 1})
    assert engine.ledger(job_id) == [("03-05 13:00", "fired")]
    with engine.db.transaction():  # in one session
        assert engine.rows("run_sql_jobs") == engine.rows("run_sql_jobs") == []
        query = "select status from scheduler.workers where node_id = 'psql ' || pg_backend_pid()"
        assert engine.select(query) == [{"status": "stopped"}]  # of all its calls one


@pytest.mark.usefixtures("books")
def test_a_job_that_fails_is_undone_alone(engine: Engine) -> None:
    engine.enqueued(target="insert into books values ('a')", priority=3)
    broken = engine.enqueued(
        target="insert into books select 'b' from generate_series(1, 2) i where 1 / (2 - i) > 0", priority=2
    )
    engine.enqueued(target="insert into books values ('c')", priority=1)
    by_id = {row["execution_id"]: row for row in engine.rows("run_sql_jobs")}
    assert len(by_id) == 3
    assert (by_id[broken]["status"], by_id[broken]["error"]) == ("failed", "division by zero")
    assert lines(engine) == ["a", "c"]
    seen = engine.execution(broken)
    assert seen["status"] == "scheduled"  # two attempts are left
    assert engine.attempts(broken)[0]["error"] == {"type": "22012", "message": "division by zero"}


@pytest.mark.usefixtures("books")
def test_a_job_whose_assertion_fails_is_undone_alone(engine: Engine) -> None:
    broken = engine.enqueued(
        target="do $$ begin insert into books values ('a'); assert false, 'the check failed'; end $$",
        priority=2,
    )
    engine.enqueued(target="insert into books values ('b')", priority=1)
    by_id = {row["execution_id"]: row for row in engine.rows("run_sql_jobs")}
    assert (by_id[broken]["status"], by_id[broken]["error"]) == ("failed", "the check failed")
    assert lines(engine) == ["b"]


@pytest.mark.usefixtures("books")
def test_the_caller_may_undo_it_all(engine: Engine) -> None:
    execution_id = engine.enqueued(target="insert into books values ('a')")
    with engine.db.transaction(force_rollback=True):
        assert engine.rows("run_sql_jobs")[0]["status"] == "succeeded"
    assert lines(engine) == []
    assert engine.execution(execution_id)["status"] == "ready"


ESCAPES = {
    "reset role": "reset role",
    "set role": "set role postgres",
    "session": "reset session authorization",
    "authorization": "set session authorization postgres",
    "set_config": "select set_config('role', 'postgres', false)",
    "commit": "commit",
    "rollback": "rollback",
    "two statements": "select 1; commit",
    "block": "do $$ begin commit; end $$",
    "private tables": "delete from scheduler_internal.running",
    "private functions": "select scheduler_internal.refuse('x', 'y', 'z')",
    "claim": "select scheduler.claim(gen_random_uuid())",
    "another job": "select scheduler.enqueue('sql', '\"select 1\"')",
    "grant": "grant scheduler_owner to scheduler_sql",
    "definer": "create function scheduler.now2() returns int language sql security definer as 'select 1'",
    "owner": "alter function scheduler.now() owner to scheduler_sql",
    "files": "copy books to program 'true'",
    "vacuum": "vacuum",
}


@pytest.mark.usefixtures("books")
def test_no_job_escapes(engine: Engine) -> None:
    ids = {engine.enqueued(target=statement, max_attempts=1): name for name, statement in ESCAPES.items()}
    ran = engine.rows("run_sql_jobs")
    assert {ids[row["execution_id"]]: row["status"] for row in ran} == dict.fromkeys(ESCAPES, "failed")
    assert engine.one("select current_user::text") == "postgres"
    assert engine.one("select session_user::text") == "postgres"


@pytest.mark.parametrize(
    "statement",
    [
        "set scheduler.fake_now = '2040-01-01'",
        "set local scheduler.fake_now = '2040-01-01'",
        "select set_config('scheduler.fake_now', '2040-01-01', false)",
        "select set_config('scheduler.fake_now', '', false)",
    ],
)
def test_no_job_moves_the_clock(engine: Engine, statement: str) -> None:
    execution_id = engine.enqueued(target=statement, max_attempts=1)
    after_id = engine.enqueued(target="select 1", priority=-1)
    engine.rows("run_sql_jobs")
    assert engine.now() == engine.clock.now
    for ended in (execution_id, after_id):
        assert engine.execution(ended)["finished_at"] == engine.clock.now


def test_the_token_is_what_a_job_cannot_forge(engine: Engine, connect: Connect) -> None:
    engine.clock.set(engine.clock.now, everywhere=True)
    worker = engine.worker()
    execution_id = engine.enqueued()
    claimed = worker.claim_one()
    job = connect(user="pgtick_sql")
    engine.clock.set(engine.clock.now, conn=job)
    call = sql.SQL("select scheduler.finish_sql_job(%s, %s, %s, %s)")

    def finish(attempt: int, token: object) -> object:
        row = job.execute(call, [execution_id, attempt, token, '{"n": 1}']).fetchone()
        assert row is not None
        return row[0]

    for attempt, token in ((1, uuid4()), (1, None), (2, claimed["token"]), (1, execution_id)):
        assert finish(attempt, token) is False
    assert engine.execution(execution_id)["status"] == "running"
    with job.transaction(force_rollback=True):
        assert finish(1, claimed["token"]) is True
    assert engine.execution(execution_id)["status"] == "running"
    assert finish(1, claimed["token"]) is True
    assert finish(1, claimed["token"]) is False
    seen = engine.execution(execution_id)
    assert (seen["status"], seen["result"], seen["worker_id"]) == ("succeeded", {"n": 1}, worker.worker_id)


def test_only_sql_executions_have_a_token_and_each_attempt_its_own(engine: Engine) -> None:
    worker = engine.worker()
    engine.enqueue(job_type="python", target="send", queue="other")
    assert worker.claim_one(queues=["other"])["token"] is None
    engine.enqueued()
    first = worker.claim_one()
    worker.release(first)
    second = worker.claim_one()
    assert first["token"] != second["token"]
    stale = engine.finish_sql_job(
        execution_id=first["execution_id"], attempt=2, token=first["token"], result=None
    )
    assert stale is False
