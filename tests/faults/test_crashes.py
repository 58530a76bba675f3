"""A backend dies by kill -9 in the middle of a transaction, and the server with it: nothing is half-done.

Each test has a server of its own, because such a crash restarts it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from tests.faults.sessions import Db, rows, value, wait_until
from tests.support.folders import server_folder
from tests.support.guard import guard
from tests.support.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.direct]

STATES = "select status, count(*) from scheduler.executions group by status order by status"


class Crashing:
    """A database whose server is about to crash."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._name = server.clone_template()
        self._opened: list[Db] = []

    def connect(self, *, user: str = "postgres") -> Db:
        """Opens a connection."""
        conninfo = self._server.conninfo(self._name, user=user)
        self._opened.append(psycopg.connect(conninfo, autocommit=True, prepare_threshold=None))
        return self._opened[-1]

    def close(self) -> None:
        """Closes what was opened."""
        for conn in self._opened:
            conn.close()

    def crash(self, victim: Db) -> Db:
        """Kills the backend of a connection, and returns a new one once the server has recovered."""
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            victim.execute("commit")

        def is_back() -> bool:
            try:
                self.connect().execute("select 1")
            except psycopg.OperationalError:
                return False
            return True

        wait_until(is_back)
        return self._opened[-1]


@pytest.fixture(scope="module")
def crashing_server() -> Iterator[Server]:
    with server_folder() as home:
        guard().add_cluster(home)
        # What was committed has to be there afterwards.
        server = Server.start(home, origin=None, settings={"synchronous_commit": "on"})
        yield server
        server.stop()


@pytest.fixture
def crashing(crashing_server: Server) -> Iterator[Crashing]:
    crashing = Crashing(crashing_server)
    yield crashing
    crashing.close()


def test_tick_is_whole_or_not_at_all(crashing: Crashing) -> None:
    db = crashing.connect()
    for number in range(20):
        db.execute(
            "select scheduler.create_job(name => %s, job_type => 'sql', target => '\"select 1\"',"
            " schedule => '@hourly')",
            [f"job {number}"],
        )
    db.execute("set scheduler.fake_now = '2030-01-01T00:30:00Z'")
    db.execute("update scheduler_internal.schedules set next_fire_at = '2030-01-01T00:00:00Z'")
    db.execute("begin")
    assert value(db, "select fired from scheduler.tick()") == 20

    db = crashing.crash(db)
    db.execute("set scheduler.fake_now = '2030-01-01T00:30:00Z'")
    assert rows(db, STATES) == []
    assert value(db, "select fired from scheduler.tick()") == 20
    assert value(db, "select fired from scheduler.tick()") == 0
    assert rows(db, STATES) == [("ready", 20)]
    assert value(db, "select count(*) from scheduler.fires") == 20


def test_sql_job_has_its_effect_and_its_end_or_neither(crashing: Crashing) -> None:
    db = crashing.connect()
    db.execute("create table public.effects (at timestamptz default now())")
    db.execute("grant insert on public.effects to scheduler_sql")
    worker_id = uuid4()
    db.execute("select from scheduler.heartbeat(%s)", [worker_id])
    db.execute("select scheduler.enqueue('sql', '\"insert into effects default values\"')")
    claim = "select execution_id, attempt, token from scheduler.claim(%s)"
    finish = "select scheduler.finish_sql_job(%s, %s, %s, null)"
    claimed = rows(db, claim, worker_id)[0]
    job = crashing.connect(user="pgtick_sql")
    job.execute("begin")
    job.execute("insert into public.effects default values")
    assert value(job, finish, *claimed)

    db = crashing.crash(job)
    assert value(db, "select count(*) from public.effects") == 0
    assert rows(db, STATES) == [("running", 1)]
    # The worker itself lives, and does it again.
    job = crashing.connect(user="pgtick_sql")
    with job.transaction():
        job.execute("insert into public.effects default values")
        assert value(job, finish, *claimed)
    assert value(db, "select count(*) from public.effects") == 1
    assert rows(db, STATES) == [("succeeded", 1)]


def test_claim_finish_and_reap_are_whole_or_not_at_all(crashing: Crashing) -> None:
    db = crashing.connect()
    worker_id = uuid4()
    beat = "select from scheduler.heartbeat(%s)"
    claim = "select execution_id, attempt from scheduler.claim(%s, 10)"
    end = "select * from scheduler.finish(%s, %s, %s, array_fill('succeeded'::text, array[10]))"
    items = '[{"job_type": "python", "target": "anything"}]'
    db.execute(beat, [worker_id])
    for _ in range(10):
        db.execute("select scheduler.enqueue_many(%s)", [items])

    db.execute("begin")
    assert len(rows(db, claim, worker_id)) == 10
    db = crashing.crash(db)
    assert rows(db, STATES) == [("ready", 10)]

    db.execute(beat, [worker_id])
    claimed = rows(db, claim, worker_id)
    assert [attempt for _, attempt in claimed] == [1] * 10
    ids, attempts = ([row[column] for row in claimed] for column in (0, 1))
    db.execute("begin")
    assert rows(db, end, worker_id, ids, attempts) == []
    db = crashing.crash(db)
    assert rows(db, STATES) == [("running", 10)]

    db.execute("select set_config('scheduler.fake_now', (now() + interval '1 minute')::text, false)")
    db.execute("begin")
    assert value(db, "select scheduler.reap()") == 10
    db = crashing.crash(db)
    assert rows(db, STATES) == [("running", 10)]
    assert value(db, "select count(*) from scheduler.attempts") == 10
    assert rows(db, end, worker_id, ids, attempts) == []
    assert rows(db, STATES) == [("succeeded", 10)]
