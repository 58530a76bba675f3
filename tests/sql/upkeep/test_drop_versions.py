"""Old versions of jobs go with the last thing that was born under them, and not before."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from uuid import UUID

import pytest
from psycopg import sql

from tests.plans.witness import read_of
from tests.sql.engine import Engine, Row

# Whatever names a version that is gone.
ORPHANS = """
    select count(*) from (
        select shard, job_id, job_version from scheduler_internal.waiting
        union all select shard, job_id, job_version from scheduler_internal.running
        union all select shard, job_id, job_version from scheduler_internal.history
        union all select shard, job_id, job_version from scheduler_internal.skipped_fires
        union all select shard, job_id, version from scheduler_internal.jobs
    ) x
    where x.job_id is not null and not exists (
        select from scheduler_internal.job_versions v
        where v.shard = x.shard and v.job_id = x.job_id and v.version = x.job_version)
"""


def maintain(engine: Engine) -> None:
    """Has every shard's turn come: a minute each, all at once."""
    engine.maintain()
    engine.select(
        "select scheduler_internal.drop_versions(scheduler.now() + i * interval '1 minute')"
        " from generate_series(0, 15) i"
    )


def versions(engine: Engine, job_id: UUID) -> list[int]:
    """Returns the versions of a job that are kept."""
    query = "select version from scheduler_internal.job_versions where job_id = %s order by version"
    return [row["version"] for row in engine.select(query, job_id)]


def change(engine: Engine, job_id: UUID, number: int) -> None:
    """Gives the job another version."""
    engine.update_job(job_id=job_id, changes={"payload": number})


def test_with_the_history_of_their_time(engine: Engine) -> None:
    engine.maintain()
    worker = engine.worker(lease="1 hour")
    job_id = engine.job_of("0 0 * * *", overlap="allow")
    for number in range(10):
        change(engine, job_id, number)
        engine.clock.advance(days=1)
        engine.rows("tick")
        worker.beat(lease="1 hour")
        worker.finish(worker.claim_one())
    maintain(engine)
    assert versions(engine, job_id) == list(range(1, 12))
    engine.clock.advance(days=26)
    maintain(engine)
    kept = versions(engine, job_id)
    assert kept[-1] == 11
    assert 1 not in kept
    assert 6 in kept
    assert engine.one(ORPHANS) == 0
    engine.clock.advance(days=10)
    maintain(engine)
    assert versions(engine, job_id) == [11]
    engine.delete_job(job_id=job_id)
    worker.beat(lease="1 hour")
    worker.finish(*worker.claim(100))
    maintain(engine)
    assert versions(engine, job_id) == [11]
    engine.clock.advance(days=40)
    maintain(engine)
    assert versions(engine, job_id) == []


@pytest.mark.parametrize("ending", ["cancelled at once", "run", "still running", "not run"])
def test_with_what_was_triggered_far_ahead(engine: Engine, ending: str) -> None:
    engine.maintain()
    job_id = engine.job_of(None, payload="old")
    execution_id = engine.trigger_job(job_id=job_id, run_at=engine.clock.now + timedelta(days=100))
    change(engine, job_id, 2)
    if ending == "cancelled at once":
        engine.cancel_execution(execution_id=execution_id)
    for _ in range(3):
        engine.clock.advance(days=35)
        maintain(engine)
        assert engine.execution(execution_id)["payload"] == "old"
    if ending == "run":
        worker = engine.worker(lease="1 hour")
        worker.finish(worker.claim_one())
    if ending == "still running":
        engine.worker(lease="1 hour").claim_one()
    engine.clock.advance(days=24)  # its day of history still is there
    maintain(engine)
    assert engine.execution(execution_id)["payload"] == "old"
    engine.clock.advance(days=60)
    maintain(engine)
    if ending in ("still running", "not run"):
        assert engine.execution(execution_id)["payload"] == "old"
    else:
        assert versions(engine, job_id) == [2]


def test_with_what_is_run_again(engine: Engine) -> None:
    engine.maintain()
    worker = engine.worker(lease="1 hour")
    job_id = engine.job_of(None, payload="old")
    execution_id = engine.trigger_job(job_id=job_id)
    worker.finish(worker.claim_one())
    change(engine, job_id, 2)
    engine.clock.advance(days=29)
    maintain(engine)
    assert engine.retry_execution(execution_id=execution_id)
    engine.clock.advance(days=60)
    maintain(engine)
    worker.beat(lease="1 hour")
    claimed = worker.claim_one()
    assert claimed["payload"] == "old"
    maintain(engine)
    worker.beat(lease="1 hour")
    worker.finish(claimed)
    maintain(engine)
    assert versions(engine, job_id) == [1, 2]
    engine.clock.advance(days=31)
    maintain(engine)
    maintain(engine)
    assert versions(engine, job_id) == [2]


@pytest.mark.slow
def test_in_any_life(engine: Engine) -> None:
    """Nothing is ever without the version that it was born under, and in the end none is left over."""
    random = Random(4)
    name = sql.Identifier(engine.db.info.dbname)
    engine.db.execute(sql.SQL("alter database {} set scheduler.history_retention = '4 days'").format(name))
    engine.maintain()
    worker = engine.worker(lease="1 hour")
    job_ids = [
        engine.job_of("0 */6 * * *", overlap=overlap, jitter="5 hours", misfire=misfire)
        for overlap in ("allow", "skip", "queue_one", "cancel_running")
        for misfire in ("fire_once", "fire_all")
    ]
    held: list[Row] = []
    dropped = 0
    for step in range(120):
        engine.clock.advance(hours=random.choice([0.1, 1, 7, 13, 30]))
        job_id = random.choice(job_ids)
        match random.choice(["change", "trigger", "cancel", "retry", "reap", *["work"] * 3]):
            case "change":
                for each in job_ids:
                    change(engine, each, step)
            case "trigger":
                ahead = timedelta(days=random.choice([0, 0.9, 2, 6, 15]))
                engine.trigger_job(job_id=job_id, run_at=engine.clock.now + ahead)
            case "cancel" | "retry" as deed:
                query = "select execution_id from scheduler.executions order by md5(execution_id::text || %s)"
                for row in engine.select(f"{query} limit 1", str(step)):
                    engine.value(f"{deed}_execution", execution_id=row["execution_id"])
            case "work":
                engine.rows("tick")
                worker.beat(lease="1 hour")
                held = worker.claim(random.choice([5, 100]))
                worker.finish(*[row for row in held if random.random() < 0.8])
            case "reap":
                engine.reap()
        before = engine.one("select count(*) from scheduler_internal.job_versions")
        maintain(engine)
        dropped += before - engine.one("select count(*) from scheduler_internal.job_versions")
        assert engine.one(ORPHANS) == 0
    # How many depends on ids drawn by chance: what is tried again keeps its version longer.
    assert dropped
    for job_id in job_ids:
        engine.delete_job(job_id=job_id)
    for _ in range(3):
        engine.clock.advance(days=30)
        engine.reap()
        worker.beat(lease="1 hour")
        worker.finish(*worker.claim(1000))
    maintain(engine)
    maintain(engine)
    assert engine.one("select count(*) from scheduler_internal.job_versions") == 0


@pytest.mark.direct
def test_what_waits_is_read_once_not_for_each_version(engine: Engine) -> None:
    """Also by a plan of tables that were empty when they were last looked at."""
    job_id = engine.job_of("0 0 * * *")
    engine.db.execute("vacuum analyze scheduler_internal.waiting, scheduler_internal.job_versions")
    for number in range(20):
        engine.trigger_job(job_id=job_id)
        change(engine, job_id, number)
    engine.db.execute(
        "update scheduler_internal.job_versions set needed_until = '-infinity' where superseded"
    )
    with engine.db.transaction():
        before, _ = read_of(engine.db, "waiting")
        engine.select(
            "select scheduler_internal.drop_versions(scheduler.now() + i * interval '1 minute')"
            " from generate_series(0, 15) i"
        )
        assert read_of(engine.db, "waiting")[0] - before == 20
    assert versions(engine, job_id) == list(range(1, 22))
