"""What each worker asks every few seconds: of what runs it looks at each row once, however many workers."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection

from tests.plans.witness import TELL_PLANS, read_of

WORKERS = 40
RUNNING = 400
CLAIM = "select execution_id, attempt from scheduler.claim(%s, %s)"


@pytest.mark.direct
def test_the_order_of_polls_reads_what_runs_once(loaded: Connection[Any]) -> None:
    workers = sorted(uuid4() for _ in range(WORKERS))
    for worker in workers:
        loaded.execute("select scheduler.heartbeat(%s, concurrency => %s)", [worker, RUNNING // WORKERS])
    loaded.execute("select scheduler.poll_order(%s)", [workers[0]])
    for worker in workers[1:]:
        loaded.execute(CLAIM, [worker, RUNNING // WORKERS - (worker == workers[-1])])
    before, _ = read_of(loaded, "running")
    order = loaded.execute("select place, workers from scheduler.poll_order(%s)", [workers[-1]])
    assert order.fetchone() == (1, 2)
    assert read_of(loaded, "running")[0] - before <= RUNNING


@pytest.mark.direct
def test_a_beat_finds_what_it_names_by_hash(db: Connection[Any]) -> None:
    """Each with each, 5,000 executions took longer than a lease."""
    worker = uuid4()
    db.execute("select scheduler.heartbeat(%s)", [worker])
    plans: list[str] = []
    db.add_notice_handler(lambda notice: plans.append(str(notice.message_primary)))
    db.execute(TELL_PLANS.encode())
    db.execute("select scheduler.heartbeat(%s, execution_ids => '{}', attempts => '{}')", [worker])
    (look,) = (plan for plan in plans if "started_before" in plan)
    assert "hashed SubPlan" in look
    assert "Join" not in look
