"""Jobs: the definitions, and what is done with them."""

from __future__ import annotations

import msgspec
from litestar import Response

from app.api.bodies import Backfill, JobChanges, JobDefinition, NewJob, Nothing, Pause, Trigger
from app.api.database import BULK_SECONDS
from app.api.handling import AnyRequest, body_of, query_of
from app.api.operations import reads, writes
from app.api.parameters import Instants, JobExecutionFilter, JobFilter, TimeRange
from app.api.queries import Read, Write
from app.api.routes.answers import (
    Db,
    JobId,
    Json,
    context,
    execution_path,
    expected_version,
    idempotency,
    job_path,
    name_of,
    read_execution,
    read_job,
    reply,
    reply_job,
    reply_written,
)
from app.api.schemas import Backfilled, Execution, ExecutionPage, FirePage, Job, JobPage, Preview


@reads("/jobs", JobPage, query=JobFilter, summary="List jobs", tag="jobs")
async def list_jobs(request: AnyRequest, database: Db) -> Json:
    """By name; a page may be short although more follow. Large documents are shortened."""
    arguments = query_of(request, JobFilter).given()
    return reply(await database.read(context(request), Read("list_jobs", arguments)))


@writes(
    "POST",
    "/jobs",
    Job,
    body=NewJob,
    status=201,
    has_location=True,
    conflicts=True,
    gives_etag=True,
    scope="operate",
    summary="Create a job",
    tag="jobs",
)
async def create_job(request: AnyRequest, database: Db) -> Json:
    """Fails if the name exists. A job of the type sql or command needs a key with the scope admin."""
    job = await body_of(request, NewJob)
    written = await database.write(
        context(request),
        Write("create_job", job.given()),
        status=201,
        idempotency=await idempotency(request),
        then=read_job,
    )
    return reply_written(written, status=201, location=job_path(written.answer), how=reply_job)


@reads("/jobs/{job_id:str}", Job, gives_etag=True, summary="Show a job", tag="jobs")
async def get_job(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """With its firing state, and all of its target and payload."""
    return reply_job(await database.read(context(request), read_job(job_id)))


@writes(
    "PUT",
    "/jobs/by-name/{name:path}",
    Job,
    body=JobDefinition,
    if_match=True,
    gives_etag=True,
    scope="operate",
    summary="Create or replace a job by name",
    tag="jobs",
)
async def put_job(request: AnyRequest, database: Db) -> Json:
    """What is not said becomes the default again; an unchanged schedule keeps its next fire.

    With If-Match only if there is such a job at that version. Idempotent: the same again changes nothing.
    """
    name = name_of(request)
    job = await body_of(request, JobDefinition)
    arguments = {"name": name, **job.given(), "expected_version": expected_version(request)}
    written = await database.write(context(request), Write("put_job", arguments), then=read_job)
    return reply_written(written, how=reply_job)


@writes(
    "PUT",
    "/jobs/{job_id:str}",
    Job,
    body=JobDefinition,
    if_match=True,
    gives_etag=True,
    scope="operate",
    summary="Replace a job's definition",
    tag="jobs",
)
async def replace_job(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """What is not said becomes the default again; the name stays, and an unchanged schedule its next fire."""
    job = await body_of(request, JobDefinition)
    arguments = {"job_id": job_id, **job.given(), "expected_version": expected_version(request)}
    written = await database.write(
        context(request), Write("replace_job", arguments), then=lambda _: read_job(job_id)
    )
    return reply_written(written, how=reply_job)


@writes(
    "PATCH",
    "/jobs/{job_id:str}",
    Job,
    body=JobChanges,
    if_match=True,
    gives_etag=True,
    scope="operate",
    summary="Change attributes of a job",
    tag="jobs",
)
async def update_job(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """Only those that are said; null takes one away."""
    changes = await body_of(request, JobChanges)
    arguments = {
        "job_id": job_id,
        "changes": msgspec.json.encode(changes).decode(),
        "expected_version": expected_version(request),
    }
    written = await database.write(
        context(request), Write("update_job", arguments), then=lambda _: read_job(job_id)
    )
    return reply_written(written, how=reply_job)


@writes(
    "DELETE",
    "/jobs/{job_id:str}",
    None,
    status=204,
    if_match=True,
    scope="operate",
    summary="Delete a job",
    tag="jobs",
)
async def delete_job(request: AnyRequest, database: Db, job_id: JobId) -> Response[None]:
    """It fires no more; what waits or runs of it goes on, and its history stays."""
    arguments = {"job_id": job_id, "expected_version": expected_version(request)}
    await database.write(context(request), Write("delete_job", arguments), status=204)
    return Response(None, status_code=204)


@writes(
    "POST",
    "/jobs/{job_id:str}/pause",
    Job,
    body=Pause,
    gives_etag=True,
    scope="operate",
    summary="Stop a job from firing",
    tag="jobs",
)
async def pause_job(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """Until it is resumed; what it would have fired is in the ledger as skipped_paused."""
    pause = await body_of(request, Pause)
    written = await database.write(
        context(request),
        Write("pause_job", {"job_id": job_id, **pause.given()}),
        idempotency=await idempotency(request),
        then=lambda _: read_job(job_id),
    )
    return reply_written(written, how=reply_job)


@writes(
    "POST",
    "/jobs/{job_id:str}/resume",
    Job,
    body=Nothing,
    gives_etag=True,
    scope="operate",
    summary="Let a paused job fire again",
    tag="jobs",
)
async def resume_job(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """From now on."""
    await body_of(request, Nothing)
    written = await database.write(
        context(request),
        Write("resume_job", {"job_id": job_id}),
        idempotency=await idempotency(request),
        then=lambda _: read_job(job_id),
    )
    return reply_written(written, how=reply_job)


@writes(
    "POST",
    "/jobs/{job_id:str}/trigger",
    Execution,
    body=Trigger,
    status=201,
    has_location=True,
    scope="operate",
    summary="Run a job now",
    tag="jobs",
)
async def trigger_job(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """Or at `run_at`, beside its schedule, paused or not."""
    trigger = await body_of(request, Trigger)
    written = await database.write(
        context(request),
        Write("trigger_job", {"job_id": job_id, **trigger.given()}),
        status=201,
        idempotency=await idempotency(request),
        then=read_execution,
    )
    return reply_written(written, status=201, location=execution_path(written.answer))


@writes(
    "POST",
    "/jobs/{job_id:str}/backfill",
    Backfilled,
    body=Backfill,
    status=201,
    conflicts=True,
    scope="operate",
    summary="Run a job for past instants",
    tag="jobs",
)
async def backfill_job(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """For those between the two times that have no execution."""
    backfill = await body_of(request, Backfill)
    written = await database.write(
        context(request),
        Write("backfill_job", {"job_id": job_id, **backfill.given()}),
        status=201,
        idempotency=await idempotency(request),
        seconds=BULK_SECONDS,
    )
    body = msgspec.json.encode(Backfilled(executions=int(written.answer)))
    return reply_written(msgspec.structs.replace(written, body=body), status=201)


@reads(
    "/jobs/{job_id:str}/executions",
    ExecutionPage,
    query=JobExecutionFilter,
    summary="List a job's executions",
    tag="jobs",
)
async def list_job_executions(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """Newest first, by the time when they were to run; a page may be short although more follow."""
    arguments = {"job_id": job_id, **query_of(request, JobExecutionFilter).given()}
    return reply(await database.read(context(request), Read("list_executions", arguments)))


@reads("/jobs/{job_id:str}/fires", FirePage, query=TimeRange, summary="Show a job's ledger", tag="jobs")
async def list_fires(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """Every due instant with what became of it, newest first."""
    arguments = {"job_id": job_id, **query_of(request, TimeRange).given()}
    return reply(await database.read(context(request), Read("list_fires", arguments)))


@reads(
    "/jobs/{job_id:str}/preview", Preview, query=Instants, summary="Show when a job fires next", tag="jobs"
)
async def preview_job(request: AnyRequest, database: Db, job_id: JobId) -> Json:
    """The next instants of its schedule, paused or not."""
    arguments = {"job_id": job_id, **query_of(request, Instants).given()}
    return reply(await database.read(context(request), Read("preview_job_json", arguments)))


ROUTES = [
    list_jobs,
    create_job,
    get_job,
    put_job,
    replace_job,
    update_job,
    delete_job,
    pause_job,
    resume_job,
    trigger_job,
    backfill_job,
    list_job_executions,
    list_fires,
    preview_job,
]
