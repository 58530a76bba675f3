"""The frame of a request of the REST API: who asks, what they may do, and the same answer twice."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection
from psycopg.types.json import Json

from tests.conftest import Connect
from tests.sql.engine import SQL_TARGET, Engine, refused
from tests.support.clock import Clock

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
URL = "https://example.org"
ANSWER = {"status": 201, "response": {"job_id": "x"}}


def start(engine: Engine, **arguments: Any) -> dict[str, Any]:
    """Begins a request; returns the answer that it had before, if any."""
    (row,) = engine.rows("start_request", **{"request_id": "r-1", **arguments})
    return row


def answered(engine: Engine, key: str = "k", **arguments: Any) -> None:
    """A whole request, with its effect."""
    with engine.db.transaction():
        assert start(engine, idempotency_key=key, **arguments) == {"status": None, "response": None}
        engine.rows(
            "end_request",
            idempotency_key=key,
            key_id=arguments.get("key_id"),
            status=201,
            response='{"job_id": "x"}',
        )


def test_the_audit_log_knows_the_request(engine: Engine) -> None:
    with engine.db.transaction():
        start(engine, api_key="ci", scopes=["operate"])
        job_id = engine.job_of(job_type="http", target=URL)
    engine.pause_job(job_id=job_id)
    log = engine.select("select action, request_id, api_key, actor from scheduler.audit_log")
    assert {row["action"]: (row["request_id"], row["api_key"], row["actor"]) for row in log} == {
        "create_job": ("r-1", "ci", "postgres"),
        "pause_job": (None, None, "postgres"),  # the settings end with their transaction
    }


@pytest.mark.parametrize("job_type", ["sql", "command"])
@pytest.mark.parametrize("scopes", [["read", "enqueue", "operate"], []], ids=str)
def test_what_runs_inside_needs_admin(engine: Engine, job_type: str, scopes: list[str]) -> None:
    inside = {"job_type": job_type, "target": "true"}
    existing = engine.create_job(name="inside", **inside)
    outside = engine.create_job(name="outside", job_type="http", target=URL)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("create_job", {"name": "new", **inside}),
        ("put_job", {"name": "new", **inside}),
        ("put_job", {"name": "outside", **inside}),
        ("put_job", {"name": "inside", "job_type": "http", "target": URL}),
        ("update_job", {"job_id": existing, "changes": {"payload": 1}}),
        ("update_job", {"job_id": existing, "changes": {"job_type": "http", "target": URL}}),
        ("update_job", {"job_id": outside, "changes": inside}),
        ("enqueue", inside),
        ("enqueue_many", {"items": [{"job_type": "http", "target": URL}, inside]}),
        ("enqueue_many", {"items": [{**inside, "dedup_key": "d"}]}),
    ]
    before = engine.fingerprint()
    for function, arguments in calls:
        index = len(arguments.get("items", [])) - 1
        argument = "job_type" if index < 0 else f"items[{index}].job_type"
        message = f"^a {job_type} job needs the scope admin$"
        with refused("42501", message, argument=argument), engine.db.transaction():
            start(engine, scopes=scopes)
            engine.rows(function, **arguments)
    assert engine.fingerprint() == before
    for allowed in (None, ["admin"], ["read", "admin"]):
        for function, arguments in calls:
            with engine.db.transaction(force_rollback=True):
                start(engine, scopes=allowed)
                engine.rows(function, **arguments)


def test_what_was_made_by_an_admin_may_be_operated(engine: Engine) -> None:
    job_id = engine.job_of("@hourly")
    with engine.db.transaction():
        start(engine, scopes=["operate"])
        engine.trigger_job(job_id=job_id)
        engine.pause_job(job_id=job_id)
        engine.resume_job(job_id=job_id)
        engine.enqueue(job_type="http", target=URL)
        engine.delete_job(job_id=job_id)


def test_what_a_request_makes_carries_its_trace(engine: Engine) -> None:
    job_id = engine.job_of()
    own = TRACEPARENT.replace("b7ad", "ffff")
    item = {"job_type": "http", "target": URL}
    with engine.db.transaction():
        start(engine, traceparent=TRACEPARENT)
        made = [
            engine.trigger_job(job_id=job_id),
            engine.enqueue(**item),
            engine.enqueue(**item, dedup_key="a"),
        ]
        made += [row["enqueue_many"] for row in engine.rows("enqueue_many", items=[item])]
        made += [
            row["enqueue_many"] for row in engine.rows("enqueue_many", items=[{**item, "dedup_key": "b"}])
        ]
        named = [engine.enqueue(**item, traceparent=own)]
        named += [
            row["enqueue_many"] for row in engine.rows("enqueue_many", items=[{**item, "traceparent": own}])
        ]
        hour = engine.clock.now.replace(minute=0) - timedelta(hours=1)
        assert engine.backfill_job(job_id=job_id, from_time=hour, to_time=hour) == 1
        made += [
            row["execution_id"]
            for row in engine.select("select execution_id from scheduler.fires where job_id = %s", job_id)
        ]
    assert {engine.execution(execution_id)["traceparent"] for execution_id in made} == {TRACEPARENT}
    assert {engine.execution(execution_id)["traceparent"] for execution_id in named} == {own}
    assert engine.execution(engine.enqueue(**item))["traceparent"] is None


def test_scopes_end_with_the_transaction(engine: Engine) -> None:
    with engine.db.transaction():
        start(engine, scopes=["read"])
    engine.enqueued()


def test_the_same_request_has_the_same_answer(engine: Engine) -> None:
    answered(engine, request_hash=b"a")
    for _ in range(2):
        assert start(engine, idempotency_key="k", request_hash=b"a") == ANSWER
    with refused("JB002", "belongs to another request$", argument="idempotency_key"):
        start(engine, idempotency_key="k", request_hash=b"b")
    with refused("JB002", "belongs to another request$"):
        start(engine, idempotency_key="k")


def test_each_api_key_has_its_own_idempotency_keys(engine: Engine) -> None:
    mine, other = uuid4(), uuid4()
    answered(engine, key_id=mine)
    answered(engine, key_id=other)
    answered(engine)
    assert start(engine, idempotency_key="k", key_id=mine) == ANSWER


def test_what_was_rolled_back_never_was(engine: Engine) -> None:
    with engine.db.transaction(force_rollback=True):
        start(engine, idempotency_key="k")
        engine.enqueued()
    answered(engine)


def test_answers_are_kept_for_a_day(engine: Engine) -> None:
    answered(engine)
    engine.clock.advance(hours=23, minutes=59)  # past midnight: another partition
    engine.maintain()
    assert start(engine, idempotency_key="k") == ANSWER
    engine.clock.advance(minutes=1)
    answered(engine)
    engine.clock.advance(days=2)
    engine.upkeep()
    days = engine.select(
        "select right(inhrelid::regclass::text, 8) as day from pg_inherits"
        " where inhparent = 'scheduler_internal.idempotency_keys'::regclass order by 1"
    )
    assert days[0]["day"] == "20310307"


@pytest.mark.direct
def test_a_request_in_flight_is_told_at_once(engine: Engine, connect: Connect) -> None:
    other = connect(autocommit=False)
    other.execute("select set_config('scheduler.fake_now', %s, false)", [engine.clock.now.isoformat()])
    other.execute("select scheduler.start_request('r', idempotency_key => 'k')")
    with refused("JB003", "is still at work$"):
        start(engine, idempotency_key="k")
    other.commit()
    # It committed without an answer: nobody knows what became of it.
    with refused("JB003", "is still at work$"):
        start(engine, idempotency_key="k")


@pytest.mark.direct
def test_around_midnight_too(engine: Engine, clock: Clock, connect: Connect) -> None:
    other = connect(autocommit=False)
    other.execute("set scheduler.fake_now = '2031-03-05T23:59:59Z'")
    other.execute("select scheduler.start_request('r', idempotency_key => 'k')")
    clock.set("2031-03-06T00:00:00Z", conn=engine.db)
    with refused("JB003", "is still at work$"):
        start(engine, idempotency_key="k")


@pytest.mark.direct
def test_of_many_at_once_one_takes_effect(db: Connection[Any], connect: Connect) -> None:
    """Each of ten sends the request until it has an answer."""
    effects: list[int] = []
    answers: list[Any] = []
    ready = threading.Barrier(10)

    def send(conn: Connection[Any], number: int) -> None:
        ready.wait()
        while True:
            try:
                call = "select status, response from scheduler.start_request('r', idempotency_key => 'k')"
                row = conn.execute(call).fetchone()
                assert row is not None
                if row[0] is None:
                    effects.append(number)
                    conn.execute("select scheduler.enqueue('http', '\"https://example.org\"')")
                    row = (201, {"by": number})
                    conn.execute("select scheduler.end_request('k', null, 201, %s)", [Json(row[1])])
                conn.commit()
                answers.append(row)
                return
            except psycopg.Error as error:
                conn.rollback()
                if error.sqlstate != "JB003":
                    raise

    threads = [
        threading.Thread(target=send, args=(connect(autocommit=False), number)) for number in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(effects) == 1
    assert answers == [(201, {"by": effects[0]})] * 10
    assert db.execute("select count(*) from scheduler.executions").fetchone() == (1,)


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_wrong_idempotency_keys(engine: Engine, key: str) -> None:
    with refused("22023", "^invalid idempotency key$", argument="idempotency_key"):
        start(engine, idempotency_key=key)


def test_a_wrong_traceparent(engine: Engine) -> None:
    with refused("22023", "^invalid traceparent"):
        start(engine, traceparent="x")


def test_an_answer_without_a_request(engine: Engine) -> None:
    end = {"idempotency_key": "k", "key_id": None, "response": "{}"}
    with refused("P0002", "^the idempotency key is not reserved$"):
        engine.rows("end_request", **end, status=200)
    answered(engine)
    with refused("P0002", "^the idempotency key is not reserved$"):
        engine.rows("end_request", **end, status=200)
    with refused("22023", "^status is null$", argument="status"):
        engine.rows("end_request", **end, status=None)


def test_settings_of_a_request_are_its_own(engine: Engine) -> None:
    with engine.db.transaction():
        start(engine, api_key="ci", scopes=["admin"], traceparent=TRACEPARENT)
        start(engine)  # who begins anew inherits nothing
        engine.enqueue(job_type="sql", target=SQL_TARGET)
        for setting in ("api_key", "scopes", "traceparent"):
            assert engine.one("select current_setting(%s)", f"scheduler.{setting}") == ""
