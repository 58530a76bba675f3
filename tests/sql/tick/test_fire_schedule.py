"""Misfire: what becomes of the instants that nobody ticked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from tests.sql.engine import Engine

HOURS = ["13", "14", "15", "16"]


def verdicts(engine: Engine, late_minutes: int = 10, **policies: object) -> list[str]:
    """Returns the verdicts of the hours 13 to 16 when nobody ticked until after the last."""
    job_id = engine.job_of("0 * * * *", overlap="allow", **policies)
    engine.clock.set(datetime(2031, 3, 5, 16, late_minutes, tzinfo=UTC))
    engine.rows("tick")
    ledger = engine.ledger(job_id)
    assert [instant for instant, _ in ledger] == [f"03-05 {hour}:00" for hour in HOURS]
    return [verdict for _, verdict in ledger]


def test_fire_once_runs_the_newest(engine: Engine) -> None:
    assert verdicts(engine) == ["coalesced"] * 3 + ["fired"]


def test_fire_all_runs_each(engine: Engine) -> None:
    assert verdicts(engine, misfire="fire_all") == ["fired"] * 4


@pytest.mark.parametrize("cap", [1, 2, 3, 4, 5])
def test_misfire_cap_keeps_the_newest(engine: Engine, cap: int) -> None:
    skipped = max(0, 4 - cap)
    expected = ["skipped_misfire"] * skipped + ["fired"] * (4 - skipped)
    assert verdicts(engine, misfire="fire_all", misfire_cap=cap) == expected


def test_skip_runs_only_what_is_on_time(engine: Engine) -> None:
    assert verdicts(engine, misfire="skip") == ["skipped_misfire"] * 4


def test_skip_takes_a_minute_for_on_time(engine: Engine) -> None:
    assert verdicts(engine, late_minutes=1, misfire="skip") == ["skipped_misfire"] * 3 + ["fired"]


def test_skip_with_a_window_takes_that_for_on_time(engine: Engine) -> None:
    expected = ["skipped_misfire"] * 3 + ["fired"]
    assert verdicts(engine, misfire="skip", misfire_window="10 minutes") == expected


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("fire_once", ["skipped_window"] * 2 + ["coalesced", "fired"]),
        ("fire_all", ["skipped_window"] * 2 + ["fired", "fired"]),
    ],
)
def test_misfire_window_bounds_the_lateness(engine: Engine, misfire: str, expected: list[str]) -> None:
    assert verdicts(engine, misfire=misfire, misfire_window="70 minutes") == expected


@pytest.mark.direct
def test_a_day_is_as_long_for_whoever_ticks(engine: Engine) -> None:
    """In Berlin the day of the change has 23 hours."""
    engine.clock.set("2031-03-28T12:00:00+00:00", conn=engine.db)
    job_id = engine.job_of("30 12 * * *", misfire="fire_once", misfire_window="1 day")
    engine.clock.set("2031-03-30T12:00:00+00:00", conn=engine.db)
    engine.db.execute("set timezone = 'Europe/Berlin'")
    engine.rows("tick")
    assert engine.ledger(job_id)[-1] == ("03-29 12:30", "fired")


@pytest.mark.direct
@pytest.mark.parametrize("change", ["update_job", "backfill_job", "delete_job"])
def test_a_day_is_as_long_for_whoever_changes_the_job(engine: Engine, change: str) -> None:
    """In Berlin the day of the change has 23 hours."""
    engine.clock.set("2031-03-28T12:00:00+00:00", conn=engine.db)
    job_id = engine.job_of("30 12 * * *", misfire="fire_once", misfire_window="1 day")
    engine.clock.set("2031-03-30T12:00:00+00:00", conn=engine.db)
    engine.db.execute("set timezone = 'Europe/Berlin'")
    instant = "2031-03-28T12:30Z"
    given: dict[str, dict[str, Any]] = {
        "update_job": {"changes": {"priority": 1}},
        "backfill_job": {"from_time": instant, "to_time": instant},
    }
    engine.rows(change, job_id=job_id, **given.get(change, {}))
    assert ("03-29 12:30", "fired") in engine.ledger(job_id)


def test_misfire_window_may_leave_nothing(engine: Engine) -> None:
    assert verdicts(engine, misfire="fire_once", misfire_window="9 minutes") == ["skipped_window"] * 4


@pytest.mark.parametrize("policies", [{}, {"misfire_cap": 1}, {"misfire_cap": 3}])
@pytest.mark.parametrize("misfire", ["fire_once", "fire_all", "skip"])
def test_a_one_shot_missed_beyond_its_window_is_over(
    engine: Engine, misfire: str, policies: dict[str, int]
) -> None:
    job_id = engine.job_of("0 0 14 5 3 * 2031", misfire=misfire, misfire_window="1 hour", **policies)
    other_id = engine.job_of("0 * * * *")
    engine.clock.advance(hours=5)
    engine.rows("tick")
    (entry,) = engine.ledger(job_id)
    assert entry == ("03-05 14:00", "skipped_misfire" if misfire == "skip" else "skipped_window")
    assert engine.job(job_id)["next_fire_at"] is None
    assert engine.job(job_id)["broken_reason"] is None
    assert engine.ledger(other_id)[-1] == ("03-05 17:00", "fired")


def test_of_many_that_a_long_outage_skips_a_tick_does_not_count_each(engine: Engine) -> None:
    """It took nearly all of a tick's time, and what was due on time waited for it."""
    shards = [engine.get_shard_id(job_id=engine.job_of("* * * * *")) for _ in range(17)]  # one holds two
    shard = max(shards, key=shards.count)
    engine.clock.advance(days=30)
    (tick,) = engine.rows("tick_shard", shard=shard)
    assert (tick["fired"], tick["skipped"]) == (shards.count(shard), 10_000 + shards.count(shard) - 1)


def test_instants_after_ends_at_are_none(engine: Engine) -> None:
    job_id = engine.job_of("0 * * * *", misfire="fire_all", overlap="allow", ends_at="2031-03-05 14:00+00")
    engine.clock.advance(hours=5)
    engine.rows("tick")
    assert engine.ledger(job_id) == [("03-05 13:00", "fired"), ("03-05 14:00", "fired")]
    assert engine.job(job_id)["next_fire_at"] is None


def test_a_long_outage_costs_one_row(engine: Engine) -> None:
    job_id = engine.job_of("* * * * *")
    engine.clock.advance(days=365)
    (tick,) = engine.rows("tick")
    assert (tick["fired"], tick["skipped"]) == (1, 10_000)
    assert engine.one("select count(*) from scheduler_internal.skipped_fires") == 1
    query = "select count(*), count(distinct fire_at) as instants from scheduler.fires where job_id = %s"
    assert engine.select(query, job_id) == [{"count": 525_600, "instants": 525_600}]


def test_a_long_outage_with_something_in_the_way_costs_one_row(engine: Engine) -> None:
    job_id = engine.job_of("* * * * *", misfire="fire_all", overlap="skip")
    engine.clock.advance(minutes=1)
    engine.rows("tick")
    engine.clock.advance(days=30)
    (tick,) = engine.rows("tick", max_fires=10)
    assert tick["fired"] == 0
    assert tick["next_due_at"] > engine.clock.now
    assert engine.one("select count(*) from scheduler_internal.skipped_fires") == 1
    query = "select count(*) from scheduler.fires where job_id = %s and verdict = 'skipped_overlap'"
    assert engine.one(query, job_id) == 30 * 1440


def test_max_fires_bounds_a_call_and_the_next_goes_on(engine: Engine) -> None:
    job_ids = [engine.job_of("* * * * *", misfire="fire_all", overlap="allow") for _ in range(3)]
    engine.clock.advance(minutes=7)
    shards = {engine.one("select scheduler.get_shard_id(%s)", job_id) for job_id in job_ids}
    calls = []
    while (tick := engine.rows("tick", max_fires=4)[0])["next_due_at"] <= engine.clock.now:
        calls.append(tick["fired"])
        assert tick["fired"] <= 4 * len(shards)
    assert sum(calls) + tick["fired"] == 21
    for job_id in job_ids:
        assert [verdict for _, verdict in engine.ledger(job_id)] == ["fired"] * 7


def test_max_fires_bounds_the_punctual_and_the_missed_together(engine: Engine) -> None:
    shard = 3
    ids: list[UUID] = []
    while len(ids) < 4:
        job_id = engine.job_of("* * * * *", misfire="fire_all", overlap="allow")
        if engine.one("select scheduler.get_shard_id(%s)", job_id) == shard:
            ids.append(job_id)
        else:
            engine.delete_job(job_id=job_id)
    late = ids[0]
    engine.clock.advance(minutes=1)
    engine.db.execute(
        "update scheduler_internal.schedules set next_fire_at = next_fire_at - interval '20 minutes'"
        " where job_id = %s",
        [late],
    )
    (tick,) = engine.rows("tick_shard", shard=shard, max_fires=5)
    assert tick["fired"] == 5


@pytest.mark.parametrize("misfire", ["skip", "fire_once", "fire_all"])
def test_a_clock_set_back_fires_nothing_twice(engine: Engine, misfire: str) -> None:
    job_id = engine.job_of("0 * * * *", misfire=misfire, overlap="allow")
    engine.clock.advance(hours=1)
    engine.rows("tick")
    engine.clock.advance(minutes=-30)
    assert engine.rows("tick")[0]["fired"] == 0
    engine.clock.advance(minutes=30)
    assert engine.rows("tick")[0]["fired"] == 0
    assert engine.ledger(job_id) == [("03-05 13:00", "fired")]
