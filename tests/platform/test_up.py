"""`pgtick up`: everything runs, is seen to work, stops in order and carries on."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import Connection
from redis import Redis
from redis.exceptions import AuthenticationError

from app import localdb
from app.cli._up_api import LocalApi
from app.cli.up import Terminal, _tell_database
from app.cluster import Cluster
from app.localkey import keep_key, key_path
from app.settings import Settings, load_settings
from tests.conftest import Database
from tests.support.cli import PGTICK, environment, error_line, foreign_modules, pgtick
from tests.support.guard import is_alive
from tests.support.program import accepts, free_port, wait_until

pytestmark = pytest.mark.slow

SAMPLES = ("sample-command", "sample-http", "sample-python", "sample-sql")
PATIENCE_SECONDS = 90.0


class Up:
    """A running `pgtick up` and what it has said."""

    def __init__(self, home: Path, log: Path, **variables: str) -> None:
        self.home = home
        self.log = log
        self.port = free_port()
        variables = {"PGTICK_API_PORT": str(self.port)} | variables
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [*PGTICK, "up"],
                env=environment(PGTICK_DATA_DIR=str(home), **variables),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self.log.read_text()

    def wait_for(self, seen: Callable[[str], bool]) -> str:
        """Waits until it has said what is expected, and returns all that it said."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not seen(self.said):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < give_up_at, self.said
            time.sleep(0.1)
        return self.said

    def stop(self, sign: signal.Signals = signal.SIGINT) -> str:
        """Sends a signal, waits for the end, and returns what it said."""
        self.process.send_signal(sign)
        self.process.wait(PATIENCE_SECONDS)
        return self.said

    def pids_of_children(self) -> dict[str, int]:
        """Returns the process ids of ticker, worker, API and Valkey."""
        shown = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.findall(
            r"^ *(\d+) .*(?: -m workers | -m app |/)(ticker|worker|api|valkey-server)\b",
            shown.stdout,
            re.MULTILINE,
        )
        return {{"valkey-server": "Valkey"}.get(name, name): int(pid) for pid, name in found}

    def curl_line(self) -> list[str]:
        """Returns the command that it says to paste, as the words that a shell makes of it."""
        (line,) = re.findall(r"^ +(curl .*)$", self.said, re.MULTILINE)
        return shlex.split(line)

    def call(self) -> httpx.Response:
        """Does what that command does."""
        program, option, header, url = self.curl_line()
        assert (program, option) == ("curl", "-H")
        name, _, value = header.partition(": ")
        return httpx.get(url, headers={name: value}, timeout=PATIENCE_SECONDS)


@pytest.fixture
def start_up(server_folder: Path, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """A function that runs `pgtick up`, each time on the same data; everything is stopped at the end."""
    started: list[Up] = []

    def start(**variables: str) -> Up:
        started.append(Up(server_folder / "home", tmp_path / f"up-{len(started)}.log", **variables))
        return started[-1]

    yield start
    for up in started:
        up.process.kill()
        up.process.wait()
    Cluster(server_folder / "home").stop()


def has_succeeded(said: str, names: tuple[str, ...] = SAMPLES) -> bool:
    """Tells whether executions of all these jobs were seen to succeed."""
    return all(re.search(rf"^[0-9:]+  {name} .* succeeded ", said, re.MULTILINE) for name in names)


def test_all_four_succeed_and_it_carries_on(start_up: Callable[..., Up]) -> None:
    up = start_up()
    up.wait_for(lambda said: "\nrunning " in said)
    began = time.monotonic()
    said = up.wait_for(has_succeeded)
    assert time.monotonic() - began < 60
    assert " failed " not in said
    answer = up.call()
    assert answer.status_code == 200
    assert [job["name"] for job in answer.json()["items"]] == list(SAMPLES)
    assert f"api        http://127.0.0.1:{up.port}\n" in said
    key_file = up.home / "api-key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert f"key {key_file.read_text().strip()} (kept in {key_file})" in said
    query = "select distinct job_name from scheduler.executions where status = 'succeeded' order by 1"
    shown = pgtick("psql", "-Atc", query, PGTICK_DATA_DIR=str(up.home))
    assert tuple(shown.stdout.split()) == SAMPLES
    said = up.stop()
    assert up.process.returncode == 0
    assert said.splitlines()[-1] == "stopped"
    assert "Traceback" not in said
    cluster = Cluster(up.home)
    assert cluster.pid() is None
    assert not accepts(up.port)

    again = start_up()
    again.wait_for(lambda said: has_succeeded(said, SAMPLES[:1]))
    assert "schema     up to date" in again.said
    assert "0 created" in again.said
    assert again.curl_line()[:3] == up.curl_line()[:3]  # the same key
    assert again.call().status_code == 200
    with psycopg.connect(cluster.conninfo(dbname=localdb.DATABASE)) as conn:
        rows = conn.execute("select count(distinct job_name) from scheduler.executions").fetchone()
        assert rows == (4,)
    again.stop(signal.SIGTERM)
    assert again.process.returncode == 0


def test_a_folder_with_modules_named_like_ours(
    start_up: Callable[..., Up], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign_modules(tmp_path)
    monkeypatch.chdir(tmp_path)
    up = start_up(PGTICK_API_PROCESSES="2")
    said = up.wait_for(has_succeeded)
    assert up.call().status_code == 200
    assert " died " not in said


def test_a_child_that_dies_is_started_again(start_up: Callable[..., Up]) -> None:
    up = start_up()
    up.wait_for(lambda said: has_succeeded(said, ("sample-command",)))
    children = up.pids_of_children()
    assert set(children) == {"ticker", "worker", "api", "Valkey"}
    for pid in children.values():
        os.kill(pid, signal.SIGKILL)
    assert up.call().status_code == 200  # who calls meanwhile only waits
    up.wait_for(lambda said: all(f"the {name} died (signal SIGKILL)" in said for name in children))
    before = len(up.said)
    up.wait_for(lambda said: has_succeeded(said[before:], ("sample-command",)))
    assert set(up.pids_of_children()) == {"ticker", "worker", "api", "Valkey"}


def test_killed_it_takes_its_children_along_and_starts_again(start_up: Callable[..., Up]) -> None:
    up = start_up()
    up.wait_for(lambda said: has_succeeded(said, ("sample-command",)))
    children = up.pids_of_children().values()
    server = Cluster(up.home).pid()
    up.process.kill()
    up.process.wait()
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while any(map(is_alive, children)):
        assert time.monotonic() < give_up_at
        time.sleep(0.1)
    again = start_up()
    again.wait_for(lambda said: has_succeeded(said, ("sample-command",)))
    assert Cluster(up.home).pid() == server  # found again, not started anew
    again.stop()
    assert Cluster(up.home).pid() is None


def test_a_terminal_that_closes_stops_it_in_order(start_up: Callable[..., Up]) -> None:
    up = start_up()
    up.wait_for(lambda said: "\nrunning " in said)
    up.stop(signal.SIGHUP)
    assert up.process.returncode == 0
    assert Cluster(up.home).pid() is None


def test_a_given_database_gets_no_samples(start_up: Callable[..., Up], empty_database: Database) -> None:
    up = start_up(DB_WRITE_CONNECTION_STRING=empty_database.dsn())
    said = up.wait_for(lambda said: "\nrunning " in said)
    assert "sample " not in said
    assert empty_database.server.cluster.password("postgres") not in said
    assert up.call().json() == {"items": [], "next_cursor": None}
    with psycopg.connect(empty_database.dsn(), autocommit=True) as conn:
        workers = partial(conn.execute, "select job_types from scheduler.workers")
        wait_until(lambda: workers().rowcount == 1, "the worker is there")
        # No command: whoever may write there could else run anything here.
        assert [sorted(row[0]) for row in workers()] == [["http", "python"]]
    up.stop()
    assert up.process.returncode == 0
    with psycopg.connect(empty_database.dsn()) as conn:
        assert conn.execute("select count(*) from scheduler.jobs").fetchone() == (0,)


def test_ticker_and_worker_tell_their_metrics(start_up: Callable[..., Up], empty_database: Database) -> None:
    port = free_port()
    up = start_up(DB_WRITE_CONNECTION_STRING=empty_database.dsn(), PGTICK_METRICS_PORT=str(port))
    up.wait_for(lambda said: "\nrunning " in said)
    for place, metric in ((port, "ticker_active"), (port + 1, "worker_active_attempts")):
        wait_until(partial(accepts, place), f"somebody tells {metric}")
        assert f"\n{metric}" in httpx.get(f"http://127.0.0.1:{place}/metrics").text
    assert f"of the ticker at port {port}, of the worker at port {port + 1}" in up.said
    assert " died " not in up.stop()


def test_a_port_that_was_named_and_is_taken_is_one_line(server_folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = error_line(
            pgtick("up", PGTICK_DATA_DIR=str(server_folder / "home"), PGTICK_API_PORT=str(port))
        )
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use): " in line
    assert not (server_folder / "home").exists()


def test_a_job_of_another_file_keeps_its_name(start_up: Callable[..., Up], tmp_path: Path) -> None:
    first = start_up()
    first.wait_for(lambda said: "\nrunning " in said)
    own = tmp_path / "own.yaml"
    own.write_text("{version: 1, name: own, jobs: {sample-sql: {schedule: '@daily', sql: select 1}}}")
    for command in (("delete", "sample-sql", "--yes"), ("apply", str(own))):
        done = pgtick("jobs", *command, PGTICK_DATA_DIR=str(first.home))
        assert done.returncode == 0, done
    first.stop()
    again = start_up()
    again.wait_for(lambda said: "\nrunning " in said)
    (line,) = re.findall(r"^sample .*$", again.said, re.MULTILINE)
    assert "not applied: " in line
    assert "sample-sql: " in line
    assert "Traceback" not in again.stop()


def test_the_line_for_psql_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster(tmp_path / "with a space")
    _tell_database(cluster, Terminal())
    words = shlex.split(capsys.readouterr().out.splitlines()[1])
    assert words[:2] == [f"PGPASSFILE={cluster.pgpass}", "psql"]


def test_a_port_that_nobody_named_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGTICK_API_PORT", raising=False)
    said: list[str] = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        port = other.getsockname()[1]
        api = LocalApi(Settings(api_port=str(port), api_auth="off"), said.append)
        with api.listening():
            api.tell()
    (taken, free) = re.findall(r"port (\d+) is taken: (\d+) instead", said[0])[0]
    assert int(taken) == port < int(free)
    assert said[1:] == [
        f"api        http://127.0.0.1:{free}",
        "           everybody may do everything (PGTICK_API_AUTH)",
        f"           curl http://127.0.0.1:{free}/v1/jobs",
    ]


def test_an_own_key_is_made_anew_when_it_works_no_more(
    database: Database, db: Connection[Any], tmp_path: Path
) -> None:
    path = key_path(tmp_path, None)
    key = keep_key(db, path)
    assert keep_key(db, path) == key
    db.execute("select scheduler.revoke_api_key(key_id => k.key_id) from scheduler.api_keys k")
    other = keep_key(db, path)
    assert other != key
    assert path.read_text() == f"{other}\n"
    assert key_path(tmp_path, database.dsn()) != path


def test_a_login_that_may_not_make_keys_is_told(
    database: Database, server_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_WRITE_CONNECTION_STRING", database.dsn(user="pgtick_client"))
    monkeypatch.setenv("PGTICK_DATA_DIR", str(server_folder))
    said: list[str] = []
    api = LocalApi(load_settings(os.environ), said.append)
    api.tell()
    assert "may not make a key" in said[-1]
    assert list(server_folder.iterdir()) == []


def test_the_redis_of_its_own(start_up: Callable[..., Up]) -> None:
    up = start_up()
    said = up.wait_for(lambda said: "\nrunning " in said)
    found = re.search(r"^redis      Valkey [\d.]+ \(wheel\) at (127\.0\.0\.1:(\d+)), ", said, re.MULTILINE)
    assert found is not None
    port = int(found[2])
    wait_until(lambda: accepts(port), "Valkey takes connections")
    children = up.pids_of_children()
    variables = Path(f"/proc/{children['worker']}/environ").read_text().split("\0")
    environ = dict(variable.split("=", 1) for variable in variables if variable)
    assert environ["REDIS_URL"] == f"redis://{found[1]}/0"
    with Redis.from_url(environ["REDIS_URL"], password=environ["REDIS_PASSWORD"]) as redis:
        assert redis.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"
        assert redis.config_get("save") == {"save": ""}
    with Redis.from_url(environ["REDIS_URL"]) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    command = Path(f"/proc/{children['Valkey']}/cmdline").read_text()
    assert environ["REDIS_PASSWORD"] not in command
    os.kill(children["Valkey"], signal.SIGKILL)
    up.wait_for(lambda said: "the Valkey died (signal SIGKILL)" in said)
    wait_until(lambda: accepts(port), "Valkey takes connections again, on the same port")
    up.stop()
    assert not accepts(port)


def test_a_given_redis_is_used(start_up: Callable[..., Up], empty_database: Database) -> None:
    up = start_up(DB_WRITE_CONNECTION_STRING=empty_database.dsn(), REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    said = up.wait_for(lambda said: "\nrunning " in said)
    assert "\nredis      redis://:********@127.0.0.1:1/0\n" in said
    wait_until(lambda: set(up.pids_of_children()) == {"ticker", "worker", "api"}, "no other children")
