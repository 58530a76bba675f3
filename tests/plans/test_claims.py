"""Claims where many queues wait: who serves one of them does not look at the others."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from tests.plans.witness import read_of

WORKER = "00000000-0000-4000-8000-000000000003"
QUEUES = 300
CLAIM = "select execution_id from scheduler.claim(%s, 10, queues => %s, shard => %s)"


def read_by(conn: Connection[Any], queues: list[str], shard: int | None) -> tuple[int, int]:
    """Returns how many a claim got, and how many rows and entries of what waits it has read."""
    before, _ = read_of(conn, "waiting")
    claimed = conn.execute(CLAIM, [WORKER, queues, shard]).fetchall()
    return len(claimed), read_of(conn, "waiting")[0] - before


@pytest.mark.direct
@pytest.mark.parametrize("shard", [None, 3])
def test_a_claim_looks_at_its_own_queues(loaded: Connection[Any], shard: int | None) -> None:
    items = [
        {"job_type": "python", "target": "noop", "queue": f"queue-{number}", "priority": number % 5}
        for number in range(QUEUES)
        for _ in range(32)
    ]
    loaded.execute("select scheduler.enqueue_many(%s)", [Jsonb(items)])
    loaded.execute("select scheduler.heartbeat(%s)", [WORKER])
    claimed, read = read_by(loaded, ["none"], shard)
    assert claimed == 0
    assert read <= 16  # the first that waits in each shard
    claimed, read = read_by(loaded, ["queue-7", "queue-7", "none"], shard)
    assert claimed == (10 if shard is None else claimed)
    # Of each shard the first, whether anything is ready, the lane, and what is claimed.
    assert read <= 16 * 4 + 2 * claimed
    claimed, read = read_by(loaded, ["mail"], shard)
    assert claimed == 10
    assert read <= 16 * 4 + 2 * claimed


LOOKS = """
    select sum(pg_stat_get_xact_numscans(c.oid)) from pg_class c
    where c.relnamespace = 'scheduler_internal'::regnamespace and c.relname like 'waiting_%_run_at_idx'
"""
LATER = """
    insert into scheduler_internal.waiting
        (shard, attempt, execution_id, run_at, created_at, attempt_base, rank, crashes, origin, exclusive,
         queue, job_type, target)
    select 3, 0, scheduler_internal.new_id(3, now()), now() + interval '1 hour', now(), 0, 0, 0, 'e', false,
        'later-' || i, 'python', '{"handler": "f"}'
    from generate_series(1, %s) i
"""


@pytest.mark.direct
def test_a_queue_that_waits_for_later_costs_a_claim_one_probe(db: Connection[Any]) -> None:
    """And of how many there are no claim concludes that it walks over dead rows."""
    queues = 1_200
    db.execute(LATER, [queues])
    db.execute("select scheduler.heartbeat(%s)", [WORKER])
    looks = []
    for shard, most in ((3, queues + 10), (None, queues + 100)):
        with db.transaction():
            before = db.execute(LOOKS).fetchone() or [0]
            assert db.execute(CLAIM, [WORKER, None, shard]).fetchall() == []
            looks.append((db.execute(LOOKS).fetchone() or [0])[0] - before[0])
        assert queues <= looks[-1] <= most, shard
        if shard is not None:
            noted = db.execute("select from scheduler_internal.claim_sweeps where next_at is not null")
            assert noted.rowcount == 0
