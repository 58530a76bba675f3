"""The ends of attempts: fenced, retried, counted, capped."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.sql.engine import Engine, Row, refused


def test_a_batch_of_ends(engine: Engine) -> None:
    worker = engine.worker()
    for _ in range(6):
        engine.enqueued(max_attempts=1)
    rows = worker.claim(6)
    engine.clock.advance(seconds=3)
    statuses = ["succeeded", "failed", "cancelled"] * 2
    stale: Row = {"execution_id": uuid4(), "attempt": 1}
    refused_rows = engine.rows(
        "finish",
        worker_id=worker.worker_id,
        execution_ids=[row["execution_id"] for row in [*rows, stale]],
        attempts=[1] * 7,
        statuses=[*statuses, "succeeded"],
        results=[{"n": n} for n in range(7)],
        errors=[None] * 7,
    )
    assert refused_rows == [{"execution_id": stale["execution_id"], "attempt": 1}]
    for n, (row, status) in enumerate(zip(rows, statuses, strict=True)):
        seen = engine.execution(row["execution_id"])
        assert (seen["status"], seen["result"], seen["worker_id"]) == (status, {"n": n}, worker.worker_id)
        assert seen["finished_at"] - seen["started_at"] == timedelta(seconds=3)
    (stats,) = engine.select("select * from scheduler.stats")
    assert [stats[name] for name in ("succeeded", "failed", "cancelled", "expired", "retried")] == [
        2,
        2,
        2,
        0,
        0,
    ]
    assert (stats["run_seconds"], stats["max_run_seconds"]) == (18, 3)


def test_the_attempt_and_the_worker_are_the_fence(engine: Engine) -> None:
    worker, other = engine.worker(), engine.worker()
    execution_id = engine.enqueued()
    claimed = worker.claim_one()
    for row, by in (
        ({**claimed, "attempt": 0}, worker),
        ({**claimed, "attempt": 2}, worker),
        (claimed, other),
    ):
        assert by.finish(row) == [(execution_id, row["attempt"])]
    assert engine.execution(execution_id)["status"] == "running"
    assert worker.finish(claimed) == []
    before = engine.fingerprint()
    assert worker.finish(claimed) == [(execution_id, 1)]
    assert worker.fail(claimed) == [(execution_id, 1)]
    assert engine.fingerprint() == before


def test_one_execution_twice_in_a_batch_ends_once(engine: Engine) -> None:
    worker = engine.worker()
    execution_id = engine.enqueued()
    claimed = worker.claim_one()
    assert worker.finish(claimed, claimed) == []
    assert len(engine.attempts(execution_id)) == 1


BACKOFFS = {
    "fixed": [60, 60, 60, 60],
    "linear": [60, 120, 180, 200],
    "exponential": [60, 120, 200, 200],
}


@pytest.mark.parametrize("backoff", BACKOFFS)
def test_backoff(engine: Engine, backoff: str) -> None:
    worker = engine.worker()
    execution_id = engine.enqueued(
        backoff=backoff, backoff_base="60 seconds", backoff_max="200 seconds", max_attempts=5
    )
    for seconds in BACKOFFS[backoff]:
        worker.beat()
        worker.fail(worker.claim_one())
        seen = engine.execution(execution_id)
        assert seen["status"] == "scheduled"
        delay = seen["run_at"] - engine.clock.now
        assert timedelta(seconds=seconds / 2) <= delay <= timedelta(seconds=seconds)
        engine.clock.set(seen["run_at"])
    worker.beat()
    worker.fail(worker.claim_one())
    assert engine.execution(execution_id)["status"] == "failed"


EXTREMES = [
    (timedelta(0), timedelta(0), 1),
    (timedelta(0), timedelta(days=1), 1000),
    (timedelta(seconds=1), timedelta(days=365), 1000),
    (timedelta(days=30), timedelta(days=3000), 999),
    (timedelta(milliseconds=1), timedelta(hours=1), 1000),
]


def test_backoff_bounds_and_spread(engine: Engine) -> None:
    query = """
        select min(d), max(d), count(distinct d) from (
            select scheduler_internal.backoff_delay(
                row(5, %s, %s::interval, %s::interval, '1 hour')::scheduler_internal.execution_policy,
                %s) as d
            from generate_series(1, 300)) x
    """
    for backoff in BACKOFFS:
        (row,) = engine.select(query, backoff, "10 seconds", "10 seconds", 1)
        assert timedelta(seconds=5) <= row["min"] < timedelta(seconds=5.5)
        assert timedelta(seconds=9.5) < row["max"] <= timedelta(seconds=10)
        assert row["count"] > 250
        for base, most, failures in EXTREMES:
            (row,) = engine.select(query, backoff, base, most, failures)
            assert row["max"] <= most
            assert row["min"] >= timedelta(0)


def test_retry_after_overrules_the_backoff(engine: Engine) -> None:
    worker = engine.worker()
    execution_id = engine.enqueued(max_attempts=2)
    worker.fail(worker.claim_one(), retry_after=timedelta(minutes=17))
    assert engine.execution(execution_id)["run_at"] == engine.clock.now + timedelta(minutes=17)
    engine.clock.advance(minutes=17)
    worker.beat()
    worker.fail(worker.claim_one(), retry_after=timedelta(minutes=17))
    assert engine.execution(execution_id)["status"] == "failed"  # no attempts left


def test_of_many_ends_each_has_its_own_wish(engine: Engine) -> None:
    worker = engine.worker()
    minutes = {engine.enqueued(): number for number in range(1, 41)}
    claimed = worker.claim(100)
    assert len({engine.get_shard_id(job_id=row["execution_id"]) for row in claimed}) > 1
    engine.rows(
        "finish",
        worker_id=worker.worker_id,
        execution_ids=[row["execution_id"] for row in claimed],
        attempts=[1] * len(claimed),
        statuses=["failed"] * len(claimed),
        retry_after=[timedelta(minutes=minutes[row["execution_id"]]) for row in claimed],
    )
    rows = engine.select("select execution_id, run_at from scheduler_internal.waiting")
    assert {row["execution_id"]: row["run_at"] - engine.clock.now for row in rows} == {
        execution_id: timedelta(minutes=number) for execution_id, number in minutes.items()
    }


def test_retry_after_is_kept_within_reason(engine: Engine) -> None:
    worker = engine.worker()
    for wish, granted in ((timedelta(days=-1), timedelta(0)), (timedelta(days=900_000), timedelta(days=30))):
        execution_id = engine.enqueued(max_attempts=5)
        worker.fail(worker.claim_one(), retry_after=wish)
        assert engine.execution(execution_id)["run_at"] == engine.clock.now + granted
        engine.cancel_execution(execution_id=execution_id)


def test_an_error_may_say_that_a_retry_is_useless(engine: Engine) -> None:
    worker = engine.worker()
    for error, expected in (
        ({"message": "gone", "retry": False}, "failed"),
        ({"message": "gone", "retry": False, "traceback": "x" * 100_000}, "failed"),
        ({"message": "busy", "retry": True}, "scheduled"),
        (None, "scheduled"),
    ):
        execution_id = engine.enqueued(max_attempts=5)
        worker.fail(worker.claim_one(), error=error)
        assert engine.execution(execution_id)["status"] == expected


@pytest.mark.parametrize("text", ["x" * 300_000, "ü" * 100_000, '"' * 90_000, "\U0001f600" * 40_000])
def test_results_and_errors_are_capped(engine: Engine, text: str) -> None:
    worker = engine.worker()
    execution_id = engine.enqueued()
    worker.fail(
        worker.claim_one(),
        result={"out": text},
        error={"type": "ValueError", "message": text, "retry": False, "traceback": text},
    )
    query = """
        select octet_length(result::text) < 200000 as result, octet_length(error::text) < 200000 as error
        from scheduler_internal.history
    """
    assert engine.select(query) == [{"result": True, "error": True}]
    seen = engine.execution(execution_id)
    assert seen["result"]["truncated"] is True
    assert seen["result"]["bytes"] > 65_536
    assert seen["error"]["type"] == "ValueError"
    assert seen["error"]["message"] == text[:2000]


def test_64_kib_are_kept_whole(engine: Engine) -> None:
    worker = engine.worker()
    whole, cut = engine.enqueued(queue="whole"), engine.enqueued(queue="cut")
    worker.finish(*worker.claim(queues=["whole"]), result="x" * 65_534)
    worker.finish(*worker.claim(queues=["cut"]), result="x" * 65_535)
    assert engine.execution(whole)["result"] == "x" * 65_534
    assert engine.execution(cut)["result"]["bytes"] == 65_537


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "attempts": ({"attempts": []}, "the arrays differ in length"),
    "null attempts": ({"attempts": None}, "the arrays differ in length"),
    "statuses": ({"statuses": ["succeeded"] * 2}, "the arrays differ in length"),
    "results": ({"results": [1, 2]}, "the arrays differ in length"),
    "errors": ({"errors": []}, "the arrays differ in length"),
    "retry_after": ({"retry_after": []}, "the arrays differ in length"),
    "status": ({"statuses": ["done"]}, "unknown status"),
    "expired": ({"statuses": ["expired"]}, "unknown status"),
    "null status": ({"statuses": [None]}, "unknown status"),
    "null id": ({"execution_ids": [None]}, "an execution_id is null"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments_end_nothing(engine: Engine, wrong: str) -> None:
    changes, message = WRONG[wrong]
    worker = engine.worker()
    engine.enqueued()
    claimed = worker.claim_one()
    arguments = {
        "worker_id": worker.worker_id,
        "execution_ids": [claimed["execution_id"]],
        "attempts": [1],
        "statuses": ["succeeded"],
        **changes,
    }
    before = engine.fingerprint()
    with refused("22023", message):
        engine.rows("finish", **arguments)
    assert engine.fingerprint() == before


def test_arrays_may_begin_at_any_number(engine: Engine) -> None:
    worker = engine.worker()
    execution_id = engine.enqueued()
    worker.claim_one()
    finish = "select scheduler.finish(%s, ('[0:0]={' || %s || '}')::uuid[], '[5:5]={1}', '{succeeded}')"
    assert engine.select(finish, worker.worker_id, str(execution_id)) == []
    assert engine.execution(execution_id)["status"] == "succeeded"


def test_nothing_to_finish_is_fine(engine: Engine) -> None:
    nothing: list[list[Any] | None] = [[], None]
    for empty in nothing:
        assert (
            engine.rows("finish", worker_id=uuid4(), execution_ids=empty, attempts=empty, statuses=empty)
            == []
        )


@pytest.mark.parametrize("minutes", [0, 3], ids=["of one time", "of several"])
def test_a_batch_ends_what_is_rare_in_it(engine: Engine, minutes: int) -> None:
    """One that keeps the next fire of its job waiting, and is to be cancelled, among others.

    Ids carry a time: where the batch's are minutes apart, each is looked for by itself.
    """
    job_id = engine.job_of("*/10 * * * * *", overlap="queue_one", max_attempts=5)
    worker = engine.worker(lease=timedelta(hours=1))

    def triggered() -> Row:  # of the same shard, and it keeps none waiting
        engine.trigger_job(job_id=job_id)
        return worker.claim_one()

    others = [triggered()]
    engine.clock.advance(seconds=10)
    engine.rows("tick")
    rare = worker.claim_one()
    engine.clock.advance(seconds=10)
    engine.rows("tick")
    engine.cancel_execution(execution_id=rare["execution_id"])
    held = engine.one("select execution_id from scheduler.executions where run_at is null")
    engine.pause_job(job_id=job_id, reason="no more of them")
    engine.clock.advance(seconds=60 * minutes)
    others += [triggered(), triggered()]
    assert worker.fail(others[2], rare, others[1], others[0]) == []
    assert engine.execution(rare["execution_id"])["status"] == "failed"
    assert [engine.execution(row["execution_id"])["status"] for row in others] == ["scheduled"] * 3
    assert engine.execution(held)["status"] == "ready"
