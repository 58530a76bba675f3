"""What tells this process that something was changed in the database, whoever did it: by one connection.

It LISTENs on the primary, past any pooler. Where that cannot be, it asks once a second. Which it is, is tried
and not believed: through PgBouncer in transaction mode a LISTEN succeeds, and nothing ever comes.

For each change, or the many of one moment, it puts a mark into the primary's log and raises the floors of
what was changed to that. The mark is an empty message, committed: so the log goes on, and what is read from
now on is certain to include the floor; and it is flushed, so that the replicas get there at once.
Notifications are lost while nobody listens: whenever it begins, the mark becomes the floor of everything.

Nothing rests on it. Without, an entry of the cache is as old as its TTL at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Literal

import msgspec
import structlog
from psycopg import sql

from app.api.cache import Cache
from app.api.cache_rules import tags_of
from app.api.pools import CONNECT_SECONDS, Connection, cut

CHANNEL = "scheduler_changes"
PROOF_SECONDS = 1.0
CALL_SECONDS = 2.0
BEAT_SECONDS = 5.0
"""So often a connection on which nothing comes is asked whether it still lives."""
PAUSE_SECONDS = 0.02
"""From one mark to the next; what comes meanwhile shares the next."""
POLL_SECONDS = 1.0
LISTEN_AGAIN_SECONDS = 60.0
"""So long it asks before it tries to LISTEN again."""
RETRY_MIN_SECONDS = 0.1
RETRY_MAX_SECONDS = 2.0

_MARK = "select (pg_logical_emit_message(true, 'pgtick', '') - '0/0'::pg_lsn)::bigint"
# The history is a database of a cluster in a timeline: the LSNs of two cannot be compared.
_BEGIN = """
    select (pg_logical_emit_message(true, 'pgtick', '') - '0/0'::pg_lsn)::bigint,
           concat_ws('.', (select c.system_identifier from pg_control_system() c),
                     (select d.oid from pg_database d where d.datname = current_database()),
                     left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))
"""

Mode = Literal["listen", "poll", "down"]


class Change(msgspec.Struct, frozen=True):
    """What was changed: a job, an execution or a key."""

    kind: str
    id: str


Subscriber = Callable[[frozenset[Change] | None], None]
"""Is told what was changed; None: it may have been anything."""


class _Changes(msgspec.Struct):
    cursor: str
    changes: list[Change]
    all: bool


class _SilenceError(Exception):
    """A notification did not come through."""


class Changes:
    """Hears of changes, raises the cache's floors, and tells whoever wants to know."""

    def __init__(self, cache: Cache, *, direct_conninfo: str, write_conninfo: str, node_id: str) -> None:
        """LISTENs by the direct connection string, asks by the other."""
        self.mode: Mode = "down"
        """How it hears of changes now."""
        self._cache = cache
        self._direct_conninfo = direct_conninfo
        self._write_conninfo = write_conninfo
        self._node_id = node_id
        self._subscribers: list[Subscriber] = []
        self._log = structlog.get_logger("changes")

    def subscribe(self, subscriber: Subscriber) -> None:
        """Has somebody told of all that changes from now on, after the floors were raised."""
        self._subscribers.append(subscriber)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hears for as long as the block lasts."""
        task = asyncio.create_task(self._run(), name="changes")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        failures = 0
        while True:
            failures += 1
            try:
                await self._listen()
            except _SilenceError:
                seconds, why = LISTEN_AGAIN_SECONDS, "no notification comes through, as behind a pooler"
            except Exception as error:
                why = _line(error)
                if self.mode == "listen":
                    failures = 0
                    self._enter("down", why)
                    await asyncio.sleep(_retry_seconds(0))
                    continue
                # Where asking has worked until now, there is no hurry.
                seconds = LISTEN_AGAIN_SECONDS if self.mode == "poll" else _retry_seconds(failures)
            try:
                async with asyncio.timeout(seconds):
                    await self._poll(why)
            except TimeoutError:
                continue
            except Exception as error:
                self._enter("down", _line(error))
                await asyncio.sleep(_retry_seconds(failures))

    async def _listen(self) -> None:
        async with self._connected(self._direct_conninfo) as conn:
            await self._prove(conn)
            await self._begin(conn, "listen")
            while True:
                heard = [n async for n in conn.notifies(timeout=BEAT_SECONDS, stop_after=1)]
                if not heard:
                    with _deadline(conn):
                        await conn.execute("")
                    continue
                await self._changed(conn, _parse([n.payload for n in heard if n.channel == CHANNEL]))
                await asyncio.sleep(PAUSE_SECONDS)

    async def _prove(self, conn: Connection) -> None:
        """Raises where notifications do not come through."""
        probe = sql.Identifier(f"pgtick_probe_{secrets.token_hex(8)}")
        with _deadline(conn):
            await conn.execute(sql.SQL("listen {}").format(sql.Identifier(CHANNEL)))
            await conn.execute(sql.SQL("listen {}").format(probe))
        # By another connection: a pooler passes on what comes in answer to a statement, and drops the rest.
        async with self._connected(self._direct_conninfo) as other:
            with _deadline(other):
                await other.execute(sql.SQL("notify {}").format(probe))
        async with contextlib.aclosing(conn.notifies(timeout=PROOF_SECONDS)) as notifications:
            async for notification in notifications:
                if notification.channel != CHANNEL:
                    return
        with _deadline(conn):  # so that the pooler's connection is not listening for ever
            await conn.execute("unlisten *")
        raise _SilenceError

    async def _poll(self, why: str) -> None:
        async with self._connected(self._write_conninfo) as conn:
            found = await self._ask(conn, None)
            await self._begin(conn, "poll", why)
            while True:
                await asyncio.sleep(POLL_SECONDS * random.uniform(0.8, 1.0))  # noqa: S311
                found = await self._ask(conn, found.cursor)
                if found.all or found.changes:
                    await self._changed(conn, None if found.all else frozenset(found.changes))

    async def _ask(self, conn: Connection, cursor: str | None) -> _Changes:
        with _deadline(conn):
            answer = await conn.execute("select scheduler.changes_since(cursor => %s)::text", [cursor])
            row = await answer.fetchone()
        assert row is not None  # noqa: S101 - one row by construction
        return msgspec.json.decode(row[0], type=_Changes)

    async def _begin(self, conn: Connection, mode: Mode, why: str = "") -> None:
        with _deadline(conn):
            row = await (await conn.execute(_BEGIN)).fetchone()
        assert row is not None  # noqa: S101
        lsn, history = row
        self._cache.begin(history, lsn)
        self._enter(mode, why)
        self._tell(None)

    async def _changed(self, conn: Connection, changes: frozenset[Change] | None) -> None:
        with _deadline(conn):
            row = await (await conn.execute(_MARK)).fetchone()
        assert row is not None  # noqa: S101
        tags = [tags_of(change.kind, change.id) for change in changes or ()]
        if not all(tags) or not tags:  # it may have been anything
            self._cache.floors.raise_all(row[0])
        for tag in {tag for some in tags for tag in some}:
            self._cache.floors.raise_floor(tag, row[0])
        self._tell(changes)

    def _tell(self, changes: frozenset[Change] | None) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(changes)
            except Exception as error:
                self._log.error("a subscriber failed", exc_info=error)

    def _enter(self, mode: Mode, why: str) -> None:
        if mode == self.mode:
            return
        self.mode = mode
        if mode == "listen":
            self._log.info("hears of changes")
        elif mode == "poll":
            self._log.warning("cannot listen for changes, asks once a second", error=why)
        else:
            self._log.warning("does not hear of changes", error=why)

    @contextlib.asynccontextmanager
    async def _connected(self, conninfo: str) -> AsyncIterator[Connection]:
        conn = await Connection.connect(
            conninfo,
            autocommit=True,
            prepare_threshold=None,
            application_name=f"pgtick changes {self._node_id}",
            connect_timeout=CONNECT_SECONDS,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=8000,
        )
        try:
            yield conn
        except asyncio.CancelledError:
            cut(conn)  # else psycopg waits for the server's word on the cancellation
            raise
        finally:
            await conn.close()


@contextlib.contextmanager
def _deadline(conn: Connection) -> Iterator[None]:
    """Cuts the line when the time is up: a frozen server answers no cancellation."""
    timer = asyncio.get_running_loop().call_later(CALL_SECONDS, cut, conn)
    try:
        yield
    finally:
        timer.cancel()


def _parse(payloads: list[str]) -> frozenset[Change] | None:
    """Returns the changes; None if there is one that cannot be read: anybody may notify of anything."""
    try:
        return frozenset(msgspec.json.decode(payload, type=Change) for payload in payloads)
    except msgspec.DecodeError:
        return None


def _retry_seconds(failures: int) -> float:
    ceiling = min(RETRY_MAX_SECONDS, RETRY_MIN_SECONDS * 2.0 ** min(failures, 10))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
