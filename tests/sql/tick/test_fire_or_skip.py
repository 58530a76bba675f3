"""Overlap: what becomes of a fire while an earlier one of its job has not ended."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.sql.engine import Engine


def tick_hours(engine: Engine, hours: int = 1) -> None:
    """Lives through some hours, ticking on the hour."""
    for _ in range(hours):
        engine.clock.advance(hours=1)
        engine.rows("tick")


def statuses(engine: Engine, job_id: UUID) -> list[str]:
    """Returns the statuses of a job's fires, oldest first."""
    query = "select status, run_at from scheduler.executions where job_id = %s order by fire_at"
    rows = engine.select(query.replace("run_at", "run_at is null as held"), job_id)
    return ["held" if row["held"] else row["status"] for row in rows]


def test_allow_runs_them_beside_each_other(engine: Engine) -> None:
    job_id = engine.job_of(overlap="allow")
    tick_hours(engine, 3)
    assert statuses(engine, job_id) == ["ready"] * 3


def test_skip_waits_for_the_end(engine: Engine) -> None:
    worker = engine.worker()
    job_id = engine.job_of(overlap="skip")
    tick_hours(engine, 2)
    worker.beat()
    claimed = worker.claim_one()
    tick_hours(engine)
    worker.fail(claimed)  # it waits for its next attempt: it has not ended
    tick_hours(engine)
    worker.beat()
    worker.finish(worker.claim_one())
    tick_hours(engine)
    verdicts = [verdict for _, verdict in engine.ledger(job_id)]
    assert verdicts == ["fired", *["skipped_overlap"] * 3, "fired"]
    assert statuses(engine, job_id) == ["succeeded", "ready"]


def test_queue_one_holds_one(engine: Engine) -> None:
    worker = engine.worker()
    job_id = engine.job_of(overlap="queue_one")
    tick_hours(engine, 1)
    worker.beat()
    claimed = worker.claim_one()
    tick_hours(engine, 3)
    assert [verdict for _, verdict in engine.ledger(job_id)] == ["fired"] * 2 + ["skipped_overlap"] * 2
    assert statuses(engine, job_id) == ["running", "held"]
    worker.beat()
    assert worker.claim(5) == []
    assert worker.finish(claimed) == []
    assert statuses(engine, job_id) == ["succeeded", "ready"]
    held = worker.claim_one()
    assert held["run_at"] == engine.clock.now


@pytest.mark.parametrize("ending", ["cancel", "expire", "reap", "fail"])
def test_a_held_fire_is_let_go_by_every_end(engine: Engine, ending: str) -> None:
    worker = engine.worker()
    job_id = engine.job_of(
        overlap="queue_one", max_attempts=1, **({"expires_after": "80 minutes"} if ending == "expire" else {})
    )
    tick_hours(engine)
    worker.beat()
    if ending in ("reap", "fail"):
        claimed = worker.claim_one()
    tick_hours(engine)
    assert statuses(engine, job_id)[1] == "held"
    match ending:
        case "cancel":
            first = engine.one("select min(execution_id::text)::uuid from scheduler.executions")
            assert engine.cancel_execution(execution_id=first)
        case "expire":
            engine.clock.advance(minutes=21)
            engine.reap()
        case "fail":
            worker.fail(claimed)
        case "reap":
            assert engine.reap() == 1
            for _ in range(2):
                worker.beat()
                worker.claim_one()
                engine.clock.advance(minutes=1)
                assert engine.reap() == 1
    assert statuses(engine, job_id)[1] == "ready"


def test_cancel_running_replaces_what_waits_and_what_runs(engine: Engine) -> None:
    worker = engine.worker()
    job_id = engine.job_of(overlap="cancel_running")
    tick_hours(engine, 2)
    assert statuses(engine, job_id) == ["cancelled", "ready"]
    worker.beat()
    claimed = worker.claim_one()
    tick_hours(engine)
    assert statuses(engine, job_id) == ["cancelled", "running", "held"]
    (stop,) = worker.beat(claimed)
    assert stop["reason"] == "cancelled"
    tick_hours(engine)
    assert statuses(engine, job_id) == ["cancelled", "running", "cancelled", "held"]
    worker.finish(claimed, status="cancelled")
    assert statuses(engine, job_id) == ["cancelled", "cancelled", "cancelled", "ready"]
    assert [verdict for _, verdict in engine.ledger(job_id)] == ["fired"] * 4


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "cancel_running"])
def test_triggers_and_backfills_are_in_nobodys_way(engine: Engine, overlap: str) -> None:
    job_id = engine.job_of(overlap=overlap)
    triggered = engine.trigger_job(job_id=job_id)
    engine.backfill_job(job_id=job_id, from_time="2031-03-05 10:00+00", to_time="2031-03-05 11:00+00")
    tick_hours(engine)
    assert statuses(engine, job_id) == ["ready"] * 4
    assert engine.execution(triggered)["status"] == "ready"


def test_jitter_spreads_within_the_width_and_is_stable(engine: Engine) -> None:
    job_ids = [engine.job_of(jitter="10 minutes", overlap="allow") for _ in range(20)]
    tick_hours(engine)
    query = "select extract(epoch from run_at - fire_at)::float8 as late from scheduler.executions"
    lates = [row["late"] for row in engine.select(query)]
    assert len(lates) == len(job_ids)
    assert all(0 <= late < 600 for late in lates)
    assert max(lates) - min(lates) > 60
    spread = """
        select bool_and(run_at = scheduler_internal.spread(job_id, fire_at, '10 minutes'))
        from scheduler.executions
    """
    assert engine.one(spread)


def test_jitter_ends_before_the_following_instant(engine: Engine) -> None:
    # Punctually and late alike, also where the following instant is past ends_at.
    policies = {
        "overlap": "allow",
        "misfire": "fire_all",
        "jitter": "1 day",
        "ends_at": "2031-03-05 14:00+00",
    }
    punctual = [engine.job_of(**policies) for _ in range(10)]
    tick_hours(engine, 2)
    late = [engine.job_of(schedule="*/10 * * * *", **(policies | {"ends_at": "2031-03-05 15:00+00"}))]
    engine.clock.advance(minutes=5)
    engine.rows("tick")
    query = """
        select max(run_at - fire_at) < '1 hour' as bounded from scheduler.executions
        where job_id = any (%s)
    """
    assert engine.one(query, [*punctual, *late])


def test_expiry_counts_from_the_jittered_start(engine: Engine) -> None:
    job_id = engine.job_of(jitter="30 minutes", expires_after="1 minute", overlap="allow")
    tick_hours(engine)
    query = (
        "select expires_at - run_at = '1 minute' as fits from scheduler_internal.waiting where job_id = %s"
    )
    assert engine.one(query, job_id)
