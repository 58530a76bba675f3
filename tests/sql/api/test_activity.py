"""What is going on, for those who look every second."""

from __future__ import annotations

from typing import Any

from tests.sql.api.pages import read
from tests.sql.engine import Engine


def test_nothing_goes_on(engine: Engine) -> None:
    assert read(engine, "activity") == {"at": "2031-03-05T12:00:00+00:00", "queues": [], "stats": []}
    assert "executions" not in read(engine, "activity", since=engine.clock.now)


def test_queues(engine: Engine) -> None:
    worker = engine.worker()
    for queue in ("a", "b", "b", "B"):
        engine.enqueued(queue=queue)
    engine.enqueued(queue="b", run_at="2031-03-05T13:00Z")
    engine.enqueued(queue="later", run_at="2031-03-05T13:00Z")
    worker.claim(10, queues=["a"])
    worker.claim(1, queues=["b"])
    shown = [tuple(queue.values()) for queue in read(engine, "activity")["queues"]]
    assert shown == [  # queue, ready, scheduled, running, capped
        ("B", 1, 0, 0, False),
        ("a", 0, 0, 1, False),
        ("b", 1, 1, 1, False),
        ("later", 0, 1, 0, False),
    ]


def test_a_long_queue_is_counted_so_far(engine: Engine) -> None:
    engine.rows("enqueue_many", items=[{"job_type": "sql", "target": "select 1", "queue": "long"}] * 5000)
    engine.rows("enqueue_many", items=[{"job_type": "sql", "target": "select 1", "queue": "short"}] * 999)
    found = {queue["queue"]: queue for queue in read(engine, "activity")["queues"]}
    assert (found["long"]["ready"], found["long"]["capped"]) == (1000, True)
    assert (found["short"]["ready"], found["short"]["capped"]) == (999, False)


def test_of_many_queues_the_first_are_counted(engine: Engine) -> None:
    items = [
        {"job_type": "sql", "target": "select 1", "queue": queue}
        for queue in [*(f"q{number:03}" for number in range(150)), "zz"]
    ]
    engine.rows("enqueue_many", items=items)
    for _ in range(50):
        engine.enqueued(queue="zz")
    found = {queue["queue"]: queue for queue in read(engine, "activity")["queues"]}
    assert not any(found[f"q{number:03}"]["capped"] for number in range(100))
    assert found["zz"]["ready"] < 51
    assert found["zz"]["capped"]


def test_ends_are_told_once_seen(engine: Engine) -> None:
    worker = engine.worker(lease="1 hour")
    ids = [engine.enqueued() for _ in range(3)]
    claimed = {row["execution_id"]: row for row in worker.claim(10)}
    engine.clock.advance(minutes=1)
    before = engine.clock.now
    worker.finish(claimed[ids[0]])
    worker.fail(claimed[ids[1]])  # it is tried again: no end
    engine.clock.advance(seconds=1)
    found = read(engine, "activity", since=before)
    assert found["executions"] == {
        "ended": [{"execution_id": str(ids[0]), "job_id": None, "status": "succeeded"}],
        "more": False,
    }
    assert found["stats"] == [
        {
            "minute": "2031-03-05T12:01:00+00:00",
            "succeeded": 1,
            "failed": 0,
            "cancelled": 0,
            "expired": 0,
            "retried": 1,
        }
    ]
    engine.clock.advance(seconds=10)
    assert "executions" not in read(engine, "activity", since=engine.clock.now)
    assert "executions" not in read(engine, "activity")
    engine.clock.advance(minutes=2)
    assert read(engine, "activity")["stats"] == []


def test_of_many_ends_some_are_told(engine: Engine) -> None:
    items: list[dict[str, Any]] = [{"job_type": "sql", "target": "select 1"}] * 150
    with engine.db.transaction():
        for row in engine.rows("enqueue_many", items=items):
            engine.cancel_execution(execution_id=row["enqueue_many"])
    found = read(engine, "activity", since=engine.clock.now)["executions"]
    assert (len(found["ended"]), found["more"]) == (100, True)
    assert {ended["status"] for ended in found["ended"]} == {"cancelled"}


def test_what_was_cancelled_before_its_time_hides_no_end(engine: Engine) -> None:
    worker = engine.worker()
    engine.rows(
        "enqueue_many",
        items=[{"job_type": "sql", "target": "select 1", "run_at": "2031-03-07T12:00Z"}] * 2000,
    )
    engine.db.execute("select scheduler.cancel_execution(execution_id) from scheduler_internal.waiting")
    engine.clock.advance(minutes=5)
    execution_id = engine.enqueued()
    worker.beat()
    worker.finish(worker.claim_one())
    ended = read(engine, "activity", since=engine.clock.now)["executions"]["ended"]
    assert [end["execution_id"] for end in ended] == [str(execution_id)]
    cancelled = engine.enqueued(run_at="2031-03-08T12:00Z")
    engine.cancel_execution(execution_id=cancelled)
    ended = read(engine, "activity", since=engine.clock.now)["executions"]["ended"]
    assert [end["execution_id"] for end in ended] == [str(cancelled), str(execution_id)]
