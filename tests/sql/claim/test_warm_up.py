"""What a worker does before its first job: the plans of its claims and ends."""

from __future__ import annotations

import pytest

from tests.conftest import Connect
from tests.sql.engine import Engine

PLANS = """
    select count(*) from pg_backend_memory_contexts
    where name = 'CachedPlan' and ident ~ '^with (picked|input) as materialized'
"""


@pytest.mark.direct
def test_a_session_has_the_plans_of_its_first_claim_and_finish(engine: Engine, connect: Connect) -> None:
    execution_id = engine.enqueued()
    fresh = Engine(connect(), engine.clock)
    assert fresh.one(PLANS) == 0
    fresh.warm_up()
    assert fresh.one(PLANS) == 2
    worker = fresh.worker()
    claimed = worker.claim_one()
    assert claimed["execution_id"] == execution_id
    worker.finish(claimed)
    assert fresh.one(PLANS) == 2
    assert engine.execution(execution_id)["status"] == "succeeded"


def test_it_takes_and_ends_nothing(engine: Engine) -> None:
    running = engine.enqueued()
    worker = engine.worker()
    held = worker.claim_one()
    assert held["execution_id"] == running
    waiting = {engine.enqueued() for _ in range(40)}
    engine.warm_up()
    assert engine.execution(running)["status"] == "running"
    assert {row["execution_id"] for row in worker.claim(100)} == waiting
    worker.finish(held)
    assert engine.execution(running)["status"] == "succeeded"
