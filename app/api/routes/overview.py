"""What is going on: queues, workers, statistics; and schedules that are only looked at."""

from __future__ import annotations

from app.api.bodies import PreviewRequest
from app.api.handling import AnyRequest, body_of, query_of
from app.api.operations import reads, writes
from app.api.parameters import StatisticsRange
from app.api.queries import Read
from app.api.routes.answers import Db, Json, context, reply
from app.api.schemas import Preview, QueueList, Statistics, WorkerList


@reads("/queues", QueueList, summary="Show the queues", tag="overview")
async def list_queues(request: AnyRequest, database: Db) -> Json:
    """What waits and runs in each now."""
    return reply(await database.read(context(request), Read("list_queues")))


@reads("/workers", WorkerList, summary="Show the workers", tag="overview")
async def list_workers(request: AnyRequest, database: Db) -> Json:
    """Those of the last day."""
    return reply(await database.read(context(request), Read("list_workers")))


@reads("/stats", Statistics, query=StatisticsRange, summary="Statistics", tag="overview")
async def list_stats(request: AnyRequest, database: Db) -> Json:
    """Ended attempts by time, queue and job type, of at most 1,500 steps."""
    arguments = query_of(request, StatisticsRange).given()
    return reply(await database.read(context(request), Read("list_stats", arguments)))


@writes(
    "POST",
    "/schedules/preview",
    Preview,
    body=PreviewRequest,
    idempotent=False,
    scope="read",
    summary="Show what a schedule means",
    tag="overview",
)
async def preview(request: AnyRequest, database: Db) -> Json:
    """In words, and its next instants."""
    schedule = await body_of(request, PreviewRequest)
    return reply(await database.read(context(request), Read("preview_json", schedule.given())))


ROUTES = [list_queues, list_workers, list_stats, preview]
