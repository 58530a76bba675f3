"""What comes out, as the OpenAPI document shows it: JSON that PostgreSQL made, which nothing here decodes."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.api.errors import FieldError
from app.api.values import (
    Backoff,
    Dst,
    JobType,
    Misfire,
    Origin,
    Overlap,
    Status,
    Time,
    Verdict,
)

T = TypeVar("T")

Shortened = Annotated[Any, Meta(description='any JSON; in a list `{"truncated": true}` for a large one')]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]


class Job(msgspec.Struct, kw_only=True):
    """A job as it stands."""

    job_id: UUID
    name: str
    job_type: JobType
    schedule: str | None
    timezone: str
    next_fire_at: Annotated[Time | None, Meta(description="null: never again, or paused")]
    last_fire_at: Time | None
    paused: bool
    paused_at: Time | None
    pause_reason: str | None
    broken_reason: Annotated[str | None, Meta(description="why the schedule was set aside, if it was")]
    target: Shortened
    payload: Shortened
    queue: str
    priority: int
    max_attempts: int
    backoff: Backoff
    backoff_base: str
    backoff_max: str
    timeout: str
    expires_after: str | None
    misfire: Misfire
    misfire_window: str | None
    misfire_cap: int | None
    overlap: Overlap
    dst: Dst
    jitter: str
    starts_at: Time | None
    ends_at: Time | None
    tags: list[str]
    version: Annotated[int, Meta(description="counts its definitions; with the ETag, If-Match is about it")]
    created_at: Time
    created_by: str
    updated_at: Time


class Execution(msgspec.Struct, kw_only=True):
    """An execution as it stands."""

    execution_id: UUID
    job_id: UUID | None
    job_name: str | None
    job_type: JobType
    queue: str
    priority: int
    status: Status
    attempt: Count
    max_attempts: int
    fire_at: Annotated[Time | None, Meta(description="the instant of the schedule that it is for")]
    run_at: Annotated[Time | None, Meta(description="null: held until an earlier fire of its job ends")]
    started_at: Time | None
    finished_at: Time | None
    worker_id: UUID | None
    target: Shortened
    payload: Shortened
    result: Shortened
    error: Shortened
    progress: Shortened
    origin: Origin
    dedup_key: str | None
    traceparent: str | None
    created_at: Time


class Fire(msgspec.Struct, kw_only=True):
    """A row of the ledger: a due instant and what became of it."""

    job_id: UUID
    fire_at: Time
    verdict: Verdict
    execution_id: UUID | None
    decided_at: Time | None


class Preview(msgspec.Struct, kw_only=True):
    """A schedule in words, and the instants that it means."""

    description: Annotated[str | None, Meta(description="null: there is no schedule")]
    fires: list[Time]


class Backfilled(msgspec.Struct, kw_only=True):
    """How many executions were made."""

    executions: Count


class ExecutionIds(msgspec.Struct, kw_only=True):
    """The ids of what was enqueued, in the order of the items."""

    execution_ids: list[UUID]


class Queue(msgspec.Struct, kw_only=True):
    """What waits and runs in a queue now."""

    queue: str
    ready: Count
    scheduled: Count
    running: Count
    oldest_ready_at: Time | None


class Worker(msgspec.Struct, kw_only=True):
    """A worker process of the last day."""

    worker_id: UUID
    node_id: str
    status: Literal["active", "draining", "silent", "stopped"]
    queues: list[str] | None
    job_types: list[str]
    concurrency: int
    running: Count
    started_at: Time
    last_beat_at: Time
    lease: str
    stopped_at: Time | None


class Ended(msgspec.Struct, kw_only=True):
    """The attempts that ended within a step, of one queue and job type."""

    at: Time
    queue: str
    job_type: JobType
    succeeded: Count
    failed: Count
    cancelled: Count
    expired: Count
    retried: Count
    wait_seconds: Annotated[Seconds, Meta(description="the sum over all that started")]
    run_seconds: Seconds
    max_wait_seconds: Seconds | None
    max_run_seconds: Seconds | None


class Statistics(msgspec.Struct, kw_only=True):
    """Ended attempts by time, queue and job type. A step in which nothing ended is not there."""

    from_time: Time
    to_time: Time
    step: str
    items: list[Ended]


class Page(msgspec.Struct, Generic[T], kw_only=True):
    """A page of a list. It may hold fewer than asked for, and still not be the last."""

    items: list[T]
    next_cursor: Annotated[
        str | None, Meta(description="give it as `cursor` for the next page; null: the last")
    ]


class JobPage(Page[Job], kw_only=True):
    """A page of jobs, by name."""


class ExecutionPage(Page[Execution], kw_only=True):
    """A page of executions, newest first. It may hold fewer than asked for, and still not be the last."""


class FirePage(Page[Fire], kw_only=True):
    """A page of a job's ledger, newest instant first."""


class QueueList(Page[Queue], kw_only=True):
    """All queues that hold anything."""


class WorkerList(Page[Worker], kw_only=True):
    """The workers of the last day, the youngest first."""


class Problem(msgspec.Struct, kw_only=True):
    """What is wrong, and what to do next (RFC 9457)."""

    type: Annotated[str, Meta(description="a page that explains this kind of problem")]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    instance: Annotated[str, Meta(description="the id of the request, which our logs know")]
    hint: Annotated[str, Meta(description="what to do next")] | UnsetType = UNSET
    errors: Annotated[list[FieldError], Meta(description="the parts of the request to blame")] | UnsetType = (
        UNSET
    )
    sqlstate: str | UnsetType = UNSET
