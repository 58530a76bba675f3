"""Changes of a job that meet a tick, or each other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Connect
from tests.faults.sessions import Db, rows, value, wait_until, waiting
from tests.support.clock import Clock

pytestmark = pytest.mark.direct

PUT_JOB = """
    select scheduler.put_job('job', 'sql', '"select 1"', schedule => '* * * * * *', timezone => %s,
        overlap => 'allow', misfire => 'fire_all')
"""
TICK = "select fired from scheduler.tick()"


def test_a_change_that_waited_for_a_tick_fires_nothing_again(db: Db, connect: Connect) -> None:
    """Its time is that after the wait: the tick has fired meanwhile."""
    value(db, PUT_JOB, "UTC")
    ticker, client = connect(), connect()
    ticker.execute("begin")
    ticker.execute("select from scheduler_internal.schedules for update")
    with waiting(db, client, lambda conn: value(conn, PUT_JOB, "Europe/Berlin")):
        wait_until(lambda: value(ticker, "select next_fire_at < scheduler.now() from scheduler.jobs"))
        assert value(ticker, TICK) > 0
        ticker.execute("commit")
    assert rows(db, "select timezone, next_fire_at > last_fire_at from scheduler.jobs") == [
        ("Europe/Berlin", True)
    ]


def test_a_change_that_waited_for_another_is_locked_against_ticks(
    db: Db, connect: Connect, clock: Clock
) -> None:
    """The first writes the row of the schedule anew: the second must hold the new one."""
    clock.set("2031-03-05T12:00:00.5+00:00", everywhere=True)
    first, second, ticker = connect(), connect(), connect()
    job_id = value(first, PUT_JOB, "UTC")

    def lock(conn: Db) -> Any:
        conn.execute("begin")
        return conn.execute("select scheduler_internal.lock_job(%s)", [job_id])

    first.execute("begin")
    value(first, PUT_JOB, "Europe/Berlin")
    with waiting(db, second, lock):
        first.execute("commit")
    clock.advance(seconds=1, conn=ticker)
    assert value(ticker, TICK) == 0
    second.execute("rollback")
    assert value(ticker, TICK) == 1


@pytest.mark.parametrize("is_new", [True, False])
def test_two_who_write_a_job_at_once_leave_one_schedule(db: Db, connect: Connect, *, is_new: bool) -> None:
    """No key says so."""
    first, second = connect(), connect()
    if not is_new:
        value(db, PUT_JOB, "UTC")
    first.execute("begin")
    value(first, PUT_JOB, "Europe/Berlin")
    with waiting(db, second, lambda conn: value(conn, PUT_JOB, "Asia/Tokyo")):
        first.execute("commit")
    assert rows(db, "select timezone from scheduler_internal.schedules") == [("Asia/Tokyo",)]


def test_a_job_that_waited_for_its_name_fires_nothing_from_before_it_was_made(
    db: Db, connect: Connect
) -> None:
    first, second = connect(), connect()
    first.execute("begin")
    value(first, PUT_JOB, "UTC")
    with waiting(db, second, lambda conn: value(conn, PUT_JOB, "UTC")):
        begun_at = value(db, "select scheduler.now()")
        due = "select scheduler.now() > %s + interval '1 second'"
        wait_until(lambda: value(db, due, begun_at))
        free_at = value(db, "select scheduler.now()")
        first.execute("rollback")
    query = "select next_fire_at > %s, created_at > %s, updated_at > %s from scheduler.jobs"
    assert rows(db, query, free_at, free_at, free_at) == [(True, True, True)]


def test_what_stays_as_it_is_fires_meanwhile(db: Db, connect: Connect, clock: Clock) -> None:
    """A file of many jobs is applied in one transaction."""
    clock.set("2031-03-05T12:00:00.5+00:00", everywhere=True)
    client, ticker = connect(), connect()
    value(client, PUT_JOB, "UTC")
    client.execute("begin")
    value(client, PUT_JOB, "UTC")
    clock.advance(seconds=1, conn=ticker)
    assert value(ticker, TICK) == 1
    client.execute("rollback")
