"""Queues, workers, statistics and the audit log as the REST API shows them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.sql.api.pages import items, pages, read
from tests.sql.engine import Engine, refused


def test_queues_and_workers(engine: Engine) -> None:
    assert read(engine, "list_queues")["items"] == []
    worker = engine.worker(node_id="node-1", queues=["b"], concurrency=4, lease="30 seconds")
    for queue in ("b", "B", "b"):
        engine.enqueued(queue=queue)
    worker.claim(1, queues=["b"])
    assert read(engine, "list_queues") == {
        "items": [
            {
                "queue": queue,
                "ready": 1,
                "scheduled": 0,
                "running": running,
                "oldest_ready_at": "2031-03-05T12:00:00+00:00",
            }
            for queue, running in (("B", 0), ("b", 1))
        ],
        "next_cursor": None,
    }
    (item,) = read(engine, "list_workers")["items"]
    assert item == {
        "worker_id": str(worker.worker_id),
        "node_id": "node-1",
        "status": "active",
        "queues": ["b"],
        "job_types": None,
        "concurrency": 4,
        "running": 1,
        "started_at": "2031-03-05T12:00:00+00:00",
        "last_beat_at": "2031-03-05T12:00:00+00:00",
        "lease": "00:00:30",
        "stopped_at": None,
    }


def test_statistics_are_summed_up_by_steps(engine: Engine) -> None:
    worker = engine.worker(lease="1 hour")
    for number in range(6):  # one every four minutes, from 12:00 to 12:20
        for queue in ("a", "b")[: 1 + number % 2]:
            engine.enqueued(queue=queue)
        engine.clock.advance(seconds=number)
        rows = worker.claim(10)
        engine.clock.advance(seconds=1)
        worker.finish(*rows)
        engine.clock.advance(minutes=4, seconds=-number - 1)
    found = read(engine, "list_stats", step="10 minutes")
    assert (found["from_time"], found["to_time"], found["step"]) == (
        "2031-03-05T11:20:00+00:00",
        "2031-03-05T12:24:00+00:00",
        "00:10:00",
    )
    shown = [(item["at"][11:16], item["queue"], item["succeeded"]) for item in found["items"]]
    assert shown == [
        ("12:00", "a", 3), ("12:00", "b", 1), ("12:10", "a", 2), ("12:10", "b", 1), ("12:20", "a", 1),
        ("12:20", "b", 1),
    ]  # fmt: skip
    first = found["items"][0]
    assert (first["wait_seconds"], first["max_wait_seconds"], first["run_seconds"]) == (3, 2, 3)
    assert first["job_type"] == "sql"
    only = read(engine, "list_stats", step="1 hour", queue="b", to_time="2031-03-05T12:14Z")
    assert [(item["at"][11:16], item["succeeded"]) for item in only["items"]] == [("12:00", 2)]
    assert read(engine, "list_stats", job_type="http")["items"] == []
    assert read(engine, "list_stats", from_time="2031-03-05T12:24Z")["items"] == []


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"step": None}, "step"),
        ({"step": "0"}, "step"),
        ({"step": "90 seconds"}, "step"),
        ({"step": "1 month"}, "step"),
        ({"step": "40 days"}, "step"),
        ({"from_time": "2031-03-04T10:59Z"}, "from_time"),
        ({"from_time": "2031-03-05T12:01Z"}, "from_time"),
        ({"from_time": "-infinity"}, "from_time"),
        ({"to_time": "infinity"}, "from_time"),
        ({"from_time": "0001-01-01T00:00Z", "to_time": "0001-01-01T00:01Z"}, "from_time"),
    ],
    ids=str,
)
def test_wrong_statistics(engine: Engine, arguments: dict[str, Any], argument: str) -> None:
    with refused("22023", "^(invalid step|not a range)", argument=argument):
        read(engine, "list_stats", **arguments)


@pytest.fixture
def audited(engine: Engine) -> Engine:
    """A database with changes by several people, some of them at one time."""
    for number in range(6):
        with engine.db.transaction():
            engine.rows("start_request", request_id=f"r-{number}", api_key="ci" if number % 2 else None)
            job_id = engine.job_of(name=f"j{number}")
            engine.pause_job(job_id=job_id, reason="why")
        engine.clock.advance(hours=4)  # over midnight
    return engine


@pytest.mark.parametrize("max_rows", [1, 5, 12, 1000])
def test_every_change_is_listed_once(audited: Engine, max_rows: int) -> None:
    query = "select audit_id from scheduler.audit_log order by at desc, audit_id desc"
    expected = [str(row["audit_id"]) for row in audited.select(query)]
    found = pages(audited, "list_audit", max_rows=max_rows)
    assert [item["audit_id"] for page in found for item in page] == expected
    assert all(len(page) == max_rows for page in found[:-1])
    assert found[-1]


@pytest.mark.parametrize("max_rows", [1, 1000])
@pytest.mark.parametrize(
    ("filters", "condition"),
    [
        ({"action": "pause_job"}, "action = 'pause_job'"),
        ({"actor": "postgres"}, "true"),
        ({"actor": "ci"}, "api_key = 'ci'"),
        ({"actor": "nobody"}, "false"),
        ({"request_id": "r-3"}, "request_id = 'r-3'"),
        ({"from_time": "2031-03-05T20:00Z"}, "at >= '2031-03-05T20:00Z'"),
        ({"to_time": "2031-03-05T20:00Z"}, "at < '2031-03-05T20:00Z'"),
        ({"from_time": "infinity"}, "false"),
    ],
    ids=str,
)
def test_filters_of_the_audit_log(
    audited: Engine, filters: dict[str, Any], condition: str, max_rows: int
) -> None:
    query = f"select audit_id from scheduler.audit_log where {condition} order by at desc, audit_id desc"
    expected = [str(row["audit_id"]) for row in audited.select(query)]
    assert [
        item["audit_id"] for item in items(audited, "list_audit", **filters, max_rows=max_rows)
    ] == expected


def test_changes_of_one_job(audited: Engine) -> None:
    job_id = audited.one("select job_id from scheduler.jobs where name = 'j2'")
    found = items(audited, "list_audit", object_id=job_id)
    assert sorted(item["action"] for item in found) == ["create_job", "pause_job"]
    (paused,) = [item for item in found if item["action"] == "pause_job"]
    (row,) = audited.select("select * from scheduler.audit_log where audit_id = %s", paused["audit_id"])
    assert list(paused) == list(row)
    assert (paused["detail"], paused["at"]) == ({"reason": "why"}, "2031-03-05T20:00:00+00:00")
    assert items(audited, "list_audit", object_id=uuid4()) == []


@pytest.mark.parametrize("cursor", ["", "x", "2031-01-01", "2031-01-01,", "2031-01-01,x", ","])
def test_wrong_cursors_of_the_audit_log(engine: Engine, cursor: str) -> None:
    with refused("22023", "^invalid cursor", argument="after"):
        read(engine, "list_audit", after=cursor)


def test_a_page_of_the_audit_log_looks_at_a_bounded_number_of_entries(engine: Engine) -> None:
    engine.job_of(name="rare")
    engine.clock.advance(seconds=1)
    engine.db.execute(
        """
        insert into scheduler_internal.audit_log (at, audit_id, actor, action)
        select scheduler.now(), gen_random_uuid(), 'x', 'y' from generate_series(1, 20000)
        """
    )
    found = pages(engine, "list_audit", action="create_job")
    assert [[item["object_name"] for item in page] for page in found] == [[], ["rare"]]


def test_workers_are_bounded_too(engine: Engine) -> None:
    engine.db.execute(
        """
        insert into scheduler_internal.workers (worker_id, node_id, lease, started_at, last_beat_at, draining)
        select gen_random_uuid(), 'n' || i, '10 seconds', scheduler.now() + i * interval '1 second',
            scheduler.now(), false
        from generate_series(1, 1001) i
        """
    )
    found = read(engine, "list_workers")["items"]
    assert (len(found), found[0]["node_id"], found[-1]["node_id"]) == (1000, "n1001", "n2")
