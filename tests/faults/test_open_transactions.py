"""A psql left in the middle of a transaction, for hours: no ticker and no worker waits for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection

from tests.conftest import Connect
from tests.sql.engine import Engine, Row, Worker
from tests.support.clock import Clock

pytestmark = pytest.mark.direct

CANCEL = "select scheduler.cancel_execution(%s)"

# What a client may do, and to which of Scene.found.
LEFT_OPEN = {
    "cancel what runs": (CANCEL, "running"),
    "cancel what is held": (CANCEL, "held"),
    "cancel what waits for another attempt": (CANCEL, "retried"),
    "retry": ("select scheduler.retry_execution(%s)", "ended"),
    "trigger": ("select scheduler.trigger_job(%s)", "job"),
    "backfill": (
        "select scheduler.backfill_job(%s, scheduler.now() - interval '3 minutes', scheduler.now())",
        "job",
    ),
    "pause": ("select scheduler.pause_job(%s)", "job"),
    "change": ("""select scheduler.update_job(%s, '{"payload": 1}')""", "job"),
    "allow overlap": ("""select scheduler.update_job(%s, '{"overlap": "allow"}')""", "job"),
    "delete": ("select scheduler.delete_job(%s)", "job"),
}


@dataclass
class Scene:
    """A job with fires in every state, another job, and a worker that runs something of both."""

    engine: Engine
    worker: Worker
    overlap: str
    job_id: UUID
    other_job_id: UUID
    found: dict[str, UUID]
    held: list[Row] = field(default_factory=list)

    def fires(self, job_id: UUID) -> int:
        """Returns how many instants of a job have fired."""
        query = "select count(*) from scheduler.fires where job_id = %s and verdict = 'fired'"
        count: int = self.engine.one(query, job_id)
        return count


@pytest.fixture(params=["queue_one", "cancel_running"])
def scene(request: pytest.FixtureRequest, db: Connection[Any], clock: Clock) -> Scene:
    engine = Engine(db, clock)
    engine.maintain()
    worker = engine.worker(lease="1 hour")
    job_id = engine.job_of("* * * * *", overlap=request.param, misfire="fire_all")
    other_job_id = engine.job_of("* * * * *", overlap="allow")
    scene = Scene(engine, worker, request.param, job_id, other_job_id, {"job": job_id})
    for name in ("ended", "running"):
        clock.advance(minutes=1)
        engine.rows("tick")
        scene.held = worker.claim(10)
        (mine,) = [row for row in scene.held if row["job_id"] == job_id]
        scene.found[name] = mine["execution_id"]
        if name == "ended":
            worker.finish(*scene.held)
    clock.advance(minutes=1)
    engine.rows("tick")  # held behind the one that runs
    query = "select execution_id from scheduler.executions where run_at is null"
    scene.found["held"] = engine.one(query)
    # A retry by hand waits beside them.
    scene.found["retried"] = scene.found["ended"]
    return scene


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("deed", LEFT_OPEN)
def test_nobody_waits(scene: Scene, connect: Connect, deed: str, end: str) -> None:
    engine, worker = scene.engine, scene.worker
    query, subject = LEFT_OPEN[deed]
    if subject == "retried":
        assert engine.retry_execution(execution_id=scene.found["ended"])
    client = connect()
    engine.clock.advance(minutes=1, conn=client)  # an instant is due: who changes the job decides about it
    client.execute("begin")
    client.execute(query.encode(), [scene.found[subject]])

    # From here on whoever waits fails; reap and tick, which give up by themselves, would do too little.
    engine.db.execute("set lock_timeout = '1ms'")
    silent = engine.worker(lease="1 minute")
    (lost,) = silent.claim(1)
    engine.clock.set(engine.clock.now)
    before, before_of_other = scene.fires(scene.job_id), scene.fires(scene.other_job_id)
    engine.rows("tick")
    assert scene.fires(scene.other_job_id) == before_of_other + 1
    if scene.overlap == "cancel_running" and subject != "job":  # who changes a job holds its schedule
        assert scene.fires(scene.job_id) == before + 1
    assert engine.reap() == 1
    engine.maintain()
    told = {row["reason"] for row in worker.beat(*scene.held)}
    assert told == ({"cancelled"} if scene.overlap == "cancel_running" else set())
    again = worker.claim(10)
    assert lost["execution_id"] in {row["execution_id"] for row in again}
    assert worker.finish(*scene.held) == []
    client.execute(end.encode())

    # Whatever it did, nothing is stuck: all that waits is let go, runs and ends.
    held = again
    for _ in range(4):
        engine.clock.advance(seconds=1)
        engine.reap()
        worker.beat(*held)
        worker.finish(*held)
        held = worker.claim(100)
    assert held == []
    states = {row["status"] for row in engine.select("select status from scheduler.executions")}
    assert states <= {"succeeded", "cancelled"}
    assert engine.one("select count(*) from scheduler_internal.cancel_requests") == 0


def test_two_that_are_held_are_not_let_go_at_once(
    db: Connection[Any], clock: Clock, connect: Connect
) -> None:
    """Who is about to cancel the older keeps the tick from replacing it, and then thinks better of it."""
    engine = Engine(db, clock)
    engine.maintain()
    worker = engine.worker(lease="1 hour")
    job_id = engine.job_of("* * * * *", overlap="cancel_running")
    clock.advance(minutes=1)
    engine.rows("tick")
    runs = worker.claim_one()
    clock.advance(minutes=1)
    engine.rows("tick")
    query = "select execution_id from scheduler.executions where run_at is null order by fire_at"
    older = engine.one(query)
    client = connect()
    clock.set(clock.now, conn=client)
    client.execute("begin")
    client.execute(CANCEL, [older])
    clock.advance(minutes=1)
    engine.rows("tick")
    client.execute("rollback")
    assert len(engine.select(query)) == 2
    assert worker.finish(runs, status="cancelled") == []
    (again,) = worker.claim(10)
    assert again["execution_id"] != older
    engine.reap()
    assert engine.execution(older)["status"] == "cancelled"
    assert worker.claim(10) == []
    assert worker.finish(again) == []
    assert [verdict for _, verdict in engine.ledger(job_id)] == ["fired"] * 3
    assert engine.one("select count(*) from scheduler_internal.cancel_requests") == 0
