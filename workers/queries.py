"""Every call into the database. What is decided, is decided there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from workers.database import Connection
from workers.documents import from_json_exactly
from workers.executions import Execution


class DueShard(NamedTuple):
    """A shard and how many seconds from now, by the database's clock, its next fire is due."""

    shard: int
    due_in_seconds: float


class Ticked(NamedTuple):
    """What one call of tick_shard did."""

    fired: int
    skipped: int


class StopOrder(NamedTuple):
    """An execution that the worker has to stop, and why: cancelled, timeout or lost."""

    execution_id: UUID
    attempt: int
    reason: str


async def check(conn: Connection) -> None:
    """Raise where this database is not ours, too old or closed to this login.

    By a function that only tickers and workers may call: now() answers the API's login, too, whose calls
    would then be refused for ever. It is not run: a migration may hold what it reads.
    """
    await conn.execute("select from scheduler.due_shards() limit 0")


async def due_shards(conn: Connection) -> list[DueShard]:
    """Ask which shards have a schedule, and when each is due."""
    cursor = conn.cursor(row_factory=class_row(DueShard))
    await cursor.execute(
        """
        select shard, extract(epoch from next_due_at - scheduler.now())::float8 as due_in_seconds
        from scheduler.due_shards()
        """
    )
    return await cursor.fetchall()


async def tick_shard(conn: Connection, *, shard: int) -> Ticked:
    """Turn the due fires of a shard into executions."""
    cursor = conn.cursor(row_factory=class_row(Ticked))
    await cursor.execute("select fired, skipped from scheduler.tick_shard(shard => %s)", (shard,))
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - one row by contract
    return row


async def tick_ahead(conn: Connection) -> int:
    """Make fires of a herd that is about to be due, and return how many."""
    cursor = await conn.execute("select scheduler.tick_ahead()")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def reap(conn: Connection) -> int:
    """Take back what silent workers held."""
    cursor = await conn.execute("select scheduler.reap()")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def maintain(conn: Connection) -> None:
    """Create partitions ahead, drop what has expired."""
    await conn.execute("select scheduler.maintain()")


async def heartbeat(
    conn: Connection,
    *,
    worker_id: UUID,
    node_id: str,
    queues: Sequence[str] | None,
    job_types: Sequence[str],
    concurrency: int,
    lease: timedelta,
    draining: bool,
    held: Sequence[tuple[UUID, int]],
) -> list[StopOrder]:
    """Extend the lease of all that the worker holds; the first one registers the worker."""
    cursor = conn.cursor(row_factory=class_row(StopOrder))
    await cursor.execute(
        """
        select execution_id, attempt, reason
        from scheduler.heartbeat(
            worker_id => %(worker_id)s, node_id => %(node_id)s, queues => %(queues)s::text[],
            job_types => %(job_types)s::text[], concurrency => %(concurrency)s, lease => %(lease)s,
            draining => %(draining)s, execution_ids => %(execution_ids)s::uuid[],
            attempts => %(attempts)s::integer[])
        """,
        {
            "worker_id": worker_id,
            "node_id": node_id,
            "queues": list(queues) if queues else None,
            "job_types": list(job_types),
            "concurrency": concurrency,
            "lease": lease,
            "draining": draining,
            "execution_ids": [execution_id for execution_id, _ in held],
            "attempts": [attempt for _, attempt in held],
        },
    )
    return await cursor.fetchall()


# In the order of the struct's fields, to be passed by position, and with documents as text, to be read here:
# by name and by psycopg's own way each row takes 6 us more.
_FIELDS = Execution.__struct_fields__
_TARGET = _FIELDS.index("target")
_AS_TEXT = {"target": "target::text", "payload": "nullif(payload::text, 'null')"}
_CLAIM = f"""
select {", ".join(_AS_TEXT.get(name, name) for name in _FIELDS)}
from scheduler.claim(
    worker_id => $1::uuid, max_executions => $2::integer, queues => $3::text[],
    job_types => $4::text[], handlers => $5::text[], shard => $6::integer)
""".encode()  # noqa: S608 - the names of its fields
_PREPARED_CLAIM = b"claim"


async def prepare_claim(conn: Connection) -> None:
    """Have a session keep the plan of a claim: to parse and plan it is a fifth of one."""
    await conn.execute(b"prepare claim (uuid, integer, text[], text[], text[], integer) as " + _CLAIM)


async def claim(
    conn: Connection,
    *,
    worker_id: UUID,
    max_executions: int,
    queues: Sequence[str] | None,
    job_types: Sequence[str],
    handlers: Sequence[str],
    shard: int | None = None,
    is_prepared: bool = False,
) -> list[Execution]:
    """Take up to so many executions of the kinds that this worker can run, of one shard or of any."""
    rows = await conn.fetch(
        _PREPARED_CLAIM if is_prepared else _CLAIM,
        (
            worker_id.hex.encode(),
            b"%d" % max_executions,
            _names(tuple(queues)) if queues else None,
            _names(tuple(job_types)),
            _names(tuple(handlers)),
            None if shard is None else b"%d" % shard,
        ),
        is_prepared=is_prepared,
    )
    return [
        Execution(*(*row[:_TARGET], from_json_exactly(row[_TARGET]), *row[_TARGET + 1 :])) for row in rows
    ]


class PollOrder(NamedTuple):
    """Among how many idle workers of its kind a worker polls, and which of them it is, from 0; and whether
    nothing has ended for a minute.
    """

    place: int
    workers: int
    is_quiet: bool


async def warm_up(conn: Connection) -> None:
    """Have a session make its plans before there is work."""
    await conn.execute("select scheduler.warm_up()")


async def poll_order(conn: Connection, *, worker_id: UUID) -> PollOrder:
    """Ask when it is this worker's turn to ask for work."""
    cursor = conn.cursor(row_factory=class_row(PollOrder))
    await cursor.execute(
        "select place, workers, is_quiet from scheduler.poll_order(worker_id => %s)", (worker_id,)
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - one row by contract
    return row


async def listen(conn: Connection) -> bool:
    """Have the session told of what is ready; False where the database does not tell."""
    cursor = await conn.execute("select current_setting('scheduler.notify', true) = 'on'")
    row = await cursor.fetchone()
    if row != (True,):
        return False
    await conn.execute("listen scheduler_ready")
    return True


async def is_direct(conn: Connection) -> bool:
    """Tell whether no pooler is between; one sends keys of its own for cancelling."""
    cursor = await conn.execute("select pg_backend_pid()")
    return await cursor.fetchone() == (conn.info.backend_pid,)


class Identity(NamedTuple):
    """What tells a database from all others: when its server was started, to the microsecond, and its oid."""

    started_at: datetime
    oid: int


async def identity(conn: Connection) -> Identity:
    """Ask which database this is, whatever leads to it."""
    cursor = conn.cursor(row_factory=class_row(Identity))
    await cursor.execute(
        """
        select pg_postmaster_start_time() as started_at, oid from pg_database
        where datname = current_database()
        """
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - one row by construction
    return row


class Transaction(NamedTuple):
    """A transaction, as pg_stat_activity knows it."""

    pid: int
    started_at: datetime


class Ending(NamedTuple):
    """One execution's end, as finish takes it."""

    execution_id: UUID
    attempt: int
    status: str
    result: str | None
    error: str | None
    retry_after: timedelta | None


async def finish(conn: Connection, *, worker_id: UUID, endings: Sequence[Ending]) -> set[tuple[UUID, int]]:
    """Record how executions ended; returns those refused because the attempt is no longer the worker's."""
    ids, attempts, statuses, *documents = zip(*endings, strict=True)
    cursor = await conn.execute(
        """
        select execution_id, attempt
        from scheduler.finish(
            worker_id => %s, execution_ids => %s::uuid[], attempts => %s::integer[], statuses => %s::text[],
            results => %s::text[]::jsonb[], errors => %s::text[]::jsonb[], retry_after => %s::interval[])
        """,
        (
            worker_id,
            _array(each.hex for each in ids),
            _array(attempts),
            _array(statuses),
            *(_sparse(each) for each in documents),
        ),
    )
    return {(execution_id, attempt) for execution_id, attempt in await cursor.fetchall()}


async def release(conn: Connection, *, worker_id: UUID, held: Sequence[tuple[UUID, int]]) -> int:
    """Give back what was not begun; no attempt is used."""
    cursor = await conn.execute(
        "select scheduler.release(worker_id => %s, execution_ids => %s::uuid[], attempts => %s::integer[])",
        (worker_id, [execution_id for execution_id, _ in held], [attempt for _, attempt in held]),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def report_progress(
    conn: Connection, *, worker_id: UUID, execution_id: UUID, attempt: int, progress: str
) -> bool:
    """Show how far an execution has come; False when the attempt is no longer the worker's."""
    cursor = await conn.execute(
        """
        select scheduler.report_progress(
            worker_id => %s, execution_id => %s, attempt => %s, progress => %s::jsonb)
        """,
        (worker_id, execution_id, attempt, progress),
    )
    row = await cursor.fetchone()
    return bool(row and row[0])


async def stop_worker(conn: Connection, *, worker_id: UUID) -> None:
    """Say goodbye, giving back what is still held."""
    await conn.execute("select scheduler.stop_worker(worker_id => %s)", (worker_id,))


# The connections of SQL jobs, as the role that owns nothing here.

BEGIN_IDLE_LIMIT = timedelta(seconds=0.25)
"""For a transaction that has only begun. A pooler carries out what a worker had queued there before it froze,
one by one: each would hold a connection for the whole limit. Who is cut so costs its execution no attempt."""

_BEGIN_SQL_JOB = """
select pg_catalog.pg_backend_pid(), pg_catalog.now(),
       pg_catalog.set_config('scheduler.execution_id', %(execution_id)s, true),
       pg_catalog.set_config('scheduler.fire_at', %(fire_at)s, true),
       pg_catalog.set_config('scheduler.attempt', %(attempt)s, true),
       pg_catalog.set_config('scheduler.payload', %(payload)s, true),
       pg_catalog.set_config('scheduler.traceparent', %(traceparent)s, true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', %(idle_ms)s, true),
       pg_catalog.set_config('statement_timeout', %(timeout_ms)s, true),
       pg_catalog.set_config('client_connection_check_interval', '1s', true)
"""

# In the job's transaction, so that it also holds where a pooler hands the session to the next client. What
# the job deferred to its commit runs first: afterwards it could make a mess again. Temporary objects go
# before anything of ours is called, because a temporary type hides the one of the same name.
_CLEAN_SQL_JOB = """
set constraints all immediate;
close all;
reset session authorization;
reset role;
reset all;
discard temporary;
discard sequences;
deallocate all;
unlisten *;
select pg_catalog.pg_advisory_unlock_all();
"""


async def begin_sql_job(
    conn: Connection, execution: Execution, *, payload: str, time_limit: timedelta, idle_limit: timedelta
) -> Transaction:
    """Begin a SQL job's transaction, in which its statement finds its data as settings.

    It ends by itself when its worker leaves it idle for longer than idle_limit.
    """
    # In one message: there is no moment in which the transaction could be left open for good.
    await conn.execute(f"begin; {_end_when_idle(min(idle_limit, BEGIN_IDLE_LIMIT))}")
    cursor = await conn.execute(
        _BEGIN_SQL_JOB,
        {
            "execution_id": str(execution.execution_id),
            "fire_at": execution.fire_at.isoformat() if execution.fire_at else "",
            "attempt": str(execution.attempt),
            "payload": payload,
            "traceparent": execution.traceparent or "",
            "idle_ms": str(_milliseconds(idle_limit)),
            "timeout_ms": str(_milliseconds(time_limit)),
        },
        binary=True,  # else the time comes as the database's DateStyle writes it
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - one row by construction
    return Transaction(pid=row[0], started_at=row[1])


async def clean_sql_job(conn: Connection, *, idle_limit: timedelta) -> None:
    """Undo, within the job's transaction, whatever of the session its statement changed."""
    await conn.execute(f"{_CLEAN_SQL_JOB} {_end_when_idle(idle_limit)}")


async def roll_back_sql_job(conn: Connection) -> None:
    """Undo a SQL job; one message, so that no pooler gives the session to another in between."""
    await conn.execute(f"rollback and chain; {_CLEAN_SQL_JOB} commit;")


async def finish_sql_job(conn: Connection, execution: Execution, *, result: str) -> bool:
    """End the execution in the job's transaction; False when the attempt is stale."""
    cursor = await conn.execute(
        """
        select scheduler.finish_sql_job(
            execution_id => %s::pg_catalog.uuid, attempt => %s::pg_catalog.int4, token => %s::pg_catalog.uuid,
            result => %s::pg_catalog.jsonb)
        """,
        (execution.execution_id, execution.attempt, execution.token, result),
    )
    row = await cursor.fetchone()
    return bool(row and row[0])


async def rights_of_sql_jobs(conn: Connection) -> tuple[bool, bool]:
    """Whether this login may say that a SQL job has ended; and whether it could read or change the
    scheduler's own tables, as no SQL job's may.
    """
    cursor = await conn.execute(
        """
        select coalesce(pg_catalog.has_function_privilege(p.oid, 'execute')
                            and pg_catalog.has_schema_privilege(p.pronamespace, 'usage'), true),
               coalesce(pg_catalog.has_schema_privilege(i.oid, 'usage'), false)
        from (values (1)) one
        left join pg_catalog.pg_namespace i on i.nspname = 'scheduler_internal'
        left join pg_catalog.pg_namespace n on n.nspname = 'scheduler'
        left join pg_catalog.pg_proc p on p.pronamespace = n.oid and p.proname = 'finish_sql_job'
        """
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - one row by construction
    return row[0], row[1]


async def cancel_statement(conn: Connection, transaction: Transaction) -> None:
    """Cancel what a transaction of the same login does.

    With a statement, not with a cancel request: PgBouncer 1.18, which Debian 12 ships, can die of those.
    """
    await _signal(conn, sql.SQL("pg_cancel_backend"), transaction)


async def terminate_session(conn: Connection, transaction: Transaction) -> None:
    """End the session of a transaction of the same login that does not let itself be cancelled."""
    await _signal(conn, sql.SQL("pg_terminate_backend"), transaction)


async def _signal(conn: Connection, function: sql.SQL, transaction: Transaction) -> None:
    # A pooler may have given the session to another job since.
    statement = """
        select pg_catalog.{}(a.pid) from pg_catalog.pg_stat_activity a
        where a.pid = %s and a.xact_start = %s
    """
    await conn.execute(sql.SQL(statement).format(function), (transaction.pid, transaction.started_at))


def _array(values: Iterable[int | str]) -> str:
    """An array of what needs no quotes, as text: psycopg takes twice as long for each element."""
    return f"{{{','.join(map(str, values))}}}"


@lru_cache(maxsize=64)
def _names(names: tuple[str, ...]) -> bytes:
    """An array of names, as text: a worker asks for the same ones again and again."""
    escaped = (name.replace("\\", "\\\\").replace('"', '\\"') for name in names)
    return "{{{}}}".format(",".join(f'"{name}"' for name in escaped)).encode()


def _sparse(values: Sequence[Any]) -> list[Any] | None:
    """An array, or null where nothing is in it."""
    return list(values) if values.count(None) < len(values) else None


def _end_when_idle(limit: timedelta) -> str:
    """Have the server end this transaction when its client is silent for so long."""
    return f"set local idle_in_transaction_session_timeout = {_milliseconds(limit)};"


def _milliseconds(interval: timedelta) -> int:
    """As PostgreSQL's timeouts take it: 0 would mean none."""
    return max(1, min(int(interval.total_seconds() * 1000), 2**31 - 1))
