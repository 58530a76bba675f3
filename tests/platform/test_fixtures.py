"""The fixtures that every other test stands on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from tests.conftest import Connect
from tests.support.clock import Clock


def test_clock_moves_the_database(db: Connection[Any], clock: Clock) -> None:
    clock.set("2030-01-01T00:00:00+00:00")
    clock.advance(hours=1)
    assert db.execute("select scheduler.now()").fetchone() == (datetime(2030, 1, 1, 1, tzinfo=UTC),)


def test_clock_everywhere_reaches_later_connections(connect: Connect, clock: Clock) -> None:
    clock.set("2030-01-01", everywhere=True)
    assert connect().execute("select scheduler.now()").fetchone() == (datetime(2030, 1, 1, tzinfo=UTC),)
    clock.release()
    row = connect().execute("select scheduler.now() < '2030-01-01'").fetchone()
    assert row == (True,)


def test_each_login_connects(connect: Connect) -> None:
    for user in ("pgtick_admin", "pgtick_client", "pgtick_api", "pgtick_worker", "pgtick_sql"):
        assert connect(user=user).execute("select current_user::text").fetchone() == (user,)
