"""What people look at most, on a database with much in it: by indexes, and without reading the history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection

from tests.plans.conftest import DAYS, HISTORY

PAGE = 50
MUCH = 1000  # rows; a smaller table is a few pages, read as fast as its index

READS = {
    "newest executions": "select * from scheduler.executions order by execution_id desc limit 50",
    "next page of them": "select * from scheduler.executions where execution_id < %(id)s "
    "order by execution_id desc limit 50",
    "history of a job": "select * from scheduler.executions where job_id = %(job_id)s "
    "order by execution_id desc limit 50",
    "fires of a job": "select * from scheduler.fires where job_id = %(job_id)s "
    "order by fire_at desc limit 50",
    "attempts of an execution": "select * from scheduler.attempts where execution_id = %(id)s",
    "jobs by name": "select * from scheduler.jobs where job_id = %(job_id)s",
}

# Rows that may be read of the history: a page from each day; all fires of one job of 64.
BOUNDS = {"fires of a job": 2 * HISTORY // 64 + PAGE}


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Returns each scan that ran: kind, relation, and how many rows it looked at."""
    if plan.get("Relation Name") and plan["Actual Loops"] > 0:
        rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        yield plan["Node Type"], plan["Relation Name"], round(rows * plan["Actual Loops"])
    for child in plan.get("Plans", []):
        yield from scans(child)


@pytest.mark.direct
@pytest.mark.parametrize("name", READS)
def test_reads_use_indexes(loaded: Connection[Any], name: str) -> None:
    """No sequential scan of a table that has much in it; of the history little more than is shown."""
    row = loaded.execute(
        "select h.execution_id, h.job_id from scheduler_internal.history h order by 1 limit 1 offset %s",
        [HISTORY // 2],
    ).fetchone()
    assert row is not None
    explain = f"explain (analyze, timing off, format json) {READS[name]}"
    answer = loaded.execute(explain.encode(), {"id": row[0], "job_id": row[1]}).fetchone()
    assert answer is not None
    plan = answer[0] if isinstance(answer[0], list) else json.loads(answer[0])
    done = list(scans(plan[0]["Plan"]))
    large = [
        (relation, rows)
        for kind, relation, rows in done
        if kind == "Seq Scan" and rows > MUCH and relation.startswith(("history", "waiting", "skipped_fires"))
    ]
    assert large == []
    read = sum(rows for _, relation, rows in done if relation.startswith("history"))
    assert read <= BOUNDS.get(name, PAGE + 2 * (DAYS + 1))
    assert done


@pytest.mark.direct
def test_metrics_look_at_little(loaded: Connection[Any]) -> None:
    """Every few seconds: so not at what waits, but for the first of each queue and priority."""
    looked = """
        select coalesce(sum(s.seq_tup_read + s.idx_tup_fetch), 0) from pg_stat_xact_user_tables s
        where s.relname like 'waiting%'
    """
    counted = loaded.execute(
        "select count(distinct (w.queue, w.rank)) from scheduler_internal.waiting w"
    ).fetchone()
    before = loaded.execute(looked.encode()).fetchone()
    answer = loaded.execute("select scheduler.metrics_json()").fetchone()
    after = loaded.execute(looked.encode()).fetchone()
    assert answer is not None
    assert counted is not None
    assert before is not None
    assert after is not None
    assert len(answer[0]["queues"]) == counted[0] == 2
    assert 0 < after[0] - before[0] <= 16 * (counted[0] + 1)


@pytest.mark.direct
@pytest.mark.parametrize("status", ["ready", "failed"])
def test_the_clock_is_not_asked_for_each_row(loaded: Connection[Any], status: str) -> None:
    """Whatever status is asked for: only the clock tells that what waits has another."""
    calls = "select coalesce(pg_stat_get_xact_function_calls('scheduler.now()'::regprocedure), 0)"
    loaded.execute("set track_functions = 'pl'")
    before = loaded.execute(calls.encode()).fetchone()
    loaded.execute("select count(*) from scheduler.executions where status = %s", [status])
    after = loaded.execute(calls.encode()).fetchone()
    assert before is not None
    assert after is not None
    assert 1 <= after[0] - before[0] <= 16  # partitions
