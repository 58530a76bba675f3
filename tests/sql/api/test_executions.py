"""Executions as the REST API lists them: every one once, whatever the size of the pages."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.faults.bugs import rewrite
from tests.sql.api.pages import items, pages, read
from tests.sql.engine import Engine, Worker, refused


@pytest.fixture
def busy(engine: Engine) -> Engine:
    """A database with executions in every stage: of two jobs, of none, failed, retried, cancelled."""
    for name, tags in (("a", ["red", "blue"]), ("b", [])):
        engine.job_of(
            "*/10 * * * *", name=name, queue=f"of-{name}", tags=tags, overlap="allow", misfire="fire_all"
        )
    engine.clock.advance(hours=2)
    engine.rows("tick")
    for job in engine.select("select job_id from scheduler.jobs"):
        engine.trigger_job(job_id=job["job_id"], run_at=engine.clock.now + timedelta(days=1))
    worker = engine.worker(lease="1 hour")
    for number in range(10):
        engine.enqueued(queue=f"q{number % 2}", priority=number % 3, max_attempts=2, backoff_base="0")
    for message in ("Boom: NO such host", "out of memory"):
        engine.enqueued(queue="bad", max_attempts=2, backoff_base="0")
        for _ in range(2):
            worker.fail(*worker.claim(1, queues=["bad"]), error={"message": message})
    finish_some(engine, worker)
    return engine


def finish_some(engine: Engine, worker: Worker) -> None:
    """Ends some of what is ready in each way that there is, and leaves some running."""
    rows = [*worker.claim(6, queues=["of-a"]), *worker.claim(6, queues=["of-b", "q0"])]
    assert len(rows) == 12
    worker.finish(*rows[:6])
    for row in rows[6:8]:
        engine.cancel_execution(execution_id=row["execution_id"])
    worker.finish(*rows[6:8], status="cancelled")
    engine.retry_execution(execution_id=rows[0]["execution_id"])
    engine.retry_execution(execution_id=rows[6]["execution_id"])


def shown(engine: Engine, condition: str = "true", *parameters: Any) -> list[UUID]:
    """Returns the ids that the view shows, newest first."""
    query = f"select execution_id from scheduler.executions where {condition} order by 1 desc"
    return [row["execution_id"] for row in engine.select(query, *parameters)]


def listed(engine: Engine, **filters: Any) -> list[UUID]:
    """Returns the ids that the list gives."""
    return [UUID(item["execution_id"]) for item in items(engine, "list_executions", **filters)]


@pytest.mark.parametrize("max_rows", [1, 3, 7, 1000])
def test_every_execution_is_listed_once(busy: Engine, max_rows: int) -> None:
    expected = shown(busy)
    assert len(expected) == 38
    found = pages(busy, "list_executions", max_rows=max_rows)
    assert [UUID(item["execution_id"]) for page in found for item in page] == expected
    assert all(len(page) == max_rows for page in found[:-1])
    assert found[-1]


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"status": "scheduled"}, "status = 'scheduled'"),
    ({"status": "ready"}, "status = 'ready'"),
    ({"status": "running"}, "status = 'running'"),
    ({"status": "succeeded"}, "status = 'succeeded'"),
    ({"status": "failed"}, "status = 'failed'"),
    ({"status": "cancelled"}, "status = 'cancelled'"),
    ({"queue": "q1"}, "queue = 'q1'"),
    ({"job_type": "sql"}, "job_type = 'sql'"),
    ({"tag": "red"}, "job_name = 'a'"),
    ({"tag": "red", "status": "succeeded"}, "job_name = 'a' and status = 'succeeded'"),
    ({"error_contains": "no such HOST"}, "error ->> 'message' like '%%such host'"),
    ({"error_contains": "%"}, "false"),
    ({"to_time": "2031-03-05T13:00Z"}, "execution_id < scheduler_internal.id_floor('2031-03-05T13:00Z')"),
    ({"from_time": "2031-03-05T14:00Z"}, "execution_id >= scheduler_internal.id_floor('2031-03-05T14:00Z')"),
    ({"from_time": "2031-03-05T15:00Z", "to_time": "2031-03-05T14:00Z"}, "false"),
]


@pytest.mark.parametrize("max_rows", [2, 1000])
@pytest.mark.parametrize(("filters", "condition"), FILTERS, ids=lambda case: str(case)[:40])
def test_filters(busy: Engine, filters: dict[str, Any], condition: str, max_rows: int) -> None:
    expected = shown(busy, condition)
    assert listed(busy, **filters, max_rows=max_rows) == expected
    assert expected or condition == "false" or "2031-03-05T13" in condition


@pytest.mark.parametrize("status", [None, "succeeded", "ready", "scheduled"])
def test_of_one_job(busy: Engine, status: str | None) -> None:
    job_id = busy.one("select job_id from scheduler.jobs where name = 'a'")
    condition = "job_id = %s and (%s::text is null or status = %s)"
    expected = shown(busy, condition, job_id, status, status)
    assert expected
    assert listed(busy, job_id=job_id, status=status, max_rows=2) == expected
    assert listed(busy, job_id=uuid4()) == []


def test_an_item_is_what_the_view_shows(engine: Engine) -> None:
    worker = engine.worker()
    engine.job_of(None, name="j", payload={"a": [1]})
    engine.trigger_job(job_id=engine.one("select job_id from scheduler.jobs"))
    worker.finish(worker.claim_one(), result={"rows": 1})
    (item,) = items(engine, "list_executions")
    (row,) = engine.select("select * from scheduler.executions")
    assert list(item) == [name for name in row if name != "shard"]
    assert item["payload"] == {"a": [1]}
    assert item["created_at"] == "2031-03-05T12:00:00+00:00"
    assert {name: parsed(item[name]) for name in item} == {name: row[name] for name in item}
    assert read(engine, "get_execution_json", execution_id=row["execution_id"]) == item


def parsed(value: Any) -> Any:
    """Returns a value of JSON as psycopg gives it."""
    for kind in (UUID, datetime.fromisoformat):
        try:
            return kind(value)
        except (AttributeError, TypeError, ValueError):
            continue
    return value


def test_times_are_in_utc_and_lengths_plain(engine: Engine) -> None:
    engine.db.execute("set timezone = 'Asia/Kolkata'")
    engine.db.execute("set intervalstyle = 'iso_8601'")
    job_id = engine.job_of("@hourly", timeout="90 minutes")
    job = read(engine, "get_job_json", job_id=job_id)
    assert (job["next_fire_at"], job["timeout"]) == ("2031-03-05T13:00:00+00:00", "01:30:00")
    execution_id = engine.enqueued()
    assert read(engine, "get_execution_json", execution_id=execution_id)["run_at"].endswith("+00:00")


def test_large_documents_are_shortened_in_a_list(engine: Engine) -> None:
    texts = {size: "x" * (size - 2) for size in (400, 4000, 4001, 100_000)}
    ids = {size: engine.enqueued(payload=text) for size, text in texts.items()}
    found = {item["execution_id"]: item["payload"] for item in items(engine, "list_executions")}
    assert {size: found[str(ids[size])] for size in ids} == {
        400: texts[400],
        4000: texts[4000],
        4001: {"truncated": True},
        100_000: {"truncated": True},
    }
    whole = read(engine, "get_execution_json", execution_id=ids[100_000])
    assert whole["payload"] == texts[100_000]


def test_a_page_looks_at_a_bounded_number_of_rows(engine: Engine) -> None:
    (rare,) = engine.rows("enqueue_many", items=[{"job_type": "sql", "target": "select 1", "queue": "rare"}])
    engine.clock.advance(seconds=1)
    many = [{"job_type": "sql", "target": "select 1"}] * 10_000
    for _ in range(3):
        engine.rows("enqueue_many", items=many)
    found = pages(engine, "list_executions", queue="rare")
    assert [[item["execution_id"] for item in page] for page in found] == [[], [str(rare["enqueue_many"])]]
    jobs = pages(engine, "list_executions", status="failed")
    assert jobs == [[]]  # nothing has ended: there is nothing to look at


def test_a_full_page_ends_where_a_table_was_looked_at_no_further(engine: Engine) -> None:
    """What is ready lies behind 20,000 that wait; enough has ended to fill the page without it."""
    worker = engine.worker()
    ended = [engine.enqueued(queue="rare") for _ in range(60)]
    assert worker.finish(*worker.claim(60)) == []
    engine.clock.advance(seconds=1)
    ready = engine.enqueued(queue="rare")
    tomorrow = (engine.clock.now + timedelta(days=1)).isoformat()
    many = [{"job_type": "sql", "target": "select 1", "run_at": tomorrow}] * 10_000
    for _ in range(2):
        engine.rows("enqueue_many", items=many)
    assert listed(engine, queue="rare", max_rows=50) == [ready, *sorted(ended, reverse=True)]


def test_long_tables_are_read_by_their_indexes(busy: Engine) -> None:
    """Short ones are read from end to end: what is listed is the same."""
    expected = shown(busy)
    rewrite(busy.db, "scheduler_internal.find_alive", "4000000", "-1")
    assert listed(busy, max_rows=1000) == expected
    for status in ("ready", "scheduled", "running"):
        found = listed(busy, status=status)
        assert found == shown(busy, "status = %s", status)
        assert found


@pytest.mark.parametrize("max_rows", [2, 50])
def test_a_page_goes_on_where_the_last_day_does_not_fill_it(engine: Engine, max_rows: int) -> None:
    for _ in range(3):
        engine.clock.advance(days=2)
        worker = engine.worker()
        for _ in range(3):
            engine.enqueued()
        worker.finish(*worker.claim(2))
    found = [
        UUID(item["execution_id"])
        for page in pages(engine, "list_executions", max_rows=max_rows)
        for item in page
    ]
    assert found == shown(engine)
    assert len(found) == 9


def test_an_execution_is_not_lost_where_a_page_ends(engine: Engine) -> None:
    """Its attempts lie on both sides of the bound of one call."""
    worker = engine.worker()
    execution_id = engine.enqueued(max_attempts=2, backoff_base="0")
    worker.fail(worker.claim_one())
    worker.fail(worker.claim_one())
    assert engine.execution(execution_id)["status"] == "failed"
    engine.clock.advance(seconds=1)
    engine.db.execute(
        """
        insert into scheduler_internal.history
            (execution_id, shard, attempt, run_at, created_at, finished_at, rank, origin, final, status,
             queue, job_type)
        select scheduler_internal.new_id(0, scheduler.now()), 0, 1, h.run_at, h.created_at, h.finished_at,
            h.rank, h.origin, true, 'succeeded', h.queue, h.job_type
        from scheduler_internal.history h, generate_series(1, 19999)
        where h.final
        """
    )
    found = pages(engine, "list_executions", error_contains="no")
    assert [len(page) for page in found] == [0, 1]


@pytest.mark.parametrize(
    "text", ['relation "Orders" does', '"x.py", line 3', "C:\\jobs", "one\ntwo", "\u00e4\t"]
)
def test_an_error_is_found_by_its_text(engine: Engine, text: str) -> None:
    worker = engine.worker()
    execution_id = engine.enqueued(max_attempts=1)
    worker.fail(worker.claim_one(), error={"message": f"before {text} after"})
    found = items(engine, "list_executions", error_contains=text)
    assert [execution["execution_id"] for execution in found] == [str(execution_id)]
    assert items(engine, "list_executions", error_contains=f"{text}!") == []


def test_an_unknown_execution_is_null(engine: Engine) -> None:
    assert read(engine, "get_execution_json", execution_id=uuid4()) is None
    assert read(engine, "get_execution_json", execution_id=None) is None


def test_attempts(engine: Engine) -> None:
    worker = engine.worker(lease="1 hour")
    execution_id = engine.enqueued(max_attempts=5, backoff_base="0")
    for number in range(3):
        worker.fail(worker.claim_one(), error={"message": f"no {number}"})
    worker.claim_one()
    for max_rows in (1, 2, 50):
        found = items(engine, "list_attempts", execution_id=execution_id, max_rows=max_rows)
        assert [item["attempt"] for item in found] == [1, 2, 3, 4]
    assert [item["status"] for item in found] == ["failed", "failed", "failed", "running"]
    assert found[1]["error"] == {"message": "no 1"}
    assert items(engine, "list_attempts", execution_id=uuid4()) == []


@pytest.mark.parametrize(
    ("arguments", "message", "argument"),
    [
        ({"max_rows": 0}, "^max_rows 0 is out of range$", "max_rows"),
        ({"max_rows": None}, "^max_rows null is out of range$", "max_rows"),
        ({"max_rows": 1001}, "^max_rows 1001 is out of range$", "max_rows"),
        ({"after": "x"}, "^invalid cursor 'x'$", "after"),
        ({"after": ""}, "^invalid cursor ''$", "after"),
        ({"status": "done"}, "^unknown status 'done'$", None),
    ],
)
def test_wrong_arguments(
    engine: Engine, arguments: dict[str, Any], message: str, argument: str | None
) -> None:
    with refused("22023", message, argument=argument):
        read(engine, "list_executions", **arguments)


@pytest.mark.parametrize("when", ["infinity", "-infinity", "0001-01-01T00:00Z", "9999-12-31T00:00Z"])
def test_any_time_may_be_asked_for(engine: Engine, when: str) -> None:
    execution_id = engine.enqueued()
    early = when.startswith(("-", "0"))
    assert listed(engine, from_time=when) == ([execution_id] if early else [])
    assert listed(engine, to_time=when) == ([] if early else [execution_id])


def test_executions_between_two_days(engine: Engine) -> None:
    ids = [engine.enqueued(run_at=engine.clock.now + timedelta(days=day)) for day in range(5)]
    found = listed(engine, from_time="2031-03-06T12:00Z", to_time="2031-03-08T12:00Z")
    assert found == ids[2:0:-1]
