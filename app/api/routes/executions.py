"""Executions: enqueued by themselves or made by jobs, as they stand."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import get, post
from litestar.params import JSONBody

from app.api.database import BULK_SECONDS
from app.api.errors import Problem
from app.api.handling import JsonBody
from app.api.parameters import (
    Cursor,
    ErrorContains,
    ExecutionId,
    FromTime,
    IdempotencyKey,
    JobId,
    Limit,
    OfJob,
    OfQueue,
    OfStatus,
    OfTag,
    OfType,
    ToTime,
)
from app.api.queries import Read, Write
from app.api.routes.answers import (
    AnyRequest,
    Db,
    Json,
    answers,
    context,
    execution_path,
    idempotency,
    needs,
    page,
    reply,
    reply_written,
)
from app.api.routes.jobs import read_execution
from app.api.schemas import Bulk, Execution, ExecutionIds, NewExecution


@get(
    "/executions",
    opt=needs("read"),
    responses=page(Execution),
    summary="List executions, newest first",
    tags=["executions"],
)
async def list_executions(
    request: AnyRequest,
    database: Db,
    status: OfStatus = None,
    job_id: OfJob = None,
    queue: OfQueue = None,
    job_type: OfType = None,
    tag: OfTag = None,
    from_time: FromTime = None,
    to_time: ToTime = None,
    error_contains: ErrorContains = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Json:
    """By the time that they were to run; a page may be short although more follow."""
    return await _list(
        request,
        database,
        {
            "status": status,
            "job_id": job_id,
            "queue": queue,
            "job_type": job_type,
            "tag": tag,
            "from_time": from_time,
            "to_time": to_time,
            "error_contains": error_contains,
            "after": cursor,
            "max_rows": limit,
        },
    )


@get(
    "/jobs/{job_id:uuid}/executions",
    opt=needs("read"),
    responses=page(Execution),
    summary="List a job's executions, newest first",
    tags=["jobs"],
)
async def list_job_executions(
    request: AnyRequest,
    database: Db,
    job_id: JobId,
    status: OfStatus = None,
    from_time: FromTime = None,
    to_time: ToTime = None,
    error_contains: ErrorContains = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Json:
    """Likewise, of one job."""
    return await _list(
        request,
        database,
        {
            "status": status,
            "job_id": job_id,
            "from_time": from_time,
            "to_time": to_time,
            "error_contains": error_contains,
            "after": cursor,
            "max_rows": limit,
        },
    )


async def _list(request: AnyRequest, database: Db, arguments: dict[str, Any]) -> Json:
    return reply(await database.read(context(request), Read("list_executions", arguments)))


@post(
    "/executions",
    dto=JsonBody,
    return_dto=None,
    opt=needs("enqueue"),
    responses=answers(Execution, 201, "The execution"),
    summary="Enqueue a piece of work",
    tags=["executions"],
)
async def enqueue(
    request: AnyRequest, database: Db, data: JSONBody[NewExecution], idempotency_key: IdempotencyKey = None
) -> Json:
    """While an execution with the same `dedup_key` has not ended, the answer is that one."""
    written = await database.write(
        context(request),
        Write("enqueue", data.given()),
        status=201,
        idempotency=await idempotency(request, idempotency_key),
        then=read_execution,
    )
    return reply_written(written, status=201, location=execution_path(written.answer))


@post(
    "/executions/bulk",
    dto=JsonBody,
    return_dto=None,
    opt=needs("enqueue"),
    responses=answers(ExecutionIds, 201, "Their ids"),
    summary="Enqueue many pieces of work",
    tags=["executions"],
)
async def enqueue_many(
    request: AnyRequest, database: Db, data: JSONBody[Bulk], idempotency_key: IdempotencyKey = None
) -> Json:
    """All of them or none."""
    written = await database.write(
        context(request),
        Write("enqueue_many", {"items": msgspec.json.encode(data.items).decode()}, returns_set=True),
        status=201,
        idempotency=await idempotency(request, idempotency_key),
        seconds=BULK_SECONDS,
    )
    body = msgspec.json.encode({"execution_ids": written.answer})
    return reply_written(msgspec.structs.replace(written, body=body), status=201)


@get(
    "/executions/{execution_id:uuid}",
    opt=needs("read"),
    responses=answers(Execution),
    summary="Show an execution",
    tags=["executions"],
)
async def get_execution(request: AnyRequest, database: Db, execution_id: ExecutionId) -> Json:
    """As it stands."""
    return reply(await database.read(context(request), read_execution(execution_id)))


@post(
    "/executions/{execution_id:uuid}/cancel",
    status_code=200,
    opt=needs("operate"),
    responses=answers(Execution),
    summary="Cancel an execution",
    tags=["executions"],
)
async def cancel_execution(
    request: AnyRequest, database: Db, execution_id: ExecutionId, idempotency_key: IdempotencyKey = None
) -> Json:
    """One that waits ends now; one that runs is asked to stop."""
    return await _change(request, database, "cancel_execution", execution_id, idempotency_key)


@post(
    "/executions/{execution_id:uuid}/retry",
    status_code=200,
    opt=needs("operate"),
    responses=answers(Execution),
    summary="Run an ended execution again",
    tags=["executions"],
)
async def retry_execution(
    request: AnyRequest, database: Db, execution_id: ExecutionId, idempotency_key: IdempotencyKey = None
) -> Json:
    """With all its attempts anew."""
    return await _change(request, database, "retry_execution", execution_id, idempotency_key)


async def _change(
    request: AnyRequest, database: Db, function: str, execution_id: ExecutionId, key: str | None
) -> Json:
    written = await database.write(
        context(request),
        Write(function, {"execution_id": execution_id}),
        idempotency=await idempotency(request, key),
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
    list_job_executions,
    enqueue,
    enqueue_many,
    get_execution,
    cancel_execution,
    retry_execution,
]
