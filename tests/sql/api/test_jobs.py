"""Jobs as the REST API lists them, and changes of a job that was read before."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.sql.api.pages import items, pages, read
from tests.sql.engine import SQL_TARGET, Engine, refused

NAMES = ["a", "ab", "abc", "b", "a%", "a_", "A", "ä", "ab c", "zz", "\U0010fffd", "ab\U0010ffff"]


@pytest.fixture
def many(engine: Engine) -> Engine:
    """A database with jobs of many names."""
    for number, name in enumerate(NAMES):
        engine.job_of(
            "@hourly" if number % 2 else None,
            name=name,
            queue=f"q{number % 3}",
            tags=["even"] if number % 2 == 0 else ["odd", "x"],
            job_type="http" if number % 4 == 0 else "sql",
            target="https://example.org" if number % 4 == 0 else SQL_TARGET,
        )
    engine.pause_job(job_id=engine.one("select job_id from scheduler.jobs where name = 'abc'"))
    return engine


def names(engine: Engine, **filters: Any) -> list[str]:
    """Returns the names that the list gives."""
    return [item["name"] for item in items(engine, "list_jobs", **filters)]


@pytest.mark.parametrize("max_rows", [1, 2, 3, 11, 1000])
def test_every_job_is_listed_once_by_name(many: Engine, max_rows: int) -> None:
    expected = sorted(NAMES, key=str.encode)
    found = pages(many, "list_jobs", max_rows=max_rows)
    assert [item["name"] for page in found for item in page] == expected
    assert all(len(page) == max_rows for page in found[:-1])
    assert found[-1]


@pytest.mark.parametrize("max_rows", [1, 1000])
@pytest.mark.parametrize(
    ("filters", "condition"),
    [
        ({"name_prefix": "ab"}, "name in ('ab', 'abc', 'ab c', 'ab\U0010ffff')"),
        ({"name_prefix": "a%"}, "name = 'a%%'"),
        ({"name_prefix": "a_"}, "name = 'a_'"),
        ({"name_prefix": ""}, "true"),
        ({"name_prefix": "\U0010fffd"}, "name > 'zz' and name <> 'ä'"),
        ({"name_prefix": "nope"}, "false"),
        ({"job_type": "http"}, "job_type = 'http'"),
        ({"queue": "q1"}, "queue = 'q1'"),
        ({"tag": "odd"}, "'odd' = any (tags)"),
        ({"tag": "od"}, "false"),
        ({"paused": True}, "paused"),
        ({"paused": False}, "not paused"),
        ({"paused": False, "name_prefix": "ab", "queue": "q1"}, "name = 'ab'"),
    ],
    ids=str,
)
def test_filters(many: Engine, filters: dict[str, Any], condition: str, max_rows: int) -> None:
    rows = many.select(f'select name from scheduler.jobs where {condition} order by name collate "C"', *())
    expected = [row["name"] for row in rows] if "%%" not in condition else ["a%"]
    assert names(many, **filters, max_rows=max_rows) == expected


def test_an_item_is_what_the_view_shows(engine: Engine) -> None:
    job_id = engine.job_of(name="j", payload="x" * 5000, tags=["t"])
    (item,) = items(engine, "list_jobs")
    (row,) = engine.select("select * from scheduler.jobs")
    assert list(item) == [name for name in row if name != "shard"]
    assert item["payload"] == {"truncated": True}
    whole = read(engine, "get_job_json", job_id=job_id)
    assert whole == {**item, "payload": "x" * 5000}
    assert (whole["version"], whole["target"], whole["tags"]) == (1, SQL_TARGET, ["t"])


def test_a_page_looks_at_a_bounded_number_of_jobs(engine: Engine) -> None:
    engine.job_of(name="z", queue="rare")
    engine.db.execute(
        """
        with job as (
            select * from scheduler_internal.jobs where name = 'z'
        ), named as (
            insert into scheduler_internal.job_names (name, job_id)
            select 'a' || i, scheduler_internal.new_id(i % 16, scheduler.now())
            from generate_series(1, 20000) i
            returning *
        ), made as (
            insert into scheduler_internal.jobs
                (shard, job_id, name, version, created_at, created_by, updated_at)
            select scheduler.get_shard_id(n.job_id), n.job_id, n.name, 1, j.created_at, 'x', j.created_at
            from named n, job j
        )
        insert into scheduler_internal.job_versions (shard, job_id, version, name, definition, created_at)
        select scheduler.get_shard_id(n.job_id), n.job_id, 1, n.name,
               jsonb_populate_record(v.definition, '{"queue": "common"}'), v.created_at
        from named n, scheduler_internal.job_versions v
        """
    )
    found = pages(engine, "list_jobs", queue="rare")
    assert [[item["name"] for item in page] for page in found] == [[], ["z"]]


def test_an_unknown_job_is_null(engine: Engine) -> None:
    assert read(engine, "get_job_json", job_id=uuid4()) is None
    assert read(engine, "preview_job_json", job_id=uuid4()) is None


def change(engine: Engine, way: str, job_id: UUID, version: int | None) -> None:
    """Changes a job of the name "j" in one of the ways that there are."""
    job = {"job_type": "sql", "target": SQL_TARGET, "queue": "other"}
    ways: dict[str, dict[str, Any]] = {
        "update_job": {"job_id": job_id, "changes": {"queue": "other"}},
        "replace_job": {"job_id": job_id, **job},
        "put_job": {"name": "j", **job},
        "delete_job": {"job_id": job_id},
    }
    engine.value(way, **ways[way], expected_version=version)


WAYS = ["update_job", "replace_job", "put_job", "delete_job"]


@pytest.mark.parametrize("way", WAYS)
def test_a_change_of_another_version_is_refused(engine: Engine, way: str) -> None:
    job_id = engine.job_of(name="j")
    engine.update_job(job_id=job_id, changes={"priority": 1})
    before = engine.fingerprint()
    for version in (1, 3, 0):
        with refused("JB004", f"^the job is not at version {version}$", argument="expected_version"):
            change(engine, way, job_id, version)
    assert engine.fingerprint() == before
    change(engine, way, job_id, 2)
    assert engine.select("select version, queue from scheduler.jobs") == (
        [] if way == "delete_job" else [{"version": 3, "queue": "other"}]
    )


@pytest.mark.parametrize("way", WAYS)
def test_what_changes_nothing_must_know_the_version_too(engine: Engine, way: str) -> None:
    job_id = engine.put_job(name="j", job_type="sql", target=SQL_TARGET, queue="other")
    with refused("JB004", "^the job is not at version 7$"):
        change(engine, way, job_id, 7)


def test_a_job_that_is_not_there_has_no_version(engine: Engine) -> None:
    job = {"name": "new", "job_type": "sql", "target": SQL_TARGET}
    before = engine.fingerprint()
    with refused("JB004", "^the job is not at version 1$"):
        engine.put_job(**job, expected_version=1)
    assert engine.fingerprint() == before
    engine.put_job(**job, expected_version=0)  # only if it is new
    with refused("JB004", "^the job is not at version 0$"):
        engine.put_job(**job, expected_version=0)


def test_replace_job_forgets_what_is_not_said(engine: Engine) -> None:
    job_id = engine.job_of("7 * * * *", name="j", queue="q", priority=3, tags=["t"])
    engine.clock.advance(minutes=1)
    engine.replace_job(job_id=job_id, job_type="sql", target="select 2", schedule="7 * * * *")
    job = engine.job(job_id)
    assert (job["name"], job["queue"], job["priority"], job["tags"]) == ("j", "default", 0, [])
    assert job["next_fire_at"] == engine.clock.now.replace(minute=7)
    engine.replace_job(job_id=job_id, job_type="sql", target="select 2")
    assert engine.job(job_id)["schedule"] is None
    with refused("P0002", "^job .* does not exist$"):
        engine.replace_job(job_id=uuid4(), job_type="sql", target="select 2")


def test_what_a_schedule_means(engine: Engine) -> None:
    shown = read(engine, "preview_json", schedule="0 9 * * MON", timezone="Europe/Berlin", n=2)
    assert shown == {
        "description": "at 09:00 on Monday",
        "fires": ["2031-03-10T08:00:00+00:00", "2031-03-17T08:00:00+00:00"],
    }
    ended = read(engine, "preview_json", schedule="0 0 0 1 1 * 2031")
    assert ended["fires"] == []


def test_what_a_jobs_schedule_means(engine: Engine) -> None:
    job_id = engine.job_of("H * * * *", name="j", starts_at="2031-03-06T00:00Z", ends_at="2031-03-06T03:00Z")
    first = engine.job(job_id)["next_fire_at"]
    engine.pause_job(job_id=job_id)
    shown = read(engine, "preview_job_json", job_id=job_id, n=10)
    assert shown["fires"] == [
        first.replace(hour=hour).isoformat() for hour in range(4) if hour < 3 or first.minute == 0
    ]
    assert shown["fires"][0].startswith("2031-03-06T00:")
    engine.update_job(job_id=job_id, changes={"schedule": None})
    assert read(engine, "preview_job_json", job_id=job_id) == {"description": None, "fires": []}
    with refused("22023", "^n is 0$", argument="n"):
        read(engine, "preview_job_json", job_id=job_id, n=0)


def test_what_a_schedule_means_that_would_be_refused_by_now(engine: Engine) -> None:
    """An older release took it, and the job keeps it."""
    job_id = engine.job_of("every 9 hours")
    engine.db.execute("update scheduler_internal.job_versions set definition.schedule = 'every day 09:00'")
    shown = read(engine, "preview_job_json", job_id=job_id, n=1)
    assert shown["description"] == "every 9 hours, counted from 1970-01-01 00:00 UTC"


@pytest.mark.parametrize(
    ("local", "instant"),
    [
        ("2031-03-31 02:30", "2031-03-31T00:30:00+00:00"),  # of the day before this does not exist
        ("2031-03-30 03:00", "2031-03-30T01:00:00+00:00"),
        ("2031-10-26 02:30", "2031-10-26T00:30:00+00:00"),  # of two the first
        ("2031-10-27 02:30", "2031-10-27T01:30:00+00:00"),
        ("2031-03-30 02:30", None),
    ],
)
def test_every_local_time_that_exists_can_be_counted_from(
    engine: Engine, local: str, instant: str | None
) -> None:
    preview = {"schedule": f"every 1 day from {local}", "timezone": "Europe/Berlin", "n": 1}
    if instant is None:
        with refused("22023", "^invalid schedule"):
            read(engine, "preview_json", **preview)
        return
    assert read(engine, "preview_json", **preview)["fires"] == [instant]
