"""Jobs: the definitions, and what is done with them."""

from __future__ import annotations

from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.params import JSONBody

from app.api.database import BULK_SECONDS
from app.api.handling import JsonBody
from app.api.parameters import (
    After,
    Cursor,
    FromTime,
    IdempotencyKey,
    IfMatch,
    Instants,
    JobId,
    JobName,
    Limit,
    NamePrefix,
    OfQueue,
    OfTag,
    OfType,
    Paused,
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
    expected_version,
    idempotency,
    job_path,
    needs,
    page,
    reply,
    reply_job,
    reply_written,
)
from app.api.schemas import (
    Backfill,
    Count,
    Execution,
    Fire,
    Job,
    JobChanges,
    NamedJob,
    NewJob,
    Pause,
    Preview,
    Trigger,
)


def read_job(job_id: UUID | str) -> Read:
    """Returns the read of a job."""
    return Read("get_job_json", {"job_id": job_id})


def read_execution(execution_id: UUID | str) -> Read:
    """Returns the read of an execution."""
    return Read("get_execution_json", {"execution_id": execution_id})


@get("/jobs", opt=needs("read"), responses=page(Job), summary="List jobs by name", tags=["jobs"])
async def list_jobs(
    request: AnyRequest,
    database: Db,
    name_prefix: NamePrefix = None,
    job_type: OfType = None,
    queue: OfQueue = None,
    tag: OfTag = None,
    paused: Paused = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Json:
    """By name; a page may be short although more follow."""
    arguments = {
        "name_prefix": name_prefix,
        "job_type": job_type,
        "queue": queue,
        "tag": tag,
        "paused": paused,
        "after": cursor,
        "max_rows": limit,
    }
    return reply(await database.read(context(request), Read("list_jobs", arguments)))


@post(
    "/jobs",
    dto=JsonBody,
    return_dto=None,
    opt=needs("operate"),
    responses=answers(Job, 201, "The job"),
    summary="Create a job",
    tags=["jobs"],
)
async def create_job(
    request: AnyRequest, database: Db, data: JSONBody[NewJob], idempotency_key: IdempotencyKey = None
) -> Json:
    """Fails if the name exists."""
    written = await database.write(
        context(request),
        Write("create_job", data.given()),
        status=201,
        idempotency=await idempotency(request, idempotency_key),
        then=read_job,
    )
    headers = {"Location": job_path(written.answer)}
    if written.replayed:
        headers["Idempotent-Replayed"] = "true"
    return reply_job(written.body, status=201, headers=headers)


@get("/jobs/{job_id:uuid}", opt=needs("read"), responses=answers(Job), summary="Show a job", tags=["jobs"])
async def get_job(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """With its firing state."""
    return reply_job(await database.read(context(request), read_job(job_id)))


@put(
    "/jobs/by-name/{name:str}",
    dto=JsonBody,
    return_dto=None,
    opt=needs("operate"),
    responses=answers(Job),
    summary="Create or replace a job by name",
    tags=["jobs"],
)
async def put_job_by_name(
    request: AnyRequest, database: Db, name: JobName, data: JSONBody[NamedJob], if_match: IfMatch = None
) -> Json:
    """An unchanged schedule keeps its next fire."""
    arguments = {"name": name, **data.given(), "expected_version": expected_version(if_match)}
    written = await database.write(context(request), Write("put_job", arguments), then=read_job)
    return reply_job(written.body)


@put(
    "/jobs/{job_id:uuid}",
    dto=JsonBody,
    return_dto=None,
    opt=needs("operate"),
    responses=answers(Job),
    summary="Replace a job's definition",
    tags=["jobs"],
)
async def replace_job(
    request: AnyRequest, database: Db, job_id: JobId, data: JSONBody[NamedJob], if_match: IfMatch = None
) -> Json:
    """What is not said becomes the default again; the name stays."""
    arguments = {"job_id": job_id, **data.given(), "expected_version": expected_version(if_match)}
    written = await database.write(
        context(request), Write("replace_job", arguments), then=lambda _: read_job(job_id)
    )
    return reply_job(written.body)


@patch(
    "/jobs/{job_id:uuid}",
    dto=JsonBody,
    return_dto=None,
    opt=needs("operate"),
    responses=answers(Job),
    summary="Change attributes of a job",
    tags=["jobs"],
)
async def update_job(
    request: AnyRequest, database: Db, job_id: JobId, data: JSONBody[JobChanges], if_match: IfMatch = None
) -> Json:
    """Only those that are said."""
    arguments = {
        "job_id": job_id,
        "changes": msgspec.json.encode(data).decode(),
        "expected_version": expected_version(if_match),
    }
    written = await database.write(
        context(request), Write("update_job", arguments), then=lambda _: read_job(job_id)
    )
    return reply_job(written.body)


@delete("/jobs/{job_id:uuid}", opt=needs("operate"), summary="Delete a job", tags=["jobs"])
async def delete_job(request: AnyRequest, database: Db, job_id: JobId, if_match: IfMatch = None) -> None:
    """Its history stays."""
    arguments = {"job_id": job_id, "expected_version": expected_version(if_match)}
    await database.write(context(request), Write("delete_job", arguments), status=204)


@post(
    "/jobs/{job_id:uuid}/pause",
    dto=JsonBody,
    return_dto=None,
    status_code=200,
    opt=needs("operate"),
    responses=answers(Job),
    summary="Stop a job from firing",
    tags=["jobs"],
)
async def pause_job(
    request: AnyRequest,
    database: Db,
    job_id: JobId,
    data: JSONBody[Pause],
    idempotency_key: IdempotencyKey = None,
) -> Json:
    """Until it is resumed; what it would have fired is in the ledger as skipped_paused."""
    written = await database.write(
        context(request),
        Write("pause_job", {"job_id": job_id, **data.given()}),
        idempotency=await idempotency(request, idempotency_key),
        then=lambda _: read_job(job_id),
    )
    return reply_job(written.body)


@post(
    "/jobs/{job_id:uuid}/resume",
    status_code=200,
    opt=needs("operate"),
    responses=answers(Job),
    summary="Let a paused job fire again",
    tags=["jobs"],
)
async def resume_job(
    request: AnyRequest, database: Db, job_id: JobId, idempotency_key: IdempotencyKey = None
) -> Json:
    """From now on."""
    written = await database.write(
        context(request),
        Write("resume_job", {"job_id": job_id}),
        idempotency=await idempotency(request, idempotency_key),
        then=lambda _: read_job(job_id),
    )
    return reply_job(written.body)


@post(
    "/jobs/{job_id:uuid}/trigger",
    dto=JsonBody,
    return_dto=None,
    opt=needs("operate"),
    responses=answers(Execution, 201, "The execution"),
    summary="Run a job now",
    tags=["jobs"],
)
async def trigger_job(
    request: AnyRequest,
    database: Db,
    job_id: JobId,
    data: JSONBody[Trigger],
    idempotency_key: IdempotencyKey = None,
) -> Json:
    """Or at `run_at`, beside its schedule."""
    written = await database.write(
        context(request),
        Write("trigger_job", {"job_id": job_id, **data.given()}),
        status=201,
        idempotency=await idempotency(request, idempotency_key),
        then=read_execution,
    )
    return reply_written(written, status=201, location=execution_path(written.answer))


@post(
    "/jobs/{job_id:uuid}/backfill",
    dto=JsonBody,
    return_dto=None,
    opt=needs("operate"),
    responses=answers(Count, 201, "How many executions were made"),
    summary="Run a job for past instants",
    tags=["jobs"],
)
async def backfill_job(
    request: AnyRequest,
    database: Db,
    job_id: JobId,
    data: JSONBody[Backfill],
    idempotency_key: IdempotencyKey = None,
) -> Json:
    """For those that have no execution."""
    written = await database.write(
        context(request),
        Write("backfill_job", {"job_id": job_id, **data.given()}),
        status=201,
        idempotency=await idempotency(request, idempotency_key),
        seconds=BULK_SECONDS,
    )
    body = msgspec.json.encode(Count(int(written.answer)))
    return reply_written(msgspec.structs.replace(written, body=body), status=201)


@get(
    "/jobs/{job_id:uuid}/fires",
    opt=needs("read"),
    responses=page(Fire),
    summary="Show a job's ledger",
    tags=["jobs"],
)
async def list_fires(
    request: AnyRequest,
    database: Db,
    job_id: JobId,
    from_time: FromTime = None,
    to_time: ToTime = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Json:
    """Every due instant with what became of it, newest first."""
    arguments = {
        "job_id": job_id,
        "from_time": from_time,
        "to_time": to_time,
        "after": cursor,
        "max_rows": limit,
    }
    return reply(await database.read(context(request), Read("list_fires", arguments)))


@get(
    "/jobs/{job_id:uuid}/preview",
    opt=needs("read"),
    responses=answers(Preview),
    summary="Show when a job fires next",
    tags=["jobs"],
)
async def preview_job(
    request: AnyRequest,
    database: Db,
    job_id: JobId,
    n: Instants = 5,
    after: After = None,
) -> Json:
    """The next instants of its schedule, paused or not."""
    arguments = {"job_id": job_id, "n": n, "after": after}
    return reply(await database.read(context(request), Read("preview_job_json", arguments)))


ROUTES = [
    list_jobs,
    create_job,
    get_job,
    put_job_by_name,
    replace_job,
    update_job,
    delete_job,
    pause_job,
    resume_job,
    trigger_job,
    backfill_job,
    list_fires,
    preview_job,
]
