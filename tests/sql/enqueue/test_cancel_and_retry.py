"""Ending by hand, and running again by hand."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.conftest import Connect
from tests.sql.engine import SQL_TARGET, Engine, refused


def test_cancel_what_waits(engine: Engine) -> None:
    for run_at in (None, engine.clock.now + timedelta(days=200)):  # ready; scheduled past every partition
        execution_id = engine.enqueued(run_at=run_at)
        assert engine.cancel_execution(execution_id=execution_id) is True
        seen = engine.execution(execution_id)
        assert (seen["status"], seen["attempt"], seen["finished_at"]) == ("cancelled", 0, engine.clock.now)
        assert seen["error"] == {"type": "cancelled", "message": "cancelled by postgres"}
        assert engine.cancel_execution(execution_id=execution_id) is False
        assert engine.attempts(execution_id) == []


def test_cancel_what_runs(engine: Engine) -> None:
    worker = engine.worker()
    execution_id = engine.enqueued()
    claimed = worker.claim_one()
    assert worker.beat(claimed) == []
    assert engine.cancel_execution(execution_id=execution_id) is True
    assert engine.cancel_execution(execution_id=execution_id) is True
    (told,) = worker.beat(claimed)
    assert told == {"execution_id": execution_id, "attempt": 1, "reason": "cancelled"}
    assert worker.finish(claimed, status="cancelled") == []
    assert engine.execution(execution_id)["status"] == "cancelled"
    assert engine.cancel_execution(execution_id=execution_id) is False


@pytest.mark.direct
def test_a_client_that_does_not_commit_its_cancel_holds_up_no_other_end(
    engine: Engine, connect: Connect
) -> None:
    """Both count in the rollups, in the same minute, shard, queue and job type."""
    engine.rows("maintain")
    item = {"job_type": "sql", "target": SQL_TARGET}
    engine.rows("enqueue_many", items=[item, item])
    worker = engine.worker()
    (claimed,) = worker.claim()
    client = connect()
    engine.clock.set(engine.clock.now, conn=client)
    client.execute("begin")
    client.execute(
        "select scheduler.cancel_execution(execution_id) from scheduler.executions where status = 'ready'"
    )
    engine.db.execute("set lock_timeout = '1s'")
    assert worker.finish(claimed) == []
    client.execute("commit")
    (stats,) = engine.select("select succeeded, cancelled from scheduler.stats")
    assert stats == {"succeeded": 1, "cancelled": 1}


@pytest.mark.parametrize("ending", ["failed", "succeeded", "release", "stop", "reap"])
def test_a_cancelled_execution_is_never_run_again(engine: Engine, ending: str) -> None:
    worker = engine.worker()
    job_id = engine.job_of(overlap="queue_one")
    engine.clock.advance(hours=1)
    engine.rows("tick")
    worker.beat()
    claimed = worker.claim_one()
    engine.clock.advance(hours=1)
    engine.rows("tick")  # one is held behind it
    worker.beat()
    engine.cancel_execution(execution_id=claimed["execution_id"])
    match ending:
        case "release":
            assert worker.release(claimed) == 1
        case "stop":
            engine.stop_worker(worker_id=worker.worker_id)
        case "reap":
            engine.clock.advance(minutes=1)
            assert engine.reap() == 1
        case _:
            worker.finish(claimed, status=ending)
    worker.beat()
    seen = engine.execution(claimed["execution_id"])
    assert seen["status"] == (ending if ending in ("failed", "succeeded") else "cancelled")
    held = worker.claim_one()
    assert held["job_id"] == job_id
    assert held["execution_id"] != claimed["execution_id"]


def test_retry_runs_an_end_again_with_all_attempts(engine: Engine) -> None:
    worker = engine.worker()
    execution_id = engine.enqueued(max_attempts=2, backoff_base="0", payload={"k": 1}, dedup_key="d")
    for _ in range(2):
        worker.fail(worker.claim_one())
    assert engine.execution(execution_id)["status"] == "failed"
    assert engine.retry_execution(execution_id=execution_id) is True
    assert engine.execution(execution_id)["status"] == "ready"
    assert engine.retry_execution(execution_id=execution_id) is False  # it waits
    again = worker.claim_one()
    assert (again["attempt"], again["payload"], again["max_attempts"]) == (3, {"k": 1}, 2)
    assert engine.retry_execution(execution_id=execution_id) is False  # it runs
    worker.fail(again)
    worker.fail(worker.claim_one())
    seen = engine.execution(execution_id)
    assert (seen["status"], seen["attempt"]) == ("failed", 4)
    assert [row["attempt"] for row in engine.attempts(execution_id)] == [1, 2, 3, 4]
    assert engine.retry_execution(execution_id=execution_id) is True  # once more
    worker.finish(worker.claim_one())
    assert engine.execution(execution_id)["status"] == "succeeded"
    assert engine.one("select count(*) from scheduler.executions") == 1


@pytest.mark.parametrize("ending", ["succeeded", "cancelled", "expired"])
def test_every_end_can_be_retried(engine: Engine, ending: str) -> None:
    worker = engine.worker()
    job_id = engine.job_of(None, expires_after="1 minute", payload={"of": "the job"})
    execution_id = engine.trigger_job(job_id=job_id)
    match ending:
        case "succeeded":
            worker.finish(worker.claim_one())
        case "cancelled":
            engine.cancel_execution(execution_id=execution_id)
        case "expired":
            engine.clock.advance(minutes=1)
            engine.reap()
    assert engine.execution(execution_id)["status"] == ending
    engine.delete_job(job_id=job_id)
    engine.clock.advance(days=3)
    assert engine.retry_execution(execution_id=execution_id) is True
    assert engine.cancel_execution(execution_id=execution_id) is True
    assert engine.retry_execution(execution_id=execution_id) is True
    engine.clock.advance(hours=1)
    worker.beat()
    claimed = worker.claim_one()
    assert (claimed["execution_id"], claimed["payload"]) == (execution_id, {"of": "the job"})
    worker.finish(claimed)
    assert engine.execution(execution_id)["status"] == "succeeded"


def test_a_fire_held_for_a_retry_is_let_go_at_its_end(engine: Engine) -> None:
    worker = engine.worker(lease="1 hour")
    engine.job_of("* * * * *", overlap="queue_one", max_attempts=1)
    engine.clock.advance(minutes=1)
    engine.rows("tick")
    claimed = worker.claim_one()
    worker.fail(claimed)
    assert engine.retry_execution(execution_id=claimed["execution_id"]) is True
    again = worker.claim_one()
    engine.clock.advance(minutes=1)
    engine.rows("tick")
    assert worker.claim() == []
    worker.finish(again)
    assert worker.claim_one()["fire_at"] == engine.clock.now


def test_retry_needs_the_dedup_key(engine: Engine) -> None:
    execution_id = engine.enqueued(dedup_key="d")
    engine.cancel_execution(execution_id=execution_id)
    engine.enqueued(dedup_key="d")
    before = engine.fingerprint()
    with refused("55000", "^its dedup_key is taken$"):
        engine.retry_execution(execution_id=execution_id)
    assert engine.fingerprint() == before


def test_after_the_retention_nothing_is_known(engine: Engine) -> None:
    worker = engine.worker()
    engine.maintain()
    execution_id = engine.enqueued()
    worker.finish(worker.claim_one())
    engine.clock.advance(days=32)
    engine.upkeep()
    with refused("P0002", "^execution .* does not exist$"):
        engine.retry_execution(execution_id=execution_id)
    with refused("P0002", "^execution .* does not exist$"):
        engine.cancel_execution(execution_id=execution_id)
    assert engine.rows("get_execution", execution_id=execution_id) == []


def test_a_retry_keeps_its_day_of_history(engine: Engine) -> None:
    worker = engine.worker()
    execution_id = engine.enqueued()
    engine.cancel_execution(execution_id=execution_id)
    engine.clock.advance(days=29)
    assert engine.retry_execution(execution_id=execution_id)
    engine.clock.advance(days=29)
    engine.upkeep()
    worker.beat()
    worker.finish(worker.claim_one())
    assert engine.execution(execution_id)["status"] == "succeeded"
    engine.clock.advance(days=29)
    engine.upkeep()
    assert engine.execution(execution_id)["status"] == "succeeded"
    engine.clock.advance(days=2)
    engine.upkeep()
    assert engine.rows("get_execution", execution_id=execution_id) == []
    assert engine.one("select count(*) from scheduler_internal.retried") == 0


@pytest.mark.parametrize("function", ["cancel_execution", "retry_execution"])
@pytest.mark.parametrize("execution_id", [None, "unknown"])
def test_an_unknown_id_is_refused(engine: Engine, function: str, execution_id: str | None) -> None:
    unknown = None if execution_id is None else uuid4()
    with refused("P0002", "^execution .* does not exist$"):
        engine.value(function, execution_id=unknown)
