"""SQL jobs: the statement and its end commit together, on a connection of a login that owns nothing of ours.

Exactly once in effect: either both are committed or neither is. Whatever goes wrong before the commit rolls
both back, and the worker then records the failure on its own connection, fenced by the attempt; should the
commit have happened although its answer was lost, that record is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from workers import queries
from workers.database import (
    CONNECT_SECONDS,
    KEEPALIVE,
    Connection,
    Deadline,
    abort,
    advise,
    connect,
    describe,
)
from workers.documents import to_json
from workers.executions import Execution, Outcome, Run, failed
from workers.executors.statement import CopyRefusedError, execute
from workers.settings import Settings

VARIABLE = "PGTICK_SQL_CONNECTION_STRING"
MAX_CONNECTIONS = 50
"""Of a worker, whatever it runs at a time: a pooler's places are few (2,000), its servers fewer (25)."""
POOL_SECONDS = 5.0
CANCEL_SECONDS = 2.0
COMMIT_SECONDS = 5.0
UNAVAILABLE_SECONDS = 2.0
QUEUE_SECONDS = 0.2
"""SQL jobs that wait longer for a connection, ours or a pooler's, are more than there are connections for."""
SERVER_TIMER_DELAY = timedelta(seconds=1)

_log = structlog.get_logger("sql")


class SqlLoginError(Exception):
    """The login of PGTICK_SQL_CONNECTION_STRING cannot run SQL jobs; the message names the fix."""


class _StaleError(Exception):
    """The database says that the attempt is no longer ours."""


class _Session:
    """What is known of a SQL job while it runs on its connection."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.transaction: queries.Transaction | None = None
        self.committing = False


class SqlExecutor:
    """Runs SQL statements as the login of PGTICK_SQL_CONNECTION_STRING."""

    def __init__(self, settings: Settings) -> None:
        self._conninfo = settings.sql_database or ""
        self._application_name = f"pgtick sql {settings.node_id}"
        # Half a lease: a frozen worker's transaction, its locks and its place in a pooler are gone before
        # anyone else is given the execution.
        self._idle_limit = timedelta(seconds=settings.lease_seconds / 2)
        self._unavailable_until = 0.0
        self._queued: dict[Run, float] = {}
        self._pool = AsyncConnectionPool(
            self._conninfo,
            connection_class=Connection,
            min_size=0,
            max_size=min(settings.concurrency, MAX_CONNECTIONS),
            open=False,
            timeout=POOL_SECONDS,
            reconnect_timeout=POOL_SECONDS,
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "application_name": self._application_name,
                "connect_timeout": CONNECT_SECONDS,
                "client_encoding": "utf8",
                **KEEPALIVE,
            },
        )

    @property
    def available(self) -> bool:
        """Whether SQL jobs get a connection now; while they queue for one, others are to have the room."""
        now = time.monotonic()
        queued_since = next(iter(self._queued.values()), now)
        return now >= self._unavailable_until and now - queued_since < QUEUE_SECONDS

    async def start(self) -> None:
        """Open the pool; raises SqlLoginError when the login does not work, or has the wrong rights."""
        try:
            conn = await connect(self._conninfo, application_name=self._application_name)
            async with conn:
                may_finish, sees_private_tables = await queries.rights_of_sql_jobs(conn)
        except psycopg.Error as error:
            reason = advise(error, variable=VARIABLE, role="scheduler_sql")
            raise SqlLoginError(f"cannot run SQL jobs: {reason}") from error
        if sees_private_tables:
            raise SqlLoginError(
                f"the login of {VARIABLE} has rights in the schema scheduler_internal, "
                "so that every SQL job would have them: use a member of scheduler_sql only"
            )
        # Else each job would do its work, fail to say so, and be undone.
        if not may_finish:
            raise SqlLoginError(
                f"the login of {VARIABLE} may not finish SQL jobs: use a member of scheduler_sql only"
            )
        await self._pool.open()

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()

    async def run(self, run: Run) -> Outcome:
        """Run the statement; a cancelled run is cancelled in the server as well."""
        self._queued[run] = time.monotonic()
        try:
            return await self._run(run)
        except asyncio.CancelledError:
            if run.stop_reason == "timeout" and run in self._queued:  # never begun: it costs no attempt
                return Outcome(status="released")
            raise
        finally:
            self._queued.pop(run, None)

    async def _run(self, run: Run) -> Outcome:
        try:
            conn = await self._pool.getconn()
        except (PoolTimeout, psycopg.OperationalError) as error:
            now = time.monotonic()
            if now >= self._unavailable_until:  # else it has been told: as many wait as were claimed at once
                _log.warning("no connection for SQL jobs, giving executions back", error=describe(error))
            self._unavailable_until = now + UNAVAILABLE_SECONDS
            return Outcome(status="released")
        session = _Session(conn)
        work = asyncio.create_task(
            _work(
                session,
                run.execution,
                idle_limit=self._idle_limit,
                on_begun=lambda: self._queued.pop(run, None),
            )
        )
        try:
            # Shielded: a cancellation must not reach into psycopg, which would wait for a server that may be
            # frozen.
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await self._stop(session, work)
            raise
        finally:
            # Only a session that is known to be clean is used again.
            if conn.info.transaction_status != TransactionStatus.IDLE:
                await conn.close()
            await self._pool.putconn(conn)

    async def _stop(self, session: _Session, work: asyncio.Task[Outcome]) -> None:
        """End the work: wait for a commit, cancel a statement, terminate what resists, else cut the line."""
        try:
            if session.committing:
                await asyncio.wait({work}, timeout=COMMIT_SECONDS)
            for stop in (queries.cancel_statement, queries.terminate_session):
                if work.done() or session.transaction is None:
                    break
                if not await self._signal(stop, session.transaction):
                    break
                await asyncio.wait({work}, timeout=CANCEL_SECONDS)
        finally:
            if not work.done():
                abort(session.conn)
            await asyncio.gather(work, return_exceptions=True)

    async def _signal(
        self,
        stop: Callable[[Connection, queries.Transaction], Awaitable[None]],
        transaction: queries.Transaction,
    ) -> bool:
        """Tell the server, on another connection, to stop a job; whether it heard."""
        try:
            conn = await connect(self._conninfo, application_name=self._application_name)
            async with conn:
                with Deadline(conn, seconds=CANCEL_SECONDS):
                    await stop(conn, transaction)
        except psycopg.Error as error:
            _log.warning("the database cannot be told to stop a SQL job", error=describe(error))
            return False
        return True


async def _work(
    session: _Session, execution: Execution, *, idle_limit: timedelta, on_begun: Callable[[], object]
) -> Outcome:
    conn = session.conn
    try:
        session.transaction = await queries.begin_sql_job(
            # The worker's own timer comes first; this one is for the case that the worker is gone.
            conn,
            execution,
            payload=execution.payload or "",
            time_limit=execution.timeout + SERVER_TIMER_DELAY,
            idle_limit=idle_limit,
        )
        on_begun()
        result = await execute(conn, execution.target["statement"])
        if conn.info.transaction_status != TransactionStatus.INTRANS:
            return failed(
                "transaction_ended", "the statement ended the transaction that it runs in", retry=False
            )
        await queries.clean_sql_job(conn, idle_limit=idle_limit)
        session.committing = True
        with Deadline(conn, seconds=COMMIT_SECONDS):
            if not await queries.finish_sql_job(conn, execution, result=to_json(result)):
                raise _StaleError
            await conn.execute("commit")
    except _StaleError:
        await _roll_back(conn)
        return Outcome(status="discarded")
    except CopyRefusedError as error:
        await conn.close()
        return failed("copy", str(error), retry=False)
    except psycopg.Error as error:
        await _roll_back(conn)
        if session.transaction is None:  # the connection had died in the pool: nothing was begun
            return Outcome(status="released")
        return _failure(error)
    return Outcome(status="recorded")


async def _roll_back(conn: Connection) -> None:
    """Undo the job, also what a rollback leaves: session locks, prepared statements."""
    try:
        with Deadline(conn, seconds=COMMIT_SECONDS):
            await queries.roll_back_sql_job(conn)
    except psycopg.Error:
        await conn.close()


def _failure(error: psycopg.Error) -> Outcome:
    details: dict[str, Any] = {
        key: value
        for key, value in (
            ("detail", error.diag.message_detail),
            ("hint", error.diag.message_hint),
            ("context", error.diag.context),
        )
        if value
    }
    return failed(
        error.sqlstate or type(error).__name__,
        error.diag.message_primary or str(error),
        # What is wrong with the text of a statement is wrong the next time as well.
        retry=not isinstance(error, psycopg.errors.SyntaxError),
        **details,
    )
