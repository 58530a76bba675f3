"""Pausing and resuming: no instant loses its verdict."""

from __future__ import annotations

import pytest

from tests.sql.engine import Engine


def hours(first: int, last: int, verdict: str) -> list[tuple[str, str]]:
    """Returns a part of an hourly ledger."""
    return [(f"03-05 {hour}:00", verdict) for hour in range(first, last + 1)]


def test_the_ledger_of_a_pause(engine: Engine) -> None:
    job_id = engine.job_of(overlap="allow", misfire="fire_all")
    engine.clock.advance(hours=1)
    engine.rows("tick")
    engine.clock.advance(hours=1)
    engine.pause_job(job_id=job_id, reason="audit")  # what is due and not fired yet is stopped as well
    job = engine.job(job_id)
    assert (job["paused"], job["pause_reason"], job["paused_at"]) == (True, "audit", engine.clock.now)
    assert job["next_fire_at"] is None
    engine.clock.advance(hours=3)
    engine.rows("tick")
    expected = hours(13, 13, "fired") + hours(14, 17, "skipped_paused")
    assert engine.ledger(job_id) == expected
    engine.resume_job(job_id=job_id)
    assert engine.ledger(job_id) == expected
    job = engine.job(job_id)
    assert (job["paused"], job["pause_reason"], job["paused_at"]) == (False, None, None)
    engine.clock.advance(hours=1)
    engine.rows("tick")
    assert engine.ledger(job_id) == expected + hours(18, 18, "fired")


def test_both_are_idempotent(engine: Engine) -> None:
    job_id = engine.job_of()
    engine.resume_job(job_id=job_id)
    engine.pause_job(job_id=job_id, reason="first")
    before = engine.fingerprint()
    engine.clock.advance(minutes=1)
    engine.pause_job(job_id=job_id, reason="second")
    assert engine.fingerprint() == before
    engine.resume_job(job_id=job_id)
    before = engine.fingerprint()
    engine.resume_job(job_id=job_id)
    assert engine.fingerprint() == before


def test_a_job_without_a_schedule_can_be_paused(engine: Engine) -> None:
    job_id = engine.job_of(None)
    engine.pause_job(job_id=job_id)
    assert engine.job(job_id)["paused"]
    assert engine.trigger_job(job_id=job_id)
    engine.resume_job(job_id=job_id)
    assert not engine.job(job_id)["paused"]


def test_a_pause_beyond_the_end_of_the_schedule(engine: Engine) -> None:
    job_id = engine.job_of(ends_at="2031-03-05 14:30+00")
    engine.pause_job(job_id=job_id)
    engine.clock.advance(days=1)
    assert engine.ledger(job_id) == hours(13, 14, "skipped_paused")
    engine.resume_job(job_id=job_id)
    assert engine.ledger(job_id) == hours(13, 14, "skipped_paused")
    assert engine.job(job_id)["next_fire_at"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "*/5 * * * *"},
        {"schedule": None},
        {"timezone": "Asia/Kathmandu"},
        {"starts_at": "2031-03-07T00:00:00Z"},
        {"queue": "other"},
        {"ends_at": "2031-03-06T00:00:00Z"},
    ],
)
def test_a_change_while_paused_keeps_the_verdicts(engine: Engine, changes: dict[str, str]) -> None:
    job_id = engine.job_of(overlap="allow")
    engine.pause_job(job_id=job_id)
    engine.clock.advance(hours=2)
    engine.update_job(job_id=job_id, changes=changes)
    assert engine.job(job_id)["paused"]
    assert engine.ledger(job_id) == hours(13, 14, "skipped_paused")
    engine.clock.advance(minutes=1)
    engine.resume_job(job_id=job_id)
    assert engine.ledger(job_id) == hours(13, 14, "skipped_paused")
    assert engine.rows("tick")[0]["fired"] == 0


def test_deleting_a_paused_job_keeps_the_verdicts(engine: Engine) -> None:
    job_id = engine.job_of()
    engine.pause_job(job_id=job_id)
    engine.clock.advance(hours=2)
    engine.delete_job(job_id=job_id)
    assert engine.ledger(job_id) == hours(13, 14, "skipped_paused")


def test_a_backfill_while_paused_makes_good_for_it(engine: Engine) -> None:
    job_id = engine.job_of()
    engine.pause_job(job_id=job_id)
    engine.clock.advance(hours=3)
    made = engine.backfill_job(job_id=job_id, from_time="2031-03-05 14:00+00", to_time="2031-03-05 14:30+00")
    assert made == 1
    expected = [
        ("03-05 13:00", "skipped_paused"),
        ("03-05 14:00", "fired"),
        ("03-05 15:00", "skipped_paused"),
    ]
    assert engine.ledger(job_id) == expected
    engine.resume_job(job_id=job_id)
    assert engine.ledger(job_id) == expected
