"""Executions without a job."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.conftest import Connect
from tests.faults.sessions import Db, rows, value, wait_until, waiting
from tests.sql.engine import SQL_TARGET, Engine, refused


def test_what_is_given_is_what_runs(engine: Engine) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    run_at = engine.clock.now + timedelta(hours=2)
    execution_id = engine.enqueue(
        job_type="http",
        target="https://example.org/hook",
        payload={"n": [1, None]},
        queue="mail",
        priority=7,
        run_at=run_at,
        max_attempts=9,
        timeout="5 minutes",
        traceparent=traceparent,
    )
    seen = engine.execution(execution_id)
    assert seen["status"] == "scheduled"
    assert seen["target"] == {"url": "https://example.org/hook"}
    assert (seen["origin"], seen["attempt"], seen["priority"]) == ("enqueue", 0, 7)
    worker = engine.worker()
    assert worker.claim() == []
    engine.clock.set(run_at)
    assert engine.execution(execution_id)["status"] == "ready"
    worker.beat()
    claimed = worker.claim_one()
    assert claimed["token"] is None
    expected = {
        "execution_id": execution_id,
        "attempt": 1,
        "job_id": None,
        "job_name": None,
        "job_type": "http",
        "queue": "mail",
        "target": {"url": "https://example.org/hook"},
        "payload": {"n": [1, None]},
        "fire_at": None,
        "run_at": run_at,
        "started_at": run_at,
        "timeout": timedelta(minutes=5),
        "max_attempts": 9,
        "traceparent": traceparent,
        "token": None,
    }
    assert claimed == expected


def test_an_id_tells_its_shard_and_its_time(engine: Engine) -> None:
    run_at = engine.clock.now + timedelta(days=3)
    for _ in range(5):
        execution_id = engine.enqueued(run_at=run_at)
        assert execution_id.version == 7
        assert engine.get_shard_id(job_id=execution_id) == engine.execution(execution_id)["shard"]
        assert engine.one("select scheduler_internal.id_time(%s)", execution_id) == run_at


def test_a_start_in_the_past_is_now(engine: Engine) -> None:
    execution_id = engine.enqueued(run_at=engine.clock.now - timedelta(days=90))
    assert engine.execution(execution_id)["run_at"] == engine.clock.now


@pytest.mark.direct
def test_it_belongs_to_the_callers_transaction(engine: Engine, connect: Connect) -> None:
    other = connect(autocommit=False)
    engine.clock.set(engine.clock.now, conn=other)
    other.execute("select scheduler.enqueue('sql', '\"select 1\"')")
    worker = engine.worker()
    assert worker.claim() == []
    other.commit()
    assert worker.claim_one()
    other.execute("select scheduler.enqueue('sql', '\"select 1\"', dedup_key => 'k')")
    other.rollback()
    assert worker.claim() == []
    assert engine.enqueued(dedup_key="k") == worker.claim_one()["execution_id"]


def test_a_dedup_key_is_taken_until_the_end(engine: Engine) -> None:
    first = engine.enqueued(dedup_key="invoice 7", payload=1)
    assert engine.enqueued(dedup_key="invoice 7", payload=2) == first  # it waits
    assert engine.execution(first)["payload"] == 1
    assert engine.enqueued(dedup_key="invoice 8") != first
    worker = engine.worker()
    (claimed,) = [row for row in worker.claim(10) if row["execution_id"] == first]
    assert engine.enqueued(dedup_key="invoice 7") == first  # it runs
    worker.fail(claimed)
    assert engine.enqueued(dedup_key="invoice 7") == first  # it waits for its second attempt
    engine.clock.advance(minutes=1)
    worker.beat()
    worker.finish(worker.claim_one())
    second = engine.enqueued(dedup_key="invoice 7")
    assert second != first
    assert engine.cancel_execution(execution_id=second)
    third = engine.enqueued(dedup_key="invoice 7", expires_after="1 minute")
    assert third not in (first, second)
    engine.clock.advance(minutes=2)
    engine.reap()
    assert engine.execution(third)["status"] == "expired"
    assert engine.enqueued(dedup_key="invoice 7") not in (first, second, third)


def test_expiry_ends_what_has_not_started(engine: Engine) -> None:
    expiring = engine.enqueued(expires_after="1 minute")
    started = engine.enqueued(expires_after="1 minute", queue="started")
    worker = engine.worker()
    (claimed,) = worker.claim(queues=["started"])
    worker.fail(claimed)
    engine.clock.advance(minutes=1)
    worker.beat()
    assert worker.claim_one()["execution_id"] == started  # its retry does not expire
    seen = engine.execution(expiring)
    assert (seen["status"], seen["attempt"], seen["started_at"]) == ("expired", 0, None)
    assert seen["error"]["type"] == "expired"
    assert engine.attempts(expiring) == []


def test_many_at_once(engine: Engine) -> None:
    items: list[dict[str, Any]] = [
        {"job_type": "sql", "target": SQL_TARGET, "payload": {"n": n}, "priority": n % 3} for n in range(300)
    ]
    ids = [row["enqueue_many"] for row in engine.rows("enqueue_many", items=items)]
    assert len(set(ids)) == 300
    assert ids == sorted(ids)  # else each of their indexes is searched for each of them
    payloads = engine.select(
        "select payload from scheduler.executions join unnest(%s::uuid[]) with ordinality i(execution_id, n)"
        " using (execution_id) order by n",
        ids,
    )
    assert [row["payload"] for row in payloads] == [{"n": n} for n in range(300)]
    assert engine.rows("enqueue_many", items=[]) == []


def test_many_with_dedup_keys_and_every_argument(engine: Engine) -> None:
    item = {
        "job_type": "python",
        "target": "send",
        "payload": "x",
        "queue": "q",
        "priority": -3,
        "run_at": "2031-03-06T00:00:00Z",
        "dedup_key": "k",
        "max_attempts": 2,
        "backoff": "fixed",
        "backoff_base": "1 minute",
        "backoff_max": "2 minutes",
        "timeout": "3 minutes",
        "expires_after": "4 minutes",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    plain = {"job_type": "sql", "target": "select 1", "priority": None, "dedup_key": None}
    ids: list[UUID] = [row["enqueue_many"] for row in engine.rows("enqueue_many", items=[item, plain, item])]
    assert ids[0] == ids[2] != ids[1]
    one = engine.execution(engine.enqueue(**{**item, "dedup_key": "other"}))
    many = engine.execution(ids[0])
    for changing in ("execution_id", "dedup_key", "shard"):
        del one[changing], many[changing]
    assert one == many
    alone = engine.rows("enqueue_many", items=[{**item, "dedup_key": None}])[0]["enqueue_many"]
    batched = engine.execution(alone)
    for changing in ("execution_id", "dedup_key", "shard"):
        del batched[changing]
    assert one == batched


@given(
    taken=st.sets(st.sampled_from("abcde")),
    keys=st.lists(st.none() | st.sampled_from("abcdefg"), min_size=1, max_size=20),
)
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_many_with_keys_are_as_many_one_by_one(
    engine: Engine, taken: set[str], keys: list[str | None]
) -> None:
    held = {key: engine.enqueued(dedup_key=key) for key in sorted(taken)}
    items = [
        {"job_type": "sql", "target": SQL_TARGET, "payload": n, "dedup_key": key}
        for n, key in enumerate(keys)
    ]
    ids = [row["enqueue_many"] for row in engine.rows("enqueue_many", items=items)]
    made: dict[UUID, tuple[int, str | None]] = {}
    for n, (key, execution_id) in enumerate(zip(keys, ids, strict=True)):
        if key is not None and key in held:
            assert execution_id == held[key]
            continue
        assert execution_id not in made
        made[execution_id] = (n, key)
        if key is not None:
            held[key] = execution_id
    waiting_now = engine.select(
        "select execution_id, payload, dedup_key from scheduler.executions where status = 'ready'"
    )
    found = {row["execution_id"]: (row["payload"], row["dedup_key"]) for row in waiting_now}
    assert {execution_id: found.get(execution_id) for execution_id in ids if execution_id in made} == made
    assert len(found) == len(made) + len(taken)
    shards = {execution_id: engine.value("get_shard_id", job_id=execution_id) for execution_id in ids}
    keyed = engine.select("select shard, dedup_key, execution_id from scheduler_internal.dedup_keys")
    assert {row["dedup_key"]: row["execution_id"] for row in keyed} == held
    assert all(shards.get(row["execution_id"], row["shard"]) == row["shard"] for row in keyed)
    for execution_id in found:  # for the next example; after one that fails there is none
        engine.cancel_execution(execution_id=execution_id)


WRONG_ITEMS: dict[str, tuple[Any, str, str]] = {
    "null": (None, "22023", "items must be an array"),
    "an object": ({}, "22023", "items must be an array"),
    "too many": ([{}] * 10_001, "22023", "items must be an array of at most 10,000"),
    "a number": ([1], "22023", "an item must be an object"),
    "unknown key": ([{"job_type": "sql", "target": "x", "job": 1}], "22023", "unknown key 'job'"),
    "no target": ([{"job_type": "sql"}], "22023", "needs a target"),
    "no type": ([{"target": "x"}], "22023", "unknown job type"),
    "queue": ([{"job_type": "sql", "target": "x", "queue": "a b"}], "22023", "invalid queue name"),
    "key": ([{"job_type": "sql", "target": "x", "dedup_key": ""}], "22023", "invalid dedup_key"),
    "run_at": ([{"job_type": "sql", "target": "x", "run_at": "infinity"}], "22023", "run_at infinity is out"),
    "trace": ([{"job_type": "sql", "target": "x", "traceparent": "1"}], "22023", "invalid traceparent"),
    "payload": (
        [{"job_type": "sql", "target": "x", "payload": "x" * 1_100_000}],
        "22023",
        "^the payload is too large$",
    ),
    "cast": ([{"job_type": "sql", "target": "x", "priority": "high"}], "22P02", "invalid input syntax"),
}


@pytest.mark.parametrize("wrong", WRONG_ITEMS)
def test_a_wrong_item_refuses_all(engine: Engine, wrong: str) -> None:
    items, sqlstate, message = WRONG_ITEMS[wrong]
    if wrong not in ("null", "an object", "too many"):
        items = [{"job_type": "sql", "target": "select 1"}, *items]
    before = engine.fingerprint()
    with refused(sqlstate, message):
        engine.rows("enqueue_many", items=items)
    assert engine.fingerprint() == before


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"priority": 101}, "items[2].priority"),
        ({"priority": 1.5}, "items[2].priority"),
        ({"priority": 0.0}, "items[2].priority"),
        ({"max_attempts": "many"}, "items[2].max_attempts"),
        ({"dedup_key": "x" * 501}, "items[2].dedup_key"),
        ({"timeout": "soon"}, "items[2]"),
        ({"payload": "x" * 1_048_576}, "items[2].payload"),
        ({"target": {"url": "x"}}, "items[2].target"),
        ({"job_type": "x"}, "items[2].job_type"),
        ({"colour": "red"}, "items[2].colour"),
        ({"run_at": "infinity"}, "items[2].run_at"),
    ],
    ids=str,
)
def test_what_is_wrong_in_which_item_is_told(engine: Engine, wrong: dict[str, Any], argument: str) -> None:
    large = {"payload": "x" * 1000}
    later = {"payload": "x" * 1_048_576}
    extras = ({"priority": 0}, large, wrong, later)  # 0 is 0.0, but for a cast to integer
    items = [{"job_type": "sql", "target": "select 1", **extra} for extra in extras]
    with pytest.raises(psycopg.Error) as error:
        engine.rows("enqueue_many", items=items)
    assert error.value.diag.column_name == argument
    assert (error.value.diag.message_detail or "").startswith(f"At {argument}.")


@pytest.mark.direct
def test_two_batches_of_the_same_keys_do_not_wait_in_a_circle(engine: Engine, connect: Connect) -> None:
    holder, first, second = connect(), connect(), connect()
    enqueue = "select scheduler.enqueue('sql', '\"select 1\"', dedup_key => %s)"
    enqueue_many = "select enqueue_many from scheduler.enqueue_many(%s)"
    batch = [{"job_type": "sql", "target": SQL_TARGET, "dedup_key": key} for key in "abc"]

    def enqueue_all(conn: Db, items: list[dict[str, Any]]) -> list[UUID]:
        return [execution_id for (execution_id,) in rows(conn, enqueue_many, Jsonb(items))]

    holder.execute("begin")
    value(holder, enqueue, "b")
    with (
        waiting(engine.db, first, lambda conn: enqueue_all(conn, batch)) as upwards,
        waiting(engine.db, second, lambda conn: enqueue_all(conn, batch[::-1])) as downwards,
    ):
        holder.execute("commit")
        assert upwards.result() == downwards.result()[::-1]


@pytest.mark.direct
def test_nor_do_they_when_a_key_is_given_up_meanwhile(engine: Engine, connect: Connect) -> None:
    """The first has met the key with its holder; the second takes it, before the first has all of its own."""
    holder, first, second = connect(), connect(), connect()
    ending = engine.enqueued(dedup_key="a")
    holder.execute("begin")
    value(holder, "select scheduler.enqueue('sql', '\"select 1\"', dedup_key => 'b')")
    items = [{"job_type": "sql", "target": SQL_TARGET, "dedup_key": key} for key in "ab"]

    def enqueue_all(conn: Db) -> list[UUID]:
        found = rows(conn, "select enqueue_many from scheduler.enqueue_many(%s)", Jsonb(items))
        return [execution_id for (execution_id,) in found]

    with waiting(engine.db, first, enqueue_all) as early:
        engine.cancel_execution(execution_id=ending)
        with waiting(engine.db, second, enqueue_all) as late:
            holder.execute("rollback")
            a, b = late.result()
            assert early.result() == [ending, b]
    ready = engine.select("select execution_id, dedup_key from scheduler.executions where status = 'ready'")
    assert {row["execution_id"]: row["dedup_key"] for row in ready} == {a: "a", b: "b"}


@pytest.mark.direct
def test_a_batch_asks_again_for_a_key_that_came_and_went(engine: Engine, connect: Connect) -> None:
    """It waits for who takes the key, and finds it neither taken at the beginning nor free."""
    holder, other, batch = connect(), connect(), connect()
    for conn, key in ((holder, "a"), (other, "b")):
        conn.execute("begin")
        taken = value(conn, "select scheduler.enqueue('sql', '\"select 1\"', dedup_key => %s)", key)
        if conn is holder:
            gone = taken
    items = [{"job_type": "sql", "target": SQL_TARGET, "dedup_key": key} for key in "ab"]
    enqueue = "select enqueue_many from scheduler.enqueue_many(%s)"
    with waiting(engine.db, batch, lambda conn: rows(conn, enqueue, Jsonb(items))) as found:
        holder.execute("commit")
        wait_until(
            lambda: (
                value(engine.db, "select pg_blocking_pids(%s)", batch.info.backend_pid)
                == [other.info.backend_pid]
            )
        )
        engine.cancel_execution(execution_id=gone)
        other.execute("commit")
        ids = [execution_id for (execution_id,) in found.result()]
    ready = engine.select("select execution_id, dedup_key from scheduler.executions where status = 'ready'")
    assert {row["execution_id"]: row["dedup_key"] for row in ready} == dict(zip(ids, "ab", strict=True))
    assert ids[1] == taken


@pytest.mark.direct
def test_workers_are_told_of_the_shards_in_which_something_is_ready(engine: Engine) -> None:
    key = "taken"
    engine.enqueued(dedup_key=key)
    engine.db.execute("set scheduler.notify = on")
    engine.db.execute("listen scheduler_ready")
    item = {"job_type": "sql", "target": SQL_TARGET}
    later = {"run_at": (engine.clock.now + timedelta(hours=1)).isoformat()}
    items = [{**item, "dedup_key": str(n)} for n in range(3)]
    items += [{**item, "dedup_key": key}, *({**item, **later, "dedup_key": f"later {n}"} for n in range(40))]
    ids = [row["enqueue_many"] for row in engine.rows("enqueue_many", items=items)]
    told = sorted(int(each.payload) for each in engine.db.notifies(timeout=0.2))
    assert told == sorted({engine.value("get_shard_id", job_id=execution_id) for execution_id in ids[:3]})


@pytest.mark.parametrize("key", [7, True, {"a": 1}, ["a"]], ids=str)
def test_a_key_in_a_batch_is_text_whatever_it_was(engine: Engine, key: Any) -> None:
    items = [{"job_type": "sql", "target": SQL_TARGET, "dedup_key": key}] * 2
    first, second = (row["enqueue_many"] for row in engine.rows("enqueue_many", items=items))
    assert first == second
    text = engine.execution(first)["dedup_key"]
    assert json.loads(text) == key
    assert engine.enqueued(dedup_key=text) == first


def test_a_wrong_trace_of_the_session(engine: Engine) -> None:
    """It would go out in the header of a webhook: so it is looked at, wherever it comes from."""
    job_id = engine.job_of(None)
    engine.db.execute("set scheduler.traceparent = 'x'")
    for call in (
        lambda: engine.enqueued(),
        lambda: engine.enqueue_many(items=[{"job_type": "sql", "target": "select 1"}]),
        lambda: engine.trigger_job(job_id=job_id),
    ):
        with refused("22023", "^invalid traceparent 'x'$"):
            call()
