"""The parameters of paths, queries and headers, each described once."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from app.api.schemas import JobType, Status, Time

A_JOB = "0192f3c1-7d7a-7abc-8def-0123456789ab"
AN_EXECUTION = "0192f3c1-8f10-7abc-8def-0123456789ab"


def _example(value: object) -> list[Example]:
    return [Example(value=value)]


JobId = Annotated[UUID, PathParameter(description="the id of a job")]
ExecutionId = Annotated[UUID, PathParameter(description="the id of an execution")]
JobName = Annotated[
    str, PathParameter(max_length=1000, description="the name of a job", examples=_example("nightly-report"))
]

Cursor = Annotated[
    str | None, QueryParameter(max_length=1000, description="`next_cursor` of the page before")
]
Limit = Annotated[int, QueryParameter(ge=1, le=500, description="how many at most")]
FromTime = Annotated[
    Time | None, QueryParameter(description="not before this time", examples=_example("2031-03-05T00:00:00Z"))
]
ToTime = Annotated[
    Time | None, QueryParameter(description="before this time", examples=_example("2031-03-06T00:00:00Z"))
]

NamePrefix = Annotated[
    str | None,
    QueryParameter(max_length=1000, description="how its name begins", examples=_example("nightly-")),
]
OfJob = Annotated[UUID | None, QueryParameter(description="of this job")]
OfType = Annotated[JobType | None, QueryParameter(description="of this job type")]
OfQueue = Annotated[
    str | None, QueryParameter(max_length=1000, description="of this queue", examples=_example("default"))
]
OfTag = Annotated[
    str | None,
    QueryParameter(max_length=1000, description="whose job has this tag", examples=_example("billing")),
]
OfStatus = Annotated[Status | None, QueryParameter(description="that have this status")]
Paused = Annotated[bool | None, QueryParameter(description="only those that are paused, or that are not")]
ErrorContains = Annotated[
    str | None,
    QueryParameter(
        max_length=1000, description="with this text in the error", examples=_example("connection refused")
    ),
]
Instants = Annotated[int, QueryParameter(ge=1, le=1000, description="how many instants")]
After = Annotated[Time | None, QueryParameter(description="those after this time; else after now")]
Step = Annotated[
    str | None,
    QueryParameter(max_length=100, description="the length of a step", examples=_example("1 minute")),
]

IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        max_length=200,
        description="the ETag that the job must have; `*` for any",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        max_length=255,
        description="any text; sent again within a day with the same request, nothing is done twice",
        examples=_example("7b7c9a6e-3c59-4a53-8f0e-1f6f3c1f2f10"),
    ),
]
