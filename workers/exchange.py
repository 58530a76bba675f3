"""One statement and its answer, by libpq itself.

For claims: by psycopg's cursor one takes a worker that slept until then 0.7 ms of processor time, so 0.25,
and of the 3.5 ms from enqueue to start that is felt. All else goes by psycopg.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

Readable = Callable[[], Awaitable[None]]


async def exchange(
    pgconn: PGconn,
    statement: bytes,
    values: Sequence[bytes | None],
    *,
    is_prepared: bool,
    readable: Readable | None = None,
) -> PGresult:
    """Send a statement, or the name of a prepared one, with its values as text; return its rows in binary
    form, or raise its error.

    `readable` waits until something has come, where the socket is watched already. The connection of an
    exchange that is cancelled has to be closed: the answer may still come.
    """
    send = pgconn.send_query_prepared if is_prepared else pgconn.send_query_params
    send(statement, values, result_format=Format.BINARY)
    while pgconn.flush():
        await _wait(pgconn.socket, writing=True)
    result = await _receive(pgconn, readable or (lambda: _wait(pgconn.socket)))
    hear(pgconn)  # of what came behind the answer
    if result.status != ExecStatus.TUPLES_OK:
        raise error_from_result(result)
    return result


def consume(pgconn: PGconn) -> None:
    """Read what has come, and pass on the notifications among it."""
    pgconn.consume_input()
    hear(pgconn)


def hear(pgconn: PGconn) -> None:
    """Pass on the notifications among what was read."""
    while (notification := pgconn.notifies()) is not None:
        if pgconn.notify_handler is not None:
            pgconn.notify_handler(notification)


async def _receive(pgconn: PGconn, readable: Readable) -> PGresult:
    """Return a statement's result when the server is ready for the next one: until then its commit may fail,
    though all rows have come.
    """
    found: PGresult | None = None
    while True:
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                assert found is not None  # noqa: S101 - every statement has one
                return found
            found = result
        await readable()
        try:
            consume(pgconn)
        except psycopg.OperationalError:
            if found is None or found.status != ExecStatus.FATAL_ERROR:
                raise
            return found  # what the server said before it hung up


async def _wait(descriptor: int, *, writing: bool = False) -> None:
    """Wait until a socket can be used; nobody watches it when libpq, which may close it, goes on."""
    loop = asyncio.get_running_loop()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    usable = loop.create_future()

    def resolve() -> None:
        if not usable.done():
            usable.set_result(None)

    add(descriptor, resolve)
    try:
        await usable
    finally:
        remove(descriptor)
