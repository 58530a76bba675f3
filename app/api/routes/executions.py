"""Executions: enqueued by themselves or made by jobs, as they stand."""

from __future__ import annotations

from uuid import UUID

import msgspec

from app.api.bodies import Bulk, NewExecution, Nothing
from app.api.database import BULK_SECONDS
from app.api.errors import Problem
from app.api.handling import AnyRequest, body_of, query_of
from app.api.operations import reads, writes
from app.api.parameters import ExecutionFilter
from app.api.queries import Read, Write
from app.api.routes.answers import (
    Db,
    ExecutionId,
    Json,
    context,
    execution_path,
    idempotency,
    read_execution,
    reply,
    reply_written,
)
from app.api.schemas import Execution, ExecutionIds, ExecutionPage


@reads("/executions", ExecutionPage, query=ExecutionFilter, summary="List executions", tag="executions")
async def list_executions(request: AnyRequest, database: Db) -> Json:
    """Newest first, by the time when they were to run; a page may be short although more follow."""
    arguments = query_of(request, ExecutionFilter).given()
    return reply(await database.read(context(request), Read("list_executions", arguments)))


@writes(
    "POST",
    "/executions",
    Execution,
    body=NewExecution,
    status=201,
    has_location=True,
    scope="enqueue",
    summary="Enqueue a piece of work",
    tag="executions",
)
async def enqueue(request: AnyRequest, database: Db) -> Json:
    """While an execution with the same `dedup_key` has not ended, the answer is that one."""
    execution = await body_of(request, NewExecution)
    written = await database.write(
        context(request),
        Write("enqueue", execution.given()),
        status=201,
        idempotency=await idempotency(request),
        then=read_execution,
    )
    return reply_written(written, status=201, location=execution_path(written.answer))


@writes(
    "POST",
    "/executions/bulk",
    ExecutionIds,
    body=Bulk,
    status=201,
    scope="enqueue",
    summary="Enqueue many pieces of work",
    tag="executions",
)
async def enqueue_many(request: AnyRequest, database: Db) -> Json:
    """All of them or none."""
    bulk = await body_of(request, Bulk)
    written = await database.write(
        context(request),
        Write("enqueue_many", {"items": msgspec.json.encode(bulk.items).decode()}, returns_set=True),
        status=201,
        idempotency=await idempotency(request),
        seconds=BULK_SECONDS,
    )
    body = msgspec.json.encode({"execution_ids": written.answer})
    return reply_written(msgspec.structs.replace(written, body=body), status=201)


@reads("/executions/{execution_id:str}", Execution, summary="Show an execution", tag="executions")
async def get_execution(request: AnyRequest, database: Db, execution_id: ExecutionId) -> Json:
    """With all of its documents."""
    return reply(await database.read(context(request), read_execution(execution_id)))


@writes(
    "POST",
    "/executions/{execution_id:str}/cancel",
    Execution,
    body=Nothing,
    conflicts=True,
    scope="operate",
    summary="Cancel an execution",
    tag="executions",
)
async def cancel_execution(request: AnyRequest, database: Db, execution_id: ExecutionId) -> Json:
    """One that waits ends now; one that runs is asked to stop."""
    return await _change(request, database, "cancel_execution", execution_id)


@writes(
    "POST",
    "/executions/{execution_id:str}/retry",
    Execution,
    body=Nothing,
    conflicts=True,
    scope="operate",
    summary="Run an ended execution again",
    tag="executions",
)
async def retry_execution(request: AnyRequest, database: Db, execution_id: ExecutionId) -> Json:
    """With all its attempts anew."""
    return await _change(request, database, "retry_execution", execution_id)


async def _change(request: AnyRequest, database: Db, function: str, execution_id: UUID) -> Json:
    await body_of(request, Nothing)
    written = await database.write(
        context(request),
        Write(function, {"execution_id": execution_id}),
        idempotency=await idempotency(request),
        then=lambda _: read_execution(execution_id),
    )
    if written.answer != "true":
        what = "had ended already" if function == "cancel_execution" else "has not ended"
        raise Problem(
            409, "not-in-this-state", f"the execution {what}", hint="look at its status; nothing was changed"
        )
    return reply_written(written)


ROUTES = [
    list_executions,
    enqueue,
    enqueue_many,
    get_execution,
    cancel_execution,
    retry_execution,
]
