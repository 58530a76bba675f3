"""The one listener: what is changed in PostgreSQL, by whomever, is known here at once, or after a second."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from app.api import changes as module
from app.api.cache import Cache
from app.api.changes import Change, Changes, Mode
from app.api.floors import included
from tests.conftest import Connect, Database
from tests.support import folders
from tests.support.pooler import Pooler

pytestmark = pytest.mark.direct

USER = "pgtick_api"
PATIENCE_SECONDS = 30.0
PROMISED_SECONDS = 0.2


async def until(condition: Callable[[], bool]) -> None:
    """Waits until it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


class Ear:
    """A process that hears."""

    def __init__(self, database: Database, *, direct: str | None = None, write: str | None = None) -> None:
        self.cache = Cache()
        self.heard: list[frozenset[Change] | None] = []
        conninfo = database.dsn(user=USER, direct=True)
        self.changes = Changes(
            self.cache, direct_conninfo=direct or conninfo, write_conninfo=write or conninfo, node_id="test"
        )
        self.changes.subscribe(self.heard.append)

    @property
    def mode(self) -> Mode:
        """How it hears."""
        return self.changes.mode

    def floor(self, tag: str) -> int:
        """Returns a floor."""
        return self.cache.floors.floor_of([tag])

    def knows(self, *ids: object) -> bool:
        """Tells whether it has heard of all these."""
        heard = {change.id for some in self.heard if some for change in some}
        return heard >= {str(id_) for id_ in ids}


@asynccontextmanager
async def hearing(database: Database, mode: Mode = "listen", **conninfos: str) -> AsyncIterator[Ear]:
    """Runs a process until it hears in that way."""
    ear = Ear(database, **conninfos)
    async with ear.changes.running():
        await until(lambda: ear.mode == mode)
        yield ear


def make_job(db: Connection[Any], name: str = "a job") -> str:
    """Creates a job."""
    query = """
        select scheduler.create_job(
            name => %s, job_type => 'sql', target => '{"statement": "select 1"}', schedule => '@daily')
    """
    row = db.execute(query, [name]).fetchone()
    assert row is not None
    return str(row[0])


def newest(db: Connection[Any]) -> int:
    """Returns the LSN of now."""
    row = db.execute("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    lsn: int = row[0]
    return lsn


def listeners(db: Connection[Any]) -> list[int]:
    """Returns the server processes of all who hear in this database."""
    query = """
        select pid from pg_stat_activity
        where datname = current_database() and application_name like 'pgtick changes %'
    """
    return [pid for (pid,) in db.execute(query).fetchall()]


async def test_a_change_raises_its_floors(database: Database, db: Connection[Any]) -> None:
    """Those of what was changed, and of nothing else; above what was read before, below what is read next."""
    job, other = make_job(db, "a job"), make_job(db, "another")
    async with hearing(database) as ear:
        everything = ear.floor("anything")
        assert everything > 0
        query = "select scheduler.pause_job(%s, 'x'), (pg_current_wal_insert_lsn() - '0/0')::bigint"
        written = db.execute(query, [job]).fetchall()[0][1]
        await until(lambda: ear.knows(job))
        assert ear.floor(f"job:{job}") == ear.floor("jobs") > written
        assert ear.floor(f"job:{job}") <= included(newest(db))
        assert ear.floor(f"job:{other}") == ear.floor("executions") == everything
        assert ear.heard == [None, frozenset({Change("job", job)})]


async def test_all_kinds_are_told(database: Database, db: Connection[Any]) -> None:
    async with hearing(database) as ear:
        row = db.execute(
            "select key_id from scheduler.create_api_key(name => 'x', scopes => '{read}')"
        ).fetchone()
        assert row is not None
        await until(lambda: ear.knows(row[0]))
        enqueue = """select scheduler.enqueue(job_type => 'sql', target => '{"statement": "select 1"}')"""
        execution = db.execute(enqueue).fetchall()[0][0]
        everything = ear.floor("executions")
        db.execute("select scheduler.cancel_execution(%s)", [execution])
        await until(lambda: ear.knows(execution))
        assert {change.kind for some in ear.heard if some for change in some} == {"key", "execution"}
        assert ear.floor("executions") == ear.floor(f"execution:{execution}") > everything
        assert ear.floor("keys") > ear.floor("jobs")


async def test_it_takes_one_connection(database: Database, db: Connection[Any]) -> None:
    async with hearing(database):
        await until(lambda: len(listeners(db)) == 1)
    await until(lambda: not listeners(db))


async def test_many_changes_share_a_mark(database: Database, db: Connection[Any]) -> None:
    jobs = [make_job(db, f"job {number}") for number in range(300)]
    async with hearing(database) as ear:

        def pause_all() -> float:
            began = time.monotonic()
            for job in jobs:
                db.execute("select scheduler.pause_job(%s, 'x')", [job])
            return time.monotonic() - began

        seconds = await asyncio.to_thread(pause_all)
        await until(lambda: ear.knows(*jobs))
        assert len(ear.heard) <= 2 + seconds / module.PAUSE_SECONDS + 2
        floors = [ear.floor(f"job:{job}") for job in jobs]
        assert floors == sorted(floors)


async def test_many_changes_of_one_transaction(database: Database, connect: Connect) -> None:
    with connect(autocommit=False) as conn:
        jobs = [make_job(conn, f"job {number}") for number in range(300)]
        async with hearing(database) as ear:
            await asyncio.to_thread(conn.commit)
            await until(lambda: ear.knows(*jobs))
            assert len(ear.heard) <= 5


@pytest.mark.parametrize(
    "payload",
    ["", "x", "{}", '{"kind": "job"}', '{"kind": 1, "id": "x"}', '{"kind": "other", "id": "x"}', "ÿ" * 999],
)
async def test_what_is_not_understood_may_be_anything(
    database: Database, db: Connection[Any], payload: str
) -> None:
    async with hearing(database) as ear:
        everything = ear.floor("anything")
        db.execute("select pg_notify('scheduler_changes', %s)", [payload])
        await until(lambda: ear.floor("anything") > everything)


async def test_a_subscriber_that_fails_is_its_own_affair(database: Database, db: Connection[Any]) -> None:
    ear = Ear(database)

    def fail(_: object) -> None:
        raise ValueError("I am broken")

    ear.changes = Changes(
        ear.cache, direct_conninfo=database.dsn(user=USER), write_conninfo="", node_id="test"
    )
    ear.changes.subscribe(fail)
    ear.changes.subscribe(ear.heard.append)
    async with ear.changes.running():
        await until(lambda: ear.mode == "listen")
        job = make_job(db)
        await until(lambda: ear.knows(job))


async def test_a_lost_connection_is_made_up_for(database: Database, db: Connection[Any]) -> None:
    """What was changed meanwhile is not told, so that everything may have been."""
    async with hearing(database) as ear:
        for _ in range(3):
            (pid,) = listeners(db)
            told = len(ear.heard)
            db.execute("select pg_terminate_backend(%s, 10000)", [pid])
            make_job(db, f"while nobody listens, after {pid}")
            lsn = newest(db)
            await until(lambda: ear.mode == "listen" and len(ear.heard) > told)  # noqa: B023 - ends in the turn
            assert None in ear.heard[told:]
            assert ear.floor("jobs") >= lsn - 8
            another = make_job(db, f"heard again, after {pid}")
            await until(lambda: ear.knows(another))  # noqa: B023


async def test_an_outage(database: Database, db: Connection[Any]) -> None:
    """It says that it does not hear, and hears again when the database is back."""
    async with hearing(database) as ear:
        with psycopg.connect(database.server.conninfo("postgres"), autocommit=True) as admin:
            admin.execute(f"alter database {database.name} with allow_connections false")
            for pid in listeners(db):
                db.execute("select pg_terminate_backend(%s, 10000)", [pid])
            await until(lambda: ear.mode == "down")
            lsn = newest(db)
            admin.execute(f"alter database {database.name} with allow_connections true")
        await until(lambda: ear.mode == "listen")
        assert ear.floor("anything") >= lsn


async def test_a_frozen_server_is_found_out(
    database: Database, db: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection looks alive, so it is asked."""
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.2)
    async with hearing(database) as ear:
        (pid,) = listeners(db)
        os.kill(pid, signal.SIGSTOP)
        # Not before: to begin may take longer, and who gives up leaves a second session.
        monkeypatch.setattr(module, "CALL_SECONDS", 0.3)
        try:
            await until(lambda: len(ear.heard) >= 2)
            assert ear.mode == "listen"
            assert set(listeners(db)) > {pid}
            job = make_job(db)
            await until(lambda: ear.knows(job))
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_it_leaves_at_once(database: Database, db: Connection[Any]) -> None:
    """Whatever it waits for, also for a server that is frozen."""
    ear = Ear(database)
    async with ear.changes.running():
        await until(lambda: ear.mode == "listen")
        (pid,) = listeners(db)
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
    try:
        assert time.monotonic() - began < 2.0
    finally:
        os.kill(pid, signal.SIGCONT)


# Where LISTEN is in vain.


@pytest.fixture
def pooled(database: Database) -> Iterator[str]:
    """The database through PgBouncer in transaction mode."""
    with folders.server_folder() as folder:
        pooler = Pooler(database.server.cluster, Path(folder), pool_size=2)
        yield pooler.conninfo(database.name, user=USER)
        pooler.stop()


async def test_through_a_pooler_it_asks(database: Database, db: Connection[Any], pooled: str) -> None:
    """A LISTEN through PgBouncer succeeds; that nothing comes of it is found out, every time."""
    job = make_job(db)
    for _ in range(3):
        async with hearing(database, "poll", direct=pooled, write=pooled) as ear:
            everything = ear.floor("anything")
            db.execute("select scheduler.update_job(%s, '{}')", [job])
            other = make_job(db, f"{everything}")
            await until(lambda: ear.knows(other))  # noqa: B023 - ends within the turn
            assert ear.floor(f"job:{other}") > everything
            assert ear.floor("anything") == everything


async def test_listening_goes_on_where_the_pooler_is_not(
    database: Database, db: Connection[Any], pooled: str
) -> None:
    async with hearing(database, "listen", write=pooled) as ear:
        job = make_job(db)
        await until(lambda: ear.knows(job))


CLOSED = "host=127.0.0.1 port=1 dbname=x"


async def test_where_the_direct_way_is_closed_it_asks(database: Database, db: Connection[Any]) -> None:
    """At first it tries again soon, and begins to ask anew each time."""
    async with hearing(database, "poll", direct=CLOSED) as ear:
        await until(lambda: len(ear.heard) == 2)
        job = make_job(db)
        await until(lambda: ear.knows(job))


async def test_a_late_commit_is_not_missed(database: Database, connect: Connect) -> None:
    """Asked for by what could be seen, not by time: a change counts from its commit on."""
    with connect(autocommit=False) as conn, connect() as db:
        job = make_job(conn, "early, and late to commit")
        async with hearing(database, "poll", direct=CLOSED) as ear:
            await until(lambda: len(ear.heard) == 2)
            other = make_job(db, "late, and early to commit")
            await until(lambda: ear.knows(other))
            assert not ear.knows(job)
            conn.commit()
            await until(lambda: ear.knows(job))


@pytest.mark.alone
async def test_it_is_known_in_time(database: Database, db: Connection[Any]) -> None:
    """From the commit to the raised floor; one that came in a burst waits a little longer."""
    job = make_job(db)
    async with hearing(database) as ear:
        seconds = []
        for call in ["scheduler.pause_job(%s)", "scheduler.resume_job(%s)"] * 25:
            floor = ear.floor(f"job:{job}")
            committed_at = await asyncio.to_thread(timed, db, f"select {call}", job)
            await until(lambda: ear.floor(f"job:{job}") > floor)  # noqa: B023 - ends within the turn
            seconds.append(time.monotonic() - committed_at)
        assert statistics.median(seconds) < PROMISED_SECONDS


def timed(db: Connection[Any], query: str, job: str) -> float:
    """Returns when it was committed."""
    db.execute(query, [job])
    return time.monotonic()
