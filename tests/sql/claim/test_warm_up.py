"""What a worker does before its first job: the plans of its claims and ends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count

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


def in_shard_0() -> Iterator[str]:
    """Gives dedup keys that belong to the shard that is looked at."""
    for number in count():
        key = f"key {number}"
        if hashlib.md5(key.encode(), usedforsecurity=False).digest()[0] & 15 == 0:
            yield key


def test_it_takes_and_ends_nothing(engine: Engine) -> None:
    keys = in_shard_0()
    running = engine.enqueued(dedup_key=next(keys))
    worker = engine.worker()
    held = worker.claim_one()
    waiting = engine.enqueued(dedup_key=next(keys))
    assert {engine.get_shard_id(job_id=each) for each in (running, waiting)} == {0}
    engine.warm_up()
    assert engine.execution(running)["status"] == "running"
    assert worker.claim_one()["execution_id"] == waiting
    worker.finish(held)
    assert engine.execution(running)["status"] == "succeeded"
