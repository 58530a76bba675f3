"""Where a read goes: to the least busy replica that is fresh enough, else to the primary.

Fresh enough is one rule: the answer includes the floor, an LSN. A replica is asked for its LSN in the same
trip as for the data; one that is behind gets 50 ms to catch up. One that fails is passed over, and a watch
looks twice a second whether it is back, so that nobody but the first few pays for a dead one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Literal

import psycopg
import structlog
from psycopg.errors import QueryCanceled
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from app.api.pools import Connection, DeadlineExceededError, deadline, is_exhausted, lent
from app.api.queries import LSN

READ_SECONDS = 3.0
WATCH_SECONDS = 0.5
WATCH_CALL_SECONDS = 1.0
WATCHING_SECONDS = 60.0
"""So long the watch goes by one connection."""
CATCH_UP_SECONDS = 0.05
CATCH_UP_STEP_SECONDS = 0.005
KNOWN_LAGGARD_SECONDS = 0.2
"""A replica that was further behind than this when last looked at is not waited for."""

STRAY = RuntimeError(
    "it is ahead of the primary, so it does not follow it: rebuild it, or correct its address"
)
"""As after a failover to a replica that was behind it. It stands still, and its LSNs mean nothing here."""

OTHER_PRIMARY = RuntimeError(
    "it takes writes, and the primary is another server: rebuild it as a replica, or correct its address"
)
"""As one that was promoted to try something. Its LSNs go on, and may be anywhere."""

WRITABLE_SINCE = b"select extract(epoch from pg_postmaster_start_time())::text where not pg_is_in_recovery()"
"""The same of two addresses: they lead to the same server, which is no replica."""

FULL = (PoolTimeout, TooManyRequests)
"""No connection is to be had. Where all are in use, only the watch tells whether the source is well."""
# A source that answers so is passed over: the next one may well answer.
FAILURES = (psycopg.OperationalError, PoolClosed, OSError, *FULL)

_log = structlog.get_logger("replicas")


class Source:
    """The primary or a replica: its pool and what is known of it."""

    def __init__(
        self,
        name: str,
        pool: AsyncConnectionPool[Connection],
        connect: Callable[[], Coroutine[Any, Any, Connection]],
    ) -> None:
        self.name = name
        self.pool = pool
        self._connect = connect
        self._connecting: asyncio.Task[Connection] | None = None
        self._watching: Connection | None = None
        self._watching_until = 0.0
        self.in_flight = 0
        self.lsn = 0
        """The newest LSN that it was seen at."""
        self.writable_since: str | None = None
        """When it started, if it takes writes, as the watch saw it last."""
        self.lag_seconds: float = 0.0
        self.latency_seconds: float | None = None
        self.status: Literal["unknown", "up", "down"] = "unknown"
        self._answered_at = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """How long ago it last answered, or began to be asked."""
        return time.monotonic() - self._answered_at

    async def run(
        self, statement: bytes, arguments: Mapping[str, Any], *, seconds: float = READ_SECONDS
    ) -> tuple[str | None, int]:
        """Returns the one value of a statement, and the LSN as of which it was read at least.

        Raises QueryCanceled when it is the statement that takes too long: the source answered others of late.
        """
        self.in_flight += 1
        try:
            async with lent(self.pool, seconds=seconds) as conn:
                cursor = await conn.execute(b"%s; %s" % (LSN, statement), arguments)
                lsn = await _value(cursor)
                cursor.nextset()
                value = await _value(cursor)
        except DeadlineExceededError as error:
            if self.silent_seconds < WATCH_SECONDS + WATCH_CALL_SECONDS:
                raise QueryCanceled(str(error)) from None
            raise
        finally:
            self.in_flight -= 1
        self.lsn = max(self.lsn, lsn)
        self._answered_at = time.monotonic()
        return value, lsn

    async def look(self, *, seconds: float) -> int:
        """Returns the LSN that it is at now."""
        async with lent(self.pool, seconds=seconds) as conn:
            lsn: int = await _value(await conn.execute(LSN))
        self.lsn = max(self.lsn, lsn)
        return lsn

    async def watch(self) -> int:
        """Returns the LSN that it is at now.

        On a connection of its own: that those of the pool are all in use says nothing about the source.
        """
        if self._watching is not None and time.monotonic() > self._watching_until:
            await self.end_watch()  # that others can still log in is to be seen
        conn = self._watching
        if conn is not None:
            try:
                return await self._ask(conn)
            except DeadlineExceededError:
                raise
            except psycopg.OperationalError:
                pass  # it may be back already
        self._watching = await self._connected()
        self._watching_until = time.monotonic() + WATCHING_SECONDS
        lsn = await self._ask(self._watching)
        if conn is not None or self.status == "down":
            await self.pool.drain()  # those that are idle there have died as well
        return lsn

    async def end_watch(self) -> None:
        """Lets go of the watch's connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._watching is not None:
            await self._watching.close()
            self._watching = None

    async def _connected(self) -> Connection:
        """Returns a new connection; where that takes longer than a look may, the next goes on with it."""
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
        done, _ = await asyncio.wait({self._connecting}, timeout=WATCH_CALL_SECONDS)
        if not done:
            raise TimeoutError(f"no connection within {WATCH_CALL_SECONDS:g} s")
        connecting, self._connecting = self._connecting, None
        return connecting.result()

    async def _ask(self, conn: Connection) -> int:
        try:
            with deadline(conn, seconds=WATCH_CALL_SECONDS):
                cursor = await conn.execute(b"%s; %s" % (LSN, WRITABLE_SINCE))
                lsn: int = await _value(cursor)
                cursor.nextset()
                self.writable_since = await _value(cursor)
        except BaseException:
            await self.end_watch()
            raise
        self.lsn = max(self.lsn, lsn)
        return lsn

    def failed(self, error: BaseException) -> None:
        """Notes that it did not answer; told once."""
        if isinstance(error, FULL) and is_exhausted(self.pool):
            return
        if self.status != "down":
            _log.warning("passed over until it answers again", source=self.name, error=_line(error))
        self.status = "down"

    def answered(self) -> None:
        """Notes that it answers."""
        if self.status == "down":
            _log.info("answers again", source=self.name)
        self.status = "up"
        self._answered_at = time.monotonic()


class ReadRouter:
    """Chooses the source of each read."""

    def __init__(self, primary: Source, replicas: Sequence[Source], *, max_lag_seconds: float) -> None:
        self.primary = primary
        self.replicas = list(replicas)
        self._max_lag_seconds = max_lag_seconds
        # When the primary was seen at which LSN: the age of the newest that a replica has is its lag.
        self._seen: deque[tuple[float, int]] = deque(
            maxlen=1 + int(max(60.0, max_lag_seconds) / WATCH_SECONDS)
        )
        # Where each replica was last seen, which goes back when it is rebuilt; and where those stand that
        # were ahead of the primary.
        self._stands: dict[Source, int] = {}
        self._strays: dict[Source, int] = {}
        self._watches: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to watch the sources."""
        sources = (self.primary, *self.replicas)
        self._watches = [asyncio.create_task(self._watch(source)) for source in sources]

    async def stop(self) -> None:
        """Ends the watches."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for source in (self.primary, *self.replicas):
            await source.end_watch()

    async def read(
        self, statement: bytes, arguments: Mapping[str, Any], *, floor: int
    ) -> tuple[str | None, int]:
        """Returns what the statement says, as of an LSN at or above the floor, and that LSN.

        That something does not exist is said as of now: who hears of a new execution, from whoever made it,
        has no token to name with the question.
        """
        for replica in self._candidates(floor):
            try:
                value, lsn = await replica.run(statement, arguments)
                if lsn < floor and await self._catches_up(replica, floor):
                    value, lsn = await replica.run(statement, arguments)
            except QueryCanceled:
                break  # no fault of its own; on the primary nothing is in the way of a read
            except FAILURES as error:
                replica.failed(error)
                continue
            except psycopg.Error:
                break  # it may lack a migration, a function or a right: whether it is so, the primary says
            if value is None:
                break  # it may be newer than what the replica has: that there is none, the primary says
            if lsn >= floor:
                return value, lsn
        return await self.read_newest(statement, arguments, floor=floor)

    async def read_newest(
        self, statement: bytes, arguments: Mapping[str, Any], *, floor: int = 0
    ) -> tuple[str | None, int]:
        """The same as the primary knows it; while that is away, as a replica does that includes the floor."""
        # One that is known to be away is asked last, since each who asks would wait two seconds for a
        # connection; but that something does not exist it has to be given the chance to deny.
        is_away = self.primary.status == "down"
        answer = None
        if is_away:
            up = [replica for replica in self.replicas if replica.status != "down"]
            answer = await self._read_replica(up, statement, arguments, floor=floor)
            if answer is not None and answer[0] is not None:
                return answer
        try:
            return await self.primary.run(statement, arguments)
        except QueryCanceled:
            raise
        except FAILURES as error:
            self.primary.failed(error)
            if not is_away:
                known = [replica for replica in self.replicas if replica not in self._strays]
                answer = await self._read_replica(known, statement, arguments, floor=floor)
            if answer is None:
                raise
            return answer

    @staticmethod
    async def _read_replica(
        replicas: Sequence[Source], statement: bytes, arguments: Mapping[str, Any], *, floor: int
    ) -> tuple[str | None, int] | None:
        """Returns what the freshest replica that answers says, late or not, if it includes the floor."""
        for replica in sorted(replicas, key=lambda each: (each.status == "down", each.lag_seconds)):
            try:
                value, lsn = await replica.run(statement, arguments)
            except QueryCanceled:
                raise  # no other would be faster
            except FAILURES:
                continue
            if lsn >= floor:
                return value, lsn
        return None

    def _candidates(self, floor: int) -> Iterator[Source]:
        usable = [
            replica
            for replica in self.replicas
            if replica.status != "down"
            and replica.lag_seconds <= self._max_lag_seconds
            and (replica.lsn >= floor or replica.lag_seconds <= KNOWN_LAGGARD_SECONDS)
        ]
        return iter(sorted(usable, key=lambda replica: replica.in_flight))

    async def _catches_up(self, replica: Source, floor: int) -> bool:
        give_up_at = time.monotonic() + CATCH_UP_SECONDS
        while time.monotonic() < give_up_at:
            await asyncio.sleep(CATCH_UP_STEP_SECONDS)
            try:
                if await replica.look(seconds=CATCH_UP_SECONDS) >= floor:
                    return True
            except DeadlineExceededError:
                return False  # slow, not dead
        return False

    async def _watch(self, source: Source) -> None:
        while True:
            began = time.monotonic()
            stood = dict(self._stands)
            try:
                lsn = await source.watch()
            except FAILURES as error:
                source.failed(error)
                source.latency_seconds = None
            except Exception as error:  # a watch that ends would leave its source for dead
                _log.error("cannot look at a database", source=source.name, exc_info=error)
                source.failed(error)
            else:
                source.latency_seconds = time.monotonic() - began
                if source is self.primary:
                    source.answered()
                    self._seen.append((began, lsn))
                    self._find_strays(stood, lsn)
                else:
                    self._note_replica(source, lsn)
            await asyncio.sleep(WATCH_SECONDS)

    def _find_strays(self, stood: Mapping[Source, int], lsn: int) -> None:
        """Passes over replicas that stood, before the primary was asked, where that has not come to yet."""
        for replica, at in stood.items():
            if at > lsn:
                self._strays[replica] = at
                replica.failed(STRAY)

    def _note_replica(self, replica: Source, lsn: int) -> None:
        self._stands[replica] = lsn
        # Where the primary is away it may be the heir.
        if self.primary.status == "up" and replica.writable_since not in (None, self.primary.writable_since):
            replica.failed(OTHER_PRIMARY)
            return
        # Also when the primary has passed it; but not where that took a moment for its place, as in a switch.
        if lsn == self._strays.get(replica) and lsn != self._seen[-1][1]:
            replica.failed(STRAY)
            return
        self._strays.pop(replica, None)
        replica.answered()
        replica.lag_seconds = self._lag_seconds(lsn)

    def _lag_seconds(self, lsn: int) -> float:
        """Returns for how long the primary has been beyond an LSN; the servers' clocks do not matter."""
        beyond = [at for at, seen in self._seen if seen > lsn]
        return time.monotonic() - beyond[0] if beyond else 0.0


async def _value(cursor: psycopg.AsyncCursor[Any]) -> Any:
    row = await cursor.fetchone()
    return row[0] if row else None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
