"""When an idle worker asks for work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import Connection

from tests.conftest import Database
from tests.workers.support import Schedule
from workers import queries
from workers.claimer import MOST_TURNS, Claimer, until_turn
from workers.database import DeadlineExceededError, Link
from workers.executions import Execution, Outcome, Run
from workers.finisher import Finisher
from workers.keeper import now
from workers.lease import Lease
from workers.looper import Outage
from workers.queries import PollOrder
from workers.runner import Runner
from workers.settings import load_settings

APART = 0.07
NOW = st.floats(0, 2e9)


@given(workers=st.integers(1, 50), place=st.integers(0, 49), now=NOW)
def test_a_turn_comes_once_a_period(workers: int, place: int, now: float) -> None:
    order = PollOrder(place=place % workers, workers=workers, is_quiet=False)
    period = APART * min(workers, MOST_TURNS)
    first = until_turn(order, now=now, apart=APART)
    assert APART / 8 < first <= period + APART / 8
    # The timer may come a moment early or late: it is the same turn.
    for deviation in (-0.005, 0.0, 0.005):
        following = until_turn(order, now=now + first + deviation, apart=APART)
        assert abs(following + deviation - period) < 1e-5


@given(workers=st.integers(1, 50), now=NOW)
def test_turns_are_evenly_spread(workers: int, now: float) -> None:
    period = APART * min(workers, MOST_TURNS)
    waits = [
        until_turn(PollOrder(place, workers, is_quiet=False), now=now, apart=APART)
        for place in range(workers)
    ]
    turns = sorted(wait % period for wait in waits)
    turns.append(turns[0] + period)
    assert all(abs(after - before - period / workers) < 1e-5 for before, after in pairwise(turns))


class Blocking:
    """Runs whatever comes, until it is let go."""

    available = True

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def run(self, _: Run) -> Outcome:
        await self.let_go.wait()
        return Outcome(status="discarded")


class Bench:
    """A claimer with two places, which notes which shards it asks for."""

    def __init__(self, link: Link, schedule: Schedule, database: Database) -> None:
        self.schedule = schedule
        self.asked: list[int | None] = []
        self.executor = Blocking()
        self.settings = load_settings(
            {
                "DB_WRITE_CONNECTION_STRING": database.dsn(user="pgtick_worker"),
                "PGTICK_POLL_MIN_SECONDS": "1",
                "PGTICK_POLL_MAX_SECONDS": "2",
            }
        )
        self.lease = Lease(seconds=10)
        schedule.conn.execute("select scheduler.heartbeat(%s)", (self.lease.worker_id,))
        self.lease.renew(self.lease.worker_id, asked_at=now())
        self.runner = Runner(
            {"http": self.executor},  # type: ignore[dict-item]
            concurrency=2,
            on_outcome=lambda run, _: self.runner.forget(run),
            on_progress=lambda _run, _value: None,
        )
        self.outage = Outage()
        self.claimer = Claimer(
            link,
            self.outage,
            self.settings,
            lease=self.lease,
            runner=self.runner,
            finisher=Finisher(
                link,
                Outage(),
                lease=self.lease,
                forget=self.runner.forget,
                is_busy=lambda: False,
                on_room=lambda: None,
            ),
            handlers=[],
            on_no_lease=lambda: None,
        )

    def enqueue(self) -> tuple[UUID, int]:
        """Makes an execution and returns it with its shard."""
        execution_id = self.schedule.enqueue("http", "http://127.0.0.1:9/")
        row = self.schedule.conn.execute("select scheduler.get_shard_id(%s)", (execution_id,)).fetchone()
        assert row is not None
        return execution_id, row[0]

    def enqueue_in_two_shards(self) -> tuple[int, int]:
        """Makes an execution in each of two shards, and returns these."""
        _, first = self.enqueue()
        while True:
            execution_id, second = self.enqueue()
            if second != first:
                return first, second
            self.schedule.conn.execute("select scheduler.cancel_execution(%s)", (execution_id,))

    def running(self) -> int:
        """Returns how many executions run."""
        return len(self.runner.held())


@pytest.fixture
async def bench(
    database: Database, db: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    link = Link(database.dsn(user="pgtick_worker"), application_name="test")
    bench = Bench(link, Schedule(db), database)
    claim = queries.claim

    async def note(*args: Any, **kwargs: Any) -> Any:
        bench.asked.append(kwargs["shard"])
        return await claim(*args, **kwargs)

    monkeypatch.setattr(queries, "claim", note)
    yield bench
    bench.executor.let_go.set()
    await bench.runner.wait_idle()
    await link.close()


async def test_looks_only_where_it_is_told(bench: Bench) -> None:
    await bench.claimer.turn()
    first, second = bench.enqueue_in_two_shards()
    bench.claimer.hear(second)
    await bench.claimer.turn()
    assert (bench.asked, bench.running()) == ([None, second], 1)
    bench.claimer.hear(first)
    bench.claimer.hear()
    await bench.claimer.turn()
    assert (bench.asked[2:], bench.running()) == ([None], 2)


async def test_who_is_told_of_one_shard_all_the_time_looks_at_the_others_too(bench: Bench) -> None:
    await bench.claimer.turn()
    _, second = bench.enqueue_in_two_shards()
    async with asyncio.timeout(20):
        while bench.running() < 2:
            bench.claimer.hear(second)
            await bench.claimer.turn()
            await asyncio.sleep(0)  # a turn without a lease waits for nothing, and so would this for ever
    assert set(bench.asked) == {None, second}


async def test_claims_again_at_once_only_where_more_may_be_left(bench: Bench) -> None:
    bench.enqueue()
    assert 0 < await bench.claimer.turn() <= bench.settings.poll_min_seconds
    bench.enqueue()
    assert await bench.claimer.turn() == 0


@pytest.mark.parametrize("ready", [1, 2])
async def test_room_is_used_where_more_may_be_left(bench: Bench, ready: int) -> None:
    """Two places: of two that are ready there may be more, of one not."""
    for _ in range(ready):
        bench.enqueue()
    await bench.claimer.turn()
    woken: list[None] = []
    bench.claimer.wake = lambda: woken.append(None)  # type: ignore[method-assign]
    bench.claimer.use_room()
    assert bool(woken) == (ready == 2)


async def test_asks_further_apart_where_nothing_has_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, float]] = []

    def note(order: PollOrder, *, now: float, apart: float) -> float:
        del now
        told.append((order.workers, apart))
        return 1.0

    monkeypatch.setattr("workers.claimer.until_turn", note)
    monkeypatch.setattr("workers.claimer.QUIET_APART_SECONDS", 6.0)
    peer = Lease(seconds=10)
    bench.schedule.conn.execute(
        "select scheduler.heartbeat(%s), scheduler.heartbeat(%s)",
        (bench.lease.worker_id, peer.worker_id),
    )

    async def ask() -> tuple[int, float]:
        for _ in range(4):  # the first pauses are its own, and then it asks for the order
            await bench.claimer.turn()
        return told[-1]

    assert await ask() == (2, 6.0)
    bench.enqueue()
    assert await ask() == (1, bench.settings.poll_max_seconds)  # its peers do not know yet
    assert bench.running() == 1


async def test_what_was_claimed_in_the_name_of_a_lost_lease_is_given_back_in_that_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id, _ = bench.enqueue()
    claim = queries.claim

    async def claim_too_late(*args: Any, **kwargs: Any) -> Any:
        executions = await claim(*args, **kwargs)
        bench.lease.give_up()
        return executions

    monkeypatch.setattr(queries, "claim", claim_too_late)
    await bench.claimer.turn()
    assert (bench.schedule.execution(execution_id).status, bench.running()) == ("ready", 0)


async def test_a_claim_that_does_not_end_in_time_asks_for_less_the_next_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = queries.claim
    asked: list[int] = []

    async def claim_slowly(*args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs["max_executions"])
        if len(asked) <= 2:
            raise DeadlineExceededError
        return await claim(*args, **kwargs)

    monkeypatch.setattr(queries, "claim", claim_slowly)
    for _ in range(2):
        with pytest.raises(DeadlineExceededError):
            await bench.claimer.turn()
    await bench.claimer.turn()
    await bench.claimer.turn()
    assert asked == [2, 1, 1, 2]


async def test_a_session_that_fails_is_given_up(bench: Bench, database: Database) -> None:
    """It knows no such statement, as behind a pooler; nor may it be another's whose lease is over."""
    dsn = database.dsn(user="pgtick_worker", direct=True)
    session = Link(dsn, application_name="test session")
    async with session.call() as conn:
        bench.claimer.session = session
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            await bench.claimer.turn()
        assert bench.claimer.session is None
        assert conn.closed
    bench.enqueue()
    await bench.claimer.turn()
    assert bench.running() == 1

    async with session.call() as conn:
        await queries.prepare_claim(conn)
        bench.schedule.conn.execute("select scheduler.stop_worker(%s)", (bench.lease.worker_id,))
        bench.claimer.session = session
        await bench.claimer.turn()
        assert bench.claimer.session is None
        assert conn.closed


async def test_claims_by_the_session_only_while_the_links_work(bench: Bench) -> None:
    """Else a pooler that is away has it claim on and on what cannot be recorded, and runs again elsewhere."""
    outage = bench.outage
    bench.claimer.session = session = Link("host=127.0.0.1 port=1", application_name="test session")
    bench.enqueue()
    outage.begins("finisher", psycopg.OperationalError("away"))
    await bench.claimer.turn()
    assert bench.running() == 1
    outage.ends("finisher")
    assert bench.claimer.session is session
    with pytest.raises(psycopg.OperationalError, match="refused"):
        await bench.claimer.turn()


async def test_a_link_that_fails_costs_no_session(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the pooler is started anew: the session, which does not break, would never be lent again."""
    session = Link(database.dsn(user="pgtick_worker", direct=True), application_name="test session")
    async with session.call() as conn:
        await queries.prepare_claim(conn)
    bench.claimer.session = session

    async def fail(*_args: Any, **_kwargs: Any) -> PollOrder:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(queries, "poll_order", fail)
    await bench.claimer.turn()  # it finds nothing, and then rests
    with pytest.raises(psycopg.OperationalError, match="away"):
        await bench.claimer.turn()
    assert bench.claimer.session is session
    await session.close()


async def test_a_look_in_vain_that_took_long_is_not_repeated_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def claim(*_: Any, **__: Any) -> list[Execution]:
        await asyncio.sleep(0.4)
        return []

    monkeypatch.setattr(queries, "claim", claim)
    monkeypatch.setattr("workers.claimer.jitter", lambda least, _most: least)
    assert 0.99 < await bench.claimer.turn() <= 1
