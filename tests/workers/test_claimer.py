"""When an idle worker asks for work."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import Connection

from tests.conftest import Database
from tests.workers.support import Schedule
from workers import queries
from workers.claimer import MOST_TURNS, Claimer, until_turn
from workers.database import Link
from workers.finisher import Finisher
from workers.keeper import now
from workers.lease import Lease
from workers.looper import Outage
from workers.processes import Keeper
from workers.queries import PollOrder
from workers.runner import Runner
from workers.settings import load_settings
from workers.worker import make_executors

APART = 0.07
NOW = st.floats(0, 2e9)


@given(workers=st.integers(1, 50), place=st.integers(0, 49), now=NOW)
def test_a_turn_comes_once_a_period(workers: int, place: int, now: float) -> None:
    order = PollOrder(place=place % workers, workers=workers)
    period = APART * min(workers, MOST_TURNS)
    first = until_turn(order, now=now, apart=APART)
    assert APART / 2 < first <= period + APART / 2
    # The timer may come a moment early or late: it is the same turn.
    for deviation in (-0.005, 0.0, 0.005):
        following = until_turn(order, now=now + first + deviation, apart=APART)
        assert abs(following + deviation - period) < 1e-5


@given(workers=st.integers(1, 50), now=NOW)
def test_turns_are_evenly_spread(workers: int, now: float) -> None:
    period = APART * min(workers, MOST_TURNS)
    waits = [until_turn(PollOrder(place, workers), now=now, apart=APART) for place in range(workers)]
    turns = sorted(wait % period for wait in waits)
    turns.append(turns[0] + period)
    assert all(abs(after - before - period / workers) < 1e-5 for before, after in pairwise(turns))


async def test_what_was_claimed_in_the_name_of_a_lost_lease_is_given_back_in_that_name(
    database: Database, db: Connection[Any], keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = Schedule(db)
    execution_id = schedule.enqueue("http", "http://127.0.0.1:9/")
    settings = load_settings({"DB_WRITE_CONNECTION_STRING": database.dsn(user="pgtick_worker")})
    link, lease = Link(settings.database, application_name="test"), Lease(seconds=10)
    schedule.conn.execute("select scheduler.heartbeat(%s)", (lease.worker_id,))
    lease.renew(lease.worker_id, asked_at=now())
    runner = Runner(
        make_executors(settings, handlers={}, keeper=keeper),
        concurrency=10,
        on_outcome=lambda _run, _outcome: None,
        on_progress=lambda _run, _value: None,
    )
    claimer = Claimer(
        link,
        Outage(),
        settings,
        lease=lease,
        runner=runner,
        finisher=Finisher(
            link,
            Outage(),
            lease=lease,
            forget=runner.forget,
            is_busy=lambda: False,
            on_room=lambda: None,
        ),
        handlers=[],
        on_no_lease=lambda: None,
    )
    claim = queries.claim

    async def claim_too_late(*args: Any, **kwargs: Any) -> Any:
        executions = await claim(*args, **kwargs)
        lease.give_up()
        return executions

    monkeypatch.setattr(queries, "claim", claim_too_late)
    await claimer.turn()
    await link.close()
    assert (schedule.execution(execution_id).status, runner.held()) == ("ready", [])
