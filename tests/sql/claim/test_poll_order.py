"""In which order idle workers ask for work."""

from __future__ import annotations

from uuid import uuid4

from tests.sql.engine import Engine, Worker


def order(worker: Worker) -> tuple[int, int]:
    (row,) = worker.engine.rows("poll_order", worker_id=worker.worker_id)
    return row["place"], row["workers"]


def test_each_has_a_place_of_its_own(engine: Engine) -> None:
    workers = [engine.worker(queues=["a"], job_types=["sql"], concurrency=2) for _ in range(5)]
    assert sorted(map(order, workers)) == [(place, 5) for place in range(5)]


def test_a_stranger_is_alone(engine: Engine) -> None:
    engine.worker()
    assert order(Worker(engine, uuid4())) == (0, 1)


def test_who_serves_something_else_does_not_count(engine: Engine) -> None:
    worker = engine.worker(queues=["a"], job_types=["sql"])
    for other in ({"queues": ["b"]}, {"queues": None}, {"queues": ["a"], "job_types": ["http"]}):
        engine.worker(**{"job_types": ["sql"], **other})
    assert order(worker) == (0, 1)


def test_who_has_left_is_silent_or_busy_does_not_count(engine: Engine) -> None:
    silent = engine.worker(concurrency=2, lease="5 seconds")
    engine.clock.advance(seconds=5)
    workers = [engine.worker(concurrency=2) for _ in range(4)]
    first, stopped, draining, busy = workers
    assert {order(worker)[1] for worker in workers} == {4}
    engine.stop_worker(worker_id=stopped.worker_id)
    draining.beat(concurrency=2, draining=True)
    engine.enqueued()
    busy.claim_one()
    assert order(first)[1] == 2  # it has room for one more
    engine.enqueued()
    held = busy.claim_one()
    assert order(first) == (0, 1)
    assert order(busy)[1] == 2  # who asks is always counted
    busy.finish(held)
    silent.beat(concurrency=2)
    assert sorted(map(order, (first, busy, silent))) == [(0, 3), (1, 3), (2, 3)]


def test_it_is_quiet_where_nothing_has_ended_for_a_minute(engine: Engine) -> None:
    def is_quiet() -> bool:
        (row,) = engine.rows("poll_order", worker_id=worker.worker_id)
        quiet: bool = row["is_quiet"]
        return quiet

    worker = engine.worker()
    assert is_quiet()
    engine.enqueued(queue="other")
    worker.finish(worker.claim_one())
    assert not is_quiet()
    engine.clock.advance(seconds=60)
    assert not is_quiet()
    engine.clock.advance(seconds=60)
    assert is_quiet()
