"""Every argument that is wrong: SQLSTATE, message, DETAIL and HINT, and nothing half-done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.sql.engine import SQL_TARGET, Engine, refused
from tests.support.clock import Clock
from tests.support.pooler import Pooler
from tests.support.server import Server

HUGE = "x" * 1_048_576
DEEP: Any = []
for _ in range(64):
    DEEP = [DEEP]

# What enqueue and create_job have in common: argument, wrong value, message.
COMMON: list[tuple[str, Any, str]] = [
    ("job_type", None, "^unknown job type NULL$"),
    ("job_type", "", "^unknown job type ''$"),
    ("job_type", "SQL", "^unknown job type 'SQL'$"),
    ("target", None, "^a sql job needs a target$"),
    ("target", 1, "^a sql job needs a target$"),
    ("target", {}, '^the target of a sql job needs "statement"$'),
    ("target", "  ", '^the target of a sql job needs "statement"$'),
    ("target", {"statement": 1}, '^the target of a sql job needs "statement"$'),
    ("target", {"statement": "select 1", "url": ""}, "^unknown key 'url' in the target"),
    ("target", {"statement": HUGE}, "^the target is too large$"),
    ("payload", HUGE, "^the payload is too large$"),
    ("payload", DEEP, "^the payload is nested too deeply$"),
    ("queue", None, "^invalid queue name NULL$"),
    ("queue", "", "^invalid queue name"),
    ("queue", "-a", "^invalid queue name"),
    ("queue", "a b", "^invalid queue name"),
    ("queue", "a\n", "^invalid queue name"),
    ("queue", "ä", "^invalid queue name"),
    ("queue", "q" * 64, "^invalid queue name"),
    ("priority", None, "^priority null is out of range$"),
    ("priority", 101, "^priority 101 is out of range$"),
    ("priority", -101, "^priority -101 is out of range$"),
    ("max_attempts", None, "^max_attempts null is out of range$"),
    ("max_attempts", 0, "^max_attempts 0 is out of range$"),
    ("max_attempts", 1001, "^max_attempts 1001 is out of range$"),
    ("backoff", None, "^unknown backoff NULL$"),
    ("backoff", "quadratic", "^unknown backoff 'quadratic'$"),
    ("backoff_base", None, "^backoff_base and backoff_max do not fit$"),
    ("backoff_base", "-1 second", "^backoff_base and backoff_max do not fit$"),
    ("backoff_base", "2 hours", "^backoff_base and backoff_max do not fit$"),
    ("backoff_max", None, "^backoff_base and backoff_max do not fit$"),
    ("backoff_max", "9 seconds", "^backoff_base and backoff_max do not fit$"),
    ("backoff_max", "1000000 years", "^backoff_base and backoff_max do not fit$"),
    ("timeout", None, "^timeout null is out of range$"),
    ("timeout", "0", "^timeout 00:00:00 is out of range$"),
    ("timeout", "-1 minute", "^timeout -00:01:00 is out of range$"),
    ("timeout", "31 days", "^timeout 31 days is out of range$"),
    ("expires_after", "0", "^expires_after 00:00:00 is out of range$"),
    ("expires_after", "-1 day", "^expires_after -1 days is out of range$"),
    ("expires_after", "101 years", "^expires_after 101 years is out of range$"),
]
ENQUEUE: list[tuple[str, Any, str]] = [
    *COMMON,
    ("run_at", "infinity", "^run_at infinity is out of range$"),
    ("run_at", "2200-01-01T00:00Z", "^run_at .* is out of range$"),
    ("dedup_key", "", "^invalid dedup_key$"),
    ("dedup_key", "x" * 501, "^invalid dedup_key$"),
    ("traceparent", "", "^invalid traceparent ''$"),
    ("traceparent", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "^invalid traceparent"),
]
JOB: list[tuple[str, Any, str]] = [
    *COMMON,
    ("name", None, "^invalid job name NULL$"),
    ("name", "", "^invalid job name ''$"),
    ("name", " padded", "^invalid job name"),
    ("name", "two\nlines", "^invalid job name"),
    ("name", "\x1b[31mred", "^invalid job name"),
    ("name", "n" * 201, "^invalid job name"),
    ("schedule", "", "^invalid schedule"),
    ("schedule", "61 * * * *", "^invalid schedule"),
    ("schedule", "0 0 31 2 *", "^invalid schedule"),
    ("schedule", "0 0 0 1 1 * 2030", "has no future run$"),
    ("schedule", "every 0 seconds", "^invalid schedule"),
    ("timezone", "Foo/Bar", "Foo/Bar"),
    ("timezone", "GMT+24", "GMT\\+24"),
    ("timezone", "", "time zone"),
    ("misfire", None, "^unknown misfire NULL$"),
    ("misfire", "once", "^unknown misfire 'once'$"),
    ("overlap", None, "^unknown overlap NULL$"),
    ("overlap", "queue", "^unknown overlap 'queue'$"),
    ("dst", None, "^unknown dst NULL$"),
    ("dst", "vixie", "^unknown dst 'vixie'$"),
    ("misfire_window", "0", "^misfire_window 00:00:00 is out of range$"),
    ("misfire_window", "101 years", "^misfire_window 101 years is out of range$"),
    ("misfire_cap", 0, "^misfire_cap 0 is out of range$"),
    ("misfire_cap", 10_001, "^misfire_cap 10001 is out of range$"),
    ("jitter", None, "^jitter null is out of range$"),
    ("jitter", "-1 second", "^jitter -00:00:01 is out of range$"),
    ("jitter", "25 hours", "^jitter 25:00:00 is out of range$"),
    ("starts_at", "infinity", "^starts_at and ends_at do not fit$"),
    ("ends_at", "infinity", "^starts_at and ends_at do not fit$"),
    ("ends_at", "2031-03-05T12:30Z", "has no future run$"),
    ("ends_at", "2020-01-01T00:00Z", "has no future run$"),
    ("tags", [""], "^invalid tags$"),
    ("tags", [None], "^invalid tags$"),
    ("tags", ["t" * 101], "^invalid tags$"),
    ("tags", ["t"] * 51, "^invalid tags$"),
]
TARGETS: list[tuple[str, Any, str]] = [
    ("http", "example.org", "^not an http address"),
    ("http", "ftp://example.org", "^not an http address"),
    ("http", "http://", "^not an http address"),
    ("http", {"url": "http://x.org", "method": "get"}, "^unknown method 'get'$"),
    ("http", {"url": "http://x.org", "method": 1}, "^unknown method '1'$"),
    ("http", {"url": "http://x.org", "headers": {"a": 1}}, '^"headers" must be an object of strings$'),
    ("http", {"url": "http://x.org", "headers": []}, '^"headers" must be an object of strings$'),
    ("python", {"handler": ""}, 'needs "handler"$'),
    ("python", {"module": "os"}, "^unknown key 'module'"),
    ("command", {"args": []}, '^"args" of a command must be a list of strings$'),
    ("command", {"args": ["ls", 1]}, '^"args" of a command must be a list of strings$'),
    ("command", {"args": "ls"}, '^"args" of a command must be a list of strings$'),
    ("command", {"args": ["ls"], "shell": "ls"}, '^a command has either "shell" or "args"$'),
    ("command", {"env": {}}, 'needs "shell"$'),
    ("command", {"shell": "ls", "env": {"A": None}}, '^"env" must be an object of strings$'),
    ("command", {"shell": "ls", "stdin": 1}, '^"stdin" must be a string$'),
    ("command", {"shell": "ls", "cwd": None}, '^"cwd" must be a string$'),
]


@pytest.fixture(scope="module")
def shared(server: Server, pooler: Pooler | None) -> Iterator[Engine]:
    """A database in which a refusal changes nothing, so that all of them share it."""
    name = server.clone_template()
    dsn = server.conninfo(name) if pooler is None else pooler.conninfo(name, user="postgres")
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as db:
        engine = Engine(db, Clock(db, name, pooler))
        engine.job_of(name="taken")
        engine.enqueued(dedup_key="d")
        before = engine.fingerprint()
        yield engine
        assert engine.fingerprint() == before, "a refusal left something behind"
    server.drop_database(name)


def to_blame(argument: str, value: Any) -> str:
    """Returns the argument that an error names: of two that do not fit together, the second."""
    return "backoff_max" if (argument, value) == ("backoff_base", "2 hours") else argument


def shown(case: Any) -> str | None:
    """Returns a short name for a case's value."""
    return repr(case)[:30] if not isinstance(case, str) or len(case) > 30 else None


@pytest.mark.parametrize(("argument", "value", "message"), ENQUEUE, ids=shown)
def test_enqueue(shared: Engine, argument: str, value: Any, message: str) -> None:
    with refused("22023", message, argument=to_blame(argument, value)):
        shared.enqueue(**{"job_type": "sql", "target": SQL_TARGET, argument: value})


@pytest.mark.parametrize("function", ["create_job", "put_job"])
@pytest.mark.parametrize(("argument", "value", "message"), JOB, ids=shown)
def test_create_and_put_job(shared: Engine, function: str, argument: str, value: Any, message: str) -> None:
    job = {"name": "new", "job_type": "sql", "target": SQL_TARGET, "schedule": "0 * * * *"}
    with refused("22023", message, argument=to_blame(argument, value)):
        shared.value(function, **{**job, argument: value})


# A job may be ended by a change: ends_at in the past is no mistake then.
@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [case for case in JOB if case[0] != "name" and case[2] != "has no future run$"],
    ids=shown,
)
def test_update_job(shared: Engine, argument: str, value: Any, message: str) -> None:
    if value is None and argument == "target":
        message = "needs a target"
    job_id = shared.one("select job_id from scheduler.jobs")
    with refused("22023", message, argument=to_blame(argument, value)):
        shared.update_job(job_id=job_id, changes={argument: value})


@pytest.mark.parametrize(("job_type", "target", "message"), TARGETS, ids=shown)
def test_targets(shared: Engine, job_type: str, target: Any, message: str) -> None:
    with refused("22023", message, argument="target"):
        shared.enqueue(job_type=job_type, target=target)


def test_a_null_time_zone(shared: Engine) -> None:
    with pytest.raises(psycopg.Error, match="timezone is null") as error:
        shared.create_job(name="new", job_type="sql", target=SQL_TARGET, schedule="@daily", timezone=None)
    assert error.value.sqlstate == "22004"
    assert error.value.diag.column_name == "timezone"
    assert error.value.diag.message_hint


def test_a_taken_name(shared: Engine) -> None:
    with refused("23505", "^job 'taken' already exists$", argument="name"):
        shared.create_job(name="taken", job_type="sql", target=SQL_TARGET)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (None, "^changes must be an object$"),
        ([], "^changes must be an object$"),
        ({"name": "x"}, "^a job has no attribute 'name'$"),
        ({"job_id": "x"}, "^a job has no attribute 'job_id'$"),
        ({"priority": "high"}, "^a value does not fit its attribute$"),
        ({"timeout": "soon"}, "^a value does not fit its attribute$"),
        ({"starts_at": "yesterdayish"}, "^a value does not fit its attribute$"),
        ({"tags": "a"}, "^a value does not fit its attribute$"),
        ({"job_type": "http"}, "^unknown key 'statement' in the target of a http job$"),
    ],
)
def test_changes(shared: Engine, changes: Any, message: str) -> None:
    argument = next(iter(changes)) if changes else "changes"
    if argument == "job_type":
        argument = "target"  # it was right for the old type
    with refused("22023", message, argument=argument):
        shared.update_job(job_id=shared.one("select job_id from scheduler.jobs"), changes=changes)


@pytest.mark.parametrize("job_id", [None, uuid4()], ids=["null", "unknown"])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("update_job", {"changes": {"queue": "q"}}),
        ("delete_job", {}),
        ("pause_job", {}),
        ("resume_job", {}),
        ("trigger_job", {}),
        ("backfill_job", {"from_time": "2031-03-05T10:00Z", "to_time": "2031-03-05T11:00Z"}),
    ],
)
def test_an_unknown_job(
    shared: Engine, function: str, arguments: dict[str, Any], job_id: UUID | None
) -> None:
    with refused("P0002", "^job .* does not exist$"):
        shared.value(function, job_id=job_id, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"payload": HUGE}, "^the payload is too large$"),
        ({"run_at": "infinity"}, "^run_at infinity is out of range$"),
    ],
)
def test_trigger_job(shared: Engine, arguments: dict[str, Any], message: str) -> None:
    with refused("22023", message, argument=next(iter(arguments))):
        shared.trigger_job(job_id=shared.one("select job_id from scheduler.jobs"), **arguments)


@pytest.mark.parametrize("number", ["1e1000", "-1e1000", "1e131071", "1" + "0" * 1000])
@pytest.mark.parametrize("document", ["%s", '{"a": [{"b": %s}]}', '{"a": %s, "text": "' + "x" * 200 + '"}'])
def test_a_number_that_no_other_language_takes(shared: Engine, document: str, number: str) -> None:
    with refused("22023", "^the payload holds a number that is out of range$"):
        shared.db.execute("select scheduler.enqueue('python', '\"x\"', %s::jsonb)", [document % number])


def test_a_number_that_no_other_language_takes_in_a_batch(shared: Engine) -> None:
    items = '[{"job_type": "python", "target": "x", "payload": 1}, {"job_type": "python", "target": "x", %s}]'
    with refused("22023", "the payload holds a number that is out of range", argument="items[1].payload"):
        shared.db.execute("select scheduler.enqueue_many(%s::jsonb)", [items % '"payload": {"n": 1e5000}'])


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e-5000", "0." + "1" * 2000, "1" * 1000])
def test_a_number_that_fits_is_taken(engine: Engine, number: str) -> None:
    engine.db.execute("select scheduler.enqueue('python', '\"x\"', %s::jsonb)", [f'{{"a": {number}}}'])


def test_bounds_that_fit_are_taken(engine: Engine) -> None:
    deep: Any = []
    for _ in range(63):
        deep = [deep]
    arguments = {
        "queue": "q" * 63,
        "priority": 100,
        "max_attempts": 1000,
        "backoff_base": "0",
        "backoff_max": "0",
    }
    extremes = {"timeout": "30 days", "expires_after": "1 microsecond", "payload": deep}
    execution_id = engine.enqueued(
        **arguments, **extremes, run_at="2199-12-31T00:00Z", dedup_key="ü" * 500, traceparent=None
    )
    assert engine.execution(execution_id)["payload"] == deep
    engine.enqueued(payload="x" * 1_048_574, priority=-100, max_attempts=1)
    job_id = engine.job_of(
        name="ä" * 200,
        misfire_cap=10_000,
        misfire_window="1 microsecond",
        jitter="1 day",
        tags=["t" * 100] * 50,
        starts_at="2031-03-05T13:00Z",
        ends_at="2031-03-05T13:00Z",
    )
    assert engine.job(job_id)["next_fire_at"] == engine.clock.now.replace(hour=13)
