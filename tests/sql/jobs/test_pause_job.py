"""Pausing and resuming: no instant loses its verdict."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from tests.sql.engine import SQL_TARGET, Engine, refused


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


def vanish(engine: Engine, job_id: UUID, *, is_listed: bool = False) -> None:
    """Has the server forget the zone of a job; is_listed: and nobody has noticed yet."""
    engine.db.execute(
        "update scheduler_internal.schedules set timezone = 'Foo/Bar' where job_id = %s", [job_id]
    )
    engine.db.execute(
        "update scheduler_internal.job_versions set definition.timezone = 'Foo/Bar' where job_id = %s",
        [job_id],
    )
    if is_listed:
        engine.db.execute("insert into scheduler_internal.time_zones values ('Foo/Bar')")


@pytest.mark.parametrize("is_paused", [True, False])
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_job_whose_zone_has_vanished_can_be_mended(
    engine: Engine, is_listed: bool, is_paused: bool
) -> None:
    job_id = engine.job_of(timezone="America/Toronto")
    if is_paused:
        engine.pause_job(job_id=job_id)
    vanish(engine, job_id, is_listed=is_listed)
    engine.clock.advance(hours=2)
    engine.update_job(job_id=job_id, changes={"timezone": "America/New_York"})
    assert engine.job(job_id)["broken_reason"] is None
    engine.resume_job(job_id=job_id)
    assert engine.job(job_id)["next_fire_at"] == engine.clock.now + timedelta(hours=1)
    assert engine.ledger(job_id) == []  # what was due in a zone that nobody knows was not decided


@pytest.mark.parametrize("is_paused", [True, False])
def test_a_job_whose_zone_has_vanished_can_be_put_and_deleted(engine: Engine, is_paused: bool) -> None:
    given = {"name": "j", "job_type": "sql", "target": SQL_TARGET, "schedule": "@hourly"}
    job_id = engine.put_job(**given, timezone="America/Toronto")
    if is_paused:
        engine.pause_job(job_id=job_id)
    vanish(engine, job_id)
    engine.clock.advance(hours=2)
    assert engine.put_job(**given, timezone="America/New_York") == job_id
    vanish(engine, job_id)
    engine.clock.advance(hours=2)
    engine.delete_job(job_id=job_id)
    assert engine.select("select from scheduler.jobs") == []


@pytest.mark.parametrize(
    ("is_listed", "message"),
    [(False, '^unknown time zone "Foo/Bar"$'), (True, "^the schedule of job .* is broken$")],
)
def test_a_zone_that_has_vanished_is_named(engine: Engine, is_listed: bool, message: str) -> None:
    job_id = engine.job_of(timezone="America/Toronto")
    engine.pause_job(job_id=job_id)
    vanish(engine, job_id, is_listed=is_listed)
    engine.clock.advance(hours=2)
    before = engine.fingerprint()
    with refused("22023", message):
        engine.resume_job(job_id=job_id)
    if not is_listed:
        with refused("22023", message):
            engine.backfill_job(job_id=job_id, from_time=engine.clock.now, to_time=engine.clock.now)
    assert engine.fingerprint() == before


def test_the_ledger_of_others_does_without_a_zone_that_has_vanished(engine: Engine) -> None:
    job_id, other_id = engine.job_of(timezone="America/Toronto"), engine.job_of()
    engine.clock.advance(hours=3)
    engine.rows("tick")
    engine.pause_job(job_id=job_id)
    engine.pause_job(job_id=other_id)
    engine.clock.advance(hours=2)
    expected = hours(13, 14, "coalesced") + hours(15, 15, "fired") + hours(16, 17, "skipped_paused")
    assert engine.ledger(job_id) == engine.ledger(other_id) == expected
    vanish(engine, job_id)
    assert engine.one("select count(*) from scheduler.fires") == len(expected) + 1
    assert engine.ledger(other_id) == expected
    assert engine.ledger(job_id) == hours(15, 15, "fired")
    page = engine.list_fires(job_id=job_id)
    assert [item["verdict"] for item in page["items"]] == ["fired"]


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
