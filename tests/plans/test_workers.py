"""What each worker asks every few seconds: of what runs it looks at each row once, however many workers."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection

from tests.plans.witness import read_of

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
