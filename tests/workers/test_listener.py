"""The listener and the session that it lends for claims."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import uvloop
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import Database
from tests.support.pooler import Pooler
from workers import queries
from workers.database import DeadlineExceededError, Lender, connect
from workers.listener import Listener, Session
from workers.looper import Outage


class Claimer:
    """Stands where the claimer does, and notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[int | None] = []
        self.session: Lender | None = None

    def hear(self, shard: int | None = None) -> None:
        self.heard.append(shard)


@pytest.fixture
def claimer() -> Claimer:
    """Who is told."""
    return Claimer()


@pytest.fixture(autouse=True)
def _telling(database: Database, db: Connection[Any]) -> None:
    """A database that tells."""
    db.execute(sql.SQL("alter database {} set scheduler.notify = on").format(sql.Identifier(database.name)))
    if database.pooler is not None:
        database.pooler.reconnect(database.name)


@asynccontextmanager
async def listening(
    claimer: Claimer, dsn: str, *, database: str | None = None
) -> AsyncIterator[asyncio.Task[float]]:
    """Has a listener take its turn while the block runs, which begins when it hears."""
    listener = Listener(dsn, Outage(), database=database or dsn, node_id="x", claimer=claimer)  # type: ignore[arg-type]
    turn = asyncio.create_task(listener.turn())
    async with asyncio.timeout(20):
        await until(lambda: turn.done() or bool(claimer.heard))
        if turn.done():
            turn.result()
        claimer.heard.clear()
        yield turn
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    """Lets others run until it is so."""
    while not is_so():  # noqa: ASYNC110 - some of it is so in the database
        await asyncio.sleep(0.001)


def lent(claimer: Claimer) -> Lender:
    """Returns the session that the claimer has."""
    assert claimer.session is not None
    return claimer.session


async def test_a_claim_by_the_session_is_one_by_the_link(
    database: Database, db: Connection[Any], claimer: Claimer
) -> None:
    worker_id = uuid4()
    db.execute("select scheduler.heartbeat(%s)", (worker_id,))
    payload = '{"n": 1.50, "quote": "\\\\\\""}'
    asked: dict[str, Any] = {
        "worker_id": worker_id,
        "max_executions": 10,
        "queues": ['{"a', "q,\\", "default"],
        "job_types": ["http", "python"],
        "handlers": ["h'ä", "null", ""],
    }
    enqueue = "select scheduler.enqueue('python', '{\"handler\": \"h''ä\"}', payload => %s)"
    claims = []
    async with listening(claimer, database.dsn(user="pgtick_worker", direct=True)):
        async with await connect(database.dsn(user="pgtick_worker"), application_name="x") as conn:
            db.execute(enqueue, (payload,))
            claims += await queries.claim(conn, **asked)
        async with lent(claimer).call() as conn:
            db.execute(enqueue, (payload,))
            claims += await queries.claim(conn, **asked, is_prepared=True)
            db.execute(enqueue.replace("h''", "h"), (payload,))
            assert await queries.claim(conn, **asked, is_prepared=True) == []
            db.execute(enqueue.replace("payload", "queue => 'other', payload"), (payload,))
            assert await queries.claim(conn, **asked, shard=3, is_prepared=True) == []
    first, second = claims
    assert first.payload == second.payload is not None
    assert (first.target, first.timeout) == (second.target, second.timeout)
    assert first.execution_id != second.execution_id


async def test_hears_what_is_read_together_with_an_answer(
    database: Database, db: Connection[Any], claimer: Claimer
) -> None:
    """Nothing comes after it that would have the loop look again."""
    async with listening(claimer, database.dsn(direct=True)), lent(claimer).call() as conn:
        for shard in range(18):
            asking = asyncio.create_task(conn.fetch(b"select pg_notify('scheduler_ready', '0')", []))
            await asyncio.sleep(0)  # it is sent, and this loop does not read before both are there
            db.execute("select pg_notify('scheduler_ready', %s)", (str(shard),))
            db.execute("select pg_sleep(0.02)")
            await asking
            await until(lambda: len(claimer.heard) == 2)
            assert set(claimer.heard) == {0, shard if shard < 16 else None}
            claimer.heard.clear()


async def test_a_broken_connection_leaves_no_reader_behind(
    database: Database, db: Connection[Any], claimer: Claimer, readers: set[int]
) -> None:
    """Else what is given the number of its socket next, such as a child's, cannot be waited for."""
    async with listening(claimer, database.dsn(direct=True)) as turn:
        async with lent(claimer).call() as conn:
            pid = conn.info.backend_pid
        assert len(readers) == 1
        db.execute("select pg_terminate_backend(%s)", (pid,))
        with pytest.raises(psycopg.OperationalError, match="consuming input failed"):
            await turn
        assert (readers, claimer.session) == (set(), None)


@pytest.mark.parametrize("how", ["deadline", "cancelled", "terminated"])
async def test_a_call_that_has_no_answer_ends_the_turn(
    database: Database, db: Connection[Any], claimer: Claimer, readers: set[int], how: str
) -> None:
    async def ask() -> None:
        async with lent(claimer).call(seconds=0.1 if how == "deadline" else 15) as conn:
            await conn.fetch(b"select pg_sleep(15)", [])

    async with listening(claimer, database.dsn(direct=True)) as turn:
        async with lent(claimer).call() as conn:
            pid = conn.info.backend_pid
        asking = asyncio.create_task(ask())
        sleeping = "select from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
        await until(lambda: bool(db.execute(sleeping, (pid,)).fetchall()))
        if how == "cancelled":
            asking.cancel()
        if how == "terminated":
            db.execute("select pg_terminate_backend(%s)", (pid,))
        expected = {
            "deadline": DeadlineExceededError,
            "cancelled": asyncio.CancelledError,
            "terminated": psycopg.errors.AdminShutdown,
        }
        with pytest.raises(expected[how]):
            await asking
        with pytest.raises(psycopg.OperationalError):
            await turn
        assert (readers, claimer.session) == (set(), None)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_reset_behind_what_is_still_to_be_read(
    database: Database, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    """Of which uvloop tells only once: the claimer would wait for ever, and with it who wants to leave."""
    server = conninfo_to_dict(database.dsn(direct=True))

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection(str(server["host"]), server["port"])
        asking = asyncio.create_task(pass_on(reader, downstream))
        while data := await upstream.read(1 << 16):
            if len(data) > 10_000:
                reset(writer, data[:100])
                break
            writer.write(data)
        asking.cancel()
        downstream.close()

    async def ask() -> None:
        relaying = await asyncio.start_server(relay, "127.0.0.1", 0)
        async with (
            asyncio.timeout(20),
            await connect(
                make_conninfo(database.dsn(direct=True), port=relaying.sockets[0].getsockname()[1]),
                application_name="test session",
            ) as conn,
        ):
            session = Session(conn)
            watching = asyncio.create_task(session.watch())
            with pytest.raises(psycopg.OperationalError):
                async with session.call() as conn:
                    await conn.fetch(b"select repeat('x', 20000)", [])
            with pytest.raises(psycopg.OperationalError):
                await watching
        relaying.close()

    run(ask())


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes on what is asked."""
    while data := await reader.read(1 << 16):
        writer.write(data)


def reset(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Sends the last that is sent, and breaks the connection as a crashed machine does."""
    writer.write(data)
    socket = writer.get_extra_info("socket")
    socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_a_login_that_may_not_claim_only_hears(
    database: Database, db: Connection[Any], claimer: Claimer
) -> None:
    async with listening(claimer, database.dsn(user="pgtick_api", direct=True)):
        assert claimer.session is None
        db.execute("select pg_notify('scheduler_ready', '5')")
        await until(lambda: claimer.heard == [5])


async def test_no_claim_goes_by_a_session_that_a_pooler_lends(
    database: Database, claimer: Claimer, server_folder: Path
) -> None:
    """The next would come to another session, which has no such statement."""
    pooler = Pooler(database.server.cluster, server_folder, pool_size=1)
    try:
        async with listening(claimer, pooler.conninfo(database.name, user="pgtick_worker")):
            assert claimer.session is None
    finally:
        pooler.stop()


async def test_no_claim_goes_to_another_database(database: Database, claimer: Claimer) -> None:
    """It has no lease of this worker, and never will."""
    other = database.server.clone_template()
    try:
        dsn = database.dsn(user="pgtick_worker")
        direct = database.dsn(user="pgtick_worker", direct=True)
        async with listening(claimer, direct, database=dsn):
            assert claimer.session is not None
        async with listening(claimer, direct, database=database.server.conninfo(other, user="pgtick_worker")):
            assert claimer.session is None
    finally:
        database.server.drop_database(other)


async def test_listens_without_plans_made_beforehand(
    database: Database, db: Connection[Any], claimer: Claimer
) -> None:
    """Newer than the functions: they are about to be migrated."""
    db.execute("drop function scheduler.warm_up()")
    async with listening(claimer, database.dsn(user="pgtick_worker", direct=True)):
        assert claimer.session is None
        db.execute("select pg_notify('scheduler_ready', '5')")
        await until(lambda: claimer.heard == [5])
