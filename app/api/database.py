"""The API's way into the database: reads by the router, writes on the primary."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from app.api.config import ApiSettings
from app.api.context import Context
from app.api.pools import DeadlineExceededError, connect, lent, make_pool
from app.api.queries import LSN, Read, Write
from app.api.replicas import FULL, ReadRouter, Source
from app.api.tracing import call

WRITE_SECONDS = 10.0
BULK_SECONDS = 60.0
NOBODY = UUID(int=0)
"""Owns the idempotency keys where authentication is off."""


class Idempotency(msgspec.Struct, frozen=True):
    """What makes a request the same as an earlier one."""

    key: str
    request_hash: bytes


class Written(msgspec.Struct, frozen=True):
    """What a write came to."""

    answer: Any
    """What the function returned."""
    replayed: bool
    """Whether it was not done now: a request with the same Idempotency-Key had done it."""
    body: bytes | None
    """What the read that followed says, from the same trip as the LSN."""


class Database:
    """The primary, through PgBouncer, and the replicas."""

    def __init__(
        self, settings: ApiSettings, *, changed: Callable[[str, str, int], None] = lambda *_: None
    ) -> None:
        """`changed` is told of each change made here: its kind, the id, and an LSN that includes it."""

        def source(name: str, conninfo: str) -> Source:
            pool = make_pool(conninfo, name=name, size=settings.pool_size, node_id=settings.node_id)
            return Source(name, pool, partial(connect, conninfo, node_id=settings.node_id))

        self.primary = source("primary", settings.write_conninfo)
        replicas = [source(f"replica_{n}", conninfo) for n, conninfo in enumerate(settings.replicas, start=1)]
        self.router = ReadRouter(self.primary, replicas, max_lag_seconds=settings.max_lag_seconds)
        self._changed = changed

    @property
    def sources(self) -> tuple[Source, ...]:
        """The primary and the replicas."""
        return (self.primary, *self.router.replicas)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Opens the pools for as long as the block lasts; whether anybody answers shows at the first call."""
        async with contextlib.AsyncExitStack() as stack:
            for source in self.sources:
                await source.pool.open(wait=False)
                stack.push_async_callback(source.pool.close, timeout=1.0)
            self.router.start()
            stack.push_async_callback(self.router.stop)
            yield

    async def read(self, context: Context, read: Read) -> bytes | None:
        """Returns a document that includes what the request's floor asks for, or None where there is none."""
        with call(context, read.function):
            text, lsn = await self.router.read(read.text(), read.arguments, floor=context.floor)
        context.lsn = lsn if context.lsn is None else min(context.lsn, lsn)
        return text.encode() if text is not None else None

    async def write(
        self,
        context: Context,
        write: Write,
        *,
        status: int = 200,
        idempotency: Idempotency | None = None,
        then: Callable[[Any], Read] | None = None,
        seconds: float = WRITE_SECONDS,
    ) -> Written:
        """Changes something, and returns the function's answer and what `then` reads after the commit."""
        with call(context, write.function):
            try:
                return await self._write(context, write, status, idempotency, then, seconds)
            except (DeadlineExceededError, *FULL):
                raise  # the client has waited for long, and the first try may still be at work
            except psycopg.OperationalError:
                # Only what is known by its key may be done again: the first try may have been committed.
                if idempotency is None:
                    raise
                return await self._write(context, write, status, idempotency, then, seconds)

    async def _write(
        self,
        context: Context,
        write: Write,
        status: int,
        idempotency: Idempotency | None,
        then: Callable[[Any], Read] | None,
        seconds: float,
    ) -> Written:
        arguments = {**write.arguments, **_request(context, status, idempotency)}
        async with lent(self.primary.pool, seconds=seconds) as conn:
            row = await (await conn.execute(write.text(), arguments)).fetchone()
            assert row is not None  # noqa: S101 - one row by construction
            answer = msgspec.json.decode(row[0]) if row[0] is not None else None
            read = then(answer) if then is not None else None
            statement = b"%s; %s" % (LSN, read.text() if read else b"")
            cursor = await conn.execute(statement, dict(read.arguments) if read else None)
            lsn = await cursor.fetchone()
            assert lsn is not None  # noqa: S101
            context.lsn = lsn[0]
            self._tell_of(write, read, lsn[0])
            text = None
            if read is not None:
                cursor.nextset()
                found = await cursor.fetchone()
                text = found[0] if found else None
        return Written(answer, row[1], text.encode() if text is not None else None)

    def _tell_of(self, write: Write, read: Read | None, lsn: int) -> None:
        if "execution_id" in write.arguments:
            self._changed("execution", str(write.arguments["execution_id"]), lsn)
        for arguments in (write.arguments, read.arguments if read else {}):
            if "job_id" in arguments:
                self._changed("job", str(arguments["job_id"]), lsn)


def _request(context: Context, status: int, idempotency: Idempotency | None) -> Mapping[str, Any]:
    key = context.key
    return {
        "@request_id": context.request_id,
        "@api_key": key.name if key else None,
        "@scopes": sorted(key.scopes) if key else None,
        "@traceparent": context.traceparent,
        "@idempotency_key": idempotency.key if idempotency else None,
        "@key_id": key.key_id if key else NOBODY,
        "@request_hash": idempotency.request_hash if idempotency else None,
        "@status": status,
    }
