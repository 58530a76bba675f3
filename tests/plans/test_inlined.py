"""What is called all day calls no SQL function that is not inlined: each such call would plan it anew."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

WORKER = "00000000-0000-4000-8000-000000000004"
MOST_CUSTOM_PLANS = 5  # after so many PostgreSQL keeps a plan

PYTHON = """job_type => 'python', target => '"noop"'"""
HELD = """
    with held as (
        select * from scheduler.claim(%(worker)s, 10)
    ), arrays as (
        select array_agg(execution_id) as ids, array_agg(attempt) as attempts,
               array_agg('succeeded'::text) as statuses
        from held
    )
    select scheduler.finish(%(worker)s, ids, attempts, statuses) from arrays
"""
CALLS = {
    "enqueue": f"select scheduler.enqueue({PYTHON}, payload => '1', dedup_key => gen_random_uuid()::text)",
    "enqueue_many": 'select scheduler.enqueue_many(\'[{"job_type": "python", "target": "noop"}]\')',
    "claim and finish": HELD,
    "tick_shard": "select scheduler.tick_shard(3)",
    "heartbeat": "select scheduler.heartbeat(%(worker)s)",
    "list_executions": "select scheduler.list_executions()",
    "list_executions of a job": "select scheduler.list_executions(job_id => %(job)s)",
    "get_execution_json": "select scheduler.get_execution_json(%(execution)s)",
    "list_fires": "select scheduler.list_fires(%(job)s)",
    "list_attempts": "select scheduler.list_attempts(%(execution)s)",
    "list_jobs": "select scheduler.list_jobs()",
    "get_job_json": "select scheduler.get_job_json(%(job)s)",
    "check_api_key": "select scheduler.check_api_key('\\x00')",
    "start_request": "select scheduler.start_request('request-1', 'a key', '{read}')",
    "start_request and end_request": """
        with begun as materialized (
            select k.id, k.secret, scheduler.start_request(
                'request-1', 'a key', '{write}', null, k.secret, k.id, '\\x00')
            from (select gen_random_uuid() as id, gen_random_uuid()::text as secret offset 0) k
        )
        select scheduler.end_request(b.secret, b.id, 201, '{}') from begun b
    """,
    "check and change": """
        select scheduler.pause_job(%(job)s), scheduler.resume_job(%(job)s),
               scheduler.cancel_execution(scheduler.trigger_job(%(job)s))
    """,
    "update_job": """
        select scheduler.update_job(%(job)s, jsonb_build_object(
            'schedule', (extract(epoch from clock_timestamp()) * 1000)::bigint %% 60 || ' * * * *'))
    """,
    "trigger_job": "select scheduler.trigger_job(%(job)s)",
    "due_shards": "select scheduler.due_shards()",
    "tick_ahead": "select scheduler.tick_ahead()",
    "reap": "select scheduler.reap()",
    "poll_order": "select scheduler.poll_order(%(worker)s)",
    "report_progress": "select scheduler.report_progress(%(worker)s, %(execution)s, 1, '1')",
    "changes_since": "select scheduler.changes_since()",
    "list_audit": "select scheduler.list_audit()",
    "list_stats": "select scheduler.list_stats()",
    "status_json": "select scheduler.status_json()",
    "worker_demand": "select scheduler.worker_demand()",
    "activity": "select scheduler.activity(now())",
    "list_queues": "select scheduler.list_queues()",
    "list_workers": "select scheduler.list_workers()",
    "metrics_json": "select scheduler.metrics_json()",
}

CALLED = """
    select s.schemaname || '.' || s.funcname, s.calls
    from pg_stat_xact_user_functions s
    join pg_proc p on p.oid = s.funcid
    join pg_language l on l.oid = p.prolang
    where l.lanname = 'sql'
"""
READ_NO_TABLE = {"scheduler.get_shard_id", "scheduler_internal.bit_mask"}
"""To plan these takes microseconds, whatever there is in the database."""


@pytest.mark.direct
@pytest.mark.parametrize("name", CALLS)
def test_no_function_is_planned_at_each_call(loaded: Connection[Any], name: str) -> None:
    """In one session, as a pooler's are."""
    job_id, execution_id = loaded.execute(
        "select job_id, execution_id from scheduler_internal.history limit 1"
    ).fetchone() or (None, None)
    named = {"worker": WORKER, "job": job_id, "execution": execution_id}
    loaded.execute("select scheduler.heartbeat(%(worker)s)", named)
    loaded.execute("set local track_functions = 'all'")

    def call() -> None:
        loaded.execute(CALLS[name], {key: value for key, value in named.items() if f"({key})" in CALLS[name]})

    for _ in range(MOST_CUSTOM_PLANS + 1):
        call()
    before = dict(loaded.execute(CALLED).fetchall())
    call()
    after = dict(loaded.execute(CALLED).fetchall())
    planned = {function for function, calls in after.items() if calls > before.get(function, 0)}
    assert planned - (READ_NO_TABLE if name == "update_job" else set()) == set()
