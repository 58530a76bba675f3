"""Partitions: made ahead, made on demand, dropped when nobody needs them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from psycopg import sql

from tests.conftest import Connect
from tests.sql.engine import Engine

PARENTS = ("history", "skipped_fires", "rollups", "audit_log")


def days(engine: Engine, parent: str) -> list[str]:
    """Returns the days that a table has partitions for."""
    query = """
        select right(inhrelid::regclass::text, 8) as day from pg_inherits
        where inhparent = %s::regclass order by 1
    """
    return [row["day"] for row in engine.select(query, f"scheduler_internal.{parent}")]


def test_a_week_ahead_and_a_month_back(engine: Engine) -> None:
    engine.maintain()
    for parent in PARENTS:
        assert set(days(engine, parent)) >= {f"203103{day:02}" for day in range(5, 13)}
    engine.clock.advance(days=30)
    engine.maintain()
    assert days(engine, "history")[0] == "20310305"
    engine.clock.advance(days=1)
    engine.maintain()
    assert days(engine, "history")[0] == "20310306"
    assert days(engine, "audit_log")[0] <= "20310305"
    assert days(engine, "idempotency_keys")[0] == "20310404"
    before = [days(engine, parent) for parent in PARENTS]
    engine.maintain()
    assert [days(engine, parent) for parent in PARENTS] == before


def test_retention_is_a_setting(engine: Engine) -> None:
    engine.maintain()
    name = sql.Identifier(engine.one("select current_database()"))
    for setting in ("history_retention", "audit_retention"):
        statement = sql.SQL("alter database {} set {} = '2 days'")
        engine.db.execute(statement.format(name, sql.Identifier("scheduler", setting)))
    engine.clock.advance(days=3)
    engine.maintain()
    for parent in PARENTS:
        assert days(engine, parent)[0] == "20310306"


def test_what_has_not_ended_keeps_its_day(engine: Engine) -> None:
    late = engine.enqueued(run_at=engine.clock.now + timedelta(days=200))
    worker = engine.worker()
    engine.enqueued()
    worker.claim_one()
    engine.maintain()
    engine.clock.advance(days=40)
    engine.maintain()
    assert "20310305" in days(engine, "history")  # it runs
    engine.clock.advance(days=160)
    engine.maintain()
    assert "20310305" in days(engine, "history")
    worker.beat()
    (claimed,) = [row for row in worker.claim(10) if row["execution_id"] == late]
    assert worker.finish(claimed) == []
    assert engine.execution(late)["status"] == "succeeded"


def test_without_a_ticker_the_partitions_are_made_on_demand(engine: Engine) -> None:
    engine.clock.advance(days=400)
    job_id = engine.job_of("* * * * *", overlap="allow", misfire="fire_all", misfire_cap=1)
    engine.clock.advance(days=60)
    engine.rows("tick")
    worker = engine.worker()
    assert worker.finish(worker.claim_one()) == []
    assert engine.select("select sum(succeeded) as n from scheduler.stats") == [{"n": 1}]
    assert engine.job(job_id)["last_fire_at"] == engine.clock.now


@pytest.mark.parametrize(
    "settings",
    [("SQL, DMY", "Asia/Kolkata"), ("Postgres, MDY", "America/Sao_Paulo"), ("German", "Pacific/Kiritimati")],
)
def test_partitions_do_not_depend_on_the_session(engine: Engine, settings: tuple[str, str]) -> None:
    style, zone = settings
    engine.db.execute(
        "select set_config('DateStyle', %s, false), set_config('TimeZone', %s, false)", settings
    )
    assert style
    engine.clock.advance(days=100)
    engine.maintain()
    engine.db.execute("set datestyle = 'ISO'")
    engine.db.execute("set timezone = 'UTC'")
    engine.enqueued()
    worker = engine.worker()
    worker.finish(worker.claim_one())
    query = """
        select distinct pg_get_expr(relpartbound, oid) like '%%00:00:00+00%%00:00:00+00%%' as midnight
        from pg_class where relname ~ '^rollups_2' and relkind = 'r'
    """
    assert engine.select(query) == [{"midnight": True}]
    assert zone


@pytest.mark.direct
def test_a_reader_is_not_waited_for(engine: Engine, connect: Connect) -> None:
    engine.maintain()
    reader = connect(autocommit=False)
    reader.execute("select count(*) from scheduler_internal.history")
    engine.clock.advance(days=40)
    with engine.db.transaction():
        engine.db.execute("set local lock_timeout = '7s'")
        engine.maintain()
        assert engine.one("show lock_timeout") == "7s"
    assert "20310305" in days(engine, "history")
    reader.rollback()
    engine.maintain()
    assert "20310305" not in days(engine, "history")


@pytest.mark.direct
def test_a_client_who_has_made_a_partition_is_not_waited_for(engine: Engine, connect: Connect) -> None:
    """What he cancels belongs to a day far ahead; until he commits nobody else can make a day of history."""
    engine.maintain()
    execution_id = engine.enqueued(run_at=engine.clock.now + timedelta(days=20))
    client = connect(autocommit=False)
    engine.clock.set(engine.clock.now, conn=client)
    client.execute("select scheduler.cancel_execution(%s)", [execution_id])
    engine.clock.advance(days=6)
    engine.db.execute("set statement_timeout = '10s'")  # else it would wait for ever
    engine.maintain()
    assert days(engine, "history")[-1] == "20310312"
    for parent in ("skipped_fires", "rollups", "audit_log", "idempotency_keys"):
        assert days(engine, parent)[-1] == "20310318"
    (short,) = [row for row in engine.rows("health") if row["check_name"] == "partitions"]
    assert (short["status"], short["detail"]) == (
        "warn",
        "history has partitions for 2 of the next 8 days",
    )
    client.rollback()
    engine.maintain()
    assert days(engine, "history")[-1] == "20310318"


def test_old_workers_are_forgotten(engine: Engine) -> None:
    worker = engine.worker()
    engine.clock.advance(hours=25)
    fresh = engine.worker()
    engine.maintain()
    ids = [row["worker_id"] for row in engine.select("select worker_id from scheduler.workers")]
    assert ids == [fresh.worker_id]
    assert worker.worker_id not in ids
