"""What the views show, through the life of an execution."""

from __future__ import annotations

from datetime import timedelta

from tests.sql.engine import Engine


def test_an_execution_is_shown_once_at_every_stage(engine: Engine) -> None:
    worker = engine.worker()
    execution_id = engine.enqueued(run_at="2031-03-05T12:30Z", max_attempts=2, backoff_base="0", payload=[1])
    stages = []

    def look() -> None:
        (row,) = engine.select("select * from scheduler.executions")
        assert row == engine.execution(execution_id)
        assert (row["payload"], row["max_attempts"], row["origin"]) == ([1], 2, "enqueue")
        stages.append((row["status"], row["attempt"]))

    look()
    engine.clock.advance(minutes=30)
    look()
    worker.beat()
    claimed = worker.claim_one()
    look()
    worker.fail(claimed)
    look()
    claimed = worker.claim_one()
    engine.cancel_execution(execution_id=execution_id)
    look()
    worker.finish(claimed, status="cancelled")
    look()
    engine.retry_execution(execution_id=execution_id)
    look()
    engine.cancel_execution(execution_id=execution_id)
    look()
    assert stages == [
        ("scheduled", 0), ("ready", 0), ("running", 1), ("ready", 1), ("running", 2), ("cancelled", 2),
        ("ready", 2), ("cancelled", 2),
    ]  # fmt: skip
    assert [(row["attempt"], row["status"], row["final"]) for row in engine.attempts(execution_id)] == [
        (1, "failed", False),
        (2, "cancelled", True),
    ]


def test_queues_workers_and_stats(engine: Engine) -> None:
    worker = engine.worker(node_id="node-1", queues=["a"], job_types=["sql"], concurrency=4)
    for minutes in (0, 0, 5):
        engine.enqueued(queue="a", run_at=engine.clock.now + timedelta(minutes=minutes))
    engine.enqueued(queue="b")
    claimed = worker.claim(1, queues=["a"])
    queues = engine.select("select * from scheduler.queues order by queue")
    at = engine.clock.now
    assert queues == [
        {"queue": "a", "ready": 1, "scheduled": 1, "running": 1, "oldest_ready_at": at},
        {"queue": "b", "ready": 1, "scheduled": 0, "running": 0, "oldest_ready_at": at},
    ]
    (seen,) = engine.select("select * from scheduler.workers")
    assert (seen["node_id"], seen["queues"], seen["job_types"]) == ("node-1", ["a"], ["sql"])
    assert (seen["status"], seen["running"], seen["concurrency"]) == ("active", 1, 4)
    worker.beat(draining=True)
    assert engine.one("select status from scheduler.workers") == "draining"
    engine.clock.advance(seconds=9)
    worker.finish(*claimed)
    engine.clock.advance(seconds=1)
    assert engine.one("select status from scheduler.workers") == "silent"
    (stats,) = engine.select("select * from scheduler.stats")
    assert (stats["queue"], stats["job_type"], stats["succeeded"]) == ("a", "sql", 1)
    assert stats["minute"] == at
    assert (stats["run_seconds"], stats["wait_seconds"]) == (9, 0)


def test_the_ledger_outlives_changes_of_zone_and_schedule(engine: Engine) -> None:
    job_id = engine.job_of("0 6 * * *", timezone="America/New_York")
    engine.clock.advance(days=7)  # over the change to summer time of 9 March
    engine.rows("tick")
    before = engine.ledger(job_id)
    assert before == [
        *[(f"03-0{day} 11:00", "coalesced") for day in (6, 7, 8)],
        *[(f"03-{day:02} 10:00", "coalesced") for day in (9, 10, 11)],
        ("03-12 10:00", "fired"),
    ]
    engine.update_job(job_id=job_id, changes={"schedule": "@hourly", "timezone": "Asia/Tokyo"})
    assert engine.ledger(job_id) == before
    engine.delete_job(job_id=job_id)
    assert engine.ledger(job_id) == before
