"""health(): each check made to fail, and what it says then; and worker_demand()."""

from __future__ import annotations

import pytest

from tests.conftest import Connect
from tests.sql.engine import Engine, Row, refused

CHECKS = ["backlog", "partitions", "schedules", "ticker", "vacuum", "workers"]


def checks(engine: Engine) -> dict[str, Row]:
    """Returns the checks by name; each that is not ok has a hint, and the worst comes first."""
    rows = engine.rows("health")
    order = ["fail", "warn", "ok"]
    assert [row["status"] for row in rows] == sorted((row["status"] for row in rows), key=order.index)
    assert sorted(row["check_name"] for row in rows) == CHECKS
    for row in rows:
        assert row["detail"]
        assert (row["hint"] is None) == (row["status"] == "ok"), row
    return {row["check_name"]: row for row in rows}


def test_all_is_well(engine: Engine) -> None:
    engine.maintain()
    engine.reap()
    engine.worker()
    assert {row["status"] for row in checks(engine).values()} == {"ok"}


def test_late_fires(engine: Engine) -> None:
    engine.job_of("0 * * * *")
    engine.clock.advance(hours=1, seconds=5)
    engine.reap()
    assert checks(engine)["ticker"]["status"] == "ok"
    engine.clock.advance(seconds=1)
    assert checks(engine)["ticker"]["status"] == "warn"
    engine.clock.advance(seconds=30)
    engine.reap()
    late = checks(engine)["ticker"]
    assert (late["status"], late["detail"]) == ("fail", "1 shards have late fires, the latest by 00:00:36")
    engine.rows("tick")
    assert checks(engine)["ticker"]["status"] == "ok"


def test_no_ticker_although_nothing_is_due(engine: Engine) -> None:
    never = checks(engine)["ticker"]
    assert (never["status"], never["detail"]) == ("warn", "no fire is late, but no ticker has ever come by")
    engine.reap()
    engine.clock.advance(seconds=15)
    assert checks(engine)["ticker"]["status"] == "ok"
    engine.clock.advance(hours=2)
    gone = checks(engine)["ticker"]
    assert gone["status"] == "warn"
    assert gone["detail"] == "no fire is late, but no ticker has come by for 02:00:15"
    assert gone["hint"].startswith("Start a ticker")


def test_workers_that_died(engine: Engine) -> None:
    assert checks(engine)["workers"]["status"] == "fail"
    engine.worker(lease="10 seconds")
    assert checks(engine)["workers"]["status"] == "ok"
    engine.clock.advance(seconds=10)
    assert checks(engine)["workers"]["status"] == "fail"
    alive = engine.worker(lease="1 hour")
    warned = checks(engine)["workers"]
    assert (warned["status"], warned["detail"]) == ("warn", "1 alive, 1 fell silent in the last 10 minutes")
    engine.clock.advance(minutes=10)
    assert checks(engine)["workers"]["status"] == "ok"
    engine.stop_worker(worker_id=alive.worker_id)
    assert checks(engine)["workers"]["status"] == "fail"


def test_a_backlog_that_no_worker_takes(engine: Engine) -> None:
    engine.worker(queues=["other"], lease="1 hour")
    engine.enqueue(job_type="python", target="send_mail", queue="mail")
    assert checks(engine)["backlog"]["status"] == "ok"
    engine.clock.advance(minutes=2)
    waiting = checks(engine)["backlog"]
    assert waiting["status"] == "warn"
    assert waiting["detail"] == "ready for up to 00:02:00: mail/python send_mail (no worker takes it)"
    engine.worker(queues=["mail"], lease="1 hour")
    assert "no worker" not in checks(engine)["backlog"]["detail"]


def test_partitions_that_run_out(engine: Engine) -> None:
    engine.maintain()
    assert checks(engine)["partitions"]["status"] == "ok"
    engine.clock.advance(days=6)
    assert checks(engine)["partitions"]["status"] == "warn"


@pytest.mark.direct
def test_a_transaction_that_holds_back_vacuum_is_named(engine: Engine, connect: Connect) -> None:
    other = connect(autocommit=False)
    other.execute("set local application_name = 'nightly dump'")
    other.execute("select pg_current_xact_id()")
    # The server's own clock cannot be moved, and nobody waits a minute here: so the bound is moved instead.
    body = engine.one("select pg_get_functiondef('scheduler_internal.check_horizon'::regproc)")
    for minutes, status in (("0 minute", "warn"), (None, "fail")):
        changed = body.replace("> interval '1 minute'", "> interval '0 minute'")
        if minutes is None:
            changed = changed.replace("> interval '10 minutes'", "> interval '0 minutes'")
        assert changed != body
        engine.db.execute(changed)
        held = checks(engine)["vacuum"]
        assert held["status"] == status
        assert f"pid {other.info.backend_pid}" in held["detail"]
        assert "nightly dump" in held["detail"]
        assert held["hint"] == f"If it is not needed: select pg_terminate_backend({other.info.backend_pid})."
    other.rollback()
    assert checks(engine)["vacuum"]["status"] == "ok"


def test_worker_demand(engine: Engine) -> None:
    def demand(per_worker: int, least: int, most: int) -> int:
        answer = engine.worker_demand(per_worker=per_worker, min_workers=least, max_workers=most)
        assert isinstance(answer, int)
        return answer

    assert [demand(10, 0, 5), demand(10, 2, 5), demand(1, 0, 0)] == [0, 2, 0]
    for _ in range(21):
        engine.enqueued()
    engine.enqueued(run_at="2031-03-05T12:01Z")
    worker = engine.worker()
    worker.claim(4)
    assert [demand(10, 0, 5), demand(21, 0, 5), demand(1, 0, 5), demand(7, 0, 100)] == [3, 1, 5, 3]
    assert engine.worker_demand() == 3


@pytest.mark.parametrize(
    "bounds", [(0, 0, 1), (-1, 0, 1), (None, 0, 1), (1, -1, 1), (1, None, 1), (1, 3, 2), (1, 0, None)]
)
def test_worker_demand_refuses(engine: Engine, bounds: tuple[int, int, int]) -> None:
    per_worker, least, most = bounds
    with refused("22023", "^the bounds do not fit$"):
        engine.worker_demand(per_worker=per_worker, min_workers=least, max_workers=most)
