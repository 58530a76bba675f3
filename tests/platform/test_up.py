"""`pgtick up`: everything runs, is seen to work, stops in order and carries on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from app import localdb
from app.cluster import Cluster
from tests.conftest import Database
from tests.support.cli import PGTICK, environment, pgtick
from tests.support.guard import is_alive

pytestmark = pytest.mark.slow

SAMPLES = ("sample-command", "sample-http", "sample-python", "sample-sql")
PATIENCE_SECONDS = 90.0


class Up:
    """A running `pgtick up` and what it has said."""

    def __init__(self, home: Path, log: Path, **variables: str) -> None:
        self.home = home
        self.log = log
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
        """Returns the process ids of ticker and worker."""
        shown = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.findall(r"^ *(\d+) .* -m workers (ticker|worker)", shown.stdout, re.MULTILINE)
        return {name: int(pid) for pid, name in found}


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
    query = "select distinct job_name from scheduler.executions where status = 'succeeded' order by 1"
    shown = pgtick("psql", "-Atc", query, PGTICK_DATA_DIR=str(up.home))
    assert tuple(shown.stdout.split()) == SAMPLES
    said = up.stop()
    assert up.process.returncode == 0
    assert said.splitlines()[-1] == "stopped"
    assert "Traceback" not in said
    cluster = Cluster(up.home)
    assert cluster.pid() is None

    again = start_up()
    again.wait_for(lambda said: has_succeeded(said, SAMPLES[:1]))
    assert "schema     up to date" in again.said
    assert "0 created" in again.said
    with psycopg.connect(cluster.conninfo(dbname=localdb.DATABASE)) as conn:
        rows = conn.execute("select count(distinct job_name) from scheduler.executions").fetchone()
        assert rows == (4,)
    again.stop(signal.SIGTERM)
    assert again.process.returncode == 0


def test_a_child_that_dies_is_started_again(start_up: Callable[..., Up]) -> None:
    up = start_up()
    up.wait_for(lambda said: has_succeeded(said, ("sample-command",)))
    children = up.pids_of_children()
    assert set(children) == {"ticker", "worker"}
    for pid in children.values():
        os.kill(pid, signal.SIGKILL)
    up.wait_for(
        lambda said: "the ticker died (signal SIGKILL)" in said and "the worker died (signal SIGKILL)" in said
    )
    before = len(up.said)
    up.wait_for(lambda said: has_succeeded(said[before:], ("sample-command",)))
    assert set(up.pids_of_children()) == {"ticker", "worker"}


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
    up.stop()
    assert up.process.returncode == 0
    with psycopg.connect(empty_database.dsn()) as conn:
        assert conn.execute("select count(*) from scheduler.jobs").fetchone() == (0,)
