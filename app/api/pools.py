"""Connections of an API process: pooled, each call with a deadline, nothing kept in a session."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

CONNECT_SECONDS = 3
CHECKOUT_SECONDS = 2.0
RECONNECT_SECONDS = 1.0
WAITING_PER_CONNECTION = 40
"""So many may wait for each connection of a pool: more would only learn later that it is too much."""


class Connection(AsyncConnection[Any]):
    """One that is cut where psycopg would send a cancel request.

    Of those PgBouncer 1.18, which Debian 12 ships, can die: "bad client state" in disconnect_client().
    """

    is_cut = False

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:  # noqa: ARG002, ASYNC109 - psycopg's
        """Cuts the line: the server notices when it answers, or by client_connection_check_interval."""
        cut(self)


class DeadlineExceededError(psycopg.OperationalError):
    """The call did not end in time; its connection was cut."""


class UnreachableError(PoolTimeout):
    """No connection is to be had, although the pool may have more: nobody answers, or nobody takes us."""


def make_pool(conninfo: str, *, name: str, size: int, node_id: str) -> AsyncConnectionPool[Connection]:
    """Returns a pool, not opened yet. Works through PgBouncer in transaction mode."""
    return AsyncConnectionPool(
        conninfo,
        connection_class=Connection,
        name=name,
        min_size=1,
        max_size=size,
        open=False,
        timeout=CHECKOUT_SECONDS,
        max_waiting=size * WAITING_PER_CONNECTION,
        max_lifetime=600.0,
        max_idle=120.0,
        # Between tries a pool waits ever longer, and nobody else may try: so it gives up soon, and whoever
        # needs a connection next has it try anew.
        reconnect_timeout=RECONNECT_SECONDS,
        kwargs=_options(node_id),
    )


async def connect(conninfo: str, *, node_id: str) -> Connection:
    """Returns a connection that is in no pool."""
    return await Connection.connect(conninfo, **_options(node_id))


def _options(node_id: str) -> dict[str, Any]:
    return {
        "autocommit": True,
        "prepare_threshold": None,
        "client_encoding": "utf8",  # whatever PGCLIENTENCODING says: payloads hold any character
        # Arguments are put in here: two statements with arguments then go out in one trip.
        "cursor_factory": AsyncClientCursor,
        "application_name": f"pgtick api {node_id}",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 8000,
    }


@contextlib.asynccontextmanager
async def lent(pool: AsyncConnectionPool[Connection], *, seconds: float) -> AsyncIterator[Connection]:
    """Lends a connection for a call that has to end in time.

    When the time is up the line is cut: a frozen server answers no cancellation, and a call that is cancelled
    may wait for one. Raises DeadlineExceededError then.
    """
    try:
        async with pool.connection() as conn:
            with deadline(conn, seconds=seconds):
                yield conn
            if conn.is_cut:  # beside an answer that had come already
                await conn.close()
    except (PoolTimeout, TooManyRequests) as error:
        if is_exhausted(pool):
            raise
        raise UnreachableError(str(error)) from None


def is_exhausted(pool: AsyncConnectionPool[Connection]) -> bool:
    """Tells whether a pool has all the connections that it may have."""
    stats = pool.get_stats()
    return stats["pool_size"] >= stats["pool_max"]


@contextlib.contextmanager
def deadline(conn: Connection, *, seconds: float) -> Iterator[None]:
    """Cuts the connection when the time is up, or the call is cancelled."""
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        cut(conn)

    timer = asyncio.get_running_loop().call_later(seconds, expire)
    try:
        yield
    except asyncio.CancelledError:
        cut(conn)  # else psycopg waits for the server's word on the cancellation
        raise
    except psycopg.OperationalError:
        if expired:
            raise DeadlineExceededError(f"no answer within {seconds:g} s") from None
        raise
    finally:
        timer.cancel()


def cut(conn: Connection) -> None:
    """Shuts the connection's socket, so that whoever waits on it gets an error at once."""
    conn.is_cut = True
    with contextlib.suppress(psycopg.OperationalError, OSError):
        duplicate = socket.fromfd(conn.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        try:
            duplicate.shutdown(socket.SHUT_RDWR)
        finally:
            duplicate.close()
