"""What Prometheus is told of the whole: counters that never fall, and how long work has been ready."""

from __future__ import annotations

from typing import Any

from tests.sql.engine import Engine

NONE = {"succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0, "retried": 0}


def executions(engine: Engine) -> dict[str, dict[str, int]]:
    """Returns the counts by job type."""
    return {row.pop("job_type"): row for row in engine.metrics_json()["executions"]}


def queues(engine: Engine) -> dict[str, float]:
    """Returns how long the oldest of each queue has been ready."""
    return {row["queue"]: row["oldest_ready_seconds"] for row in engine.metrics_json()["queues"]}


def end(engine: Engine, *statuses: str, **arguments: Any) -> None:
    """Makes executions of the type http that end so."""
    worker = engine.worker(lease="1 hour")
    for status in statuses:
        engine.enqueued(job_type="http", target={"url": "https://example.org"}, max_attempts=1, **arguments)
        worker.finish(worker.claim_one(), status=status)


def test_nothing(engine: Engine) -> None:
    assert engine.metrics_json() == {"executions": [], "active": 0, "queues": []}


def test_what_ended(engine: Engine) -> None:
    end(engine, "succeeded", "succeeded", "failed")
    waits = engine.enqueued(job_type="http", target={"url": "https://example.org"})
    engine.cancel_execution(execution_id=waits)
    assert executions(engine) == {"http": NONE | {"succeeded": 2, "failed": 1, "cancelled": 1}}


def test_counters_never_fall(engine: Engine) -> None:
    """The rollups are summed up while they are dropped day by day, and nothing counts twice or not at all."""
    expected = 0
    for _ in range(12):
        for minutes in (0, 1, 7, 11):
            engine.clock.advance(minutes=minutes)
            end(engine, "succeeded")
            expected += 1
            assert executions(engine)["http"]["succeeded"] == expected
            engine.maintain()
            assert executions(engine)["http"]["succeeded"] == expected
            engine.maintain()
        engine.clock.advance(days=4)
    engine.clock.advance(days=40)
    for _ in range(3):  # 30 days a call
        engine.maintain()
        assert executions(engine)["http"]["succeeded"] == expected
    assert engine.one("select count(*) from scheduler_internal.rollups") == 0
    assert executions(engine) == {"http": NONE | {"succeeded": expected}}


def test_the_last_minutes_are_not_settled(engine: Engine) -> None:
    """Who counts late still does."""
    end(engine, "succeeded")
    engine.maintain()
    assert engine.one("select count(*) from scheduler_internal.execution_totals") == 0
    engine.clock.advance(minutes=10)
    engine.maintain()
    assert engine.one("select count(*) from scheduler_internal.execution_totals") == 0
    engine.clock.advance(minutes=1)
    engine.maintain()
    assert engine.one("select t.succeeded from scheduler_internal.execution_totals t") == 1


def test_what_runs(engine: Engine) -> None:
    worker = engine.worker()
    for _ in range(3):
        engine.enqueued()
    worker.claim(max_executions=2)
    assert engine.metrics_json()["active"] == 2


def test_the_oldest_of_each_queue(engine: Engine) -> None:
    """Whatever its priority; what is not ready yet, or held, has not been ready for any time."""
    for queue in ("a", "b", "c"):
        engine.enqueued(queue=queue, run_at=engine.clock.now.replace(hour=13))
    engine.clock.advance(minutes=10)
    engine.enqueued(queue="a", priority=5)
    engine.clock.advance(minutes=10)
    engine.enqueued(queue="a", priority=9)
    engine.enqueued(queue="b", priority=-9)
    engine.clock.advance(seconds=30)
    assert queues(engine) == {"a": 630, "b": 30, "c": 0}
    engine.clock.advance(hours=1)
    assert queues(engine) == {"a": 4230, "b": 3630, "c": 1230}


def test_an_idle_queue_is_there(engine: Engine) -> None:
    """An alert on it ends because it is 0, not because it has gone."""
    end(engine, "succeeded", queue="mail")
    assert queues(engine) == {"mail": 0}
