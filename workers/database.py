"""Connections to the database: one for each part of a process, opened when needed, with a deadline on every
call.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import psycopg
import psycopg.abc
from psycopg.adapt import Transformer
from psycopg.pq import TransactionStatus
from psycopg.types.json import set_json_loads

from workers.documents import from_json
from workers.exchange import Readable, exchange

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

    readable: Readable | None = None
    """Set by who watches the socket all the time: waits until something has come."""
    _loaders: psycopg.abc.Transformer | None = None
    """Kept: to find those of a claim's columns takes longer than to use them."""

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:  # noqa: ARG002, ASYNC109 - psycopg's
        """Cut the line: the server notices when it answers, or by client_connection_check_interval."""
        abort(self)

    async def fetch(
        self, statement: bytes, values: Sequence[bytes | None], *, is_prepared: bool = False
    ) -> list[tuple[Any, ...]]:
        """Fetch the rows of a statement, or of a prepared one by its name; its values are sent as text."""
        result = await exchange(
            self.pgconn, statement, values, is_prepared=is_prepared, readable=self.readable
        )
        loaders = self._loaders
        if loaders is None:
            loaders = self._loaders = Transformer.from_context(self)
        loaders.set_pgresult(result)
        return loaders.load_rows(0, result.ntuples, tuple)


class DeadlineExceededError(psycopg.OperationalError):
    """The database did not answer in time; the connection was dropped."""


class Lender(ABC):
    """Who has a connection, and lends it for one call at a time."""

    def call(self, *, seconds: float = CALL_SECONDS) -> Call:
        """Lend the connection for one call, which has to end in time."""
        return Call(self, seconds)

    @abstractmethod
    async def connected(self) -> Connection:
        """Return the connection, opened where it can be."""

    @abstractmethod
    async def close(self) -> None:
        """Drop the connection: nobody knows what would come on it next."""


class Link(Lender):
    """The one connection of one part; a part never waits for another's call."""

    def __init__(self, conninfo: str, *, application_name: str) -> None:
        self._conninfo = conninfo
        self._application_name = application_name
        self._connection: Connection | None = None

    async def close(self) -> None:
        """Drop the connection; the next call opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def connected(self) -> Connection:
        """Return the connection, opened where there is none."""
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._conninfo, application_name=self._application_name)
        return self._connection


class Call:
    """One call on a connection, which has to end in time."""

    __slots__ = ("_connection", "_deadline", "_lender", "_seconds")

    def __init__(self, lender: Lender, seconds: float) -> None:
        self._lender = lender
        self._seconds = seconds

    async def __aenter__(self) -> Connection:
        self._connection = await self._lender.connected()
        self._deadline = Deadline(self._connection, seconds=self._seconds)
        self._deadline.__enter__()
        return self._connection

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            # Broken, or cancelled: its answer may still be on the way.
            if self._connection.pgconn.transaction_status != TransactionStatus.IDLE:
                await self._lender.close()
        finally:
            self._deadline.__exit__(kind, error, traceback)


class Deadline:
    """Cuts the connection when the time is up: a frozen server does not even answer a cancellation.

    Like a call no generator: as these they were a tenth of what a claim takes.
    """

    __slots__ = ("_connection", "_expired", "_seconds", "_timer")

    def __init__(self, connection: psycopg.AsyncConnection[Any], *, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._cut)

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._timer.cancel()
        if self._expired and isinstance(error, psycopg.OperationalError):
            message = f"no answer from the database within {self._seconds:g} s"
            raise DeadlineExceededError(message) from None

    def _cut(self) -> None:
        self._expired = True
        abort(self._connection)


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
