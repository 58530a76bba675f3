"""Claims while a transaction that is held open keeps the dead rows of all earlier ones: nothing is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Any, LiteralString
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connect
from tests.faults.sessions import Db, rows, value, wait_until
from tests.support.clock import Clock

pytestmark = pytest.mark.direct

START = datetime(2030, 1, 1, tzinfo=UTC)
SHARD = 3
FAR = 1100
"""More than the dead entries that a claim minds."""
SWEEP = "select next_at from scheduler_internal.claim_sweeps where shard = %s"
BOUNDS = "select queue, rank, from_run_at from scheduler_internal.claim_bounds where shard = %s"
DUE = "update scheduler_internal.claim_sweeps set next_at = '2020-01-01' where shard = %s"
LATER = """
    update scheduler_internal.claim_sweeps set next_at = clock_timestamp() + interval '9 seconds'
    where shard = %s
"""
"""So that the sweep, which is due after a tenth of a second, does not come before the claim."""
AHEAD = """
    update scheduler_internal.claim_sweeps set next_at = clock_timestamp() + interval '1 hour'
    where shard = %s
"""
"""As it is when the clock has stepped back an hour since the last sweep."""
CLAIM = """
    select execution_id, attempt from scheduler.claim(%s, %s, job_types => %s, shard => %s)
"""
NUMBERS = count()


def keys() -> Iterator[str]:
    """Gives dedup keys that belong to the shard."""
    for number in NUMBERS:
        key = f"key {number}"
        if hashlib.md5(key.encode(), usedforsecurity=False).digest()[0] & 15 == SHARD:
            yield key


class Held:
    """A database in which a snapshot is held, and a worker who has claimed and ended a great deal since."""

    def __init__(self, connect: Connect, clock: Clock) -> None:
        self.conn, self.other, self.holder = connect(), connect(), connect()
        self._clock = clock
        self.worker_id = uuid4()
        self.at(0)
        self.holder.execute("begin isolation level repeatable read")
        self.holder.execute("select from scheduler.jobs")
        self.beat()

    def at(self, seconds: float, *conns: Db) -> None:
        """Sets the clock of some sessions, of both without a name."""
        for conn in conns or (self.conn, self.other):
            self._clock.set(START + timedelta(seconds=seconds), conn=conn)

    def beat(self) -> None:
        """Renews the worker's lease."""
        self.conn.execute("select from scheduler.heartbeat(%s, lease => '1 hour')", [self.worker_id])

    def enqueue(self, number: int = 1, *, conn: Db | None = None, **more: Any) -> list[UUID]:
        """Makes executions in the shard."""
        items = [
            {"job_type": "python", "target": "noop", "dedup_key": key, **more}
            for key in islice(keys(), number)
        ]
        query = "select scheduler.enqueue_many(%s)"
        return [row[0] for row in rows(conn or self.conn, query, Jsonb(items))]

    def claim(self, number: int = 10, *, job_type: str = "python", shard: int | None = SHARD) -> list[UUID]:
        """Claims, and ends what was claimed."""
        claimed = rows(self.conn, CLAIM, self.worker_id, number, [job_type], shard)
        ids, attempts = [row[0] for row in claimed], [row[1] for row in claimed]
        stale = rows(
            self.conn,
            "select scheduler.finish(%s, %s::uuid[], %s::integer[], %s)",
            *(self.worker_id, ids, attempts, ["succeeded"] * len(ids)),
        )
        assert stale == []
        return ids

    def walk(self) -> int:
        """Makes an execution, claims it, and returns over how many entries that went."""
        made = self.enqueue()
        walked = "select scheduler_internal.walked(%s)"
        with self.conn.transaction():
            before: int = value(self.conn, walked, SHARD)
            assert self.claim() == made
            return int(value(self.conn, walked, SHARD)) - before

    @property
    def is_bounded(self) -> bool:
        """Whether claims of the shard begin at bounds."""
        return value(self.conn, SWEEP, SHARD) is not None

    def work(self, number: int = FAR) -> None:
        """Has so many run, whose entries stay, and two claims notice that."""
        made = self.enqueue(number + 2)
        assert len(self.claim(number)) == number
        for _ in range(2):
            assert set(self.claim(1)) <= set(made)


@pytest.fixture
def held(connect: Connect, clock: Clock) -> Held:
    clock.set(START, everywhere=True)
    return Held(connect, clock)


def test_few_dead_rows_change_nothing(held: Held) -> None:
    held.work(200)
    assert not held.is_bounded
    assert rows(held.conn, BOUNDS, SHARD) == []


def test_claims_begin_behind_the_dead_rows(held: Held) -> None:
    held.at(60)
    held.work()
    assert held.is_bounded
    assert rows(held.conn, BOUNDS, SHARD) == [("default", 0, START + timedelta(seconds=59))]
    held.at(120)
    assert held.walk() > FAR - 100
    assert rows(held.conn, BOUNDS, SHARD) == [("default", 0, START + timedelta(seconds=119))]
    assert held.walk() < 20


# Alone, because PostgreSQL looks anew for what is dead to all only when the oldest transaction of the whole
# server has changed: one of another test's database would keep it from marking anything.
@pytest.mark.alone
def test_where_no_transaction_is_open_one_walk_is_all(held: Held) -> None:
    """It marks the dead entries; claims go on to look at all lanes, new ones too."""
    held.holder.execute("rollback")
    held.enqueue(FAR)
    assert len(held.claim(FAR)) == FAR
    others = "datname = current_database() and pid <> pg_backend_pid() and backend_xmin is not null"
    # Autovacuum may have come to collect statistics: it holds a snapshot, too.
    wait_until(lambda: rows(held.conn, f"select from pg_stat_activity where {others}") == [])
    assert held.walk() > FAR - 100
    made = held.enqueue(queue="new")
    assert held.claim() == made
    assert not held.is_bounded


def test_what_was_committed_late_waits_for_the_sweep(held: Held) -> None:
    with held.other.transaction():
        late = held.enqueue(conn=held.other)
        held.at(60, held.conn)
        held.work()
        assert held.is_bounded
    held.conn.execute(LATER, [SHARD])
    assert held.claim() == []
    held.conn.execute(DUE, [SHARD])
    assert held.claim() == late


@pytest.mark.parametrize("due", [DUE, AHEAD])
@pytest.mark.parametrize("shard", [SHARD, None])
def test_a_new_queue_waits_for_the_sweep(held: Held, shard: int | None, due: LiteralString) -> None:
    held.work()
    held.conn.execute(LATER, [SHARD])
    made = held.enqueue(queue="new") + held.enqueue(priority=5)
    assert held.claim(shard=shard) == []
    held.conn.execute(due, [SHARD])
    assert set(held.claim(shard=shard)) == set(made)
    sweeps = "select next_at < clock_timestamp() + interval '11 seconds' from scheduler_internal.claim_sweeps"
    assert set(rows(held.conn, f"{sweeps} where next_at is not null")) == {(True,)}


def test_what_is_given_back_is_found_at_once(held: Held) -> None:
    made = held.enqueue()
    [(execution_id, attempt)] = rows(held.conn, CLAIM, held.worker_id, 1, ["python"], SHARD)
    held.at(60)
    held.work()
    given = "select scheduler.release(%s, array[%s::uuid], array[%s::integer])"
    assert value(held.conn, given, held.worker_id, execution_id, attempt) == 1
    assert held.claim() == made


def test_what_a_silent_worker_held_is_found_at_once(held: Held) -> None:
    silent, held.worker_id = held.worker_id, uuid4()
    made = held.enqueue()
    [_] = rows(held.conn, CLAIM, silent, 1, ["python"], SHARD)
    held.at(3600)
    held.beat()
    held.work()
    assert value(held.conn, "select scheduler.reap()") == 1
    assert held.claim() == made


def test_what_has_expired_is_left_to_the_reaper(held: Held) -> None:
    """The index of what may expire is as full of dead entries."""
    ended = "select count(*)::int from scheduler.executions where status = 'expired'"
    held.enqueue(expires_after="1 second")
    held.at(2)
    assert held.claim(shard=None) == []
    assert value(held.conn, ended) == 1
    held.work()
    held.enqueue(expires_after="1 second")
    held.at(4)
    assert held.is_bounded
    assert held.claim(shard=None) == []
    assert value(held.conn, ended) == 1
    held.conn.execute("select scheduler.reap()")
    assert value(held.conn, ended) == 2


def test_filters_hide_nothing_from_others(held: Held) -> None:
    """What others may claim lies in front: so the bound stays there."""
    others = held.enqueue(job_type="http", target="http://example.org")
    held.at(60)
    held.work()
    held.at(120)
    held.work()
    assert held.claim(job_type="http") == others


def test_who_serves_one_queue_hides_no_other(held: Held) -> None:
    """His claim has walked far in his own lanes, and notes where to begin in all of them."""
    others = held.enqueue(queue="other")
    held.enqueue(FAR + 1)
    one = "select execution_id from scheduler.claim(%s, %s, queues => '{default}', shard => %s)"
    for number in (FAR, 1):
        assert len(rows(held.conn, one, held.worker_id, number, SHARD)) == number
    assert held.is_bounded
    held.conn.execute(LATER, [SHARD])
    assert held.claim() == others


def test_a_claim_that_is_rolled_back_hides_nothing(held: Held) -> None:
    made = held.enqueue()
    held.at(60)
    held.other.execute("begin")
    assert rows(held.other, CLAIM, held.worker_id, 1, ["python"], SHARD) == [(made[0], 1)]
    held.work()
    held.other.execute("rollback")
    assert held.claim() == made


@pytest.mark.parametrize("due", [DUE, AHEAD])
def test_a_sweep_that_does_not_end_hides_nothing(held: Held, due: LiteralString) -> None:
    held.work()
    made = held.enqueue(2, queue="new")
    held.conn.execute(due, [SHARD])
    with held.other.transaction():
        assert len(rows(held.other, CLAIM, held.worker_id, 1, ["python"], SHARD)) == 1
        [seen] = held.claim()
        assert seen in made


def test_it_ends_with_the_dead_rows(held: Held) -> None:
    held.work()
    held.holder.execute("rollback")
    held.conn.execute(f"vacuum scheduler_internal.waiting_{SHARD}".encode())
    held.conn.execute(DUE, [SHARD])
    made = held.enqueue()
    assert rows(held.conn, BOUNDS, SHARD) != []
    assert held.claim() == made
    assert not held.is_bounded
    assert rows(held.conn, BOUNDS, SHARD) == []  # else those of queues that are no more would stay


def test_who_holds_a_bound_is_not_waited_for(held: Held) -> None:
    held.work()
    held.holder.execute("rollback")
    held.conn.execute(f"vacuum scheduler_internal.waiting_{SHARD}".encode())
    held.conn.execute(DUE, [SHARD])
    made = held.enqueue()
    held.conn.execute("set lock_timeout = '1ms'")
    with held.other.transaction():
        assert len(rows(held.other, BOUNDS + " for update", SHARD)) == 1
        assert held.claim() == made
    assert not held.is_bounded


def test_an_idle_worker_notices(held: Held) -> None:
    """There is nothing to claim, so that only the look for shards walks: long enough to be minded."""
    for _ in range(8):
        held.enqueue(5 * FAR)
    while held.claim(10_000):
        pass
    held.conn.execute("update scheduler_internal.claim_sweeps set next_at = null")
    held.conn.execute("truncate scheduler_internal.claim_bounds")
    for _ in range(3):
        assert held.claim(shard=None) == []
    assert held.is_bounded
    made = held.enqueue()
    held.conn.execute(DUE, [SHARD])
    assert held.claim(shard=None) == made


def test_a_sweep_of_many_lanes_is_far_apart_from_the_next(db: Db) -> None:
    """Each lane costs a look, as each dead entry does: together a tenth of a core at most."""
    db.execute(DUE, [SHARD])
    began = value(db, "select clock_timestamp()")
    note = """
        select scheduler_internal.note_sweep(%s, 1100, array(
            select row(%s, 'queue-' || i, 0, now())::scheduler_internal.claim_bounds
            from generate_series(1, 5000) i), now())
    """
    db.execute(note, [SHARD, SHARD])
    assert value(db, SWEEP, SHARD) - began >= timedelta(seconds=0.61)
