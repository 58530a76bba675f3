"""The connections of the API and of the workers: what they send when somebody loses patience."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import app.api.pools
import workers.database
from tests.conftest import Database
from workers import queries

Connection = psycopg.AsyncConnection[Any]
DOES = "select query from pg_stat_activity where pid = %s and state = 'active'"


class Relay:
    """Passes on what comes for a server, and counts the connections: a cancel request is one."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves a connection."""
        self.connections += 1
        there, back = await asyncio.open_connection(*self._target)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, back))
            group.create_task(self._pass(there, writer))

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def relaying(dsn: str) -> AsyncIterator[tuple[Relay, str]]:
    """Gives a relay to a server, and how to connect to it."""
    target = conninfo_to_dict(dsn)
    relay = Relay(str(target["host"]), int(str(target["port"])))
    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        yield relay, make_conninfo(dsn, host="127.0.0.1", port=server.sockets[0].getsockname()[1])


async def until_it_sleeps(watcher: Connection, pid: int) -> None:
    """Waits until a session is in its statement."""
    async with asyncio.timeout(20):
        while not await (await watcher.execute(DOES, [pid])).fetchall():  # noqa: ASYNC110 - another session is looked at
            await asyncio.sleep(0.01)


@pytest.mark.direct
@pytest.mark.parametrize(
    ("kind", "requests"),
    [
        (app.api.pools.Connection, 0),
        (workers.database.Connection, 0),
        (psycopg.AsyncConnection, 1),  # so the relay would have seen it
    ],
)
async def test_who_gives_up_sends_no_cancel_request(
    database: Database, kind: type[Connection], requests: int
) -> None:
    async with (
        relaying(database.dsn()) as (relay, dsn),
        await psycopg.AsyncConnection.connect(database.dsn(), autocommit=True) as watcher,
        await kind.connect(dsn, autocommit=True) as conn,
    ):
        sleeping = asyncio.create_task(conn.execute("select pg_sleep(60)"))
        await until_it_sleeps(watcher, conn.info.backend_pid)
        sleeping.cancel()
        await asyncio.wait([sleeping], timeout=20)
        assert sleeping.done()
        assert relay.connections == 1 + requests


@pytest.mark.direct
async def test_a_signal_meets_only_the_transaction_that_it_is_for(database: Database) -> None:
    async def begin() -> queries.Transaction:
        await conn.execute("begin")
        row = await (await conn.execute("select pg_backend_pid(), now()")).fetchone()
        assert row is not None
        return queries.Transaction(pid=row[0], started_at=row[1])

    async with (
        await workers.database.connect(database.dsn(), application_name="signals") as other,
        await workers.database.connect(database.dsn(), application_name="job") as conn,
    ):
        ended = await begin()
        await conn.execute("commit")
        present = await begin()
        sleeping = asyncio.create_task(conn.execute("select pg_sleep(60)"))
        await until_it_sleeps(other, present.pid)
        for stop in (queries.cancel_statement, queries.terminate_session):
            await stop(other, ended)
        assert await (await other.execute(DOES, [present.pid])).fetchall()
        await queries.cancel_statement(other, present)
        with pytest.raises(psycopg.errors.QueryCanceled):
            await sleeping
        await conn.execute("rollback")
