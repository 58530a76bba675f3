"""One statement and its answer, by libpq itself: as psycopg's cursor would, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import Mock

import psycopg
import pytest
from psycopg.errors import AdminShutdown, ForeignKeyViolation, InvalidTextRepresentation

from tests.conftest import Database
from workers.database import Connection, DeadlineExceededError, Link, connect
from workers.exchange import exchange

ECHO = b"select $1::text, $2::integer, $3::timestamptz, null"


@pytest.fixture
async def conn(database: Database) -> AsyncIterator[Connection]:
    """A worker's connection, through the pooler if there is one."""
    async with await connect(database.dsn(), application_name="test exchange") as conn, asyncio.timeout(20):
        yield conn


async def test_rows_are_those_of_a_cursor(conn: Connection) -> None:
    values = ("ä\\\"'", "7", "2026-11-28 01:02:03.456789+05:30")
    cursor = await conn.execute(
        ECHO.replace(b"$1", b"%s").replace(b"$2", b"%s").replace(b"$3", b"%s"), values
    )
    rows = await cursor.fetchall()
    for _ in range(2):
        assert await conn.fetch(ECHO, [value.encode() for value in values]) == rows
    assert await conn.fetch(b"select 1 where false", []) == []


async def test_an_error_is_that_of_a_cursor_and_the_connection_goes_on(conn: Connection) -> None:
    with pytest.raises(InvalidTextRepresentation, match="invalid input syntax") as raised:
        await conn.fetch(b"select $1::integer", [b"x"])
    assert (raised.value.sqlstate, raised.value.diag.message_primary) == (
        "22P02",
        'invalid input syntax for type integer: "x"',
    )
    assert await conn.fetch(b"select 1", []) == [(1,)]


async def test_an_error_at_the_commit_counts_though_rows_have_come(conn: Connection) -> None:
    await conn.execute("create table parent (id integer primary key)")
    await conn.execute("create table child (id integer references parent deferrable initially deferred)")
    with pytest.raises(ForeignKeyViolation):
        await conn.fetch(b"insert into child values (1) returning id", [])
    assert await conn.fetch(b"select from child", []) == []


async def test_more_than_the_sockets_take_at_once(conn: Connection) -> None:
    text = b"0123456789" * 3_000_000
    assert await conn.fetch(b"select $1::text, length($1)", [text]) == [(text.decode(), len(text))]


@pytest.mark.parametrize("rows", [1, 10_000])
async def test_what_the_server_says_before_it_hangs_up(database: Database, rows: int) -> None:
    """Rows that came before it are none: nobody knows whether they are committed."""
    statement = b"select repeat('x', 100), pg_terminate_backend(pg_backend_pid()) from generate_series(1, $1)"
    async with (
        await connect(database.dsn(direct=True), application_name="test exchange") as conn,
        asyncio.timeout(20),
    ):
        with pytest.raises(AdminShutdown, match="terminating connection"):
            await conn.fetch(statement, [b"%d" % rows])
        assert conn.closed


async def test_rows_count_only_when_the_server_is_ready_again(conn: Connection) -> None:
    """Until then its commit may fail. No server stops just there when told: a stand-in for libpq says so."""
    cut = Mock(socket=conn.pgconn.socket)
    cut.is_busy.side_effect = [False, True]
    cut.get_result.return_value = (await conn.execute("select 1")).pgresult
    cut.consume_input.side_effect = psycopg.OperationalError("the server closed the connection")
    cut.flush.return_value = 0

    async def readable() -> None:
        """Something has come."""

    with pytest.raises(psycopg.OperationalError, match="closed the connection"):
        await exchange(cut, b"", [], is_prepared=False, readable=readable)


async def test_a_silent_server_is_cut_and_the_next_call_connects_anew(database: Database) -> None:
    link = Link(database.dsn(), application_name="test exchange")
    async with asyncio.timeout(20):
        with pytest.raises(DeadlineExceededError, match=r"within 0\.1 s"):
            async with link.call(seconds=0.1) as conn:
                await conn.fetch(b"select pg_sleep(15)", [])
        async with link.call() as conn:
            assert await conn.fetch(b"select 1", []) == [(1,)]
        await link.close()


async def test_a_cancelled_one_leaves_neither_its_answer_nor_a_reader(
    database: Database, readers: set[int]
) -> None:
    link = Link(database.dsn(), application_name="test exchange")

    async def ask() -> None:
        async with link.call() as conn:
            await conn.fetch(b"select 'late' from pg_sleep(0.2)", [])

    async with asyncio.timeout(20):
        asking = asyncio.create_task(ask())
        while not readers:  # noqa: ASYNC110 - sent, and waiting
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert readers == set()
        async with link.call() as conn:
            assert await conn.fetch(b"select 1", []) == [(1,)]
        await link.close()
