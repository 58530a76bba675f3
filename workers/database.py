"""Connections to the database: one for each part of a process, opened when needed, with a deadline on every
call.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
from psycopg.types.json import set_json_loads

from workers.documents import from_json

CALL_SECONDS = 5.0
CONNECT_SECONDS = 5

# A dead peer shows within about ten seconds even where no deadline is running.
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}


# Classes of SQLSTATE: connection, transaction state, authorization, rollback, resources, locks, an operator's
# doing, the system.
PASSING = frozenset(("08", "25", "28", "40", "53", "55", "57", "58"))


# What a server, or PgBouncer before it, says when it does not serve us -> the fix. (app/db.py has the same
# for the command line.)
FIXES = (
    ("password authentication failed|no password supplied", "correct user and password in {variable}"),
    (
        # PgBouncer says this of an unknown user, too.
        "SASL authentication failed",
        "correct user and password in {variable}; PgBouncer's userlist.txt must have the login",
    ),
    ("no such database", "correct the database's name in {variable}, or add it to pgbouncer.ini"),
    ('database "[^"]*" does not exist', "create it, or correct its name in {variable}"),
    ('role "[^"]*" does not exist', "create the role, or correct the user in {variable}"),
    (
        "server login has been failing|query_wait_timeout",
        "PgBouncer answers, but had no connection to the database for us; try again, else see its log",
    ),
    (
        "Connection refused|timeout expired|No route to host",
        "start it, or correct host and port in {variable}",
    ),
    ("resolve host|translate host", "correct the host in {variable}"),
    ("permission denied", "grant {role} to the login of {variable}, or name another one"),
)


class Connection(psycopg.AsyncConnection[Any]):
    """One that is cut where psycopg would send a cancel request.

    Of those PgBouncer 1.18, which Debian 12 ships, can die: "bad client state" in disconnect_client().
    """

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:  # noqa: ARG002, ASYNC109 - psycopg's
        """Cut the line: the server notices when it answers, or by client_connection_check_interval."""
        abort(self)


class DeadlineExceededError(psycopg.OperationalError):
    """The database did not answer in time; the connection was dropped."""


class Link:
    """The one connection of one part; a part never waits for another's call."""

    def __init__(self, conninfo: str, *, application_name: str) -> None:
        self._conninfo = conninfo
        self._application_name = application_name
        self._connection: Connection | None = None

    @contextlib.asynccontextmanager
    async def call(self, *, seconds: float = CALL_SECONDS) -> AsyncIterator[Connection]:
        """Lend the connection for one call, which has to end in time."""
        connection = await self._connected()
        try:
            with deadline(connection, seconds=seconds):
                yield connection
        finally:
            # Also after a cancelled call: its answer may still be on the way.
            if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                await self.close()

    async def close(self) -> None:
        """Drop the connection; the next call opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._conninfo, application_name=self._application_name)
        return self._connection


async def connect(conninfo: str, *, application_name: str) -> Connection:
    """Open a connection that works through a pooler: autocommit, nothing prepared, no state."""
    connection = await Connection.connect(
        conninfo,
        autocommit=True,
        prepare_threshold=None,
        application_name=application_name,
        connect_timeout=CONNECT_SECONDS,
        client_encoding="utf8",  # whatever PGCLIENTENCODING says: payloads hold any character
        **KEEPALIVE,
    )
    # By psycopg's own way, one number of too many digits would fail a whole claim, again and again.
    set_json_loads(from_json, connection)
    return connection


@contextlib.contextmanager
def deadline(connection: psycopg.AsyncConnection[Any], *, seconds: float) -> Iterator[None]:
    """Cut the connection when the time is up: a frozen server does not even answer a cancellation."""
    expired = False

    def cut() -> None:
        nonlocal expired
        expired = True
        abort(connection)

    timer = asyncio.get_running_loop().call_later(seconds, cut)
    try:
        yield
    except psycopg.OperationalError:
        if expired:
            raise DeadlineExceededError(f"no answer from the database within {seconds:g} s") from None
        raise
    finally:
        timer.cancel()


def abort(connection: psycopg.AsyncConnection[Any]) -> None:
    """Shut the connection's socket, so that whoever waits on it gets an error at once."""
    with contextlib.suppress(psycopg.OperationalError, OSError):
        duplicate = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        try:
            duplicate.shutdown(socket.SHUT_RDWR)
        finally:
            duplicate.close()


def may_pass(error: psycopg.Error) -> bool:
    """Tell whether the same call may succeed later: the database is away, busy, or refuses us for now.

    All else is about what was sent: a value, or too much of it.
    """
    return error.sqlstate is None or error.sqlstate[:2] in PASSING


def describe(error: BaseException) -> str:
    """Say what went wrong in one line: message, detail, hint."""
    diag = getattr(error, "diag", None)
    parts = [getattr(diag, name, None) for name in ("message_primary", "message_detail", "message_hint")]
    if parts[0] is None:
        parts = [str(error) or type(error).__name__]
    return "; ".join(" ".join(part.split()) for part in parts if part)


def advise(error: psycopg.Error, *, variable: str, role: str) -> str:
    """Say why a process cannot begin, and the fix, in one line; the variable is the one that leads there."""
    reason = describe(error)
    fix = next((fix for pattern, fix in FIXES if re.search(pattern, reason)), None)
    return f"{reason}: {fix.format(variable=variable, role=role)}" if fix else reason
