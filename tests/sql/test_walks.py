"""No hot call walks a whole table or key, also with plans that were made when all tables were empty.

A session plans once, and for an empty table the planner believes that any condition finds one row: such a
plan may read all entries of a shard to find one, which only shows when there are many.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.sql.engine import Engine, Worker

EACH = 200  # rows of each kind in a shard
FEW = 50  # entries of one index or rows of one table that a call may read

FILL = f"""
    insert into scheduler_internal.waiting
        (shard, attempt, execution_id, run_at, created_at, attempt_base, rank, crashes, origin, exclusive,
         queue, job_type, target)
    select s, 0, scheduler_internal.new_id(s, t.at), t.at, scheduler.now(), 0, 0, 0, 'e', false, 'default',
           'sql', '{{"statement": "select 1"}}'
    from generate_series(0, 15) s
    cross join generate_series(1, {EACH}) i
    cross join lateral (select scheduler.now() + i * interval '1 day' as at) t;

    insert into scheduler_internal.dedup_keys (shard, dedup_key, execution_id)
    select w.shard, w.execution_id::text, w.execution_id from scheduler_internal.waiting w;

    select scheduler.create_job('job ' || i, 'sql', '"select 1"', '0 0 1 1 *', overlap => 'queue_one')
    from generate_series(1, {16 * EACH}) i
"""
READ = """
    select c.relname, pg_stat_get_xact_tuples_returned(c.oid) as count from pg_class c
    where c.relnamespace = 'scheduler_internal'::regnamespace and c.relkind in ('r', 'i')
"""


class Calls:
    """What tickers, workers and users call all day."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.worker: Worker = engine.worker(lease="1 hour")
        self.job_id = engine.job_of("* * * * *", overlap="allow")

    def enqueue(self) -> None:
        self.last = self.engine.enqueued()

    def enqueue_with_a_key(self) -> None:
        self.engine.enqueued(dedup_key=str(self.last))

    def enqueue_with_a_taken_key(self) -> None:
        self.enqueue_with_a_key()

    def enqueue_many_with_keys(self) -> None:
        keys = (str(self.last), f"{self.last} again")
        items = [{"job_type": "sql", "target": "select 1", "dedup_key": key} for key in keys]
        self.engine.rows("enqueue_many", items=items)

    def trigger(self) -> None:
        self.engine.trigger_job(job_id=self.job_id)

    def tick(self) -> None:
        self.engine.rows("tick")

    def claim(self) -> None:
        self.held = self.worker.claim(100)
        assert len(self.held) >= 3

    def heartbeat(self) -> None:
        self.worker.beat(lease="1 hour")

    def finish(self) -> None:
        self.worker.finish(*self.held)

    def retry(self) -> None:
        assert self.engine.retry_execution(execution_id=self.held[0]["execution_id"])

    def cancel(self) -> None:
        self.engine.cancel_execution(execution_id=self.held[0]["execution_id"])

    def reap(self) -> None:
        self.engine.reap()

    def get_execution(self) -> None:
        self.engine.execution(self.last)

    def in_order(self) -> list[Callable[[], None]]:
        """Returns them in an order in which each has something to do."""
        return [
            self.enqueue,
            self.enqueue_with_a_key,
            self.enqueue_with_a_taken_key,
            self.enqueue_many_with_keys,
            self.trigger,
            self.tick,
            self.claim,
            self.heartbeat,
            self.finish,
            self.retry,
            self.cancel,
            self.reap,
            self.get_execution,
        ]


@pytest.mark.direct  # one session throughout, whose plans are those of the beginning
def test_plans_of_an_empty_database_stay_good(engine: Engine) -> None:
    engine.maintain()
    calls = Calls(engine)
    # Tables that were vacuumed while they were empty are planned for as if they stayed so.
    engine.db.execute(
        "vacuum scheduler_internal.dedup_keys, scheduler_internal.jobs, scheduler_internal.schedules"
    )
    for _ in range(2):
        engine.clock.advance(minutes=1)
        for call in calls.in_order():
            call()
    engine.db.execute(FILL.encode())
    engine.clock.advance(minutes=1)
    for call in calls.in_order():
        assert much_read_by(engine, call) == {}, call.__name__


@pytest.mark.direct
@pytest.mark.parametrize("overlap", ["skip", "queue_one"])
def test_what_was_backfilled_is_not_walked_for_the_next_fires(engine: Engine, overlap: str) -> None:
    """Its fires wait behind it; each tick, and each reap() where one is held, looks for them."""
    engine.maintain()
    job_id = engine.job_of("* * * * *", overlap=overlap)
    now = engine.clock.now
    engine.backfill_job(
        job_id=job_id, from_time=now - timedelta(minutes=10 * FEW), to_time=now - timedelta(minutes=1)
    )
    for _ in range(2):
        engine.clock.advance(minutes=1)
        engine.rows("tick")
    engine.clock.advance(minutes=1)
    assert much_read_by(engine, lambda: engine.rows("tick")) == {}
    assert much_read_by(engine, engine.reap) == {}
    second = "fired" if overlap == "queue_one" else "skipped_overlap"
    assert [verdict for _, verdict in engine.ledger(job_id)[-3:]] == ["fired", second, "skipped_overlap"]


@pytest.mark.direct
@pytest.mark.parametrize("name_prefix", ["a job", "job 111", "no job"])
def test_names_that_begin_otherwise_are_not_walked(engine: Engine, name_prefix: str) -> None:
    engine.db.execute(FILL.encode())
    listed = partial(engine.value, "list_jobs", name_prefix=name_prefix)
    assert much_read_by(engine, listed) == {}
    assert len(listed()["items"]) == (11 if name_prefix == "job 111" else 0)


def much_read_by(engine: Engine, call: Callable[[], Any]) -> dict[str, int]:
    """Returns the tables and indexes of which a call reads much, and how much."""
    with engine.db.transaction():
        before = {row["relname"]: row["count"] for row in engine.select(READ)}
        call()
        read = {row["relname"]: row["count"] - before.get(row["relname"], 0) for row in engine.select(READ)}
    return {name: count for name, count in read.items() if count > FEW}
