"""The commands jobs, import and executions, as they are typed."""

from __future__ import annotations

import io
import json
import os
import pwd
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import pytest
from psycopg import Connection

from app.cli import main
from tests.conftest import Database
from tests.files.support import CRONTABS, jobs_of, writes_of
from tests.sql.engine import SQL_TARGET, Engine
from tests.support.clock import Clock

ME = pwd.getpwuid(os.geteuid()).pw_name
JOBS = """version: 1
jobs:
  nightly: {schedule: "0 3 * * *", sql: select 1}
  manual: {command: echo hi, payload: {a: 1}}
"""


class Result(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


class Pgtick(Protocol):
    """Runs the command with these arguments."""

    def __call__(self, *args: str) -> Result: ...


@pytest.fixture
def pgtick(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pgtick:
    monkeypatch.setenv("DB_WRITE_CONNECTION_STRING", dsn)

    def run(*args: str) -> Result:
        with pytest.raises(SystemExit) as caught:
            main(list(args))
        out, err = capsys.readouterr()
        return Result(int(caught.value.code or 0), out, err)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.yaml"
    path.write_text(JOBS)
    return path


@pytest.fixture
def applied(pgtick: Pgtick, file: Path) -> Pgtick:
    assert pgtick("jobs", "apply", str(file)).code == 0
    return pgtick


def test_apply(pgtick: Pgtick, file: Path, db: Connection[Any]) -> None:
    dry = pgtick("jobs", "apply", str(file), "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert "+ nightly" in dry.out
    assert "nothing was written: 2 created" in dry.out
    assert jobs_of(db) == {}
    assert pgtick("jobs", "apply", str(file)).out.endswith("2 created, 0 updated, 0 unchanged, 0 deleted\n")
    assert pgtick("jobs", "apply", str(file)).out == "0 created, 0 updated, 2 unchanged, 0 deleted\n"
    file.write_text(JOBS.replace("manual", "other"))
    assert "--prune deletes it" in pgtick("jobs", "apply", str(file)).out
    mark = f"file:{file.parent.name}/{file.name}"
    assert f"- manual\n    managed by: {mark} -> none\n" in pgtick("jobs", "apply", str(file), "--prune").out
    assert set(jobs_of(db)) == {"nightly", "other"}


def test_apply_tells_each_problem_in_a_line(pgtick: Pgtick, file: Path) -> None:
    file.write_text("version: 1\njobs:\n  a: {sql: x, priorty: 1}\n  b: {sql: x, schedule: 99 * * * *}\n")
    result = pgtick("jobs", "apply", str(file))
    assert (result.code, result.out) == (1, "")
    lines = result.err.splitlines()
    assert lines[0] == f'{file}:3: a: unknown key "priorty"; did you mean "priority"?'
    assert lines[1].startswith(f"{file}:4: b: ")
    assert lines[2] == f"pgtick: {file} was not applied: correct these 2 problems"


def test_list_and_show(applied: Pgtick) -> None:
    table = applied("jobs", "list").out.splitlines()
    assert table[0].split()[:3] == ["name", "job_type", "schedule"]
    assert [line.split()[0] for line in table[1:]] == ["manual", "nightly"]
    rows = json.loads(applied("jobs", "list", "-o", "json").out)
    assert [row["name"] for row in rows] == ["manual", "nightly"]
    by_name = json.loads(applied("jobs", "show", "nightly", "-o", "json").out)
    by_id = json.loads(applied("jobs", "show", by_name["job_id"], "-o", "json").out)
    assert by_name == by_id
    assert by_name["schedule"] == "0 3 * * *"
    assert "0 3 * * *" in applied("jobs", "show", "nightly").out


@pytest.mark.parametrize("command", ["show", "trigger", "pause", "resume", "delete", "export"])
def test_an_unknown_job_is_one_line(applied: Pgtick, command: str) -> None:
    result = applied("jobs", command, "nigthly")
    assert result == (1, "", 'pgtick: there is no job "nigthly"; did you mean "nightly"?\n')


def test_pause_resume_delete(applied: Pgtick, db: Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert applied("jobs", "pause", "nightly", "--reason", "holiday").out == "paused nightly\n"
    assert (jobs_of(db)["nightly"]["paused"], jobs_of(db)["nightly"]["pause_reason"]) == (True, "holiday")
    assert applied("jobs", "resume", "nightly").out == "resumed nightly\n"
    assert not jobs_of(db)["nightly"]["paused"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert applied("jobs", "delete", "nightly").code == 1
    assert "nightly" in jobs_of(db)
    assert applied("jobs", "delete", "nightly", "--yes").out == "deleted nightly\n"
    assert set(jobs_of(db)) == {"manual"}


def test_export_applies_back(applied: Pgtick, file: Path) -> None:
    text = applied("jobs", "export").out
    file.write_text(text)
    assert applied("jobs", "apply", str(file)).out == "0 created, 0 updated, 2 unchanged, 0 deleted\n"
    assert "manual" not in applied("jobs", "export", "nightly").out


def test_executions(applied: Pgtick) -> None:
    first = applied("jobs", "trigger", "manual", "--payload", '{"b": 2}').out.strip()
    second = applied("jobs", "trigger", "nightly", "--at", "2199-01-01T00:00Z").out.strip()
    rows = json.loads(applied("executions", "list", "-o", "json").out)
    assert {row["execution_id"]: row["status"] for row in rows} == {first: "ready", second: "scheduled"}
    assert json.loads(applied("executions", "show", first, "-o", "json").out)["payload"] == {"b": 2}
    assert first in applied("executions", "show", first).out
    table = applied("executions", "list", "--job", "manual").out
    assert first in table
    assert second not in table
    assert second in applied("executions", "list", "--status", "scheduled", "--limit", "1").out
    assert applied("executions", "cancel", first) == (0, f"{first}: cancelled\n", "")
    assert applied("executions", "cancel", first).code == 1
    assert "ended already" in applied("executions", "cancel", first).err
    assert applied("executions", "retry", first).out == f"{first}: waiting to run again\n"
    assert "has not ended" in applied("executions", "retry", first).err


def test_what_runs_is_not_called_cancelled_before_it_is(
    pgtick: Pgtick, db: Connection[Any], clock: Clock
) -> None:
    engine = Engine(db, clock)
    execution_id = str(engine.enqueued())
    engine.worker().claim_one()
    result = pgtick("executions", "cancel", execution_id)
    assert result == (0, f"{execution_id}: its worker is told to stop it\n", "")
    assert '"status": "running"' in pgtick("executions", "show", execution_id, "-o", "json").out


def test_executions_of_a_deleted_job_are_found(applied: Pgtick, db: Connection[Any]) -> None:
    execution_id = applied("jobs", "trigger", "manual").out.strip()
    job_id = str(jobs_of(db)["manual"]["job_id"])
    applied("jobs", "delete", "manual", "--yes")
    for named in ("manual", job_id):
        assert execution_id in applied("executions", "list", "--job", named).out
    assert applied("jobs", "show", "manual").code == 1
    assert "there is no job" in applied("executions", "list", "--job", "other").err


def test_a_payload_of_null_is_one(applied: Pgtick) -> None:
    for given, payload in ((["--payload", "null"], None), ([], {"a": 1})):
        execution_id = applied("jobs", "trigger", "manual", *given).out.strip()
        shown = json.loads(applied("executions", "show", execution_id, "-o", "json").out)
        assert shown["payload"] == payload


def test_a_payload_holds_any_character(applied: Pgtick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    execution_id = applied("jobs", "trigger", "manual", "--payload", '"5 €"').out.strip()
    assert json.loads(applied("executions", "show", execution_id, "-o", "json").out)["payload"] == "5 €"


@pytest.mark.parametrize("error", ["out of paper", ["out of paper"], {"message": "out of paper"}])
def test_an_error_may_be_any_json(pgtick: Pgtick, db: Connection[Any], clock: Clock, error: object) -> None:
    engine = Engine(db, clock)
    engine.enqueue(job_type="sql", target=SQL_TARGET, max_attempts=1)
    worker = engine.worker()
    worker.finish(worker.claim_one(), status="failed", error=error)
    assert "out of paper" in pgtick("executions", "list").out


def test_an_execution_that_is_held_can_be_shown(applied: Pgtick, db: Connection[Any], file: Path) -> None:
    execution_id = applied("jobs", "trigger", "manual").out.strip()
    db.execute("update scheduler_internal.waiting set run_at = 'infinity'")
    assert "scheduled" in applied("executions", "list").out
    assert "scheduled" in applied("executions", "show", execution_id).out


def test_times_that_python_does_not_have_are_shown(pgtick: Pgtick, file: Path) -> None:
    file.write_text(
        "version: 1\njobs:\n  far: {sql: x, schedule: '@yearly', ends_at: '20000-01-01 00:00Z'}\n"
    )
    assert pgtick("jobs", "apply", str(file)).code == 0
    assert "20000-01-01" in pgtick("jobs", "show", "far").out
    assert "20000-01-01" in pgtick("jobs", "list", "-o", "json").out
    file.write_text(pgtick("jobs", "export").out)
    assert pgtick("jobs", "apply", str(file)).out == "0 created, 0 updated, 1 unchanged, 0 deleted\n"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("executions", "show", str(uuid4())), 1, "there is no execution"),
        (("executions", "cancel", str(uuid4())), 1, "does not exist"),
        (("executions", "retry", "nonsense"), 2, "nonsense"),
        (("executions", "list", "--status", "done"), 2, "done"),
        (("jobs", "trigger", "x", "--payload", "[" * 5000 + "]" * 5000), 2, "not JSON: maximum recursion"),
        (("jobs", "trigger", "manual", "--payload", "{"), 2, "not JSON"),
        (("jobs", "trigger", "manual", "--payload", '"\\ud800"'), 2, "not JSON: "),
        (("jobs", "trigger", "manual", "--at", "soon"), 2, "'soon' is no time such as 2027-01-31T"),
        (("jobs", "trigger", "manual", "--at", "2027-13-01"), 2, "'2027-13-01' is no time such as 2027"),
        (("jobs", "apply", "missing.yaml"), 2, "missing.yaml"),
        (("import", "crontab", "missing"), 2, "missing"),
        (("import", "crontab", "-", "--prune"), 2, "--prune needs a file"),
    ],
)
def test_mistakes_are_one_line(applied: Pgtick, args: tuple[str, ...], code: int, words: str) -> None:
    result = applied(*args)
    assert (result.code, result.out) == (code, "")
    assert result.err.count("\n") == 1
    assert words in result.err


@pytest.fixture
def pipe() -> Iterator[Callable[[str], str]]:
    """Makes what <(…) is in a shell: the path of a pipe that holds a text and ends."""
    ends = []

    def open_pipe(text: str) -> str:
        out, into = os.pipe()
        ends.append(out)
        os.write(into, text.encode())
        os.close(into)
        return f"/dev/fd/{out}"

    yield open_pipe
    for end in ends:
        os.close(end)


def test_a_pipe_is_standard_input(pgtick: Pgtick, pipe: Callable[[str], str]) -> None:
    text = "@daily echo hi\n"
    assert "1 created" in pgtick("import", "crontab", pipe(text)).out
    assert "1 unchanged" in pgtick("import", "crontab", pipe(text)).out
    assert "--prune needs a file" in pgtick("import", "crontab", pipe(text), "--prune").err


def test_a_job_file_from_a_pipe_must_have_a_name(pgtick: Pgtick, pipe: Callable[[str], str]) -> None:
    path = pipe(JOBS)
    result = pgtick("jobs", "apply", path)
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[0].startswith(f"{path}:1: this is no file, ")
    named = JOBS + "name: shop\n"
    assert "2 created" in pgtick("jobs", "apply", pipe(named)).out
    assert "2 unchanged" in pgtick("jobs", "apply", pipe(named)).out


def test_arguments_that_are_no_text_are_one_line(
    applied: Pgtick, tmp_path: Path, db: Connection[Any]
) -> None:
    crontab, file = (tmp_path / os.fsdecode(name) for name in (b"tab\xff", b"jobs\xff.yaml"))
    crontab.write_text("@daily echo hi\n")
    file.write_text(JOBS)
    before = writes_of(db)
    for args in (
        ("jobs", "show", "\udcff"),
        ("jobs", "apply", str(file)),
        ("import", "crontab", str(crontab)),
    ):
        result = applied(*args)
        assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
        assert "not UTF-8" in result.err
    assert writes_of(db) == before


def test_import_tells_line_by_line(pgtick: Pgtick, db: Connection[Any]) -> None:
    path = str(CRONTABS / "people/backup")
    dry = pgtick("import", "crontab", path, "--dry-run")
    assert jobs_of(db) == {}
    result = pgtick("import", "crontab", path, "--host", "web1")
    assert dry.code == result.code == 1
    assert result.err == f"pgtick: {path}: 7 line(s) could not be taken, see above\n"
    lines = result.out.splitlines()
    assert lines[0] == f"{path}: read as a user's crontab; --system or --user says otherwise"
    assert any(line.startswith(f"{path}:8: taken as {ME}@web1:people/backup:tar-zcf-") for line in lines)
    assert any(
        line.startswith(f"{path}:13: not taken: @reboot runs when the machine starts") for line in lines
    )
    assert any(line.startswith(f"{path}:2: note: MAILTO is not supported") for line in lines)
    assert lines[-1] == "15 created, 0 updated, 0 unchanged, 0 deleted"


def test_from_a_crontab_to_a_job_file(pgtick: Pgtick, tmp_path: Path, db: Connection[Any]) -> None:
    crontab, file = tmp_path / "tab", tmp_path / "jobs.yaml"
    crontab.write_text("0 3 * * * echo hi\n0 4 * * * echo ho\n")
    pgtick("import", "crontab", str(crontab))
    file.write_text(pgtick("jobs", "export").out.replace("0 3 * * *", "0 5 * * *"))
    refused = pgtick("jobs", "apply", str(file))
    assert refused.code == 1
    assert "--take-over" in refused.err
    taken = pgtick("jobs", "apply", str(file), "--take-over")
    assert (taken.code, taken.err) == (0, "")
    assert '    schedule: "0 3 * * *" -> "0 5 * * *"' in taken.out
    assert taken.out.endswith("0 created, 2 updated, 0 unchanged, 0 deleted\n")
    file.write_text(file.read_text().replace("0 4 * * *", "0 6 * * *"))
    assert "1 updated, 1 unchanged" in pgtick("jobs", "apply", str(file)).out
    # The crontab can no longer change them, nor delete them.
    assert "which says otherwise; change it there\n" in pgtick("import", "crontab", str(crontab)).out
    crontab.write_text("")
    pgtick("import", "crontab", str(crontab), "--prune")
    assert sorted(job["schedule"] for job in jobs_of(db).values()) == ["0 5 * * *", "0 6 * * *"]


def test_import_of_a_system_crontab(pgtick: Pgtick) -> None:
    path = str(CRONTABS / "etc/crontab")
    result = pgtick("import", "crontab", path, "--queue-per-user", "--timezone", "Europe/Berlin")
    assert (result.code, result.err) == (0, "")
    assert "read in UTC" not in result.out
    again = pgtick("import", "crontab", path, "--queue-per-user", "--timezone", "Europe/Berlin")
    assert again.out.endswith("0 created, 0 updated, 4 unchanged, 0 deleted\n")


def test_import_from_standard_input(
    pgtick: Pgtick, monkeypatch: pytest.MonkeyPatch, db: Connection[Any]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"@daily echo hi\n")))
    result = pgtick("import", "crontab", "-", "--host", "web1")
    assert result.code == 0
    assert "read in UTC" in result.out
    assert [name.startswith(f"{ME}@web1:echo-hi-") for name in jobs_of(db)] == [True]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CRON_TZ=Europe/Berlin\n@daily a\n", False),
        ("# no CRON_TZ here\n@daily a\n", True),
        ("@daily a\nCRON_TZ=Europe/Berlin\n@daily b\n", True),
        ("CRON_TZ=Europe/Berlin\n@daily a\nCRON_TZ=\n@daily b\n", True),
        ("CRON_TZ=Europe/Berlin\n@reboot a\n", False),
    ],
)
def test_import_says_where_it_took_utc(pgtick: Pgtick, tmp_path: Path, text: str, told: bool) -> None:
    crontab = tmp_path / "crontab"
    crontab.write_text(text)
    assert ("read in UTC" in pgtick("import", "crontab", str(crontab)).out) is told
    assert "read in UTC" not in pgtick("import", "crontab", str(crontab), "--timezone", "UTC").out


def test_a_read_only_database_is_no_fault_of_a_job(
    pgtick: Pgtick, file: Path, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    standby = database.dsn(direct=True) + " options='-c default_transaction_read_only=on'"
    monkeypatch.setenv("DB_WRITE_CONNECTION_STRING", standby)
    for command in (("jobs", "apply", str(file)), ("import", "crontab", str(CRONTABS / "etc/crontab"))):
        done = pgtick(*command)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert ": name the primary, no standby, in the connection string" in done.err


def test_numbers_stay_as_they_were_written(pgtick: Pgtick, db: Connection[Any], tmp_path: Path) -> None:
    numbers = f'{{"a": 1.10, "b": {"1" * 400}.5, "e": 1.0}}'
    db.execute(
        "select scheduler.create_job('by-hand', 'http', %s, payload => %s)",
        ['{"url": "http://x.y/", "body": {"n": 12345678901234567890.10}}', numbers],
    )
    before = writes_of(db)
    exported = pgtick("jobs", "export")
    file = tmp_path / "jobs.yaml"
    file.write_text(exported.out)
    assert pgtick("jobs", "apply", str(file)).out == "0 created, 0 updated, 1 unchanged, 0 deleted\n"
    assert writes_of(db) == before
    assert f"{numbers}\n" in pgtick("jobs", "show", "by-hand").out

    file.write_text(exported.out.replace("e: 1.0", "e: 1"))
    assert "1 updated" in pgtick("jobs", "apply", str(file), "--dry-run").out

    execution_id = pgtick("jobs", "trigger", "by-hand", "--payload", "[1.10, 1e-7]").out.strip()
    row = db.execute("select payload::text from scheduler.get_execution(%s)", [execution_id]).fetchone()
    assert row == ("[1.10, 0.0000001]",)
    assert pgtick("jobs", "trigger", "by-hand", "--payload", "NaN").code == 2
