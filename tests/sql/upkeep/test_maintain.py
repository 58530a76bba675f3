"""Partitions: made ahead, made on demand, dropped when nobody needs them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from psycopg import sql

from tests.conftest import Connect
from tests.faults.bugs import rewrite
from tests.faults.sessions import waiting
from tests.sql.engine import Engine, refused

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


def set_retention(engine: Engine, setting: str, value: str) -> None:
    """Sets it for the database."""
    name = sql.Identifier(engine.one("select current_database()"))
    statement = sql.SQL("alter database {} set {} = {}")
    engine.db.execute(statement.format(name, sql.Identifier("scheduler", setting), value))


def test_retention_is_a_setting(engine: Engine) -> None:
    engine.maintain()
    for setting in ("history_retention", "audit_retention"):
        set_retention(engine, setting, "2 days")
    engine.clock.advance(days=3)
    engine.maintain()
    for parent in PARENTS:
        assert days(engine, parent)[0] == "20310306"


UNUSABLE = ["30", " 90.5 ", "0", "-30 days", "23:59:59", "30 dies", "forever", "10000 years", "30; 90 days"]


@pytest.mark.parametrize("value", UNUSABLE)
@pytest.mark.parametrize("setting", ["history_retention", "audit_retention"])
def test_an_unusable_retention_drops_nothing(engine: Engine, setting: str, value: str) -> None:
    """'30' is 30 seconds to PostgreSQL: what somebody took for a month would be gone with the next call."""
    job_id = engine.job_of("0 0 * * *")
    engine.maintain()
    set_retention(engine, setting, value)
    engine.clock.advance(days=400)
    engine.maintain()
    kept = {"history_retention": PARENTS[:3], "audit_retention": PARENTS[3:]}[setting]
    for parent in PARENTS:
        assert ("20310305" in days(engine, parent)) == (parent in kept), parent
        assert f"{engine.clock.now + timedelta(days=7):%Y%m%d}" in days(engine, parent)
    (check,) = [row for row in engine.rows("health") if row["check_name"] == "partitions"]
    assert check["status"] == "fail"
    assert f"scheduler.{setting} is '{value}'" in check["detail"]
    assert f"set scheduler.{setting} = '90 days'" in check["hint"]
    with refused("22023", "^the range begins before the history does$"):
        engine.backfill_job(job_id=job_id, from_time="2031-03-05T00:00Z", to_time=engine.clock.now)
    set_retention(engine, setting, "1 day")
    engine.maintain()
    assert "20310305" not in days(engine, kept[0])


@pytest.mark.direct
def test_a_retention_that_is_lowered_takes_effect_a_month_at_a_time(engine: Engine) -> None:
    """Two years at once took more locks than a server has by default: that failed, each minute anew."""
    engine.maintain()  # those of the real days go
    engine.select(
        "select count(scheduler_internal.ensure_partition(p, (scheduler.now() at time zone 'UTC')::date - i))"
        " from unnest('{history,rollups}'::text[]) p, generate_series(0, 92) i"
    )
    for left in (92 - 30, 92 - 60, 30, 30):
        engine.maintain()
        for parent in ("history", "rollups"):
            oldest = engine.clock.now - timedelta(days=left)
            assert days(engine, parent)[0] == f"{oldest:%Y%m%d}", parent


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


def test_what_ended_late_is_kept_as_long_as_what_ended_in_time(engine: Engine) -> None:
    """Attempts weeks apart belong to the day of the first; their end is seen for all of the retention."""
    late = engine.enqueued(max_attempts=3)
    worker = engine.worker()
    for _ in range(2):
        worker.fail(worker.claim_one(), retry_after=timedelta(days=20))
        engine.clock.advance(days=20)
        worker.beat()
        engine.maintain()
    engine.enqueued()
    worker.finish(*worker.claim(2))
    for _ in range(30):
        engine.maintain()
        assert engine.execution(late)["status"] == "succeeded"
        engine.clock.advance(days=1)
    assert days(engine, "history")[:2] == ["20310305", "20310414"]
    engine.clock.advance(seconds=1)
    engine.maintain()
    assert days(engine, "history")[0] == "20310414"  # not yet over
    engine.clock.advance(days=1)
    engine.maintain()
    assert days(engine, "history")[0] == "20310415"
    assert engine.one("select count(*) from scheduler_internal.marks where name like 'history%%'") == 0


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
def test_days_are_read_before_anything_is_locked(engine: Engine) -> None:
    """All finishes wait for who has dropped a day of history, or has made one that they lack."""
    worker = engine.worker()
    engine.enqueued()
    worker.finish(worker.claim_one())
    engine.maintain()
    engine.db.execute("create table public.held (name text); grant all on public.held to public")
    reads = "select max(h.finished_at) into"
    locks = """
        insert into public.held
        select l.relation::regclass::text from pg_catalog.pg_locks l
        where l.pid = pg_catalog.pg_backend_pid() and l.relation is not null
          and l.mode in ('AccessExclusiveLock', 'ShareUpdateExclusiveLock');
        insert into public.held values ('read');
    """
    rewrite(engine.db, "scheduler_internal.ended_since", reads, locks + reads)
    engine.clock.advance(days=40)
    engine.maintain()
    assert engine.select("select distinct name from public.held") == [{"name": "read"}]
    assert "20310305" not in days(engine, "history")


@pytest.mark.direct
def test_a_day_that_a_reader_holds_is_not_read(engine: Engine, connect: Connect) -> None:
    """It could not be dropped, and would be read as a whole each minute, for as long as his transaction."""
    worker = engine.worker()
    engine.enqueued()
    worker.finish(worker.claim_one())
    engine.maintain()
    reader = connect(autocommit=False)
    engine.clock.advance(days=31)
    query = "select from scheduler_internal.history where execution_id = scheduler_internal.id_floor(%s)"
    for read in (engine.clock.now, engine.clock.now - timedelta(days=31)):
        reader.execute(query, [read])  # another day: he holds the table; then that which is to go
        with engine.db.transaction():
            engine.maintain()
            assert read_of_day(engine, "20310305") == 0
        assert "20310305" in days(engine, "history")
        reader.rollback()
    engine.maintain()
    assert "20310305" not in days(engine, "history")


def read_of_day(engine: Engine, day: str) -> int:
    """Returns how many rows and entries of a day of history this transaction has read."""
    query = """
        select sum(pg_stat_get_xact_tuples_returned(i))::integer from (
            select %s::regclass::oid as i
            union all select indexrelid from pg_index where indrelid = %s::regclass) x
    """
    name = f"scheduler_internal.history_{day}"
    count: int = engine.one(query, name, name)
    return count


@pytest.mark.direct
def test_what_was_retried_is_forgotten_without_a_look_at_the_history(engine: Engine) -> None:
    """A join read all of it where thousands had been retried, and everybody waited who ended something."""
    engine.maintain()
    worker = engine.worker()
    for days_later in (1, 20):  # the first day goes, the second is kept for its late end
        execution_id = engine.enqueued()
        worker.fail(worker.claim_one(), error={"retry": False})
        assert engine.retry_execution(execution_id=execution_id)
        engine.clock.advance(days=days_later)
        worker.beat()
        worker.finish(worker.claim_one())
    engine.clock.advance(days=20)
    engine.maintain()
    assert days(engine, "history")[0] == "20310306"
    left = engine.select("select execution_id, attempt from scheduler_internal.retried")
    assert left == [{"execution_id": execution_id, "attempt": 1}]
    held = """
        select relation::regclass::text as day from pg_locks
        where pid = pg_backend_pid() and relation::regclass::text ~ '^scheduler_internal.history_[0-9]+$'
    """
    with engine.db.transaction():
        engine.maintain()
        assert engine.select(held) == []


@pytest.mark.direct
def test_where_it_cannot_look_the_rest_is_done(engine: Engine, connect: Connect) -> None:
    """Somebody rewrites a table that says whether a day of history may go."""
    engine.maintain()
    other = connect(autocommit=False)
    other.execute("lock table scheduler_internal.waiting in access exclusive mode")
    engine.clock.advance(days=31)
    engine.maintain()
    assert f"{engine.clock.now + timedelta(days=7):%Y%m%d}" in days(engine, "history")
    assert days(engine, "history")[0] == "20310305"
    assert days(engine, "rollups")[0] == "20310306"
    other.rollback()
    engine.maintain()
    assert days(engine, "history")[0] == "20310306"


@pytest.mark.direct
def test_who_keeps_the_lock_does_not_stop_the_upkeep(engine: Engine, connect: Connect) -> None:
    """Any login may take it, that of a SQL job too."""
    engine.maintain()
    connect(user="pgtick_sql").execute("select pg_advisory_lock(1885828201, -1)")
    engine.clock.set("2031-03-06T00:00:00+00:00")
    engine.maintain()
    assert days(engine, "history")[-1] == "20310313"
    engine.clock.advance(minutes=5)
    engine.db.execute("drop table scheduler_internal.history_20310313")
    engine.maintain()
    assert days(engine, "history")[-1] == "20310312"  # it may be somebody who is at it
    engine.clock.advance(minutes=6)
    engine.maintain()
    assert days(engine, "history")[-1] == "20310313"


@pytest.mark.direct
def test_two_who_drop_a_day_at_once(engine: Engine, connect: Connect) -> None:
    """The lock spares that, but where somebody else keeps it: the second finds it gone."""
    engine.maintain()
    engine.select("select scheduler_internal.ensure_partition('history', '2031-01-01')")
    connect(user="pgtick_sql").execute("select pg_advisory_lock(1885828201, -1)")
    other = connect()
    for conn in (engine.db, other):
        engine.clock.set("2031-03-05T13:00:00+00:00", conn=conn)
    # So that the second has not given up before the first commits.
    rewrite(engine.db, "scheduler.maintain", "'200ms'", "'20s'")
    engine.db.execute("begin")
    engine.maintain()
    with waiting(connect(), other, lambda conn: conn.execute("select scheduler.maintain()")) as second:
        engine.db.execute("commit")
        second.result()
    assert "20310101" not in days(engine, "history")


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
