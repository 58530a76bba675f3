"""What is called again and again starts no process, which would cost more than the work."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

from tests.plans.conftest import SHARD
from tests.plans.witness import TELL_PLANS

WORKER = "00000000-0000-4000-8000-000000000002"
LOOPS = (
    "select scheduler.reap()",
    "select scheduler.due_shards()",
    "select scheduler.tick_ahead()",
    f"select scheduler.tick_shard({SHARD})",
    f"select scheduler.poll_order('{WORKER}')",
    f"select scheduler.claim('{WORKER}', queues => '{{none}}')",
    f"select scheduler.heartbeat('{WORKER}')",
    "select scheduler.status_json()",
    "select scheduler.activity(now())",
    "select scheduler.metrics_json()",
    "select scheduler.list_workers()",
    "select scheduler.list_executions()",
    "select scheduler.list_executions(status => 'running')",
    "select scheduler.get_execution_json('$execution')",
    "select scheduler.list_attempts('$execution')",
)
ROLLUPS = """
    insert into scheduler_internal.rollups
    select date_trunc('day', now(), 'UTC') + m * interval '1 minute', s, 'queue ' || q, 'sql',
        1, 0, 0, 0, 0, 0, 0, 0, 0
    from generate_series(0, 1439) m, generate_series(0, 15) s, generate_series(1, 5) q;
    analyze scheduler_internal.rollups;
"""
"""A whole day of what ends in five queues."""
TEMPT = """
    set parallel_setup_cost = 20;
"""
"""As where the tables are fifty times as large."""
WITNESS = "select count(*) from scheduler_internal.history"


@pytest.mark.direct
def test_loops_start_no_processes(loaded: Connection[Any]) -> None:
    plans: list[str] = []
    loaded.add_notice_handler(lambda notice: plans.append(str(notice.message_primary)))
    loaded.execute(f"select scheduler.heartbeat('{WORKER}')".encode())
    loaded.execute(f"select scheduler.claim('{WORKER}', 10000)".encode())
    loaded.execute("analyze scheduler_internal.running")
    loaded.execute(ROLLUPS.encode())
    row = loaded.execute("select execution_id from scheduler_internal.history limit 1").fetchone()
    assert row is not None
    execution = str(row[0])
    loaded.execute(TELL_PLANS.encode())
    loaded.execute(TEMPT.encode())
    for call in LOOPS:
        loaded.execute(call.replace("$execution", execution).encode())
    gathered = [plan for plan in plans if "Gather" in plan]
    loaded.execute(WITNESS.encode())
    loaded.rollback()
    assert gathered == []
    assert "Gather" in plans[-1]
    assert sum("Query Text" in plan for plan in plans) > 2 * len(LOOPS)
