"""The ticker's unit of work, and what a broken schedule does to it: nothing."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from tests.conftest import Connect
from tests.faults.bugs import rewrite
from tests.sql.engine import Engine, refused


def test_a_tick_tells_what_it_did_and_what_comes(engine: Engine) -> None:
    job_id = engine.job_of("30 * * * *")
    shard = engine.get_shard_id(job_id=job_id)
    (due,) = engine.rows("due_shards")
    assert due == {"shard": shard, "next_due_at": engine.clock.now.replace(minute=30)}
    assert engine.rows("tick_shard", shard=shard) == [
        {"fired": 0, "skipped": 0, "next_due_at": engine.clock.now.replace(minute=30)}
    ]
    engine.clock.advance(hours=2, minutes=45)
    (tick,) = engine.rows("tick")
    assert (tick["fired"], tick["skipped"]) == (1, 2)
    assert tick["next_due_at"] == engine.clock.now.replace(hour=15, minute=30)
    job = engine.job(job_id)
    assert job["last_fire_at"] == engine.clock.now.replace(hour=14, minute=30)
    assert job["next_fire_at"] == tick["next_due_at"]


def test_without_schedules_there_is_nothing_due(engine: Engine) -> None:
    engine.job_of(None)
    assert engine.rows("due_shards") == []
    assert engine.rows("tick") == [{"fired": 0, "skipped": 0, "next_due_at": None}]


@pytest.mark.parametrize("shard", [-1, 16, None])
def test_a_shard_that_does_not_exist_is_refused(engine: Engine, shard: int | None) -> None:
    with refused("22023", "^shard .* does not exist$"):
        engine.rows("tick_shard", shard=shard)


@pytest.mark.parametrize("max_fires", [0, -1, None])
def test_max_fires_must_be_positive(engine: Engine, max_fires: int | None) -> None:
    with refused("22023", "^max_fires must be positive$"):
        engine.rows("tick_shard", shard=0, max_fires=max_fires)


def test_rules_that_only_look_alike_are_kept_apart(engine: Engine) -> None:
    """What is due of one rule is computed once; and a month equals 30 days, as PostgreSQL compares them."""
    due_at = engine.clock.now + timedelta(days=1)
    following = {"1 month": due_at.replace(month=due_at.month + 1), "30 days": due_at + timedelta(days=30)}
    jobs = {
        engine.job_of(f"every {step} from {due_at:%Y-%m-%dT%H:%MZ}"): step
        for step in following
        for _ in range(40)
    }
    engine.clock.set(due_at)
    assert engine.rows("tick")[0]["fired"] == len(jobs)
    for job_id, step in jobs.items():
        assert engine.job(job_id)["next_fire_at"] == following[step]


@pytest.mark.direct
def test_the_loser_of_the_lock_returns_zeros(engine: Engine, connect: Connect) -> None:
    job_id = engine.job_of()
    shard = engine.get_shard_id(job_id=job_id)
    engine.clock.advance(hours=1)
    other = connect(autocommit=False)
    engine.clock.set(engine.clock.now, conn=other)
    assert other.execute("select fired from scheduler.tick_shard(%s)", [shard]).fetchone() == (1,)
    zeros = {"fired": 0, "skipped": 0, "next_due_at": None}
    assert engine.rows("tick_shard", shard=shard) == [zeros]
    # With the lock off it finds the row locked: it does not wait, and it does not fire it again.
    engine.db.execute("set scheduler.tick_lock = off")
    assert engine.rows("tick_shard", shard=shard)[0]["fired"] == 0
    other.commit()
    assert engine.rows("tick_shard", shard=shard)[0]["fired"] == 0
    assert engine.ledger(job_id) == [("03-05 13:00", "fired")]


@pytest.mark.direct
def test_who_keeps_the_lock_does_not_stop_the_ticks(engine: Engine, connect: Connect) -> None:
    """Any login may take it, that of a SQL job too."""
    job_id = engine.job_of()
    shard = engine.get_shard_id(job_id=job_id)
    connect(user="pgtick_sql").execute("select pg_advisory_lock(1885828201, %s)", [shard])
    fired = {0: 0, 1: 0, 2: 1}
    for seconds in fired:
        engine.clock.set(f"2031-03-05T13:00:0{seconds}+00:00")
        assert engine.rows("tick_shard", shard=shard)[0]["fired"] == fired[seconds]
    assert engine.ledger(job_id) == [("03-05 13:00", "fired")]


def test_a_tick_ends_by_time_and_the_next_goes_on(engine: Engine) -> None:
    """Else a ticker, which waits for five seconds, would never get through after a long outage."""
    jobs: dict[int, list[UUID]] = {}
    while not any(len(found) == 3 for found in jobs.values()):
        job_id = engine.job_of("* * * * *")
        jobs.setdefault(engine.get_shard_id(job_id=job_id), []).append(job_id)
    (shard,) = [shard for shard, found in jobs.items() if len(found) == 3]
    # As a week of minutes takes, of many jobs.
    rewrite(engine.db, "scheduler_internal.skip_fires", "return (", "perform pg_sleep(0.6); return (")
    engine.clock.advance(hours=1)
    fired: list[int] = []
    while sum(fired) < 3:
        (tick,) = engine.rows("tick_shard", shard=shard)
        fired.append(tick["fired"])
        assert tick["skipped"] == 59 * tick["fired"]
        assert (tick["next_due_at"] > engine.clock.now) == (sum(fired) == 3)
        assert 1 <= tick["fired"] <= 2


@pytest.mark.direct
def test_a_tick_ends_by_time_also_where_all_make_it_wait(engine: Engine, connect: Connect) -> None:
    jobs: dict[int, list[UUID]] = {}
    while not any(len(found) == 3 for found in jobs.values()):
        job_id = engine.job_of("* * * * *")
        jobs.setdefault(engine.get_shard_id(job_id=job_id), []).append(job_id)
    (shard,) = [shard for shard, found in jobs.items() if len(found) == 3]
    engine.db.execute("create sequence public.tries; grant usage on sequence public.tries to public")
    skip = "v_upto := coalesce("
    note_try = f"perform nextval('public.tries'); {skip}"
    rewrite(engine.db, "scheduler_internal.skip_fires", skip, note_try)
    # Three that wait so long, in place of the sixty that 50 ms would need.
    engine.db.execute("alter function scheduler.tick_shard(integer, integer) set lock_timeout = '600ms'")
    holder = connect()
    holder.execute("begin")
    holder.execute("lock table scheduler_internal.skipped_fires in share mode")
    engine.clock.advance(hours=1)
    (tick,) = engine.rows("tick_shard", shard=shard)
    assert (tick["fired"], tick["skipped"]) == (0, 0)
    assert engine.one("select last_value from public.tries") <= 2
    holder.execute("rollback")
    engine.rows("tick")
    assert {job["next_fire_at"] > engine.clock.now for job in map(engine.job, jobs[shard])} == {True}


BREAKAGES = {
    "zone": "timezone = 'Foo/Bar'",
    "zone that is late too": "timezone = 'Foo/Bar', next_fire_at = next_fire_at - interval '3 hours'",
    "step": "spec.step = '0', spec.flags = 32, spec.anchor = '2020-01-01'",
    "policy": "misfire = 'never', overlap = 'never', next_fire_at = next_fire_at - interval '3 hours'",
    "expiry": "expires_after = '293000 years'",
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_schedule_is_set_aside_and_stops_no_other(engine: Engine, breakage: str) -> None:
    jobs = [engine.job_of(overlap="allow") for _ in range(40)]
    broken = jobs[7]
    engine.db.execute(
        f"update scheduler_internal.schedules set {BREAKAGES[breakage]} where job_id = %s", [broken]
    )
    engine.clock.advance(hours=1)
    engine.rows("tick")
    fired = engine.one("select count(distinct job_id) from scheduler.fires where verdict = 'fired'")
    assert fired == 39
    job = engine.job(broken)
    assert job["broken_reason"]
    assert job["next_fire_at"] is None
    checks = {row["check_name"]: row for row in engine.rows("health")}
    assert checks["schedules"]["status"] == "fail"
    assert job["name"] in checks["schedules"]["detail"]


def test_a_repaired_schedule_carries_on_where_it_stopped(engine: Engine) -> None:
    job_id = engine.job_of(misfire="fire_all", overlap="allow")
    breakage = "update scheduler_internal.schedules set timezone = %s where job_id = %s"
    engine.db.execute(breakage, ["Foo/Bar", job_id])
    engine.clock.advance(hours=1)
    engine.rows("tick")
    with refused("22023", "Foo/Bar"):
        engine.resume_job(job_id=job_id)
    engine.db.execute(breakage, ["UTC", job_id])
    engine.clock.advance(hours=2)
    with refused("55000", "^the schedule of job .* is set aside$"):  # else each would run twice
        engine.backfill_job(job_id=job_id, from_time="2031-03-05T12:00Z", to_time=engine.clock.now)
    engine.resume_job(job_id=job_id)
    engine.rows("tick")
    assert [verdict for _, verdict in engine.ledger(job_id)] == ["fired"] * 3
    assert engine.job(job_id)["broken_reason"] is None
