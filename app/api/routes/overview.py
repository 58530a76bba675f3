"""What is going on: queues, workers, statistics; and schedules that are only looked at."""

from __future__ import annotations

from typing import Any

from litestar import get, post
from litestar.params import JSONBody

from app.api.handling import JsonBody
from app.api.parameters import FromTime, Step, ToTime
from app.api.queries import Read
from app.api.routes.answers import AnyRequest, Db, Json, answers, context, needs, reply
from app.api.schemas import Preview, PreviewRequest

DOCUMENT = answers(dict[str, Any])


@get("/queues", opt=needs("read"), responses=DOCUMENT, summary="Queues", tags=["overview"])
async def list_queues(request: AnyRequest, database: Db) -> Json:
    """What waits and runs in each now."""
    return reply(await database.read(context(request), Read("list_queues")))


@get("/workers", opt=needs("read"), responses=DOCUMENT, summary="Workers", tags=["overview"])
async def list_workers(request: AnyRequest, database: Db) -> Json:
    """Those of the last day."""
    return reply(await database.read(context(request), Read("list_workers")))


@get("/stats", opt=needs("read"), responses=DOCUMENT, summary="Statistics", tags=["overview"])
async def list_stats(
    request: AnyRequest,
    database: Db,
    from_time: FromTime = None,
    to_time: ToTime = None,
    step: Step = None,
) -> Json:
    """Ended attempts by time, queue and job type."""
    given = {"from_time": from_time, "to_time": to_time, "step": step}
    arguments = {name: value for name, value in given.items() if value is not None}
    return reply(await database.read(context(request), Read("list_stats", arguments)))


@post(
    "/schedules/preview",
    dto=JsonBody,
    return_dto=None,
    status_code=200,
    opt=needs("read"),
    responses=answers(Preview),
    summary="Show what a schedule means",
    tags=["overview"],
)
async def preview(request: AnyRequest, database: Db, data: JSONBody[PreviewRequest]) -> Json:
    """In words, and its next instants."""
    return reply(await database.read(context(request), Read("preview_json", data.given())))


ROUTES = [list_queues, list_workers, list_stats, preview]
