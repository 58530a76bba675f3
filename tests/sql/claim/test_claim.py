"""Claims: order, filters, the fence, and who may."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.plans.witness import fetched_of
from tests.sql.engine import SQL_TARGET, Engine, Row, refused


def test_the_highest_priority_first_then_the_longest_waiting(engine: Engine) -> None:
    items = [
        {"job_type": "sql", "target": SQL_TARGET, "priority": priority, "payload": [priority, minute],
         "run_at": (engine.clock.now + timedelta(minutes=minute)).isoformat()}
        for minute in (2, 0, 1)
        for priority in (-100, 0, 100, 5)
    ]  # fmt: skip
    engine.rows("enqueue_many", items=items)  # one shard: the order holds within one
    engine.clock.advance(minutes=1)
    worker = engine.worker()
    payloads = [worker.claim(3) for _ in range(3)]
    seen = [row["payload"] for rows in payloads for row in rows]
    assert seen == [[priority, minute] for priority in (100, 5, 0, -100) for minute in (0, 1)]


def test_a_queue_that_is_never_empty_starves_no_other(engine: Engine) -> None:
    items = [{"job_type": "sql", "target": SQL_TARGET, "queue": name} for name in ("a", "b", "c") * 30]
    engine.rows("enqueue_many", items=items)  # one shard
    worker = engine.worker()
    assert {row["queue"] for _ in range(30) for row in worker.claim()} == {"a", "b", "c"}


@pytest.mark.parametrize("queues", [["b"], [None, "b"]])
def test_another_queue_that_comes_first_hides_nothing(engine: Engine, queues: list[str | None]) -> None:
    """A claim looks at the first row of a shard to begin with; here that is of a queue not asked for."""
    items = [{"job_type": "sql", "target": SQL_TARGET, "queue": name} for name in ("a", "b")]
    engine.rows("enqueue_many", items=items)  # one shard
    assert [row["queue"] for row in engine.worker().claim(10, queues=queues)] == ["b"]


def test_all_shards_are_looked_at(engine: Engine) -> None:
    ids = {engine.enqueued() for _ in range(60)}
    worker = engine.worker()
    claimed = [row["execution_id"] for _ in range(6) for row in worker.claim(10)]
    assert len(claimed) == 60
    assert set(claimed) == ids
    one = engine.enqueued()
    shard = engine.get_shard_id(job_id=one)
    assert worker.claim(shard=(shard + 1) % 16) == []
    assert [row["execution_id"] for row in worker.claim(shard=shard)] == [one]


FILTERS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "none": ({}, {"sql", "http", "mail", "send", "both"}),
    "queues": ({"queues": ["mail", "unknown"]}, {"mail", "both"}),
    "no queue": ({"queues": []}, set()),
    "a null among the queues": ({"queues": ["mail", None]}, {"mail", "both"}),
    "job types": ({"job_types": ["sql", "http"]}, {"sql", "http", "mail"}),
    "no job type": ({"job_types": []}, set()),
    "handlers": ({"handlers": ["send"]}, {"sql", "http", "mail", "send"}),
    "no handler": ({"handlers": []}, {"sql", "http", "mail"}),
    "all": ({"queues": ["mail"], "job_types": ["python"], "handlers": ["pack", "send"]}, {"both"}),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(engine: Engine, name: str) -> None:
    filters, expected = FILTERS[name]
    engine.enqueued(payload="sql")
    engine.enqueue(job_type="http", target="http://x.org", payload="http")
    engine.enqueued(queue="mail", payload="mail")
    engine.enqueue(job_type="python", target="send", payload="send")
    engine.enqueue(job_type="python", target="pack", queue="mail", payload="both")
    worker = engine.worker()
    assert {row["payload"] for row in worker.claim(10, **filters)} == expected


def test_a_job_passes_on_its_target_payload_and_policies(engine: Engine) -> None:
    job_id = engine.job_of(
        "0 * * * *",
        name="report",
        payload={"a": 1},
        timeout="7 minutes",
        max_attempts=4,
        queue="q",
        priority=2,
    )
    engine.clock.advance(hours=1)
    engine.rows("tick")
    engine.trigger_job(job_id=job_id, payload={"b": 2})
    engine.update_job(job_id=job_id, changes={"payload": {"a": 3}, "timeout": "1 minute"})
    worker = engine.worker()
    fired, triggered = sorted(worker.claim(10), key=lambda row: row["fire_at"] is None)
    for row, payload, fire_at in ((fired, {"a": 1}, engine.clock.now), (triggered, {"b": 2}, None)):
        assert (row["job_id"], row["job_name"], row["queue"]) == (job_id, "report", "q")
        assert (row["payload"], row["fire_at"], row["target"]) == (payload, fire_at, SQL_TARGET)
        assert (row["timeout"], row["max_attempts"]) == (timedelta(minutes=7), 4)
        assert row["token"] is not None


@pytest.mark.parametrize("max_executions", [0, -1, 10_001, None])
def test_bounds(engine: Engine, max_executions: int | None) -> None:
    worker = engine.worker()
    with refused("22023", "^max_executions is out of range$"):
        worker.claim(max_executions)  # type: ignore[arg-type]


@pytest.mark.parametrize("shard", [-1, 16])
def test_a_shard_that_does_not_exist(engine: Engine, shard: int) -> None:
    with refused("22023", "^shard .* does not exist$"):
        engine.worker().claim(shard=shard)


def test_only_a_worker_with_a_lease_may_claim(engine: Engine) -> None:
    for worker_id in (None, uuid4()):
        with refused("JB001", "^worker .* has no lease$"):
            engine.rows("claim", worker_id=worker_id)
    worker = engine.worker(lease="10 seconds")
    engine.clock.advance(seconds=9.999)
    assert worker.claim() == []
    engine.clock.advance(seconds=0.001)
    with refused("JB001", "has no lease"):
        worker.claim()
    worker.beat()
    assert worker.claim() == []
    engine.stop_worker(worker_id=worker.worker_id)
    with refused("JB001", "has no lease"):
        worker.claim()


def test_heartbeats_tell_what_to_stop(engine: Engine) -> None:
    for timeout in ("5 seconds", "1 hour", "1 hour"):
        engine.enqueued(timeout=timeout)
    worker = engine.worker(lease="1 minute")
    rows = worker.claim(10)
    assert worker.beat(*rows) == []
    engine.clock.advance(seconds=5)
    (told,) = worker.beat(*rows)
    (slow,) = [row for row in rows if row["timeout"] == timedelta(seconds=5)]
    assert told == {"execution_id": slow["execution_id"], "attempt": 1, "reason": "timeout"}
    stale: Row = {**slow, "attempt": 2}
    assert [row["reason"] for row in worker.beat(stale)] == ["lost"]
    assert [row["reason"] for row in engine.worker().beat(slow)] == ["lost"]
    assert [row["reason"] for row in worker.beat({"execution_id": uuid4(), "attempt": 1})] == ["lost"]


def test_what_a_worker_never_heard_of_is_given_back(engine: Engine) -> None:
    """The answer to its claim was lost: after a lease it does not name what it was given."""
    heard, unheard = engine.enqueued(), engine.enqueued()
    worker = engine.worker(lease="10 seconds")
    rows = [row for row in worker.claim(10) if row["execution_id"] == heard]
    for _ in range(2):
        engine.clock.advance(seconds=5)
        worker.beat(*rows)
        assert engine.execution(unheard)["status"] == "running"
    engine.clock.advance(seconds=1)
    worker.beat()  # says nothing of what it holds
    assert engine.execution(unheard)["status"] == "running"
    worker.beat(*rows)
    assert engine.execution(unheard)["status"] == "ready"
    assert engine.execution(heard)["status"] == "running"


@pytest.mark.parametrize("attempts", [None, [], [1], [1, None], [1, 1, 1]])
def test_what_is_named_without_its_attempt_is_not_given_away(
    engine: Engine, attempts: list[int | None] | None
) -> None:
    ids = [engine.enqueued(), engine.enqueued()]
    worker = engine.worker(lease="10 seconds")
    worker.claim(10)
    engine.clock.advance(seconds=9)
    worker.beat()
    engine.clock.advance(seconds=9)
    named = {"worker_id": worker.worker_id, "execution_ids": ids, "attempts": attempts}
    before = engine.fingerprint()
    for function in ("heartbeat", "release"):
        with refused("22023", "^execution_ids and attempts do not fit$", argument="attempts"):
            engine.rows(function, **named)
    assert engine.fingerprint() == before


def test_a_look_for_the_unheard_that_takes_long_is_seldom(engine: Engine) -> None:
    unheard = engine.enqueued()
    worker = engine.worker(lease="10 seconds")
    worker.claim_one()
    engine.clock.advance(seconds=9)
    worker.beat()
    engine.clock.advance(seconds=2)
    named: Row = {"execution_id": uuid4(), "attempt": 1}
    next_look = "update scheduler_internal.workers set next_look_at = clock_timestamp() + %s::interval"
    engine.db.execute(next_look, ("1 hour",))
    worker.beat(named)
    assert engine.execution(unheard)["status"] == "running"
    engine.db.execute(next_look, ("-1 second",))
    worker.beat(named)
    assert engine.execution(unheard)["status"] == "ready"


def test_claims_do_without_the_table_of_sweeps(engine: Engine) -> None:
    engine.db.execute("truncate scheduler_internal.claim_sweeps")
    ids = {engine.enqueued() for _ in range(40)}
    worker = engine.worker()
    assert {row["execution_id"] for row in worker.claim(100)} == ids


@pytest.mark.parametrize("lease", [None, "0", "0.9 seconds", "61 minutes", "-1 hour"])
def test_lease_bounds(engine: Engine, lease: str | None) -> None:
    with refused("22023", "^lease .* is out of range$"):
        engine.worker(lease=lease)


def test_a_worker_has_an_id(engine: Engine) -> None:
    with refused("22023", "^worker_id is null$"):
        engine.rows("heartbeat", worker_id=None)


def test_release_uses_no_attempt(engine: Engine) -> None:
    worker, other = engine.worker(), engine.worker()
    execution_id = engine.enqueued(max_attempts=1, expires_after="1 hour")
    claimed = worker.claim_one()
    assert other.release(claimed) == 0
    assert worker.release({**claimed, "attempt": 2}) == 0
    assert worker.release(claimed) == 1
    assert worker.release(claimed) == 0
    again = other.claim_one()
    assert again["attempt"] == 2
    assert worker.finish(claimed) == [(execution_id, 1)]  # fenced
    engine.stop_worker(worker_id=other.worker_id)
    status = engine.one("select status from scheduler.workers where worker_id = %s", other.worker_id)
    assert status == "stopped"
    assert other.finish(again) == [(execution_id, 2)]
    third = worker.claim_one()
    worker.fail(third)
    assert engine.execution(execution_id)["status"] == "failed"
    assert [row["attempt"] for row in engine.attempts(execution_id)] == [3]


def test_what_a_stopping_worker_had_started_does_not_expire(engine: Engine) -> None:
    worker, other = engine.worker(), engine.worker(lease="1 hour")
    started = engine.enqueued(expires_after="1 minute")
    worker.claim_one()
    engine.clock.advance(minutes=5)
    engine.stop_worker(worker_id=worker.worker_id)
    engine.reap()
    assert engine.execution(started)["status"] == "ready"
    assert other.claim_one()["execution_id"] == started
    unbegun = engine.enqueued(expires_after="1 minute")
    (row,) = other.claim()
    other.release(row)
    engine.clock.advance(minutes=1)
    engine.reap()
    assert engine.execution(unbegun)["status"] == "expired"


@pytest.mark.direct
def test_what_waits_for_a_retry_is_not_looked_at_again_and_again_for_its_expiry(engine: Engine) -> None:
    worker = engine.worker(lease="1 hour")
    failed = engine.enqueued(expires_after="1 minute")
    worker.fail(worker.claim_one(), retry_after=timedelta(minutes=30))
    engine.clock.advance(minutes=5)
    with engine.db.transaction():
        before = fetched_of(engine.db, "waiting")
        engine.reap()
        assert fetched_of(engine.db, "waiting") == before
    engine.clock.advance(minutes=25)
    assert worker.claim_one()["execution_id"] == failed


def test_progress_is_fenced_and_stays_with_the_attempt(engine: Engine) -> None:
    worker, other = engine.worker(), engine.worker()
    execution_id = engine.enqueued()
    claimed = worker.claim_one()

    def report(by: Any, attempt: int, progress: Any) -> Any:
        return engine.report_progress(
            worker_id=by.worker_id, execution_id=execution_id, attempt=attempt, progress=progress
        )

    assert report(worker, 1, {"done": 10}) is True
    assert report(other, 1, {"done": 11}) is False
    assert report(worker, 2, {"done": 12}) is False
    assert engine.execution(execution_id)["progress"] == {"done": 10}
    with refused("22023", "^the progress is too large$"):
        report(worker, 1, "x" * 1_048_576)
    worker.fail(claimed)
    assert report(worker, 1, {"done": 13}) is False
    assert engine.attempts(execution_id)[0]["progress"] == {"done": 10}


def test_a_timeout_of_a_month_is_so_many_days(engine: Engine) -> None:
    engine.clock.set("2031-02-05T00:00:00+00:00")
    engine.enqueued(timeout="1 month")
    assert engine.worker().claim_one()["timeout"] == timedelta(days=28)
