"""The lists of the REST API on a database with much in it: a call reads a page, or a stretch of rows."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

from tests.plans.conftest import DAYS, HISTORY, WAITING
from tests.plans.witness import read_of

PAGE = 50
WINDOW = 20_000  # the most that one call of a list looks at, see find_ended.sql
# A page is found, then shown; each begins in every partition of a day.
FEW = 5 * PAGE + 2 * (DAYS + 8)
OF_A_SHARD = 2 * WAITING // 16  # in the evening, when the last day holds less than a page of a job's

# call -> how much of the history, and of what waits, it may read. What a call looks at in vain it reads
# twice: the second time to find where it stopped.
CALLS = {
    "list_executions()": (FEW, FEW),
    "list_executions(status => 'succeeded')": (FEW, 0),
    "list_executions(status => 'failed')": (FEW, 0),
    "list_executions(status => 'running')": (0, 0),
    "list_executions(status => 'scheduled')": (0, FEW),
    "list_executions(after => '{execution_id}')": (FEW, FEW),
    "list_executions(queue => 'none')": (2 * WINDOW + FEW, 2 * WINDOW + FEW),
    "list_executions(tag => 'none', status => 'succeeded')": (2 * WINDOW + FEW, 0),
    "list_executions(error_contains => 'x', status => 'failed')": (FEW, 0),
    "list_executions(error_contains => 'x')": (2 * WINDOW + FEW, 2 * WINDOW + FEW),
    "list_executions(job_id => '{job_id}')": (FEW, OF_A_SHARD),
    "list_executions(job_id => '{job_id}', status => 'succeeded')": (FEW, 0),
    "list_executions(job_id => '{job_id}', status => 'failed')": (2 * HISTORY // 64 + FEW, 0),
    "list_executions(from_time => now() - interval '3 days', to_time => now() - interval '2 days')": (
        FEW,
        FEW,
    ),
    "list_fires('{job_id}')": (FEW, 0),
    "list_fires('{job_id}', to_time => now() - interval '3 days')": (FEW, 0),
    "list_attempts('{execution_id}')": (1, 0),
    "get_execution_json('{execution_id}')": (1, 0),
    "activity(now() - interval '1 hour')": (2_000 + DAYS + 8, 32 * 1_000 + 32),
}


@pytest.mark.direct
@pytest.mark.parametrize("call", CALLS)
def test_a_call_reads_little(loaded: Connection[Any], call: str) -> None:
    """Neither the whole history nor all that waits, and nothing large from end to end."""
    row = loaded.execute(
        "select h.execution_id, h.job_id from scheduler_internal.history h order by 1 limit 1 offset %s",
        [HISTORY // 2],
    ).fetchone()
    assert row is not None
    before = {table: read_of(loaded, table) for table in ("history", "waiting")}
    loaded.execute(f"select scheduler.{call.format(execution_id=row[0], job_id=row[1])}".encode())
    for table, most in zip(before, CALLS[call], strict=True):
        read, whole = (now - then for now, then in zip(read_of(loaded, table), before[table], strict=True))
        assert read <= most, table
        # What waits in a shard is not much here, nor is it in the queues.
        if table != "waiting" or not ("job_id" in call or call.startswith("activity")):
            assert whole == 0, table


END = """
    do $$
    declare
        v_worker uuid := gen_random_uuid();
        v_ids uuid[];
    begin
        perform scheduler.heartbeat(v_worker);
        perform scheduler.enqueue_many(jsonb_build_array(
            jsonb_build_object('job_type', 'python', 'target', 'noop', 'queue', 'ended')))
        from generate_series(1, 3000);
        v_ids := array(select execution_id from scheduler.claim(v_worker, 3000, queues => '{ended}'));
        perform scheduler.finish(v_worker, v_ids, array_fill(1, array[3000]),
                                 array_fill('succeeded'::text, array[3000]));
    end;
    $$
"""


@pytest.mark.direct
@pytest.mark.parametrize("call", ["list_executions({})", "list_executions(queue => 'ended', {})"])
def test_a_page_does_not_walk_past_all_that_has_ended(loaded: Connection[Any], call: str) -> None:
    """Where an execution waited and ran an entry is left of it, until vacuum comes."""
    loaded.execute(END)
    before = read_of(loaded, "waiting|running")
    (page,) = loaded.execute(
        f"select scheduler.{call.format('to_time => clock_timestamp()')}".encode()
    ).fetchone() or [None]
    assert {item["status"] for item in page["items"]} >= {"succeeded"}
    read, whole = (now - then for now, then in zip(read_of(loaded, "waiting|running"), before, strict=True))
    assert read <= FEW
    assert whole == 0


@pytest.mark.direct
def test_activity_planned_before_there_was_any_reads_no_more_of_it(db: Connection[Any]) -> None:
    """Its plan is kept: it may not sort, or it would read the whole history each second from then on."""
    call = "select scheduler.activity(now() - interval '1 hour')"
    db.execute(call)
    for _ in range(2):
        db.execute(END)
    with db.transaction():
        before, _ = read_of(db, "history")
        db.execute(call)
        read = read_of(db, "history")[0] - before
    assert 2_000 <= read <= 2_000 + DAYS + 8


@pytest.mark.direct
def test_the_witness_sees(loaded: Connection[Any]) -> None:
    """A statement that reads all of it is caught as such."""
    loaded.execute("select count(*) from scheduler_internal.history h where h.traceparent is null")
    assert read_of(loaded, "history") == (HISTORY, HISTORY)


def test_a_document_is_shortened_without_a_call(loaded: Connection[Any]) -> None:
    """A page has hundreds of them: the function is written into the plan, as it says of itself."""
    plan = loaded.execute(
        "explain (verbose) select scheduler_internal.shorten(w.payload) from scheduler_internal.waiting w"
    ).fetchall()
    text = "\n".join(row[0] for row in plan)
    assert "octet_length" in text
    assert "shorten(" not in text
