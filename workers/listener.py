"""The listener: hears at once of what is ready, where the database tells it (the setting scheduler.notify).

On a connection past PgBouncer, because LISTEN is bound to a session. While it is there, the claimer claims by
it: with nothing on the way, and the plan kept. Nothing rests on it: without it the claimer asks through the
pooler, and a lost notification costs one pause of its polling.
"""

from __future__ import annotations

import asyncio
import os

import psycopg
from psycopg.pq import TransactionStatus

from workers import queries
from workers.claimer import Claimer
from workers.database import (
    CALL_SECONDS,
    Connection,
    Deadline,
    Lender,
    Link,
    abort,
    connect,
    describe,
)
from workers.exchange import consume
from workers.looper import Looper, Outage

SILENT_SECONDS = 60.0
"""Where the database does not tell: how long until it is asked again whether it does."""

SHARDS = {b"%d" % shard: shard for shard in range(16)}


class Listener(Looper):
    """Tells the claimer of every notification, and lends it the connection."""

    name = "listener"

    def __init__(
        self, conninfo: str, outage: Outage, *, database: str, node_id: str, claimer: Claimer
    ) -> None:
        super().__init__(outage)
        self._conninfo = conninfo
        self._database = database
        self._application_name = f"pgtick listener {node_id}"
        self._claimer = claimer

    async def turn(self) -> float:
        """Listen until the connection breaks; the worker ends it by cancelling."""
        database = await self._find_database()
        conn = await connect(self._conninfo, application_name=self._application_name)
        async with conn:
            # Anybody may notify, of anything.
            conn.pgconn.notify_handler = lambda told: self._claimer.hear(SHARDS.get(told.extra))
            with Deadline(conn, seconds=CALL_SECONDS):
                if not await queries.listen(conn):
                    return SILENT_SECONDS
                fault = await _prepare(conn, database)
            self._outage.ends(self.name)
            session = Session(conn)
            self._claimer.hear()  # of what came before nobody tells
            try:
                if fault is None:
                    self._claimer.session = session
                else:
                    self._log.warning("claims go without DB_DIRECT_CONNECTION_STRING", reason=fault)
                await session.watch()
            finally:
                self._claimer.session = None
        return 0.0

    async def _find_database(self) -> queries.Identity:
        link = Link(self._database, application_name=self._application_name)
        try:
            async with link.call() as conn:
                return await queries.identity(conn)
        finally:
            await link.close()


async def _prepare(conn: Connection, database: queries.Identity) -> str | None:
    """Have a session make its plans; return why claims cannot go by it, None if they can."""
    if not await queries.is_direct(conn):  # each would come to another session
        return "it goes through a pooler: name the server itself"
    if await queries.identity(conn) != database:
        return "it leads to another database than DB_WRITE_CONNECTION_STRING"
    try:
        await queries.warm_up(conn)
        await queries.prepare_claim(conn)
    except psycopg.errors.InsufficientPrivilege as error:
        return f"{describe(error)}: grant pgtick_worker to its login"
    except psycopg.ProgrammingError as error:
        return f"{describe(error)}: run `pgtick migrate`"
    return None


class Session(Lender):
    """The listener's connection, which is watched all the time, and lent for claims."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._answer: asyncio.Future[None] | None = None
        connection.readable = self._readable

    async def connected(self) -> Connection:
        """Return the connection."""
        return self._connection

    async def close(self) -> None:
        """Break the connection, which the listener sees."""
        abort(self._connection)
        await self._connection.close()

    async def watch(self) -> None:
        """Pass on every notification until the connection breaks, which raises.

        As libpq has it: by psycopg's iterator it is 0.4 ms from the socket to here, a tenth of a start.
        """
        # A descriptor of our own: libpq closes its at the break, and what gets that number next would not
        # work.
        descriptor = os.dup(self._connection.pgconn.socket)
        self._loop.add_reader(descriptor, self._read, descriptor)
        try:
            await self._broken
        finally:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)

    def _read(self, descriptor: int) -> None:
        pgconn = self._connection.pgconn
        if pgconn.transaction_status == TransactionStatus.ACTIVE:  # who asked reads
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(None)
        else:
            try:
                consume(pgconn)
            except Exception as error:
                if not self._broken.done():
                    self._broken.set_exception(error)
        self._loop.call_soon(self._watch_on, descriptor)

    def _watch_on(self, descriptor: int) -> None:
        # Of a connection that was reset uvloop tells once, though what came before that is still to be read.
        if not self._broken.done():
            self._loop.remove_reader(descriptor)
            self._loop.add_reader(descriptor, self._read, descriptor)

    async def _readable(self) -> None:
        self._answer = self._loop.create_future()
        await self._answer
