"""The ledger a page at a time: the same as the view shows whole."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.sql.api.pages import items, read
from tests.sql.engine import Engine, refused


def fires(engine: Engine, job_id: UUID) -> list[tuple[Any, ...]]:
    """Returns the ledger as the view shows it, newest first."""
    query = "select * from scheduler.fires where job_id = %s order by fire_at desc"
    return [tuple(row.values()) for row in engine.select(query, job_id)]


def listed(engine: Engine, job_id: UUID, **arguments: Any) -> list[tuple[Any, ...]]:
    """Returns the ledger as the list gives it."""
    return [
        (
            UUID(item["job_id"]),
            datetime.fromisoformat(item["fire_at"]),
            item["verdict"],
            item["execution_id"] and UUID(item["execution_id"]),
            item["decided_at"] and datetime.fromisoformat(item["decided_at"]),
        )
        for item in items(engine, "list_fires", job_id=job_id, **arguments)
    ]


def live(engine: Engine, job_id: UUID, seed: int) -> None:
    """Lets a job live for two days: outages, overlaps, pauses, changes, backfills, retries."""
    chance = random.Random(seed)
    worker = engine.worker()
    for _ in range(25):
        engine.clock.advance(minutes=chance.choice([1, 5, 10, 60, 240]))
        engine.rows("tick")
        what = chance.randrange(6)
        if what == 0:
            engine.pause_job(job_id=job_id)
        elif what == 1:
            engine.resume_job(job_id=job_id)
        elif what == 2:
            now = engine.clock.now
            begin = now.replace(hour=chance.randrange(now.hour + 1), minute=0)
            engine.backfill_job(job_id=job_id, from_time=begin, to_time=now)
        elif what == 3:
            schedule = chance.choice(["*/5 * * * *", "7 * * * *", "*/20 * * * *"])
            engine.update_job(job_id=job_id, changes={"schedule": schedule})
        worker.beat()
        rows = worker.claim(chance.randrange(1, 20))
        worker.finish(*rows)
        if rows and chance.random() < 0.5:
            engine.retry_execution(execution_id=rows[0]["execution_id"])


@pytest.mark.parametrize("policies", [("skip", "fire_once"), ("allow", "fire_all"), ("queue_one", "skip")])
@pytest.mark.parametrize("seed", range(3))
def test_pages_are_what_the_view_shows(engine: Engine, policies: tuple[str, str], seed: int) -> None:
    overlap, misfire = policies
    job_id = engine.job_of("*/10 * * * *", overlap=overlap, misfire=misfire)
    engine.job_of("*/10 * * * *")  # of which nothing is seen
    live(engine, job_id, seed)
    expected = fires(engine, job_id)
    assert len({row[1] for row in expected}) == len(expected) > 30
    for max_rows in (1, 7, 1000):
        assert listed(engine, job_id, max_rows=max_rows) == expected
    begin, end = expected[-5][1], expected[3][1]
    within = [row for row in expected if begin <= row[1] < end]
    assert listed(engine, job_id, from_time=begin, to_time=end, max_rows=5) == within
    engine.delete_job(job_id=job_id)
    assert listed(engine, job_id) == fires(engine, job_id)


def first_pages(engine: Engine, job_id: UUID, count: int) -> list[list[Any]]:
    """Returns the first pages."""
    found = []
    cursor = None
    for _ in range(count):
        page = read(engine, "list_fires", job_id=job_id, after=cursor)
        found.append(page["items"])
        cursor = page["next_cursor"]
    return found


def test_a_year_of_seconds(engine: Engine) -> None:
    """A run of 31 million skipped instants costs no more than the page."""
    job_id = engine.job_of("* * * * * *")
    engine.pause_job(job_id=job_id)
    engine.clock.advance(days=365)
    engine.resume_job(job_id=job_id)
    engine.clock.advance(seconds=1)
    engine.pause_job(job_id=job_id)
    engine.clock.advance(days=365)
    found = first_pages(engine, job_id, 3)
    assert [len(page) for page in found] == [50, 50, 50]
    assert found[0][0]["fire_at"] == engine.clock.now.isoformat()
    assert {item["verdict"] for page in found for item in page} == {"skipped_paused"}
    end = "2032-03-04T12:00:03Z"
    page = read(engine, "list_fires", job_id=job_id, to_time=end, max_rows=4)
    around = [item["fire_at"][-14:-6] for item in page["items"]]
    assert around == ["12:00:02", "12:00:01", "12:00:00", "11:59:59"]


def test_wrong_arguments(engine: Engine) -> None:
    with refused("22023", "^invalid cursor 'x'$", argument="after"):
        read(engine, "list_fires", job_id=uuid4(), after="x")
    with refused("22023", "^max_rows 0 is out of range$", argument="max_rows"):
        items(engine, "list_fires", job_id=uuid4(), max_rows=0)
    assert items(engine, "list_fires", job_id=uuid4()) == []
    assert items(engine, "list_fires", job_id=None) == []
