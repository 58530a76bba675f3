"""Files of jobs, applied."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import ANY

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from app.jobfile import apply_file
from app.jobfile_export import export_jobs
from app.jobfile_problems import JobFileError
from app.jobfile_report import report_lines
from app.jobfile_spec import COMPARED, DEFAULTS
from tests.conftest import Connect
from tests.faults.sessions import waiting
from tests.files.support import jobs_of, writes_of

JOBS = 300


class Write(Protocol):
    """Writes a file and returns its path."""

    def __call__(self, text: str, name: str = "jobs.yaml") -> Path: ...


EVERYTHING = """
version: 1
name: shop/jobs
defaults:
  timezone: europe/berlin
  queue: reports
  expires_after: 2 hours
jobs:
  daily-report:
    schedule: 0 6 * * *
    sql: call report()
    payload: {day: yesterday, rows: [1, 2.5, null, true]}
    tags: [finance, daily]
  ping:
    schedule: every 5 minutes
    http: {url: "https://example.com/ping", method: GET, headers: {Accept: text/plain}}
    queue: web
    timeout: 90 seconds
    expires_after: null
  sweep:
    schedule: "*/10 * * * *"
    timezone: UTC
    python: sweep_carts
    priority: 5
    max_attempts: 7
    backoff: linear
    backoff_base: 1 minute
    backoff_max: 2 hours
    misfire: fire_all
    misfire_window: 1 day
    misfire_cap: 12
    overlap: queue_one
    dst: wall
    jitter: 30 seconds
    starts_at: 2026-01-01T00:00:00+01:00
    ends_at: 2199-12-31T00:00:00Z
    paused: true
  by-hand:
    command: [echo, "on demand"]
  line:
    command:
      shell: |
        echo one
        echo two
      env: {A: "1"}
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str, name: str = "jobs.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_file


def refused(db: Connection[Any], path: Path, **options: bool) -> list[str]:
    before = writes_of(db)
    with pytest.raises(JobFileError) as caught:
        apply_file(db, path, **options)
    assert writes_of(db) == before
    return [problem.render("f") for problem in caught.value.problems]


def test_every_attribute_arrives(db: Connection[Any], write: Write) -> None:
    report = apply_file(db, write(EVERYTHING))
    assert {job.action for job in report.jobs} == {"created"}
    jobs = jobs_of(db)
    daily, ping, sweep = jobs["daily-report"], jobs["ping"], jobs["sweep"]
    assert (daily["job_type"], daily["target"]) == ("sql", {"statement": "call report()"})
    assert daily["payload"] == {"day": "yesterday", "rows": [1, 2.5, None, True]}
    assert (daily["timezone"], daily["queue"]) == ("Europe/Berlin", "reports")
    assert daily["tags"] == ["finance", "daily", "file:shop/jobs"]
    assert daily["expires_after"] == timedelta(hours=2)
    assert ping["target"]["headers"] == {"Accept": "text/plain"}
    assert (ping["queue"], ping["timeout"]) == ("web", timedelta(seconds=90))
    assert ping["expires_after"] is None
    assert sweep["starts_at"] == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert [sweep[field] for field in ("priority", "max_attempts", "backoff", "misfire", "misfire_cap")] == [
        5,
        7,
        "linear",
        "fire_all",
        12,
    ]
    assert (sweep["overlap"], sweep["dst"], sweep["paused"]) == ("queue_one", "wall", True)
    assert (sweep["jitter"], sweep["misfire_window"]) == (timedelta(seconds=30), timedelta(days=1))
    assert jobs["by-hand"]["target"] == {"args": ["echo", "on demand"]}
    assert jobs["line"]["target"] == {"shell": "echo one\necho two\n", "env": {"A": "1"}}


def test_applied_again_it_writes_nothing(db: Connection[Any], write: Write) -> None:
    path = write(EVERYTHING)
    apply_file(db, path)
    before, fires = writes_of(db), {name: job["next_fire_at"] for name, job in jobs_of(db).items()}
    report = apply_file(db, path, prune=True)
    assert {job.action for job in report.jobs} == {"unchanged"}
    assert writes_of(db) == before
    assert {name: job["next_fire_at"] for name, job in jobs_of(db).items()} == fires


def test_a_dry_run_tells_what_the_run_does_and_writes_nothing(db: Connection[Any], write: Write) -> None:
    apply_file(db, write(EVERYTHING))
    before = writes_of(db)
    changed = EVERYTHING.replace("0 6 * * *", "0 7 * * *").replace("  by-hand:", "  by-foot:")
    dry = apply_file(db, write(changed), dry_run=True, prune=True)
    assert writes_of(db) == before
    wet = apply_file(db, write(changed), prune=True)
    assert (dry.jobs, dry.orphans) == (wet.jobs, wet.orphans)
    assert {job.name: job.action for job in wet.jobs if job.action != "unchanged"} == {
        "daily-report": "updated",
        "by-foot": "created",
        "by-hand": "deleted",
    }
    lines = list(report_lines(dry))
    assert '    schedule: "0 6 * * *" -> "0 7 * * *"' in lines
    assert "- by-hand" in lines
    assert lines[-1] == "dry run, nothing was written: 1 created, 1 updated, 3 unchanged, 1 deleted"


def test_pruning_spares_what_the_file_did_not_make(db: Connection[Any], write: Write) -> None:
    db.execute("select scheduler.create_job(name => 'mine', job_type => 'sql', target => '\"select 1\"')")
    db.execute("select scheduler.create_job(name => 'ours', job_type => 'sql', target => '\"select 1\"')")
    apply_file(db, write("version: 1\njobs: {theirs: {sql: select 2}}\n", "other.yaml"))
    both = "version: 1\njobs:\n  ours: {sql: select 2}\n  gone: {sql: select 3}\n"
    apply_file(db, write(both))
    assert jobs_of(db)["ours"]["target"] == {"statement": "select 2"}
    empty = write("version: 1\njobs: {}\n")
    assert apply_file(db, empty).orphans == ("gone",)
    assert set(jobs_of(db)) == {"mine", "ours", "gone", "theirs"}
    apply_file(db, empty, prune=True)
    assert set(jobs_of(db)) == {"mine", "ours", "theirs"}


def test_two_files_do_not_fight_over_a_job(db: Connection[Any], write: Write) -> None:
    apply_file(db, write("version: 1\nname: a\njobs: {x: {sql: select 1}}\n", "a.yaml"))
    same = write("version: 1\nname: b\njobs: {x: {sql: select 1}}\n", "b.yaml")
    assert [job.action for job in apply_file(db, same, prune=True).jobs] == ["unchanged"]
    other = write("version: 1\nname: b\njobs: {x: {sql: select 2}}\n", "b.yaml")
    assert refused(db, other) == [
        'f:3: x: is managed by "file:a", which says otherwise; '
        "change it there, or give it to this file with --take-over"
    ]


def test_a_job_of_another_file_is_compared_without_a_look_at_all_jobs(
    db: Connection[Any], write: Write
) -> None:
    jobs = "".join(f"  job-{number}: {{sql: select 1}}\n" for number in range(JOBS))
    apply_file(db, write(f"version: 1\nname: a\njobs:\n{jobs}", "a.yaml"))
    db.execute("analyze scheduler_internal.jobs, scheduler_internal.job_versions")
    other = write(f"version: 1\nname: b\njobs:\n{jobs}", "b.yaml")
    with db.transaction():
        assert apply_file(db, other).count("unchanged") == JOBS
        read = db.execute(
            "select sum(pg_stat_get_xact_tuples_returned(c.oid)) from pg_class c"
            " where c.relkind = 'r' and c.relname ~ '^job_versions_'"
        ).fetchone()
    # A partition of 16 while it is small, then by its key; all of them for each would be JOBS squared.
    assert read is not None
    assert read[0] < JOBS**2 / 4


def test_a_file_takes_over(db: Connection[Any], write: Write) -> None:
    db.execute("select scheduler.create_job(name => 'hand', job_type => 'sql', target => '\"select 1\"')")
    text = "version: 1\njobs:\n  hand: {sql: select 1}\n  x: {sql: select 1, tags: [t]}\n"
    apply_file(db, write(text))
    # It gets a name, and with it another mark.
    named = write(text.replace("1\njobs", "1\nname: shop\njobs") + "  y: {sql: select 1}\n")
    report = apply_file(db, named, take_over=True)
    assert list(report_lines(report))[:2] == ["~ hand", "    managed by: none -> file:shop"]
    assert {name: job["tags"] for name, job in jobs_of(db).items()} == {
        "hand": ["file:shop"],
        "x": ["t", "file:shop"],
        "y": ["file:shop"],
    }
    assert {job.action for job in apply_file(db, named).jobs} == {"unchanged"}
    named.write_text("version: 1\nname: shop\njobs:\n  x: {sql: select 2}\n")
    assert apply_file(db, named, prune=True).count("deleted") == 2
    assert set(jobs_of(db)) == {"x"}


def test_what_people_pause_stays_paused_unless_the_file_says(db: Connection[Any], write: Write) -> None:
    text = 'version: 1\njobs:\n  x: {sql: select 1, schedule: "@daily"}\n'
    apply_file(db, write(text))
    db.execute("select scheduler.pause_job(job_id => %s)", [jobs_of(db)["x"]["job_id"]])
    apply_file(db, write(text))
    assert jobs_of(db)["x"]["paused"]
    report = apply_file(db, write(text.replace("select 1", "select 1, paused: false")))
    assert [change.field for change in report.jobs[0].changes] == ["paused"]
    assert not jobs_of(db)["x"]["paused"]


def test_what_the_file_no_longer_says_goes_back_to_the_default(db: Connection[Any], write: Write) -> None:
    apply_file(db, write("version: 1\njobs: {x: {sql: select 1, priority: 9, queue: q, tags: [t]}}\n"))
    report = apply_file(db, write("version: 1\njobs: {x: {sql: select 1}}\n"))
    assert {change.field for change in report.jobs[0].changes} == {"priority", "queue", "tags"}
    assert [jobs_of(db)["x"][field] for field in ("priority", "queue")] == [0, "default"]


def test_defaults_are_the_databases(db: Connection[Any]) -> None:
    db.execute("select scheduler.create_job(name => 'bare', job_type => 'sql', target => '\"select 1\"')")
    db.execute("set intervalstyle = 'postgres_verbose'")
    row = db.execute("select to_jsonb(j) from scheduler.jobs j").fetchone()
    assert row is not None
    assert {field: row[0][field] for field in DEFAULTS} == DEFAULTS
    assert set(DEFAULTS) | {"job_type", "target"} == set(COMPARED)


def test_the_attributes_are_those_of_put_job(db: Connection[Any]) -> None:
    row = db.execute(
        "select proargnames from pg_proc where oid = 'scheduler.put_job'::regproc",
    ).fetchone()
    assert row is not None
    assert set(row[0]) - {"expected_version"} == {"name", *COMPARED} - {"paused"}


def test_an_export_applies_back_unchanged(db: Connection[Any], write: Write) -> None:
    apply_file(db, write(EVERYTHING))
    db.execute(
        "select scheduler.create_job("
        "name => %s, job_type => 'http', target => %s, payload => %s, tags => %s)",
        ["by: hand # 1", Jsonb("http://x.y/"), Jsonb(["yes", "1e5", None, {"on": "~"}]), ["true", "null"]],
    )
    before, text = writes_of(db), export_jobs(db)
    report = apply_file(db, write(text, "export.yaml"))
    assert {job.action for job in report.jobs} == {"unchanged"}
    assert len(report.jobs) == 6
    assert writes_of(db) == before
    assert "file:" not in text
    for name in jobs_of(db):
        db.execute("select scheduler.delete_job(job_id => %s)", [jobs_of(db)[name]["job_id"]])
    apply_file(db, write(text, "export.yaml"))
    assert export_jobs(db) == text


def test_an_export_of_some(db: Connection[Any], write: Write) -> None:
    apply_file(db, write(EVERYTHING))
    text = export_jobs(db, ["ping", "by-hand"])
    assert text == (
        "version: 1\njobs:\n  by-hand:\n    command:\n      args:\n      - echo\n      - on demand\n"
        "    timezone: Europe/Berlin\n    queue: reports\n    expires_after: 2 hours\n"
        "  ping:\n    schedule: every 5 minutes\n    http:\n      url: https://example.com/ping\n"
        "      method: GET\n      headers:\n        Accept: text/plain\n    timezone: Europe/Berlin\n"
        "    queue: web\n    timeout: 1 min 30 secs\n"
    )


WRONG = """version: 2
nmae: shop
defaults:
  tiemzone: UTC
jobs:
  a:
    schedul: "@daily"
    sql: select 1
  b:
    sql: select 1
    http: https://x.y
  c:
    timeout: 90
    paused: yes
    tags: [ok, "file:x"]
    command: 5
  d:
    schedule: 61 * * * *
    timezone: Europe/Berln
    sql: select 1
  e:
    sql: select 1
    misfire: fire_onec
    starts_at: 2026-01-01
    priority: 99999999999
  f: select 1
  g:
    sql: select 1
    queue: "no good"
  h:
    payload: 1
  i:
    sql: select 1
    priority: 1000
    timeout: 5 parsecs
  j:
    sql: {statment: x}
  k:
    sql: select 1
    overlap: never
"""


def test_all_that_is_wrong_is_told_at_once(db: Connection[Any], write: Write) -> None:
    assert refused(db, write(WRONG)) == [
        'f:1: the version of the format is missing or unknown; write "version: 1"',
        'f:2: unknown key "nmae"; did you mean "name"?',
        'f:4: unknown key "tiemzone"; did you mean "timezone"?',
        'f:7: a: unknown key "schedul"; did you mean "schedule"?',
        "f:9: b: has sql and http; write one of sql, http, python, command",
        "f:13: c: timeout has no unit; write for example 90 seconds",
        "f:14: c: paused is text; write true or false",
        'f:15: c: the tag "file:x" is reserved: it says which file manages a job; choose another tag',
        "f:16: c: command is a number; write text, or a mapping with shell",
        ANY,
        "f:24: e: starts_at has no offset from UTC; "
        'write it like "2026-01-31T08:00:00+01:00", or with Z for UTC',
        "f:25: e: priority is not a whole number in range; write digits, no quotes",
        'f:26: f: here is text, not a mapping; write "key: value" lines below it',
        ANY,
        "f:30: h: has nothing to run; write one of sql, http, python, command",
        'f:35: i: invalid input syntax for type interval: "5 parsecs"; correct timeout',
        ANY,
        ANY,
    ]


def test_the_databases_refusals_find_their_lines(db: Connection[Any], write: Write) -> None:
    lines = refused(db, write(WRONG))
    starts = (
        "f:19: d: unknown time zone",
        "f:29: g: invalid queue",
        "f:37: j: unknown key",
        "f:40: k: unknown ov",
    )
    assert [line for line in lines if line.startswith(starts)] == [lines[index] for index in (9, 13, 16, 17)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "f:1: the file is empty"),
        ("- a\n", "f:1: the file is a list"),
        ("version: 1\n", "f:1: there are no jobs"),
        ("version: 1\njobs:\n", "f:2: there are no jobs"),
        ("jobs: {}\n", "f:1: the version of the format is missing"),
        ("version: true\njobs: {}\n", "f:1: the version of the format is missing"),
        ("version: 1\njobs: {}\nname: -x\n", "f:3: name must be a short word"),
        ("version: 1\njobs: []\n", "f:2: here is a list, not a mapping"),
        ("version: 1\njobs:\n  a: {sql: x}\n  a: {sql: y}\n", 'f:4: "a" is written twice'),
        ("version: 1\njobs:\n  a: {sql: x, max_attempts: }\n", "f:3: a: max_attempts is empty"),
        ("version: 1\njobs:\n  a: {sql: x, priority: true}\n", "f:3: a: priority is not a whole number"),
        (
            "version: 1\njobs:\n  a: {sql: x, misfire_cap: false}\n",
            "f:3: a: misfire_cap is not a whole number",
        ),
        ("version: 1\njobs:\n  a: {sql: x, timeout: true}\n", "f:3: a: timeout is true or false, not text"),
        ("version: 1\njobs:\n  a: {sql: x, schedule: 5}\n", "f:3: a: schedule is a number, not text"),
        ('version: 1\njobs:\n  " ": {sql: x}\n', "f:3:  : invalid job name"),
        ("version: 1\njobs:\n  a: {sql: x, payload: {b: 1}}\n  b: {sql: ''}\n", "f:4: b: "),
    ],
)
def test_a_wrong_file_changes_nothing(db: Connection[Any], write: Write, text: str, what: str) -> None:
    assert refused(db, write(text))[0].startswith(what)


def test_one_wrong_job_stops_the_others(db: Connection[Any], write: Write) -> None:
    jobs = "".join(f"  job{i}: {{sql: select {i}}}\n" for i in range(50))
    lines = refused(db, write(f"version: 1\njobs:\n{jobs}  bad: {{sql: x, schedule: 0 0 31 2 *}}\n"))
    assert len(lines) == 1
    assert jobs_of(db) == {}


def test_a_client_may_apply(connect: Connect, write: Write) -> None:
    client = connect(user="pgtick_client")
    apply_file(client, write(EVERYTHING))
    assert {job.action for job in apply_file(client, write(EVERYTHING)).jobs} == {"unchanged"}


class TestTwoAtOnce:
    """What another session does while a run waits in the middle."""

    pytestmark = pytest.mark.direct
    HOLD = "select from scheduler_internal.jobs where name = %s for update"

    @staticmethod
    def text(**jobs: int) -> str:
        lines = [f"  {name}: {{sql: select {number}}}\n" for name, number in jobs.items()]
        return "".join(["version: 1\nname: mine\njobs:\n", *lines])

    @pytest.fixture
    def run(self, write: Write) -> Callable[..., Callable[[Connection[Any]], dict[str, str]]]:
        def make(**jobs: int) -> Callable[[Connection[Any]], dict[str, str]]:
            path = write(self.text(**jobs), name=f"{jobs}.yaml")
            return lambda conn: {job.name: job.action for job in apply_file(conn, path, prune=True).jobs}

        return make

    def test_both_prune_the_same(self, db: Connection[Any], connect: Connect, run: Any) -> None:
        run(a=1, b=1)(db)
        first, second = connect(), connect()
        db.execute("begin")
        db.execute(self.HOLD, ["b"])
        with waiting(db, first, run(a=1)) as one, waiting(db, second, run(a=1)) as other:
            db.execute("commit")
            assert one.result() == other.result() == {"a": "unchanged", "b": "deleted"}
        assert jobs_of(db).keys() == {"a"}

    def test_one_prunes_what_the_other_changes(self, db: Connection[Any], connect: Connect, run: Any) -> None:
        run(a=1, b=1)(db)
        first, second = connect(), connect()
        db.execute("begin")
        db.execute(self.HOLD, ["b"])
        with waiting(db, first, run(b=2)) as one, waiting(db, second, run(a=3, b=3)) as other:
            db.execute("commit")
            assert one.result() == {"a": "deleted", "b": "updated"}
            assert other.result() == {"a": "updated", "b": "updated"}
        assert jobs_of(db).keys() == {"a", "b"}

    def test_somebody_deletes_what_stays_as_it_is(
        self, db: Connection[Any], connect: Connect, run: Any
    ) -> None:
        run(a=1, b=1)(db)
        first, second = connect(), connect()
        db.execute("begin")
        db.execute(self.HOLD, ["b"])
        with waiting(db, first, run(a=1, b=2)) as one:
            second.execute("select scheduler.delete_job(job_id) from scheduler.jobs where name = 'a'")
            db.execute("commit")
            assert one.result() == {"b": "updated"}
