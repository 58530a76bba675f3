"""Hot calls touch the tables of one shard and of one day, whether their plans are new or cached."""

from __future__ import annotations

import re
from typing import Any

import pytest
from psycopg import Connection

from tests.plans.conftest import SHARD

WORKER = "00000000-0000-4000-8000-000000000001"
WARM_UP = 7  # PostgreSQL considers a plan for any parameters from the sixth call on

# name -> (what makes its arguments, the call)
HOT = {
    "claim": (None, f"select * from scheduler.claim('{WORKER}', 10, shard => {SHARD})"),
    "tick_shard": (
        # one that fires as one of many, and one that has missed instants
        f"""
        with late as (select s.job_id, row_number() over () as n from scheduler_internal.schedules_{SHARD} s)
        update scheduler_internal.schedules_{SHARD} s
        set next_fire_at = date_trunc('hour', now()) - l.n * interval '1 hour'
        from late l where l.job_id = s.job_id
        returning 1, 1
        """,
        f"select * from scheduler.tick_shard({SHARD})",
    ),
    "finish": (
        f"select execution_id, attempt from scheduler.claim('{WORKER}', 1, shard => {SHARD})",
        f"select scheduler.finish('{WORKER}', array['{{0}}']::uuid[], array[{{1}}], array['succeeded'])",
    ),
    "finish for another attempt": (
        f"select execution_id, attempt from scheduler.claim('{WORKER}', 1, shard => {SHARD})",
        f"select scheduler.finish('{WORKER}', array['{{0}}']::uuid[], array[{{1}}], array['failed'])",
    ),
    "finish of one at a time": (
        f"""
        select execution_id, attempt from scheduler.claim('{WORKER}', 1, shard => {SHARD});
        update scheduler_internal.running_{SHARD}
        set exclusive = true, origin = 'f', fire_at = now(), job_version = 1,
            job_id = (select job_id from scheduler_internal.jobs_{SHARD} limit 1)
        """,
        f"select scheduler.finish('{WORKER}', array['{{0}}']::uuid[], array[{{1}}], array['succeeded'])",
    ),
    "release": (
        f"select execution_id, attempt from scheduler.claim('{WORKER}', 1, shard => {SHARD})",
        f"select scheduler.release('{WORKER}', array['{{0}}']::uuid[], array[{{1}}])",
    ),
    "report_progress": (
        f"select execution_id, attempt from scheduler.claim('{WORKER}', 1, shard => {SHARD})",
        f"select scheduler.report_progress('{WORKER}', '{{0}}', {{1}}, '50')",
    ),
    "get_execution": (
        f"select h.execution_id, 1 from scheduler_internal.history h where h.shard = {SHARD} limit 1",
        "select * from scheduler.get_execution('{0}')",
    ),
    "get_execution_json": (
        f"select h.execution_id, 1 from scheduler_internal.history h where h.shard = {SHARD} limit 1",
        "select scheduler.get_execution_json('{0}')",
    ),
    "list_attempts": (
        f"select h.execution_id, 1 from scheduler_internal.history h where h.shard = {SHARD} limit 1",
        "select scheduler.list_attempts('{0}')",
    ),
    "get_job_json": (
        f"select j.job_id, 1 from scheduler_internal.jobs_{SHARD} j limit 1",
        "select scheduler.get_job_json('{0}')",
    ),
    "cancel_execution": (
        f"select w.execution_id, 1 from scheduler_internal.waiting_{SHARD} w where w.run_at < now() limit 1",
        "select scheduler.cancel_execution('{0}')",
    ),
    "trigger_job": (
        f"select j.job_id, 1 from scheduler_internal.jobs_{SHARD} j limit 1",
        "select scheduler.trigger_job('{0}')",
    ),
}

# Relation locks, indexes included, of a call whose plans are cached. A cached plan locks the tables of all
# partitions before it leaves out all but one (PostgreSQL 18 no longer does); their indexes it does not.
MOST_LOCKS = {"get_execution": 40, "list_attempts": 40}
MOST_LOCKS_OF_OTHERS = 75
# It also locks the schedule, and looks for what was held.
MOST_LOCKS_OF_EXCLUSIVE = 100

COUNTS = """
    select s.relname, s.seq_scan, s.idx_scan, s.n_tup_ins + s.n_tup_upd + s.n_tup_del
    from pg_stat_xact_user_tables s
    where s.schemaname = 'scheduler_internal'
"""
LOCKS = """
    select distinct c.relname, c.relkind from pg_locks l join pg_class c on c.oid = l.relation
    where l.pid = pg_backend_pid() and c.relnamespace = 'scheduler_internal'::regnamespace
"""

RETRIES = 2

Counts = dict[str, tuple[int, int, int]]


def counts(conn: Connection[Any]) -> Counts:
    """Returns what this session has done to each table and not yet reported: scans, index scans, writes."""
    rows = conn.execute(COUNTS.encode()).fetchall()
    return {name: (seq or 0, idx or 0, written or 0) for name, seq, idx, written in rows}


def touched(before: Counts, after: Counts) -> tuple[set[str], set[str]]:
    """Returns the tables scanned or written to between two counts, and those scanned sequentially."""
    changed = {name for name in after if after[name] != before.get(name, (0, 0, 0))}
    scanned = {name for name in after if after[name][0] > before.get(name, (0, 0, 0))[0]}
    return changed, scanned


def number_of(name: str) -> int | None:
    """Returns the shard or the day that a partition, or an index of one, is named after."""
    found = re.match(r"[a-z_]*?_(\d+)(?:_|$)", name)
    return int(found[1]) if found else None


def arrange(conn: Connection[Any], name: str) -> bytes:
    """Registers the worker, makes the arguments of a call, and returns it; commits."""
    prepare, call = HOT[name]
    conn.execute(f"select scheduler.stop_worker('{WORKER}'), scheduler.heartbeat('{WORKER}')".encode())
    arguments = conn.execute(prepare.encode()).fetchone() if prepare else ()
    conn.commit()
    assert arguments is not None
    return call.format(*arguments).encode()


@pytest.mark.direct
@pytest.mark.parametrize("calls_before", [0, WARM_UP])
@pytest.mark.parametrize("name", HOT)
def test_one_partition_of_each_table(loaded: Connection[Any], name: str, calls_before: int) -> None:
    """Nothing of another shard is scanned or written, one day at most; nothing large is read whole."""
    for _ in range(calls_before):
        loaded.execute(arrange(loaded, name))
        loaded.rollback()
    call = arrange(loaded, name)
    before = counts(loaded)
    loaded.execute(call)
    changed, scanned = touched(before, counts(loaded))
    locked = loaded.execute(LOCKS.encode()).fetchall()
    loaded.rollback()

    numbers = {table: number_of(table) for table in changed}
    shards = {number for number in numbers.values() if number is not None and number < 16}
    assert shards == {SHARD}
    for parent in ("history", "rollups", "audit_log", "skipped_fires"):
        assert len({number for table, number in numbers.items() if table.startswith(f"{parent}_")}) <= 1
    assert {table for table in scanned if table.startswith(("history", "waiting"))} == set()
    if name in MOST_LOCKS or calls_before:
        most = MOST_LOCKS_OF_EXCLUSIVE if name == "finish of one at a time" else MOST_LOCKS_OF_OTHERS
        # Who plans anew locks everything, and a session does when so much was made and dropped in other
        # databases that it lost count: then the next call tells.
        for _ in range(RETRIES):
            if len(locked) > MOST_LOCKS.get(name, most):
                loaded.execute(arrange(loaded, name))
                locked = loaded.execute(LOCKS.encode()).fetchall()
                loaded.rollback()
        assert len(locked) <= MOST_LOCKS.get(name, most)


@pytest.mark.direct
def test_the_witness_sees(loaded: Connection[Any]) -> None:
    """A statement that does touch all shards, and reads them from end to end, is caught as such."""
    before = counts(loaded)
    loaded.execute("select count(*) from scheduler_internal.waiting w where w.traceparent is not null")
    changed, scanned = touched(before, counts(loaded))
    assert {number_of(table) for table in changed} == set(range(16))
    assert len(scanned) == 16
