"""The finisher: ends are recorded in batches, and one that cannot be recorded does not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY
from psycopg import Connection

from tests.conftest import Database
from tests.workers.support import Schedule
from workers import queries
from workers.database import DeadlineExceededError, Link
from workers.executions import Outcome, Run
from workers.finisher import MAX_BACKLOG, Finisher
from workers.keeper import now
from workers.lease import Lease
from workers.looper import Outage


class Bench:
    """A finisher with executions that were claimed for it."""

    def __init__(self, link: Link, schedule: Schedule) -> None:
        self.link = link
        self.schedule = schedule
        self.lease = Lease(seconds=10)
        self.forgotten: list[Run] = []
        self.rooms = 0
        self.is_busy: Callable[[], bool] = lambda: False
        self.finisher = Finisher(
            link,
            Outage(),
            lease=self.lease,
            forget=self.forgotten.append,
            is_busy=lambda: self.is_busy(),
            on_room=self._note_room,
        )

    def _note_room(self) -> None:
        self.rooms += 1

    async def claim(self, count: int) -> list[Run]:
        """Claims executions of a handler that nobody runs."""
        for _ in range(count):
            self.schedule.enqueue("python", "echo", max_attempts=1)
        worker_id = self.lease.worker_id
        self.schedule.conn.execute("select scheduler.heartbeat(%s)", (worker_id,))
        self.lease.renew(worker_id, asked_at=now())
        async with self.link.call() as conn:
            rows = await queries.claim(
                conn,
                worker_id=worker_id,
                max_executions=count,
                queues=(),
                job_types=["python"],
                handlers=["echo"],
            )
        return [Run(execution=row, report=lambda _run, _value: None) for row in rows]

    async def record(self) -> None:
        """Lets the finisher run until it has nothing left."""
        task = asyncio.create_task(self.finisher.run())
        async with asyncio.timeout(20):
            await self.finisher.wait_empty()
        self.finisher.stop()
        await task


@pytest.fixture
async def bench(database: Database, db: Connection[Any]) -> AsyncIterator[Bench]:
    link = Link(database.dsn(user="pgtick_worker"), application_name="test")
    yield Bench(link, Schedule(db))
    await link.close()


def status(bench: Bench, run: Run) -> str:
    text: str = bench.schedule.execution(run.execution.execution_id).status
    return text


async def test_many_ends_are_all_recorded(bench: Bench) -> None:
    runs = await bench.claim(MAX_BACKLOG + 200)
    for run in runs:
        bench.finisher.add(run, Outcome(status="succeeded", result='{"ok":true}'))
    assert bench.finisher.overloaded
    await bench.record()
    assert not bench.finisher.overloaded
    assert bench.rooms == 1  # who waits for that is woken, once
    assert bench.forgotten == runs
    assert bench.schedule.count("succeeded") == MAX_BACKLOG + 200


async def test_end_that_cannot_be_stored_does_not_hold_up_the_others(bench: Bench) -> None:
    """No executor writes such a result; should one ever, the others must not wait for it for ever."""
    runs = await bench.claim(5)
    for number, run in enumerate(runs):
        bench.finisher.add(run, Outcome(status="succeeded", result='"\\u0000"' if number == 2 else "1"))
    await bench.record()
    assert [status(bench, run) for run in runs] == [
        "succeeded",
        "succeeded",
        "failed",
        "succeeded",
        "succeeded",
    ]
    error = bench.schedule.execution(runs[2].execution.execution_id).error
    assert error["type"] == "result"
    assert "its result cannot be stored" in error["message"]


async def test_end_that_is_too_much_for_the_server_does_not_hold_up_the_others(bench: Bench) -> None:
    """SQLSTATE 54001: to psycopg an OperationalError, as if the database were away."""
    runs = await bench.claim(3)
    deep = "[" * 20_000 + "]" * 20_000
    for number, run in enumerate(runs):
        bench.finisher.add(run, Outcome(status="succeeded", result=deep if number == 0 else "1"))
    await bench.record()
    assert [status(bench, run) for run in runs] == ["failed", "succeeded", "succeeded"]
    error = bench.schedule.execution(runs[0].execution.execution_id).error
    assert "stack depth limit exceeded" in error["message"]


async def test_what_was_not_begun_is_given_back(bench: Bench) -> None:
    runs = await bench.claim(2)
    for run in runs:
        bench.finisher.add(run, Outcome(status="released"))
    await bench.record()
    assert [status(bench, run) for run in runs] == ["ready", "ready"]
    assert bench.forgotten == runs


async def test_only_what_is_refused_is_counted_as_such(bench: Bench) -> None:
    before = REGISTRY.get_sample_value("job_finishes_refused_total") or 0.0
    stale, ours = await bench.claim(2)
    async with bench.link.call() as conn:
        await queries.release(conn, worker_id=bench.lease.worker_id, held=[stale.execution.key])
    for run in (stale, ours):
        bench.finisher.add(run, Outcome(status="succeeded"))
    await bench.record()
    assert [status(bench, run) for run in (stale, ours)] == ["ready", "succeeded"]
    assert REGISTRY.get_sample_value("job_finishes_refused_total") == before + 1


async def test_stale_end_is_refused_and_forgotten(bench: Bench) -> None:
    runs = await bench.claim(2)
    bench.schedule.conn.execute("select scheduler.stop_worker(%s)", (bench.lease.worker_id,))
    for run in runs:
        bench.finisher.add(run, Outcome(status="succeeded"))
    await bench.record()
    assert [status(bench, run) for run in runs] == ["ready", "ready"]
    assert bench.forgotten == runs


async def test_lost_lease_discards(bench: Bench) -> None:
    runs = await bench.claim(2)
    bench.finisher.add(runs[0], Outcome(status="succeeded"))
    bench.finisher.add(runs[1], Outcome(status="released"))
    bench.finisher.discard_all()
    await bench.record()
    assert [status(bench, run) for run in runs] == ["running", "running"]
    assert bench.forgotten == runs


async def test_a_lease_that_is_lost_while_ends_wait_for_company_is_no_failure(bench: Bench) -> None:
    (run,) = await bench.claim(1)

    def lose_lease() -> bool:
        asyncio.get_running_loop().call_soon(bench.finisher.discard_all)
        return True

    bench.is_busy = lose_lease
    bench.finisher.add(run, Outcome(status="succeeded"))
    await bench.finisher.turn()
    assert bench.forgotten == [run]
    assert status(bench, run) == "running"


async def test_a_batch_that_is_not_recorded_in_time_is_sent_by_halves(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await bench.claim(7)
    finish = queries.finish
    sent: list[int] = []

    async def finish_slowly(*args: Any, **kwargs: Any) -> Any:
        sent.append(len(kwargs["endings"]))
        if len(sent) <= 3:
            raise DeadlineExceededError
        return await finish(*args, **kwargs)

    monkeypatch.setattr(queries, "finish", finish_slowly)
    for run in runs:
        bench.finisher.add(run, Outcome(status="succeeded"))
    await bench.record()
    assert sent == [7, 3, 1, 1, 2, 4]
    assert {status(bench, run) for run in runs} == {"succeeded"}
