"""The fires of a herd are made before their instant, start at it, and are undone where the job changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from tests.conftest import Connect
from tests.faults.sessions import waiting
from tests.sql.engine import Engine, Row, Worker

HERD = 120
"""More than the hundred of a shard by which a herd is known."""
COPY = """
    insert into scheduler_internal.schedules
        (shard, job_version, job_id, next_fire_at, jitter, rank, misfire, overlap, timezone, queue, job_type,
         spec)
    select s.shard, s.job_version, c.job_id, s.next_fire_at, s.jitter, s.rank, s.misfire, s.overlap,
           s.timezone, 'herd', s.job_type, s.spec
    from scheduler_internal.schedules s
    cross join (select gen_random_uuid() as job_id from generate_series(1, 10000)) c
    where s.job_id = %s and scheduler.get_shard_id(c.job_id) = s.shard
    limit %s
"""
# The one that is left for its instant shall be another.
FIRST = """
    update scheduler_internal.schedules set next_fire_at = next_fire_at - interval '1 microsecond'
    where job_id = (select max(job_id::text)::uuid from scheduler_internal.schedules where queue = 'herd')
"""
STATES = "select execution_id, status, attempt from scheduler.executions where job_id = %s order by fire_at"


def herd_with(engine: Engine, schedule: str = "0 * * * *", **policies: object) -> UUID:
    """Makes a job and a herd around it, three seconds before the hour."""
    job_id = engine.job_of(schedule, **policies)
    engine.db.execute(COPY.encode(), [job_id, HERD])
    engine.clock.set("2031-03-05T12:59:57+00:00")
    return job_id


def tick_ahead(engine: Engine, **arguments: int) -> int:
    """Makes what comes, and returns how many."""
    engine.db.execute(FIRST.encode())
    made: int = engine.tick_ahead(**arguments)
    return made


def failed_before_a_herd(engine: Engine) -> tuple[UUID, Worker, Row]:
    """Makes a job whose fire of 12:59 has failed for good; that of 13:00 is made ahead, with a herd's."""
    job_id = herd_with(engine, "* * * * *", overlap="skip", max_attempts=1)
    engine.clock.set("2031-03-05T12:59:00+00:00")
    engine.rows("tick")
    worker = engine.worker(lease="1 hour")
    (failed,) = worker.claim(queues=["default"])
    worker.fail(failed)
    engine.clock.set("2031-03-05T12:59:57+00:00")
    engine.db.execute("delete from scheduler_internal.waiting")
    assert tick_ahead(engine) == HERD
    return job_id, worker, failed


def made_of(engine: Engine, job_id: UUID) -> list[str]:
    """Returns the states of a job's executions."""
    return [row["status"] for row in engine.select(STATES, job_id)]


def test_few_are_made_when_they_are_due(engine: Engine) -> None:
    job_id = engine.job_of()
    engine.clock.set("2031-03-05T12:59:59+00:00")
    assert engine.tick_ahead() == 0
    assert engine.ledger(job_id) == []


def test_a_herd_that_is_far_away_is_left(engine: Engine) -> None:
    herd_with(engine)
    engine.clock.set("2031-03-05T12:59:55+00:00")
    assert engine.tick_ahead() == 0


def test_a_herd_is_made_before_its_instant_and_starts_at_it(engine: Engine) -> None:
    job_id = herd_with(engine)
    worker = engine.worker()
    assert tick_ahead(engine) == HERD
    assert engine.tick_ahead() == 0
    assert made_of(engine, job_id) == ["scheduled"]
    hour = engine.clock.now.replace(hour=13, minute=0, second=0)
    job = engine.job(job_id)
    assert (job["last_fire_at"], job["next_fire_at"]) == (hour, hour + timedelta(hours=1))
    assert worker.claim(10_000) == []
    engine.clock.set(hour - timedelta(microseconds=1))
    assert worker.claim(10_000) == []
    engine.clock.set(hour)
    assert engine.rows("tick")[0]["fired"] == 1
    claimed = worker.claim(10_000)
    assert len(claimed) == HERD + 1
    assert {(row["fire_at"], row["run_at"]) for row in claimed} == {(hour, hour)}
    assert engine.ledger(job_id) == [("03-05 13:00", "fired")]


def test_a_call_makes_no_more_than_it_may(engine: Engine) -> None:
    herd_with(engine)
    assert [tick_ahead(engine, max_fires=100), engine.tick_ahead(max_fires=100)] == [100, 0]
    engine.clock.set("2031-03-05T13:00:00+00:00")
    assert engine.rows("tick")[0]["fired"] == HERD + 1 - 100


def test_jitter_and_expiry_count_from_the_instant(engine: Engine) -> None:
    job_id = herd_with(engine, jitter="10 minutes", expires_after="1 minute")
    assert tick_ahead(engine) > 0
    row = engine.select("select * from scheduler_internal.waiting where job_id = %s", job_id)[0]
    assert row["fire_at"] == engine.clock.now.replace(hour=13, minute=0, second=0)
    assert row["fire_at"] < row["run_at"] < row["fire_at"] + timedelta(minutes=10)
    assert row["expires_at"] == row["run_at"] + timedelta(minutes=1)


@pytest.mark.parametrize("ends", [False, True])
def test_what_stands_in_the_way_is_decided_when_it_is_due(engine: Engine, ends: bool) -> None:
    job_id = herd_with(engine, "* * * * *", overlap="skip")
    engine.clock.set("2031-03-05T12:59:00+00:00")
    engine.rows("tick")
    worker = engine.worker(lease="1 hour")
    (running,) = worker.claim(queues=["default"])
    engine.clock.set("2031-03-05T12:59:57+00:00")
    engine.db.execute("delete from scheduler_internal.waiting")  # the herd's, which would be in its way
    assert tick_ahead(engine) > 0
    assert made_of(engine, job_id) == ["running"]
    if ends:
        worker.finish(running)
    engine.clock.set("2031-03-05T13:00:00+00:00")
    engine.rows("tick")
    assert engine.ledger(job_id)[-1] == ("03-05 13:00", "fired" if ends else "skipped_overlap")


def test_a_broken_one_holds_up_nothing_when_it_is_due(engine: Engine) -> None:
    job_id = herd_with(engine)
    broken = "update scheduler_internal.schedules set timezone = 'Foo/Bar' where job_id = %s"
    engine.db.execute(broken, [job_id])
    assert tick_ahead(engine) == 0
    engine.clock.set("2031-03-05T13:00:00+00:00")
    assert engine.rows("tick")[0]["fired"] == HERD
    assert "Foo/Bar" in engine.job(job_id)["broken_reason"]


CHANGES: dict[str, Callable[[Engine, UUID], object]] = {
    "paused": lambda engine, job_id: engine.pause_job(job_id=job_id),
    "deleted": lambda engine, job_id: engine.delete_job(job_id=job_id),
    "another schedule": lambda engine, job_id: engine.update_job(
        job_id=job_id, changes={"schedule": "30 * * * *"}
    ),
    "another target": lambda engine, job_id: engine.update_job(
        job_id=job_id, changes={"target": {"statement": "select 2"}}
    ),
}
FOLLOWS = {
    "paused": ["skipped_paused"],
    "deleted": [],
    "another schedule": [],
    "another target": ["fired"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_who_changes_the_job_in_time_finds_nothing_made(engine: Engine, change: str) -> None:
    job_id = herd_with(engine, "* * * * *")
    engine.clock.set("2031-03-05T12:59:00+00:00")
    engine.rows("tick")
    worker = engine.worker(lease="1 hour")
    worker.finish(*worker.claim(queues=["default"]))
    before = engine.job(job_id)
    engine.clock.set("2031-03-05T12:59:57+00:00")
    engine.db.execute("delete from scheduler_internal.waiting")  # the herd's, which would be in its way
    assert tick_ahead(engine) == HERD
    assert made_of(engine, job_id) == ["succeeded", "scheduled"]
    engine.clock.set("2031-03-05T12:59:58+00:00")
    CHANGES[change](engine, job_id)
    assert made_of(engine, job_id) == ["succeeded"]
    if change != "deleted":
        assert engine.job(job_id)["last_fire_at"] == before["last_fire_at"]
    if change == "another target":
        assert engine.job(job_id)["next_fire_at"] == before["next_fire_at"]
    engine.clock.set("2031-03-05T13:00:00+00:00")
    engine.rows("tick")
    assert [verdict for instant, verdict in engine.ledger(job_id) if instant == "03-05 13:00"] == (
        FOLLOWS[change]
    )
    if change == "another target":
        (claimed,) = worker.claim(queues=["default"])
        assert claimed["target"] == {"statement": "select 2"}


def test_a_job_that_never_fired_has_not_fired_again(engine: Engine) -> None:
    job_id = herd_with(engine)
    assert tick_ahead(engine) == HERD
    engine.pause_job(job_id=job_id)
    engine.resume_job(job_id=job_id)
    job = engine.job(job_id)
    hour = engine.clock.now.replace(hour=13, minute=0, second=0)
    assert (job["last_fire_at"], job["next_fire_at"]) == (None, hour)


def test_one_that_is_set_aside_meanwhile_goes_on_where_it_was(engine: Engine) -> None:
    job_id = herd_with(engine)
    assert tick_ahead(engine) == HERD
    engine.db.execute(
        """
        update scheduler_internal.schedules
        set set_aside_at = next_fire_at, next_fire_at = null, broken_reason = 'by hand' where job_id = %s
        """,
        [job_id],
    )
    engine.resume_job(job_id=job_id)
    assert engine.job(job_id)["next_fire_at"] == engine.clock.now.replace(hour=13, minute=0, second=0)
    engine.clock.set("2031-03-05T13:00:00+00:00")
    engine.rows("tick")
    assert engine.ledger(job_id) == [("03-05 13:00", "fired")]


def test_what_changes_nothing_takes_nothing_back(engine: Engine) -> None:
    job_id = herd_with(engine)
    assert tick_ahead(engine) == HERD
    before = engine.fingerprint()
    engine.update_job(job_id=job_id, changes={"queue": "default"})
    assert engine.fingerprint() == before


def test_one_that_was_cancelled_in_time_does_not_come_back(engine: Engine) -> None:
    job_id = herd_with(engine, "*/2 * * * * *", overlap="allow")
    engine.clock.advance(seconds=2)
    while engine.rows("tick")[0]["fired"]:  # it ends after a second, done or not
        pass
    worker = engine.worker()
    worker.claim(10_000)
    assert tick_ahead(engine) == HERD
    engine.db.execute(COPY.encode(), [job_id, HERD])  # another herd, with the job's next instant in the midst
    assert tick_ahead(engine) > 0
    (made,) = engine.select(
        "select * from scheduler.executions where job_id = %s and status = 'scheduled'", job_id
    )
    assert made["fire_at"] == engine.clock.now.replace(hour=13, minute=0, second=0)
    assert engine.cancel_execution(execution_id=made["execution_id"])
    engine.update_job(job_id=job_id, changes={"target": {"statement": "select 2"}})
    engine.clock.set("2031-03-05T13:00:00+00:00")
    engine.rows("tick")
    assert worker.claim(queues=["default"]) == []
    engine.clock.set("2031-03-05T13:00:02+00:00")
    engine.rows("tick")
    (claimed,) = worker.claim(queues=["default"])
    assert claimed["fire_at"] == engine.clock.now


def test_none_starts_beside_an_earlier_one_that_is_retried(engine: Engine) -> None:
    job_id, worker, failed = failed_before_a_herd(engine)
    assert engine.retry_execution(execution_id=failed["execution_id"])
    engine.clock.set("2031-03-05T13:00:00+00:00")
    engine.rows("tick")
    assert [row["execution_id"] for row in worker.claim(10, queues=["default"])] == [failed["execution_id"]]
    assert engine.ledger(job_id)[-1] == ("03-05 13:00", "skipped_overlap")


def test_a_clock_that_is_set_back_lets_no_paused_job_fire(engine: Engine) -> None:
    job_id, _, failed = failed_before_a_herd(engine)
    engine.clock.set("2031-03-05T13:00:05+00:00")
    engine.pause_job(job_id=job_id)
    engine.clock.set("2031-03-05T12:59:58+00:00")
    engine.update_job(job_id=job_id, changes={"target": {"statement": "select 2"}})
    assert made_of(engine, job_id) == ["failed", "scheduled"]
    assert engine.retry_execution(execution_id=failed["execution_id"])
    assert made_of(engine, job_id) == ["ready"]
    assert engine.job(job_id)["next_fire_at"] is None
    engine.clock.set("2031-03-05T13:00:05+00:00")
    engine.rows("tick")
    assert made_of(engine, job_id) == ["ready"]
    assert engine.ledger(job_id)[-1] == ("03-05 13:00", "skipped_paused")


@pytest.mark.direct
def test_what_a_worker_has_taken_was_due(engine: Engine, connect: Connect) -> None:
    """Who pauses a moment before the instant may meet a claim of the moment after it."""
    job_id = herd_with(engine)
    assert tick_ahead(engine) == HERD
    worker, other, watcher = engine.worker(), connect(autocommit=False), connect()
    engine.clock.set("2031-03-05T13:00:00+00:00", conn=other)
    query = "select job_id from scheduler.claim(%s, 10, queues => array['default'])"
    assert other.execute(query, [worker.worker_id]).fetchall() == [(job_id,)]
    with waiting(watcher, engine.db, lambda _: engine.pause_job(job_id=job_id)) as paused:
        other.commit()
    paused.result()
    assert made_of(engine, job_id) == ["running"]
    engine.clock.set("2031-03-05T14:00:00+00:00")
    assert engine.ledger(job_id) == [("03-05 13:00", "fired"), ("03-05 14:00", "skipped_paused")]


@pytest.mark.direct
def test_two_at_once_make_none_twice(engine: Engine, connect: Connect) -> None:
    job_id = herd_with(engine)
    other = connect(autocommit=False)
    engine.clock.set(engine.clock.now, conn=other)
    engine.db.execute(COPY.encode(), [job_id, HERD])
    assert other.execute("select scheduler.tick_ahead(100)").fetchone() == (100,)
    # What it holds is passed over; so are, of the others, as many as are left for their instant.
    assert engine.tick_ahead() == 2 * HERD + 1 - 100 - 2
    other.commit()
    assert engine.tick_ahead() == 0
    engine.clock.set("2031-03-05T13:00:00+00:00")
    assert engine.rows("tick")[0]["fired"] == 2
    assert engine.one("select count(*) from scheduler_internal.waiting") == 2 * HERD + 1
    assert engine.ledger(job_id) == [("03-05 13:00", "fired")]


@pytest.mark.direct
def test_who_cancels_one_and_pauses_its_job_meets_another_who_does(engine: Engine, connect: Connect) -> None:
    """The second waits at the job, and not for what the first has cancelled."""
    job_id = herd_with(engine)
    assert tick_ahead(engine) == HERD
    (made,) = engine.select(STATES, job_id)
    other, watcher = connect(autocommit=False), connect()
    engine.clock.set(engine.clock.now, conn=other)
    other.execute("select scheduler.cancel_execution(%s)", [made["execution_id"]])
    with waiting(watcher, engine.db, lambda _: engine.pause_job(job_id=job_id)) as paused:
        other.execute("select scheduler.pause_job(%s)", [job_id])
        other.commit()
    paused.result()
    assert made_of(engine, job_id) == ["cancelled"]


@pytest.mark.direct
def test_who_retries_one_and_pauses_its_job_meets_another_who_pauses_it(
    engine: Engine, connect: Connect
) -> None:
    """The second waits at the job, and the first does not wait for the second."""
    job_id, _, failed = failed_before_a_herd(engine)
    other, watcher = connect(autocommit=False), connect()
    engine.clock.set(engine.clock.now, conn=other)
    other.execute("select scheduler.retry_execution(%s)", [failed["execution_id"]])
    with waiting(watcher, engine.db, lambda _: engine.pause_job(job_id=job_id)) as paused:
        other.execute("select scheduler.pause_job(%s)", [job_id])
        other.commit()
    paused.result()
    assert made_of(engine, job_id) == ["ready"]


@pytest.mark.direct
def test_a_day_is_as_long_for_whoever_makes_a_herd(engine: Engine) -> None:
    """In Berlin the day of the change has 23 hours."""
    engine.clock.set("2031-03-29T12:30:00+00:00")
    job_id = engine.job_of("0 * * * *", expires_after="1 day")
    engine.db.execute(COPY.encode(), [job_id, HERD])
    engine.clock.set("2031-03-29T12:59:57+00:00")
    engine.db.execute("set timezone = 'Europe/Berlin'")
    assert tick_ahead(engine) > 0
    expires_at = engine.one("select expires_at from scheduler_internal.waiting where job_id = %s", job_id)
    assert expires_at == engine.clock.now.replace(day=30, hour=13, minute=0, second=0)
