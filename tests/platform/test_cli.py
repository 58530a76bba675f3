"""The command line: exit codes, and errors of one line that name the fix."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from tests.conftest import Database
from tests.support.cli import PGTICK, environment, error_line, foreign_modules, pgtick
from tests.support.program import free_port, wait_until


def test_without_a_database_the_fix_is_named(server_folder: Path) -> None:
    for command in (["jobs", "list"], ["migrate"], ["psql"], ["ticker"], ["worker"], ["preview", "@daily"]):
        line = error_line(pgtick(*command, PGTICK_DATA_DIR=str(server_folder)))
        assert "DB_WRITE_CONNECTION_STRING" in line
        assert "pgtick up" in line


def test_no_server() -> None:
    line = error_line(pgtick("migrate", DB_WRITE_CONNECTION_STRING="host=127.0.0.1 port=1 dbname=x user=x"))
    assert line.startswith("pgtick: no database answers at 127.0.0.1:1 (connection refused): ")


def test_unknown_host() -> None:
    line = error_line(pgtick("migrate", DB_WRITE_CONNECTION_STRING="postgresql://x@nowhere.invalid/x"))
    assert "host name is not known" in line


def test_wrong_password(database: Database) -> None:
    conninfo = f"{database.dsn(direct=True)} password=wrong"
    line = error_line(pgtick("jobs", "list", DB_WRITE_CONNECTION_STRING=conninfo))
    assert "password authentication failed" in line
    assert "correct user and password" in line


def test_wrong_password_at_a_pooler(database: Database) -> None:
    if database.pooler is None:
        pytest.skip("needs PgBouncer")
    for command in (["jobs", "list"], ["ticker"], ["worker"]):
        line = error_line(pgtick(*command, DB_WRITE_CONNECTION_STRING=f"{database.dsn()} password=wrong"))
        assert "SASL authentication failed: correct user and password in " in line
        assert "userlist.txt" in line


def test_processes_that_cannot_start_name_the_fix(database: Database) -> None:
    dsn = database.dsn(user="pgtick_worker", direct=True)
    for command in ("ticker", "worker"):
        line = error_line(pgtick(command, DB_WRITE_CONNECTION_STRING=f"{dsn} password=wrong"))
        assert line.endswith(": correct user and password in DB_WRITE_CONNECTION_STRING")
        line = error_line(pgtick(command, DB_WRITE_CONNECTION_STRING="host=127.0.0.1 port=1"))
        assert line.endswith(": start it, or correct host and port in DB_WRITE_CONNECTION_STRING")
        line = error_line(
            pgtick(command, DB_WRITE_CONNECTION_STRING=database.dsn(user="pgtick_api", direct=True))
        )
        assert "permission denied for function due_shards: grant scheduler_worker to the login of " in line
        with socket.socket() as other:
            other.bind(("0.0.0.0", 0))  # noqa: S104 - as /metrics listens
            other.listen()
            port = str(other.getsockname()[1])
            line = error_line(pgtick(command, DB_WRITE_CONNECTION_STRING=dsn, PGTICK_METRICS_PORT=port))
        assert f"cannot listen on port {port} (PGTICK_METRICS_PORT)" in line


def test_a_worker_whose_sql_jobs_could_not_end(database: Database) -> None:
    dsn = database.dsn(user="pgtick_worker", direct=True)
    for sql, fix in (
        (f"{database.dsn(user='pgtick_sql', direct=True)} password=wrong", "correct user and password in "),
        (dsn, "may not finish SQL jobs: use a member of scheduler_sql only"),
    ):
        done = pgtick("worker", DB_WRITE_CONNECTION_STRING=dsn, PGTICK_SQL_CONNECTION_STRING=sql)
        line = error_line(done)
        assert fix in line
        assert "PGTICK_SQL_CONNECTION_STRING" in line


def test_a_login_without_a_role(database: Database) -> None:
    dsn = database.dsn(user="pgtick_sql", direct=True)
    for command in (["jobs", "list"], ["keys", "list"], ["executions", "list"]):
        line = error_line(pgtick(*command, DB_WRITE_CONNECTION_STRING=dsn))
        assert "the login lacks a role for it, see deploy/README.md" in line
    line = error_line(pgtick("migrate", "--check", DB_WRITE_CONNECTION_STRING=dsn))
    assert line.endswith("name the login that migrates in DB_DIRECT_CONNECTION_STRING")
    assert error_line(pgtick("doctor", DB_WRITE_CONNECTION_STRING=dsn)) == "pgtick: bad: health"


def test_missing_database(database: Database) -> None:
    conninfo = f"{database.dsn(direct=True)} dbname=not_there"
    line = error_line(pgtick("jobs", "list", DB_WRITE_CONNECTION_STRING=conninfo))
    assert 'database "not_there" does not exist: create it' in line


@pytest.mark.parametrize("command", [["jobs", "list"], ["executions", "list"], ["preview", "@daily"]])
def test_old_schema(empty_database: Database, command: list[str]) -> None:
    line = error_line(pgtick(*command, DB_WRITE_CONNECTION_STRING=empty_database.dsn()))
    assert "run `pgtick migrate`" in line


def test_malformed_connection_string_is_not_repeated() -> None:
    line = error_line(pgtick("jobs", "list", DB_WRITE_CONNECTION_STRING="postgresql:/user:hunter2@host/x"))
    assert "DB_WRITE_CONNECTION_STRING" in line
    assert "hunter2" not in line


def test_up_with_half_a_database(server_folder: Path) -> None:
    direct = "host=127.0.0.1 port=1 dbname=x user=x"
    done = pgtick("up", DB_DIRECT_CONNECTION_STRING=direct, PGTICK_DATA_DIR=str(server_folder / "home"))
    assert "without DB_WRITE_CONNECTION_STRING: set both" in error_line(done)
    assert list(server_folder.iterdir()) == []


NO_TEXT = os.fsdecode(b"\xff")


@pytest.mark.parametrize("command", ["up", "migrate", "psql", "doctor"])
@pytest.mark.parametrize("variable", ["DB_WRITE_CONNECTION_STRING", "DB_DIRECT_CONNECTION_STRING"])
def test_a_connection_string_that_is_no_text(command: str, variable: str) -> None:
    line = error_line(pgtick(command, **{variable: f"host=127.0.0.1 port=1 password={NO_TEXT}hunter2"}))
    assert f"{variable} is not UTF-8: " in line
    assert "hunter2" not in line


def test_an_argument_that_is_no_text(database: Database) -> None:
    dsn = database.dsn(direct=True)
    assert "not UTF-8" in error_line(pgtick("preview", NO_TEXT, DB_WRITE_CONNECTION_STRING=dsn))
    assert "not UTF-8" in error_line(pgtick("migrate", DB_WRITE_CONNECTION_STRING="port=1", PGHOST=NO_TEXT))
    for command in ("up", "migrate", "doctor"):
        error_line(pgtick(command, NO_TEXT, DB_WRITE_CONNECTION_STRING=dsn), code=2)


def test_a_terminal_that_cannot_show_a_name(database: Database, db: Connection[Any]) -> None:
    db.execute("select scheduler.create_job('東京', 'sql', '\"select 1\"', schedule => '@daily')")
    done = pgtick("jobs", "list", DB_WRITE_CONNECTION_STRING=database.dsn(), PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u6771\\u4eac" in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["--nope"],
        ["nope"],
        ["preview"],
        ["preview", "@daily", "-n", "x"],
        ["jobs", "list", "--nope"],
        ["migrate", "x"],
        ["worker", "--concurrency", "0"],
        ["ticker", "x"],
        ["bench", "nope"],
    ],
)
def test_wrong_usage_is_two(args: list[str]) -> None:
    assert "--help" in error_line(pgtick(*args, DB_WRITE_CONNECTION_STRING="host=127.0.0.1"), code=2)


def test_help_names_every_command() -> None:
    done = pgtick("--help")
    assert done.returncode == 0
    for name in (
        "up",
        "migrate",
        "ticker",
        "worker",
        "api",
        "keys",
        "psql",
        "doctor",
        "preview",
        "jobs",
        "import",
        "executions",
    ):
        assert f"\n  {name} " in done.stdout


def test_unknown_variable_is_told_with_the_nearest(empty_database: Database) -> None:
    done = pgtick("migrate", "--check", DB_WRITE_CONNECTION_STRING=empty_database.dsn(), PGTICK_QUEUE="a")
    assert "pgtick: warning: PGTICK_QUEUE is not known: did you mean PGTICK_QUEUES?" in done.stderr


def test_variable_from_a_file(database: Database, tmp_path: Path) -> None:
    secret = tmp_path / "dsn"
    secret.write_text(f"{database.dsn()}\n")
    assert pgtick("jobs", "list", DB_WRITE_CONNECTION_STRING_FILE=str(secret)).returncode == 0
    line = error_line(pgtick("jobs", "list", DB_WRITE_CONNECTION_STRING_FILE=str(tmp_path / "none")))
    assert "DB_WRITE_CONNECTION_STRING_FILE cannot be read" in line


def test_the_api_takes_its_database_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "dsn"
    secret.write_text("host=127.0.0.1 port=1\n")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        line = error_line(pgtick("api", "--port", port, DB_WRITE_CONNECTION_STRING_FILE=str(secret)))
    assert "Address already in use" in line  # so far it came


def test_psql_takes_its_own_arguments(database: Database) -> None:
    done = pgtick("psql", "-Atc", "select 1 + 1", DB_WRITE_CONNECTION_STRING=database.dsn(direct=True))
    assert (done.returncode, done.stdout) == (0, "2\n")


def test_psql_keeps_the_password_off_its_command_line(database: Database) -> None:
    shown = "\\! tr '\\0' ' ' < /proc/$PPID/cmdline"
    done = pgtick("psql", "-Atc", shown, DB_WRITE_CONNECTION_STRING=database.dsn(direct=True))
    assert database.name in done.stdout
    assert database.server.cluster.password("postgres") not in done.stdout


def test_a_group_alone_tells_what_there_is() -> None:
    for group, command in ((), "doctor"), (("jobs",), "export"):
        done = pgtick(*group)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == pgtick(*group, "--help").stdout
        assert f"\n  {command} " in done.stderr


@pytest.mark.parametrize("command", ["ticker", "worker", "jobs"])
def test_help_has_two_names(command: str) -> None:
    short, long = pgtick(command, "-h"), pgtick(command, "--help")
    assert (short.returncode, short.stdout) == (0, long.stdout)
    assert long.stdout.startswith(f"Usage: pgtick {command} ")


@pytest.mark.parametrize(
    ("command", "reader", "shown"),
    [
        ("migrate --sql", "head -n 1", "begin;\n"),
        ("preview '* * * * *' -n 1000", "head -n 1", "every minute\n"),
        ("jobs list", "true", ""),
    ],
)
def test_a_reader_that_has_seen_enough_is_no_error(
    command: str, reader: str, shown: str, database: Database
) -> None:
    """Nor is one who sees none: what is written in one piece and what line by line."""
    line = f"{' '.join(PGTICK)} {command} | {reader}; exit ${{PIPESTATUS[0]}}"
    environ = environment(DB_WRITE_CONNECTION_STRING=database.dsn())
    done = subprocess.run(
        ["bash", "-c", line], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")


def test_closed_standard_streams_do_no_harm(database: Database, tmp_path: Path) -> None:
    """As some supervisors and cron daemons start it."""
    log = tmp_path / "log"
    for streams in ("<&-", "<&- >&-"):
        ticker = subprocess.Popen(
            ["bash", "-c", f'exec "$@" {streams} 2>{log}', "bash", *PGTICK, "ticker"],
            env=environment(DB_WRITE_CONNECTION_STRING=database.dsn()),
        )
        try:
            wait_until(lambda: log.exists() and '"ticking"' in log.read_text(), "the ticker")
            ticker.send_signal(signal.SIGTERM)
            assert (ticker.wait(20), log.read_text().splitlines()[1:]) == (0, [])
        finally:
            ticker.kill()
        log.unlink()


def test_doctor_is_content_with_a_migrated_database(database: Database) -> None:
    done = pgtick("doctor", "-o", "json", DB_WRITE_CONNECTION_STRING=database.dsn(direct=True))
    checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["database"]["status"] == "ok"
    assert checks["schema"] == {"check": "schema", "status": "ok", "detail": "up to date", "fix": ""}
    assert database.server.cluster.password("postgres") not in done.stdout


def test_doctor_finds_what_is_bad(empty_database: Database) -> None:
    done = pgtick(
        "doctor",
        "-o",
        "json",
        DB_WRITE_CONNECTION_STRING=empty_database.dsn(),
        DB_READ_REPLICA_1="host=127.0.0.1 port=1",
        DB_READ_REPLICA_2="host=nowhere.invalid",
        DB_READ_REPLICA_3=f"{empty_database.dsn(direct=True)} sslmode=require",
        PGTICK_SQL_CONNECTION_STRING=f"{empty_database.dsn()} password=wrong",
    )
    assert error_line(done) == "pgtick: bad: schema, SQL jobs' login, replica 1, replica 2, replica 3"
    checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["schema"]["fix"] == "run `pgtick migrate`"
    assert checks["replica 1"]["fix"] == "start it, or correct host and port in the connection string"
    assert checks["replica 2"]["fix"] == "correct it in the connection string"
    assert checks["replica 3"]["detail"].endswith("server does not support SSL, but SSL was required")
    assert checks["replica 3"]["fix"] == ""


def test_doctor_finds_a_primary_that_takes_no_writes(database: Database) -> None:
    dsn = f"{database.dsn(direct=True)} options='-c default_transaction_read_only=on'"
    done = pgtick("doctor", "-o", "json", DB_WRITE_CONNECTION_STRING=dsn)
    (check,) = (each for each in json.loads(done.stdout)["checks"] if each["check"] == "database")
    assert check["status"] == "fail"
    assert check["detail"].endswith(", takes no writes")
    assert "default_transaction_read_only" in check["fix"]


def test_doctor_finds_settings_that_are_refused(database: Database) -> None:
    done = pgtick(
        "doctor",
        "-o",
        "json",
        DB_WRITE_CONNECTION_STRING=database.dsn(direct=True),
        PGTICK_API_PORT="abc",
        PGTICK_CONCURRENCY="ten",
        PGTICK_PGBOUNCER_ADMIN="host=127.0.0.1 port=1",
    )
    line = error_line(done)
    assert line.startswith("pgtick: bad: settings of the API, settings of workers, PgBouncer's console")
    checks = {check["check"]: check["detail"] for check in json.loads(done.stdout)["checks"]}
    assert checks["settings of the API"].startswith("PGTICK_API_PORT must be a whole number")
    assert checks["settings of workers"].startswith("PGTICK_CONCURRENCY must be a number")


@pytest.mark.parametrize("command", ["worker", "ticker", "bench"])
def test_the_current_folder_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    foreign_modules(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = pgtick(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_handlers_are_found_in_the_current_folder(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign_modules(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app" / "__init__.py").write_text("")
    (tmp_path / "app" / "tasks.py").write_text("from workers import handler\nimport helpers\n")
    (tmp_path / "handlers.py").write_text("from workers import handler\nimport helpers\n")
    (tmp_path / "helpers.py").write_text("")
    given = {"DB_WRITE_CONNECTION_STRING": database.dsn(direct=True), "PGTICK_HANDLERS": "handlers,app.tasks"}
    done = pgtick("doctor", "-o", "json", **given)
    checks = {check["check"]: check["detail"] for check in json.loads(done.stdout)["checks"]}
    assert checks["settings of workers"] == "none is refused, and all handlers load"


@pytest.mark.parametrize("command", ["api", "worker", "ticker"])
def test_an_unknown_level_of_logs_is_refused(database: Database, command: str) -> None:
    done = pgtick(
        command,
        DB_WRITE_CONNECTION_STRING=database.dsn(),
        PGTICK_API_PORT=str(free_port()),
        PGTICK_LOG_LEVEL="loud",
    )
    assert error_line(done) == "pgtick: PGTICK_LOG_LEVEL must be info, warning or error, not 'loud'"


def test_doctor_refuses_a_sql_login_with_rights(database: Database) -> None:
    for user, status in (("postgres", "fail"), ("pgtick_worker", "fail"), ("pgtick_sql", "ok")):
        done = pgtick(
            "doctor",
            "-o",
            "json",
            DB_WRITE_CONNECTION_STRING=database.dsn(direct=True),
            PGTICK_SQL_CONNECTION_STRING=database.dsn(user=user, direct=True),
        )
        checks = {check["check"]: check["status"] for check in json.loads(done.stdout)["checks"]}
        assert checks["SQL jobs' login"] == status, user


def test_preview_takes_a_zone_as_the_database_does(database: Database) -> None:
    done = pgtick(
        "preview", "@daily", "--timezone", "asia/kolkata", DB_WRITE_CONNECTION_STRING=database.dsn()
    )
    assert done.returncode == 0, done.stderr
    assert " 00:00:00 IST   " in done.stdout


def test_preview_shows_local_time_and_utc(database: Database) -> None:
    done = pgtick(
        *(
            "preview",
            "30 2 * * *",
            "--timezone",
            "Europe/Berlin",
            "-n",
            "2",
            "--after",
            "2027-03-27T12:00+01:00",
        ),
        DB_WRITE_CONNECTION_STRING=database.dsn(),
    )
    # 02:30 does not exist on the 28th: Debian's cron runs the job at the end of the gap.
    assert done.stdout.splitlines()[1:] == [
        "Sun 2027-03-28 03:00:00 CEST   2027-03-28 01:00:00 UTC",
        "Mon 2027-03-29 02:30:00 CEST   2027-03-29 00:30:00 UTC",
    ]


def test_preview_passes_on_what_the_database_remarks(database: Database) -> None:
    """Once, and on stderr: the output is for scripts."""
    done = pgtick("preview", "0 0 */2 * 1", "--check", DB_WRITE_CONNECTION_STRING=database.dsn())
    (line,) = done.stderr.splitlines()
    assert line.startswith('! schedule "0 0 */2 * 1" runs on days that match either day field; Vixie cron')
    assert 'Write "+1" as day-of-week' in line
    assert "either" not in done.stdout


def test_preview_asks_croniter(database: Database) -> None:
    for schedule in ("*/7 1 * * mon", "30 5 0 1 1 *", "0 0 29 2 *"):
        done = pgtick("preview", schedule, "--check", DB_WRITE_CONNECTION_STRING=database.dsn())
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "croniter agrees on 5 (in UTC)"), (
            schedule
        )
    done = pgtick("preview", "every 15 minutes", "--check", DB_WRITE_CONNECTION_STRING=database.dsn())
    assert "croniter cannot tell" in done.stdout


def test_preview_of_a_wrong_schedule_is_one_line(database: Database) -> None:
    for args in (["61 * * * *"], ["@daily", "--timezone", "Mars/Olympus"], ["@daily", "--after", "soon"]):
        done = pgtick("preview", *args, DB_WRITE_CONNECTION_STRING=database.dsn())
        error_line(done, code=2 if "--after" in args else 1)
