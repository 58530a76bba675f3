"""What health checks are answered from: marks, the state of tickers and workers, the schema's version."""

from __future__ import annotations

from typing import Any

import pytest

from migrations.repeatable import RELEASE, schema_digest
from tests.conftest import Connect
from tests.sql.engine import Engine


def ticker(engine: Engine) -> dict[str, Any]:
    """Returns what is said of the tickers."""
    found: dict[str, Any] = engine.status_json()["ticker"]
    return found


def test_a_ticker_is_seen(engine: Engine) -> None:
    assert ticker(engine) == {"status": "down", "late_seconds": 0, "seen_seconds": None}
    engine.reap()
    assert ticker(engine) == {"status": "up", "late_seconds": 0, "seen_seconds": 0}
    engine.clock.advance(seconds=15)
    assert ticker(engine) == {"status": "up", "late_seconds": 0, "seen_seconds": 15}
    engine.clock.advance(seconds=1)
    assert ticker(engine)["status"] == "down"
    engine.rows("tick")  # by hand
    assert ticker(engine)["status"] == "up"


def test_a_ticker_that_does_not_tick(engine: Engine) -> None:
    engine.job_of("0 * * * *")
    engine.clock.advance(hours=1, seconds=30)
    engine.reap()
    assert ticker(engine) == {"status": "up", "late_seconds": 30, "seen_seconds": 0}
    engine.clock.advance(seconds=1)
    assert ticker(engine)["status"] == "down"
    engine.rows("tick")
    assert ticker(engine) == {"status": "up", "late_seconds": 0, "seen_seconds": 1}


def test_a_mark_is_written_rarely(engine: Engine) -> None:
    """Twice a second would be a write to a replica, and to a backup, for nothing."""

    def version() -> str:
        return str(engine.one("select m.xmin::text from scheduler_internal.marks m where m.name = 'ticker'"))

    engine.reap()
    first = version()
    engine.clock.advance(seconds=4)
    engine.reap()
    assert version() == first
    engine.clock.advance(seconds=1)
    engine.reap()
    assert version() != first


def test_a_mark_waits_for_nobody(engine: Engine, connect: Connect) -> None:
    """Somebody ticks by hand and keeps the transaction open."""
    engine.reap()
    with connect(autocommit=False) as other:
        other.execute("select from scheduler_internal.marks for update")
        engine.clock.advance(seconds=5)
        assert engine.reap() == 0


def test_a_clock_that_went_back(engine: Engine) -> None:
    engine.reap()
    engine.clock.advance(hours=-1)
    assert ticker(engine)["seen_seconds"] == 0
    engine.reap()
    engine.clock.advance(seconds=16)
    assert ticker(engine)["status"] == "down"


def test_workers(engine: Engine) -> None:
    assert engine.status_json()["workers"] == {"status": "down", "active": 0, "draining": 0, "silent": 0}
    engine.worker(lease="10 seconds")
    engine.worker(lease="1 hour", draining=True)
    assert engine.status_json()["workers"] == {"status": "up", "active": 1, "draining": 1, "silent": 0}
    engine.clock.advance(seconds=10)
    assert engine.status_json()["workers"] == {"status": "down", "active": 0, "draining": 1, "silent": 1}
    engine.clock.advance(minutes=10)
    assert engine.status_json()["workers"] == {"status": "down", "active": 0, "draining": 1, "silent": 0}


def test_the_schema_is_this_one(engine: Engine) -> None:
    (version,) = engine.rows("schema_version")
    assert version == {"digest": schema_digest(), "releases": [RELEASE]}


@pytest.mark.parametrize(
    "change",
    [
        "update scheduler_internal.repeatables set checksum = 'x' where path = 'sql/grants.sql'",
        "delete from scheduler_internal.repeatables where path = 'sql/grants.sql'",
        "update scheduler_internal.alembic_version set version_num = '0001'",
    ],
)
def test_another_schema_is_another(engine: Engine, change: str) -> None:
    engine.db.execute(change.encode())
    assert engine.rows("schema_version")[0]["digest"] != schema_digest()
