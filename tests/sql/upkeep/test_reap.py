"""Silent workers."""

from __future__ import annotations

import pytest

from tests.conftest import Connect
from tests.sql.engine import Engine


def test_a_crash_uses_no_attempt_and_fences_the_dead(engine: Engine) -> None:
    worker, other = engine.worker(lease="10 seconds"), engine.worker(lease="1 hour")
    execution_id = engine.enqueued(max_attempts=1)
    claimed = worker.claim_one()
    engine.clock.advance(seconds=9)
    assert engine.reap() == 0
    engine.clock.advance(seconds=1)
    assert engine.reap() == 1
    assert engine.reap() == 0
    assert worker.finish(claimed) == [(execution_id, 1)]
    assert [row["reason"] for row in worker.beat(claimed)] == ["lost"]
    (lost,) = engine.attempts(execution_id)
    assert (lost["status"], lost["final"], lost["error"]["type"]) == ("failed", False, "worker_lost")
    again = other.claim_one()
    assert (again["attempt"], again["run_at"]) == (2, claimed["run_at"])
    other.finish(again)
    assert engine.execution(execution_id)["status"] == "succeeded"


@pytest.mark.direct
def test_who_keeps_the_lock_does_not_stop_the_reaper(engine: Engine, connect: Connect) -> None:
    """Any login may take it, that of a SQL job too."""
    connect(user="pgtick_sql").execute("select pg_advisory_lock(1885828201, -2)")
    worker = engine.worker(lease="10 seconds")
    lost = engine.enqueued()
    worker.claim_one()
    expired = engine.enqueued(expires_after="10 seconds")
    engine.clock.advance(seconds=11)
    assert engine.reap() == 0
    assert engine.execution(expired)["status"] == "ready"
    engine.clock.advance(seconds=1)
    assert engine.reap() == 1
    assert engine.execution(expired)["status"] == "expired"
    assert engine.execution(lost)["status"] == "ready"
    assert engine.status_json()["ticker"]["seen_seconds"] == 1  # the first came by


@pytest.mark.direct
def test_what_was_claimed_while_its_worker_was_stopped_is_taken_back(
    engine: Engine, connect: Connect
) -> None:
    """At once: its lease would run for an hour."""
    worker = engine.worker(lease="1 hour")
    execution_id = engine.enqueued()
    claimer = connect(autocommit=False)
    engine.clock.set(engine.clock.now, conn=claimer)
    claimer.execute("select from scheduler.claim(%s)", [worker.worker_id])
    engine.stop_worker(worker_id=worker.worker_id)
    claimer.commit()
    assert engine.execution(execution_id)["status"] == "running"
    assert engine.reap() == 1
    assert engine.execution(execution_id)["status"] == "ready"


def test_a_late_beat_before_the_reaper_keeps_everything(engine: Engine) -> None:
    worker = engine.worker(lease="10 seconds")
    engine.enqueued()
    claimed = worker.claim_one()
    engine.clock.advance(minutes=1)
    assert worker.beat(claimed) == []
    assert engine.reap() == 0
    assert worker.finish(claimed) == []


def test_a_clock_that_is_set_back_keeps_no_dead_worker_alive(engine: Engine) -> None:
    """It has one lease more, and not the hour until the clock has come again to where it was."""
    dead, alive = engine.worker(lease="10 seconds"), engine.worker(lease="10 seconds")
    engine.enqueued()
    lost = dead.claim_one()
    engine.enqueued()
    kept = alive.claim_one()
    engine.clock.advance(hours=-1)
    assert engine.reap() == 0
    engine.clock.advance(seconds=9)
    assert alive.beat(kept) == []
    assert engine.reap() == 0
    engine.clock.advance(seconds=1)
    assert engine.reap() == 1
    assert engine.execution(kept["execution_id"])["status"] == "running"
    assert alive.claim_one()["execution_id"] == lost["execution_id"]
    assert alive.release(kept) == 1
    assert alive.claim_one()["execution_id"] == kept["execution_id"]


@pytest.mark.direct
def test_a_worker_in_an_open_transaction_does_not_stop_the_reaper(engine: Engine, connect: Connect) -> None:
    open_one, dead = engine.worker(lease="10 seconds"), engine.worker(lease="10 seconds")
    engine.enqueued()
    dead.claim_one()
    client = connect()
    client.execute("begin")
    query = "select from scheduler_internal.workers where worker_id = %s for update"
    client.execute(query, [open_one.worker_id])
    engine.clock.advance(hours=-1)
    assert engine.reap() == 0
    engine.clock.advance(seconds=10)
    assert engine.reap() == 1


@pytest.mark.direct
def test_a_clock_that_is_set_back_keeps_no_fire_held(engine: Engine, connect: Connect) -> None:
    """Nor a cancel from its end; whoever has the lock."""
    worker = engine.worker(lease="1 hour")
    job_id = engine.job_of("* * * * *", overlap="queue_one")
    fires = "select execution_id from scheduler.fires where job_id = %s order by fire_at"
    engine.clock.advance(minutes=1)
    engine.rows("tick")
    runs = worker.claim_one()
    cancelled = engine.enqueued()
    waits = worker.claim_one()
    engine.clock.advance(minutes=1)
    client = connect()
    engine.clock.set(engine.clock.now, conn=client)
    client.execute("begin")
    # It has fired and cancelled before that ended, and commits after.
    client.execute("select from scheduler.tick()")
    client.execute("select scheduler.cancel_execution(%s)", [cancelled])
    worker.fail(waits)
    worker.finish(runs)
    client.execute("commit")
    held = [row["execution_id"] for row in engine.select(fires, job_id)][-1]
    assert engine.execution(held)["run_at"] is None
    connect().execute("select pg_advisory_lock(1885828201, -2)")
    engine.clock.advance(hours=-1)
    engine.reap()
    assert engine.execution(held)["run_at"] == engine.clock.now
    assert engine.execution(cancelled)["status"] == "cancelled"


def test_three_crashes_quarantine(engine: Engine) -> None:
    execution_id = engine.enqueued(max_attempts=100, dedup_key="poison", backoff_base="0")
    worker = engine.worker(lease="1 second")
    for crashes in (1, 2, 3):
        worker.beat(lease="1 second")
        worker.fail(worker.claim_one())  # failures do not count
        worker.claim_one()
        engine.clock.advance(seconds=1)
        assert engine.reap() == 1
        assert engine.execution(execution_id)["status"] == ("failed" if crashes == 3 else "ready")
    seen = engine.execution(execution_id)
    assert seen["error"]["type"] == "quarantined"
    assert "3 workers" in seen["error"]["message"]
    assert seen["attempt"] == 6
    counted = engine.select(
        "select sum(retried)::int as retried, sum(failed)::int as failed from scheduler.stats"
    )
    assert counted == [{"retried": 5, "failed": 1}]  # three failures and two crashes, then the end
    assert engine.enqueued(dedup_key="poison") != execution_id
