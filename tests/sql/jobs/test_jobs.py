"""Jobs: made, changed, triggered, filled back, deleted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg import sql

from tests.sql.engine import SQL_TARGET, Engine, refused


def test_a_job_is_what_was_given(engine: Engine) -> None:
    given: dict[str, Any] = {
        "name": "nightly report",
        "job_type": "http",
        "target": "https://example.org",
        "schedule": "30 2 * * *",
        "timezone": "europe/berlin",
        "payload": {"a": 1},
        "queue": "q",
        "priority": 3,
        "max_attempts": 5,
        "backoff": "linear",
        "backoff_base": timedelta(seconds=1),
        "backoff_max": timedelta(seconds=2),
        "timeout": timedelta(minutes=3),
        "expires_after": timedelta(hours=4),
        "misfire": "fire_all",
        "misfire_window": timedelta(days=5),
        "misfire_cap": 6,
        "overlap": "allow",
        "dst": "wall",
        "jitter": timedelta(minutes=7),
        "starts_at": engine.clock.now + timedelta(days=30),
        "ends_at": engine.clock.now + timedelta(days=60),
        "tags": ["x", "y"],
    }
    job_id = engine.create_job(**given)
    job = engine.job(job_id)
    normal = {**given, "target": {"url": "https://example.org"}, "timezone": "Europe/Berlin"}
    assert {key: job[key] for key in given} == normal
    assert job["next_fire_at"] == datetime.fromisoformat("2031-04-05T02:30+02:00")
    assert (job["version"], job["paused"], job["created_by"]) == (1, False, "postgres")
    assert engine.get_shard_id(job_id=job_id) == job["shard"]


def test_put_job_again_writes_nothing(engine: Engine) -> None:
    given = {
        "name": "j",
        "job_type": "sql",
        "target": "select 1",
        "schedule": "0 */2 * * *",
        "jitter": "1 minute",
    }
    job_id = engine.put_job(**given)
    before = engine.fingerprint()
    engine.clock.advance(minutes=7)
    assert engine.put_job(**given) == job_id
    assert engine.fingerprint() == before


KEEPING: list[dict[str, Any]] = [
    {"payload": {"k": 2}},
    {"queue": "q", "priority": 1},
    {"overlap": "allow", "misfire": "skip"},
    {"schedule": "7 0-23/1 * * *"},
    {"tags": ["t"]},
    {"ends_at": "2032-01-01T00:00Z"},
    {"target": "select 2"},
]


@pytest.mark.parametrize("changes", KEEPING, ids=str)
@pytest.mark.parametrize("way", ["put_job", "update_job"])
def test_an_unchanged_schedule_keeps_its_next_fire(engine: Engine, way: str, changes: dict[str, Any]) -> None:
    given = {"name": "j", "job_type": "sql", "target": SQL_TARGET, "schedule": "7 0-23 * * *"}
    job_id = engine.create_job(**given)
    engine.clock.advance(minutes=10)
    if way == "put_job":
        assert engine.put_job(**{**given, **changes}) == job_id
    else:
        engine.update_job(job_id=job_id, changes=changes)
    assert engine.ledger(job_id) == [("03-05 12:07", "fired")]  # what was due is decided by the old rules
    job = engine.job(job_id)
    assert job["next_fire_at"] == engine.clock.now.replace(hour=13, minute=7)
    assert job["version"] == 2
    engine.clock.advance(hours=1)
    engine.rows("tick")
    assert [instant for instant, _ in engine.ledger(job_id)] == ["03-05 12:07", "03-05 13:07"]


def test_a_new_schedule_starts_with_its_first_instant(engine: Engine) -> None:
    job_id = engine.job_of("0 * * * *", overlap="allow", misfire="fire_all")
    engine.clock.advance(hours=2, minutes=10)
    engine.update_job(job_id=job_id, changes={"schedule": "*/30 * * * *"})
    engine.clock.advance(minutes=20)
    engine.rows("tick")
    assert engine.ledger(job_id) == [(f"03-05 {time}", "fired") for time in ("13:00", "14:00", "14:30")]
    engine.update_job(job_id=job_id, changes={"schedule": None})
    job = engine.job(job_id)
    assert (job["schedule"], job["next_fire_at"]) == (None, None)
    assert len(engine.ledger(job_id)) == 3
    engine.update_job(job_id=job_id, changes={"schedule": "@hourly"})
    assert engine.job(job_id)["next_fire_at"] == engine.clock.now.replace(hour=15, minute=0)


def test_lengths_that_only_compare_as_equal_are_a_change(engine: Engine) -> None:
    """A month equals 30 days, and a year 360, as PostgreSQL compares them."""
    given = {"name": "j", "job_type": "sql", "target": SQL_TARGET, "expires_after": "1 year"}
    start = "from 2031-03-05T12:00Z"
    job_id = engine.put_job(**given, schedule=f"every 1 month {start}")
    engine.put_job(**given, schedule=f"every 30 days {start}")
    assert engine.job(job_id)["next_fire_at"] == engine.clock.now + timedelta(days=30)
    for changes in (
        {"expires_after": "360 days"},
        {"misfire_window": "1 month"},
        {"misfire_window": "30 days"},
    ):
        version = engine.job(job_id)["version"]
        for _ in range(2):
            engine.update_job(job_id=job_id, changes=changes)
        assert engine.job(job_id)["version"] == version + 1, changes


def test_a_new_schedule_need_not_wait_for_the_old(engine: Engine) -> None:
    job_id = engine.job_of("@yearly")
    engine.update_job(job_id=job_id, changes={"schedule": "* * * * *"})
    assert engine.job(job_id)["next_fire_at"] == engine.clock.now + timedelta(minutes=1)


@pytest.mark.parametrize("changes", [["*/5 * * * *"], [None, "*/5 * * * *"], ["0 * * * *", "*/5 * * * *"]])
@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_a_new_schedule_after_the_clock_was_set_back_fires_nothing_twice(
    engine: Engine, overlap: str, changes: list[str | None]
) -> None:
    job_id = engine.job_of("* * * * *", overlap=overlap)
    worker = engine.worker(lease="1 hour")
    for _ in range(5):
        engine.clock.advance(minutes=1)
        engine.rows("tick")
        worker.claim(10)  # they go on running
    before = engine.ledger(job_id)
    assert len(before) == 5
    engine.clock.advance(seconds=-90)
    for schedule in changes:
        engine.update_job(job_id=job_id, changes={"schedule": schedule})
    assert engine.job(job_id)["next_fire_at"] == engine.clock.now.replace(minute=10, second=0)
    engine.clock.advance(seconds=90)
    engine.rows("tick")
    assert engine.ledger(job_id) == before
    assert worker.claim(10) == []


def test_a_finished_job_can_be_changed(engine: Engine) -> None:
    job_id = engine.job_of("0 0 13 5 3 * 2031")
    engine.clock.advance(hours=2)
    engine.rows("tick")
    assert engine.job(job_id)["next_fire_at"] is None
    engine.update_job(job_id=job_id, changes={"queue": "q"})
    assert engine.job(job_id)["next_fire_at"] is None
    assert engine.ledger(job_id) == [("03-05 13:00", "fired")]
    with refused("22023", "has no future run$"):
        engine.update_job(job_id=job_id, changes={"schedule": "0 30 13 5 3 * 2031"})


def test_ends_at_can_be_moved_both_ways(engine: Engine) -> None:
    job_id = engine.job_of(ends_at="2031-03-05T14:00Z", overlap="allow")
    engine.clock.advance(hours=3)
    engine.rows("tick")
    assert engine.job(job_id)["next_fire_at"] is None
    engine.update_job(job_id=job_id, changes={"ends_at": "2031-03-05T20:00Z"})
    assert engine.job(job_id)["next_fire_at"] == engine.clock.now.replace(hour=16)
    engine.update_job(job_id=job_id, changes={"ends_at": "2031-03-05T15:30Z"})
    assert engine.job(job_id)["next_fire_at"] is None


def test_what_is_held_is_let_go_when_overlap_is_allowed(engine: Engine) -> None:
    worker = engine.worker(lease="1 hour")
    job_id = engine.job_of("* * * * *", overlap="queue_one")
    engine.clock.advance(minutes=1)
    engine.rows("tick")
    worker.claim_one()
    engine.clock.advance(minutes=1)
    engine.rows("tick")
    assert worker.claim() == []
    engine.update_job(job_id=job_id, changes={"overlap": "allow"})
    assert worker.claim_one()["fire_at"] == engine.clock.now


def test_delete_job_decides_what_is_due_and_lets_the_rest_run(engine: Engine) -> None:
    job_id = engine.job_of(name="gone", overlap="allow", misfire="fire_all", payload=5)
    engine.clock.advance(hours=2)
    engine.delete_job(job_id=job_id)
    assert [verdict for _, verdict in engine.ledger(job_id)] == ["fired", "fired"]
    assert engine.select("select from scheduler.jobs") == []
    worker = engine.worker()
    claimed = worker.claim(10)
    assert [(row["job_name"], row["payload"]) for row in claimed] == [("gone", 5)] * 2
    worker.fail(*claimed)
    assert engine.one("select count(*) from scheduler.executions where status = 'scheduled'") == 2
    with refused("P0002", "does not exist"):
        engine.delete_job(job_id=job_id)
    assert engine.job_of(name="gone") != job_id


def seconds(engine: Engine, count: int) -> UUID:
    """Returns a job of which that many fires are due."""
    job_id = engine.job_of("* * * * * *", overlap="allow", misfire="fire_all")
    engine.clock.advance(seconds=count)
    return job_id


def bound_at_100(engine: Engine) -> None:
    """Has a client fire at most 100 where he may fire 10,000."""
    body = engine.one("select pg_get_functiondef('scheduler_internal.settle_job'::regproc)")
    changed = body.replace("at, 10000, ", "at, 100, ")
    assert changed != body
    engine.db.execute(changed)


def test_a_change_does_not_fire_a_long_backlog(engine: Engine) -> None:
    bound_at_100(engine)
    job_id = seconds(engine, 108)
    before = engine.fingerprint()
    with refused("54000", "^more than 10,000 fires of job .* are due$"):
        engine.update_job(job_id=job_id, changes={"priority": 1})
    with refused("54000", "^more than 10,000 fires of job .* are due$"):
        engine.backfill_job(job_id=job_id, from_time=engine.clock.now, to_time=engine.clock.now)
    assert engine.fingerprint() == before
    engine.rows("tick", max_fires=8)
    engine.update_job(job_id=job_id, changes={"priority": 1})
    assert engine.one("select count(*) from scheduler_internal.waiting") == 108
    assert engine.job(job_id)["next_fire_at"] > engine.clock.now


def test_a_pause_has_a_long_backlog_skipped(engine: Engine) -> None:
    bound_at_100(engine)
    job_id = seconds(engine, 108)
    engine.pause_job(job_id=job_id)
    engine.update_job(job_id=job_id, changes={"priority": 1})
    query = "select verdict, count(*) from scheduler.fires group by verdict"
    assert engine.select(query) == [{"verdict": "skipped_paused", "count": 108}]


def test_delete_job_does_not_wait_for_a_long_backlog(engine: Engine) -> None:
    engine.delete_job(job_id=seconds(engine, 2 * 86_400))  # a weekend
    query = "select verdict, count(distinct fire_at) from scheduler.fires group by verdict order by verdict"
    assert engine.select(query) == [
        {"verdict": "fired", "count": 10_000},
        {"verdict": "skipped_misfire", "count": 162_800},
    ]


def test_a_trigger_runs_the_job_as_it_is_now(engine: Engine) -> None:
    job_id = engine.job_of(None, queue="first")
    for queue in ("second", "third"):
        engine.update_job(job_id=job_id, changes={"queue": queue})
        assert engine.execution(engine.trigger_job(job_id=job_id))["queue"] == queue


def test_trigger_runs_beside_the_schedule(engine: Engine) -> None:
    job_id = engine.job_of(payload={"of": "job"}, expires_after="1 hour", priority=4)
    engine.pause_job(job_id=job_id)
    now = engine.trigger_job(job_id=job_id)
    later = engine.trigger_job(job_id=job_id, payload={"of": "call"}, run_at="2031-03-05T14:00Z")
    assert [engine.execution(i)["payload"]["of"] for i in (now, later)] == ["job", "call"]
    assert [engine.execution(i)["status"] for i in (now, later)] == ["ready", "scheduled"]
    assert {engine.execution(i)["origin"] for i in (now, later)} == {"trigger"}
    assert engine.execution(now)["priority"] == 4
    engine.clock.advance(hours=2, minutes=30)
    assert engine.reap() == 0
    assert [engine.execution(i)["status"] for i in (now, later)] == ["expired", "ready"]


def test_backfill_makes_what_is_missing_once(engine: Engine) -> None:
    job_id = engine.job_of(misfire="fire_once", overlap="skip", jitter="10 minutes")
    engine.clock.advance(hours=4)
    fill = {"job_id": job_id, "from_time": "2031-03-05T10:00Z", "to_time": "2031-03-05T15:00Z"}
    assert engine.backfill_job(**fill) == 6  # the tick it begins with coalesces 13 to 15 into 16
    assert engine.backfill_job(**fill) == 0
    assert engine.ledger(job_id) == [(f"03-05 {hour}:00", "fired") for hour in range(10, 17)]
    worker = engine.worker()
    rows = worker.claim(100)
    assert {row["run_at"] for row in rows if row["fire_at"].hour < 16} == {engine.clock.now}
    worker.finish(*rows)
    assert engine.backfill_job(**fill) == 0
    query = "select origin, count(*) from scheduler.executions group by 1 order by 1"
    assert engine.select(query) == [{"origin": "backfill", "count": 6}, {"origin": "fire", "count": 1}]


@pytest.mark.parametrize(
    ("schedule", "from_time", "to_time", "sqlstate", "message"),
    [
        ("@hourly", "2031-03-05T11:00Z", "2031-03-05T10:00Z", "22023", "^not a past range of time$"),
        ("@hourly", "2031-03-05T11:00Z", "2031-03-05T12:01Z", "22023", "^not a past range of time$"),
        ("@hourly", None, "2031-03-05T11:00Z", "22023", "^not a past range of time$"),
        ("@hourly", "2031-03-05T11:00Z", None, "22023", "^not a past range of time$"),
        ("@hourly", "-infinity", "2031-03-05T11:00Z", "22023", "^not a past range of time$"),
        ("@hourly", "0001-01-01T00:00Z", "2031-03-05T11:00Z", "54000", "more than 10,000 instants$"),
        ("* * * * *", "2031-02-20T00:00Z", "2031-03-05T11:00Z", "54000", "more than 10,000 instants$"),
        (None, "2031-03-05T10:00Z", "2031-03-05T11:00Z", "55000", "has no schedule$"),
    ],
)
def test_backfill_refuses(
    engine: Engine, schedule: str, from_time: str, to_time: str, sqlstate: str, message: str
) -> None:
    job_id = engine.job_of(schedule)
    before = engine.fingerprint()
    with refused(sqlstate, message):
        engine.backfill_job(job_id=job_id, from_time=from_time, to_time=to_time)
    assert engine.fingerprint() == before


def test_backfill_does_not_run_twice_what_history_forgot(engine: Engine) -> None:
    job_id = engine.job_of("@daily", overlap="allow")
    engine.clock.advance(days=60)
    with refused("22023", "^the range begins before the history does$"):
        engine.backfill_job(job_id=job_id, from_time="2031-03-20T00:00Z", to_time="2031-05-01T00:00Z")


def test_nor_what_it_forgot_before_the_retention_was_raised(engine: Engine) -> None:
    job_id = engine.job_of("@daily", overlap="allow")
    worker = engine.worker(lease="1 hour")

    def retain(retention: str) -> None:
        database = sql.Identifier(engine.one("select current_database()"))
        statement = sql.SQL("alter database {} set scheduler.history_retention = {}")
        engine.db.execute(statement.format(database, retention))

    retain("2 days")
    for _ in range(9):
        engine.clock.advance(days=1)
        engine.rows("tick")
        worker.beat()
        worker.finish(worker.claim_one())
        engine.maintain()
    retain("30 days")
    engine.maintain()
    to_time = engine.clock.now
    for from_time in ("2031-03-07T00:00Z", "2031-03-11T23:59Z"):
        with refused("22023", "^the range begins before the history does$", argument="from_time"):
            engine.backfill_job(job_id=job_id, from_time=from_time, to_time=to_time)
    assert engine.backfill_job(job_id=job_id, from_time="2031-03-12T00:00Z", to_time=to_time) == 0
    younger = engine.job_of("@daily", overlap="allow")  # none of its fires are forgotten
    fill = {"job_id": younger, "from_time": "2031-03-07T00:00Z", "to_time": to_time}
    assert engine.backfill_job(**fill) == 8


@pytest.mark.parametrize("begin", ["1900-01-01T00:00Z", "1969-12-31T23:59Z", "0001-01-01T00:00Z"])
def test_backfill_from_long_ago_runs_nothing_twice(engine: Engine, begin: str) -> None:
    job_id = engine.job_of(starts_at="2031-03-05T13:00Z", overlap="allow", misfire="fire_all")
    worker = engine.worker(lease="1 hour")
    engine.clock.advance(hours=3)
    engine.rows("tick")
    worker.beat()
    worker.finish(*worker.claim(10))
    fill = {"job_id": job_id, "from_time": begin, "to_time": engine.clock.now}
    assert engine.backfill_job(**fill) == 0
    assert engine.ledger(job_id) == [(f"03-05 {hour}:00", "fired") for hour in (13, 14, 15)]


@pytest.mark.direct
def test_workers_are_told_of_what_a_backfill_or_a_change_makes_ready(engine: Engine) -> None:
    job_id = engine.job_of(misfire="fire_once", overlap="allow")
    shard = engine.job(job_id)["shard"]
    engine.db.execute("set scheduler.notify = on")
    engine.db.execute("listen scheduler_ready")

    def told() -> list[str]:
        return [each.payload for each in engine.db.notifies(timeout=0.2)]

    fill = {"job_id": job_id, "from_time": "2031-03-05T10:00Z", "to_time": "2031-03-05T11:00Z"}
    assert engine.backfill_job(**fill) == 2
    assert told() == [str(shard)]
    assert engine.backfill_job(**fill) == 0
    engine.update_job(job_id=job_id, changes={"priority": 1})
    assert told() == []
    engine.clock.advance(hours=1)
    engine.update_job(job_id=job_id, changes={"priority": 2})
    assert told() == [str(shard)]


def test_every_change_is_in_the_audit_log(engine: Engine) -> None:
    job_id = engine.job_of(name="audited", priority=1)
    engine.update_job(job_id=job_id, changes={"priority": 2, "tags": []})
    engine.pause_job(job_id=job_id, reason="why")
    engine.resume_job(job_id=job_id)
    execution_id = engine.trigger_job(job_id=job_id)
    engine.backfill_job(job_id=job_id, from_time="2031-03-05T10:00Z", to_time="2031-03-05T11:00Z")
    engine.cancel_execution(execution_id=execution_id)
    engine.retry_execution(execution_id=execution_id)
    engine.delete_job(job_id=job_id)
    rows = {row["action"]: row for row in engine.select("select * from scheduler.audit_log")}
    assert set(rows) == {
        "create_job", "update_job", "pause_job", "resume_job", "trigger_job", "backfill_job",
        "cancel_execution", "retry_execution", "delete_job",
    }  # fmt: skip
    for action, row in rows.items():
        assert row["actor"] == "postgres"
        assert row["at"] == engine.clock.now
        assert row["object_id"] == (execution_id if "execution" in action else job_id)
    assert rows["update_job"]["detail"] == {"priority": [1, 2]}
    assert rows["pause_job"]["detail"] == {"reason": "why"}
    assert rows["trigger_job"]["detail"] == {"execution_id": str(execution_id)}
    assert rows["backfill_job"]["detail"]["executions"] == 2
    assert rows["create_job"]["detail"]["priority"] == 1


def test_the_audit_log_tells_what_was_null(engine: Engine) -> None:
    job_id = engine.job_of(payload=None)
    engine.update_job(job_id=job_id, changes={"payload": {"a": 1}, "expires_after": "1 hour"})
    detail = engine.one("select detail from scheduler.audit_log where action = 'update_job'")
    assert detail == {"payload": [None, {"a": 1}], "expires_after": [None, "01:00:00"]}


def test_of_several_changes_the_wrong_one_is_named(engine: Engine) -> None:
    job_id = engine.job_of()
    before = engine.fingerprint()
    changes = {"priority": 5, "timeout": "soon", "queue": "q"}
    with refused("22023", "^a value does not fit its attribute$", argument="timeout"):
        engine.update_job(job_id=job_id, changes=changes)
    assert engine.fingerprint() == before
    engine.update_job(job_id=job_id, changes={**changes, "timeout": "1 minute"})
    job = engine.job(job_id)
    assert (job["priority"], job["timeout"], job["queue"]) == (5, timedelta(minutes=1), "q")
