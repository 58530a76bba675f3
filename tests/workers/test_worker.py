"""A worker as a process of its own, on a real database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, sql

from app.echo import Echo
from tests.conftest import Database
from tests.workers.conftest import StartWorker
from tests.workers.support import Schedule, is_alive, wait_for_file, wait_until
from workers.worker import _until


@pytest.fixture
def schedule(db: Connection[Any]) -> Schedule:
    return Schedule(db)


def test_runs_every_job_type(start: StartWorker, schedule: Schedule, db: Connection[Any]) -> None:
    db.execute("create table public.effect (n integer)")
    db.execute("grant insert on public.effect to scheduler_sql")
    statement = schedule.enqueue("sql", "insert into public.effect values (1)")
    python = schedule.enqueue("python", "echo", payload={"n": 1})
    command = schedule.enqueue("command", "echo $PGTICK_EXECUTION_ID")
    http = schedule.enqueue("http", "http://127.0.0.1:9/", max_attempts=1)
    start("worker")
    assert schedule.wait(statement).status == "succeeded"
    assert db.execute("select * from public.effect").fetchall() == [(1,)]
    assert schedule.wait(python).result["payload"] == {"n": 1}
    assert schedule.wait(command).result["stdout"] == f"{command}\n"
    assert schedule.wait(http).error["type"] == "connection"


def test_numbers_reach_jobs_as_they_were_written(
    start: StartWorker, schedule: Schedule, db: Connection[Any]
) -> None:
    numbers = (
        '{"a": 1.10, "b": 0.1234567890123456789012345, "c": 12345678901234567890.5, "d": 0.0000001, "ü": [1]}'
    )
    enqueue = "select scheduler.enqueue(%s, %s, %s)"
    with Echo(0) as echo:
        url = f"http://{echo.address}/"
        targets = [
            ("command", '{"args": ["cat"]}', numbers),
            ("sql", """{"statement": "select current_setting('scheduler.payload') as said"}""", numbers),
            ("http", f'{{"url": "{url}"}}', numbers),
            ("http", f'{{"url": "{url}", "body": {numbers}}}', None),
        ]
        ids = [row[0] for each in targets for row in db.execute(enqueue, each)]
        start("worker")
        command, by_sql, by_http, body = (schedule.wait(each).result for each in ids)
    assert command["stdout"] == numbers
    assert by_sql["rows"] == [{"said": numbers}]
    for answer in (by_http, body):
        assert json.loads(answer["body"]) == {"you_said": numbers}


def test_works_without_plans_made_beforehand(
    start: StartWorker, schedule: Schedule, db: Connection[Any]
) -> None:
    """Newer than the functions: they are about to be migrated."""
    db.execute("drop function scheduler.warm_up()")
    worker = start("worker")
    execution_id = schedule.enqueue("python", "noop")
    assert schedule.wait(execution_id).status == "succeeded"
    assert len(worker.events("began without plans")) == 2


def test_listens_where_the_database_tells(
    start: StartWorker, schedule: Schedule, database: Database, db: Connection[Any]
) -> None:
    """Its polls are so rare that only a notification makes it look in time."""
    db.execute(sql.SQL("alter database {} set scheduler.notify = on").format(sql.Identifier(database.name)))
    if database.pooler is not None:
        database.pooler.reconnect(database.name)
    worker = start(
        "worker",
        DB_DIRECT_CONNECTION_STRING=database.dsn(user="pgtick_worker", direct=True),
        PGTICK_POLL_MIN_SECONDS="600",
        PGTICK_POLL_MAX_SECONDS="600",
    )
    listening = """
        select query_start from pg_stat_activity
        where datname = %s and application_name like 'pgtick listener%%' and query like 'prepare claim%%'
    """
    wait_until(lambda: bool(db.execute(listening, (database.name,)).fetchall()))

    def value(query: str, *arguments: Any) -> Any:
        row = db.execute(query, arguments).fetchone()
        assert row is not None
        return row[0]

    for nonsense in ("", "x", "16", "-1", "9" * 5_000):  # anybody may notify
        db.execute("select pg_notify('scheduler_ready', %s)", (nonsense,))
    for _ in range(2):
        first = schedule.enqueue("python", "noop")
        schedule.wait(first)
    schedule.wait(
        value("""select scheduler.enqueue_many('[{"job_type": "python", "target": {"handler": "noop"}}]')""")
    )
    value("select scheduler.retry_execution(%s)", first)
    schedule.wait(first)
    job = "select scheduler.create_job('%s', 'python', '{\"handler\": \"noop\"}'%s)"
    schedule.wait(value("select scheduler.trigger_job(%s)", value(job % ("triggered", ""))))
    value(job % ("ticked", ", schedule => '* * * * * *'"))
    wait_until(lambda: value("select fired from scheduler.tick()") > 0)
    ended = "select from scheduler.executions where job_name = 'ticked' and status = 'succeeded'"
    wait_until(lambda: bool(db.execute(ended).fetchall()))

    before = value(listening, database.name)
    schedule.wait(schedule.enqueue("python", "noop"))
    assert value(listening, database.name) > before  # who hears claims, too

    cut = listening.replace("query_start", "pg_terminate_backend(pid)")
    assert len(db.execute(cut, (database.name,)).fetchall()) == 1
    wait_until(lambda: bool(worker.events("direct connection available again")))
    schedule.wait(schedule.enqueue("python", "noop"))
    assert not worker.events("the database refuses") + worker.events("a turn failed")


def test_claims_only_what_it_can_run(start: StartWorker, schedule: Schedule) -> None:
    command = schedule.enqueue("command", "true")
    unknown = schedule.enqueue("python", "unknown-handler")
    sql = schedule.enqueue("sql", "select 1")
    other = schedule.enqueue("python", "echo", queue="other")
    mine = schedule.enqueue("python", "echo", queue="mine")
    start("worker", "--queues", "mine,default", PGTICK_ALLOW_COMMAND="off", PGTICK_SQL_CONNECTION_STRING="")
    schedule.wait(mine)
    late = schedule.enqueue("python", "echo")
    schedule.wait(late)
    assert {schedule.execution(left).status for left in (command, unknown, sql, other)} == {"ready"}


def test_failure_is_retried_until_the_attempts_are_used(start: StartWorker, schedule: Schedule) -> None:
    start("worker")
    failing = schedule.enqueue("python", "raise", max_attempts=2, backoff_base="10 milliseconds")
    row = schedule.wait(failing)
    assert (row.status, row.attempt) == ("failed", 2)
    assert row.error["message"] == "no luck"
    permanent = schedule.wait(schedule.enqueue("python", "permanent"))
    assert (permanent.status, permanent.attempt) == ("failed", 1)
    later = schedule.enqueue("python", "later")
    row = schedule.wait(later, "scheduled")
    assert 30 < (row.run_at - row.created_at).total_seconds() < 60


def test_cancellation_reaches_the_handler(start: StartWorker, schedule: Schedule, tmp_path: Path) -> None:
    start("worker", PGTICK_BEAT_SECONDS="0.2")
    started = tmp_path / "started"
    running = schedule.enqueue("python", "polite-async", payload={"started": str(started)})
    schedule.wait(running, "running")
    wait_for_file(started)
    schedule.conn.execute("select scheduler.cancel_execution(%s)", (running,))
    assert schedule.wait(running).status == "cancelled"
    assert Path(f"{started}.cleaned").exists()


def test_timeout_stops_every_job_type(start: StartWorker, schedule: Schedule) -> None:
    start("worker")
    short = {"timeout": "1 second", "max_attempts": 1}
    executions = [
        schedule.enqueue("sql", "select pg_sleep(600)", **short),
        schedule.enqueue("command", "echo begun; exec sleep 600", **short),
        schedule.enqueue("python", "polite", payload={"started": os.devnull}, **short),
    ]
    for execution_id in executions:
        row = schedule.wait(execution_id)
        assert row.status == "failed"
        assert row.error["type"] == "timeout"
        assert row.error["message"] == "timed out after 1 s"
    assert schedule.execution(executions[1]).result["stdout"] == "begun\n"


def test_progress_is_shown_while_it_runs(start: StartWorker, schedule: Schedule, tmp_path: Path) -> None:
    start("worker")
    assert schedule.wait(schedule.enqueue("python", "progress")).status == "succeeded"
    running = schedule.enqueue("python", "progress-and-wait", payload={"started": str(tmp_path / "started")})
    give_up_at = time.monotonic() + 10
    while schedule.execution(running).progress != {"step": 2}:
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_crashing_handlers_leave_the_worker_alone(start: StartWorker, schedule: Schedule) -> None:
    worker = start("worker", "--concurrency", "4")
    bad = [
        schedule.enqueue("python", name, max_attempts=1)
        for name in ("os-exit", "segfault", "sys-exit", "fork-and-exit", "no-json")
    ]
    good = [schedule.enqueue("python", "echo", payload=number) for number in range(20)]
    assert {schedule.wait(execution_id).status for execution_id in bad} == {"failed"}
    assert {schedule.wait(execution_id).status for execution_id in good} == {"succeeded"}
    assert worker.process.poll() is None


def test_held_interpreter_and_blocked_loop_keep_the_lease(
    start: StartWorker, schedule: Schedule, tmp_path: Path
) -> None:
    """Five seconds each, with a lease of three: others' work goes on, nobody takes anything back."""
    worker = start("worker", PGTICK_LEASE_SECONDS="3", PGTICK_BEAT_SECONDS="0.5")
    schedule.wait(schedule.enqueue("python", "echo"))
    ticker = start("ticker")
    holding = schedule.enqueue(
        "python", "hold-gil", payload={"started": str(tmp_path / "held"), "seconds": 5}
    )
    wait_for_file(tmp_path / "held")
    assert schedule.wait(schedule.enqueue("python", "echo"), seconds=3).status == "succeeded"
    blocking = schedule.enqueue("python", "block-loop", payload={"seconds": 5})
    for execution_id in (holding, blocking):
        row = schedule.wait(execution_id)
        assert (row.status, row.attempt) == ("succeeded", 1)
    assert worker.events("the lease is lost, stopping what runs") == []
    assert ticker.process.poll() is None


def test_sigterm_finishes_what_runs_and_gives_back_the_rest(
    start: StartWorker, schedule: Schedule, tmp_path: Path
) -> None:
    worker = start("worker", "--concurrency", "2")
    file = tmp_path / "runs"
    executions = [
        schedule.enqueue("python", "touch", payload={"file": str(file), "seconds": 1}) for _ in range(6)
    ]
    wait_for_file(file)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    rows = [schedule.execution(execution_id) for execution_id in executions]
    done = [row for row in rows if row.status == "succeeded"]
    left = [row for row in rows if row.status == "ready"]
    assert len(done) == 2
    assert len(left) == 4
    assert {row.attempt for row in done} == {1}
    assert len(file.read_text().splitlines()) == 2
    assert schedule.conn.execute("select distinct status from scheduler.workers").fetchall() == [("stopped",)]


def test_sigterm_gives_up_after_the_grace(start: StartWorker, schedule: Schedule, tmp_path: Path) -> None:
    worker = start("worker", PGTICK_GRACE_SECONDS="0.5")
    hanging = schedule.enqueue("python", "hang", payload={"started": str(tmp_path / "started")})
    pid = int(wait_for_file(tmp_path / "started"))
    worker.signal(signal.SIGINT)
    assert worker.wait(seconds=5) == 0
    assert not is_alive(pid)
    row = schedule.execution(hanging)
    assert row.status == "ready"


def test_a_handler_that_takes_no_cancellation_holds_no_worker(
    start: StartWorker, schedule: Schedule, tmp_path: Path
) -> None:
    worker = start("worker", PGTICK_GRACE_SECONDS="0.2")
    stubborn = schedule.enqueue("python", "stubborn", payload={"started": str(tmp_path / "started")})
    wait_for_file(tmp_path / "started")
    worker.signal(signal.SIGTERM)
    assert worker.wait(seconds=15) == 0
    assert schedule.execution(stubborn).status == "ready"


@pytest.mark.parametrize("name", ["leave-to-threads", "leave-a-thread"])
def test_threads_that_a_handler_leaves_hold_no_worker(
    start: StartWorker, schedule: Schedule, tmp_path: Path, name: str
) -> None:
    worker = start("worker", PGTICK_GRACE_SECONDS="0.2")
    left = schedule.enqueue("python", name, payload={"started": str(tmp_path / "started")})
    wait_for_file(tmp_path / "started")
    worker.signal(signal.SIGTERM)
    assert worker.wait(seconds=15) == 0
    assert schedule.execution(left).status == "ready"
    assert schedule.conn.execute("select status from scheduler.workers").fetchall() == [("stopped",)]


def test_a_log_that_cannot_be_written_costs_no_execution(start: StartWorker, schedule: Schedule) -> None:
    worker = start("worker", log="/dev/full")
    for _ in range(3):
        row = schedule.wait(schedule.enqueue("python", "echo-loop"))
        assert row.status == "succeeded"
    worker.signal(signal.SIGTERM)
    worker.wait()
    assert schedule.conn.execute("select status from scheduler.workers").fetchall() == [("stopped",)]


def test_a_number_of_too_many_digits_holds_up_nothing(start: StartWorker, schedule: Schedule) -> None:
    """As it was enqueued before such numbers were refused."""
    bad = schedule.enqueue("python", "echo-loop", payload=1, max_attempts=1)
    good = [schedule.enqueue("python", "echo-loop", payload=2) for _ in range(3)]
    schedule.conn.execute(
        "update scheduler_internal.waiting set payload = '{\"n\": 1e5000}' where execution_id = %s", (bad,)
    )
    start("worker")
    assert [schedule.wait(each).status for each in good] == ["succeeded"] * 3
    ended = "select status, error ->> 'type' from scheduler.executions where execution_id = %s"
    wait_until(lambda: schedule.conn.execute(ended, (bad,)).fetchone() == ("failed", "DocumentError"))


def test_the_encoding_of_its_environment_holds_up_nothing(start: StartWorker, schedule: Schedule) -> None:
    start("worker", PGCLIENTENCODING="LATIN1")
    row = schedule.wait(schedule.enqueue("python", "echo-loop", payload="5 €"))
    assert (row.status, row.result["payload"]) == ("succeeded", "5 €")


def test_second_signal_leaves_at_once_and_nothing_behind(
    start: StartWorker, schedule: Schedule, tmp_path: Path
) -> None:
    worker = start("worker")
    schedule.enqueue("python", "hang", payload={"started": str(tmp_path / "started")})
    pid = int(wait_for_file(tmp_path / "started"))
    worker.signal(signal.SIGTERM)
    wait_until(lambda: bool(worker.events("leaving")))
    worker.signal(signal.SIGTERM)
    assert worker.wait(seconds=5) == 128 + signal.SIGTERM
    wait_until(lambda: not is_alive(pid))


def test_killed_worker_leaves_nothing_behind_and_its_work_runs_again(
    start: StartWorker, schedule: Schedule, tmp_path: Path
) -> None:
    lease = {"PGTICK_LEASE_SECONDS": "3", "PGTICK_BEAT_SECONDS": "0.5"}
    worker = start("worker", **lease)
    start("ticker")
    execution_id = schedule.enqueue("python", "hold-gil", payload={"started": str(tmp_path / "started")})
    pid = int(wait_for_file(tmp_path / "started"))
    (tmp_path / "started").unlink()
    killed_at = time.monotonic()
    worker.kill()
    wait_until(lambda: not is_alive(pid))
    start("worker", **lease)
    wait_for_file(tmp_path / "started")
    # The start of the second worker's process is in it, that of its lease is not.
    assert time.monotonic() - killed_at < 3 + 1 + 1.5
    row = schedule.execution(execution_id)
    assert (row.status, row.attempt) == ("running", 2)


def test_frozen_worker_is_fenced(start: StartWorker, schedule: Schedule, tmp_path: Path) -> None:
    """Frozen past its lease: its child is killed meanwhile, and it goes on under a new id."""
    lease = {"PGTICK_LEASE_SECONDS": "3", "PGTICK_BEAT_SECONDS": "0.5"}
    frozen = start("worker", **lease)
    start("ticker")
    execution_id = schedule.enqueue("python", "hang", payload={"started": str(tmp_path / "started")})
    pid = int(wait_for_file(tmp_path / "started"))
    (tmp_path / "started").unlink()
    frozen.signal(signal.SIGSTOP)
    wait_until(lambda: not is_alive(pid), seconds=5)
    other = start("worker", **lease)
    wait_for_file(tmp_path / "started")
    frozen.signal(signal.SIGCONT)
    wait_until(lambda: bool(frozen.events("the lease is lost, stopping what runs")))
    row = schedule.execution(execution_id)
    assert (row.status, row.attempt) == ("running", 2)
    other.signal(signal.SIGSTOP)  # so that it is the thawed one that takes the next
    assert schedule.wait(schedule.enqueue("python", "echo")).status == "succeeded"
    other.signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"DB_WRITE_CONNECTION_STRING": ""}, "DB_WRITE_CONNECTION_STRING is not set"),
        ({"DB_WRITE_CONNECTION_STRING": "host=127.0.0.1 port=1 dbname=x"}, "cannot use the database"),
        ({"PGTICK_HANDLERS": "no.such.module"}, "cannot load handlers from 'no.such.module'"),
        ({"PGTICK_LEASE_SECONDS": "soon"}, "PGTICK_LEASE_SECONDS must be a number"),
        ({"PGTICK_LEASE_SECONDS": "7200"}, "PGTICK_LEASE_SECONDS must be at most 3600, not 7200"),
        ({"PGTICK_CONCURRENCY": "20000"}, "PGTICK_CONCURRENCY must be at most 10000, not 20000"),
        ({"PGTICK_WEBHOOK_SECRET": "secret"}, "PGTICK_WEBHOOK_SECRET must be whsec_"),
        ({"PGTICK_HTTP_ALLOW": "10.0.0.0/99"}, "PGTICK_HTTP_ALLOW"),
        ({"PGTICK_WEBHOOK_SECRET_FILE": "/no/such/file"}, "PGTICK_WEBHOOK_SECRET_FILE cannot be read"),
    ],
)
def test_wrong_setting_is_told_in_one_line(start: StartWorker, environ: dict[str, str], message: str) -> None:
    worker = start("worker", **environ)
    assert worker.wait() == 1
    assert worker.log.count("\n") == 1
    assert worker.log.startswith("pgtick: ")
    assert message in worker.log


async def test_a_part_that_breaks_ends_the_worker() -> None:
    """Else it would go on without it, and keep its lease: its supervisor starts another."""

    async def breaks() -> None:
        raise RuntimeError("broken")

    async def waits() -> None:
        await asyncio.Event().wait()

    goes_on = asyncio.create_task(waits())
    with pytest.raises(RuntimeError, match="broken"):
        async with asyncio.timeout(5):
            await _until(asyncio.Event(), [goes_on, asyncio.create_task(breaks())])
    goes_on.cancel()


def test_metrics_are_served(start: StartWorker, schedule: Schedule) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start("worker", PGTICK_METRICS_PORT=str(port))
    schedule.wait(schedule.enqueue("python", "echo"))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    assert 'worker_attempts_total{job_type="python",status="succeeded"} 1.0' in text
    assert 'job_wait_seconds_count{queue="default"} 1.0' in text
    assert 'job_run_seconds_count{job_type="python"} 1.0' in text
    assert "worker_active_attempts 0.0" in text
    assert 'node_info{node_id="' in text
    # These the API tells, of all workers: told here too they would count twice.
    assert "job_executions" not in text
    assert "active_jobs" not in text
    second = start("worker", PGTICK_METRICS_PORT=str(port))
    assert second.wait() == 1
    assert "Address already in use" in second.log


def test_sql_login_with_too_many_rights_is_refused(start: StartWorker, dsn: str) -> None:
    worker = start("worker", PGTICK_SQL_CONNECTION_STRING=dsn)
    assert worker.wait() == 1
    assert "every SQL job would have them" in worker.log
