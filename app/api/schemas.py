"""What goes in and what comes out, as the OpenAPI document shows it.

Only what comes in is decoded by these: what goes out is JSON that PostgreSQL made. Bounds and rules that the
database checks are not said here a second time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

T = TypeVar("T")

JobType = Literal["sql", "http", "python", "command"]
Status = Literal["scheduled", "ready", "running", "succeeded", "failed", "cancelled", "expired"]
Verdict = Literal[
    "fired", "coalesced", "skipped_overlap", "skipped_misfire", "skipped_paused", "skipped_window"
]

Text = Annotated[str, Meta(max_length=10_000)]
Length = Annotated[
    str, Meta(max_length=100, description="a length, as PostgreSQL writes it", examples=["5 minutes"])
]
Time = Annotated[datetime, Meta(tz=True)]
Integer = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Schedule = Annotated[
    str,
    Meta(
        max_length=1000,
        description="cron (5 fields; 6: second first; 7: year last), a nickname, or `every 15 minutes`",
        examples=["30 2 * * *"],
    ),
]
Target = Annotated[
    Raw,
    Meta(
        description="what to run, by job type: url, handler, statement, args or shell",
        examples=[{"url": "https://reports.example.com/build"}],
    ),
]
Payload = Annotated[Raw, Meta(description="any JSON; up to 1 MB", examples=[{"kind": "daily"}])]
Tags = Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=100)]


class Incoming(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is sent to us: what it does not say keeps its default, and what we do not know is refused."""

    def given(self) -> dict[str, Any]:
        """Returns the arguments that were said, documents as text."""
        found = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not UNSET:
                found[name] = bytes(value).decode() if isinstance(value, Raw) else value
        return found


class JobPolicies(Incoming, kw_only=True):
    """When and how a job runs."""

    schedule: Schedule | UnsetType | None = UNSET
    timezone: Annotated[Text, Meta(examples=["Europe/Berlin"])] | UnsetType = UNSET
    payload: Payload | UnsetType = UNSET
    queue: Text | UnsetType = UNSET
    priority: Integer | UnsetType = UNSET
    max_attempts: Integer | UnsetType = UNSET
    backoff: Literal["fixed", "linear", "exponential"] | UnsetType = UNSET
    backoff_base: Length | UnsetType = UNSET
    backoff_max: Length | UnsetType = UNSET
    timeout: Length | UnsetType = UNSET
    expires_after: Length | UnsetType | None = UNSET
    misfire: Literal["skip", "fire_once", "fire_all"] | UnsetType = UNSET
    misfire_window: Length | UnsetType | None = UNSET
    misfire_cap: Integer | UnsetType | None = UNSET
    overlap: Literal["allow", "skip", "queue_one", "cancel_running"] | UnsetType = UNSET
    dst: Literal["debian", "wall", "skip"] | UnsetType = UNSET
    jitter: Length | UnsetType = UNSET
    starts_at: Time | UnsetType | None = UNSET
    ends_at: Time | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET


class NamedJob(JobPolicies, kw_only=True):
    """A job whose name the path gives."""

    job_type: JobType
    target: Target


class NewJob(NamedJob, kw_only=True):
    """A job."""

    name: Annotated[str, Meta(max_length=1000, examples=["nightly-report"])]


class JobChanges(JobPolicies, kw_only=True):
    """The attributes of a job that are to change; all others stay."""

    job_type: JobType | UnsetType = UNSET
    target: Target | UnsetType = UNSET


class Pause(Incoming, kw_only=True):
    """Why a job is paused."""

    reason: Text | UnsetType | None = UNSET


class Trigger(Incoming, kw_only=True):
    """One run of a job beside its schedule."""

    payload: Payload | UnsetType = UNSET
    run_at: Time | UnsetType | None = UNSET


class Backfill(Incoming, kw_only=True):
    """A stretch of the past of which the instants without an execution are to get one."""

    from_time: Time
    to_time: Time


class NewExecution(Incoming, kw_only=True):
    """A piece of work without a job."""

    job_type: JobType
    target: Target
    payload: Payload | UnsetType = UNSET
    queue: Text | UnsetType = UNSET
    priority: Integer | UnsetType = UNSET
    run_at: Time | UnsetType | None = UNSET
    dedup_key: Text | UnsetType | None = UNSET
    max_attempts: Integer | UnsetType = UNSET
    backoff: Literal["fixed", "linear", "exponential"] | UnsetType = UNSET
    backoff_base: Length | UnsetType = UNSET
    backoff_max: Length | UnsetType = UNSET
    timeout: Length | UnsetType = UNSET
    expires_after: Length | UnsetType | None = UNSET


class Bulk(Incoming, kw_only=True):
    """Many pieces of work, enqueued together or not at all."""

    items: Annotated[list[NewExecution], Meta(min_length=1, max_length=10_000)]


class PreviewRequest(Incoming, kw_only=True):
    """A schedule that is only looked at."""

    schedule: Schedule
    timezone: Text | UnsetType = UNSET
    n: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    after: Time | UnsetType = UNSET
    dst: Literal["debian", "wall", "skip"] | UnsetType = UNSET


class Job(msgspec.Struct, kw_only=True):
    """A job as it stands."""

    job_id: UUID
    name: str
    job_type: JobType
    schedule: str | None
    timezone: str
    next_fire_at: datetime | None
    last_fire_at: datetime | None
    paused: bool
    paused_at: datetime | None
    pause_reason: str | None
    broken_reason: str | None
    target: Any
    payload: Any
    queue: str
    priority: int
    max_attempts: int
    backoff: str
    backoff_base: str
    backoff_max: str
    timeout: str
    expires_after: str | None
    misfire: str
    misfire_window: str | None
    misfire_cap: int | None
    overlap: str
    dst: str
    jitter: str
    starts_at: datetime | None
    ends_at: datetime | None
    tags: list[str]
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime


class Execution(msgspec.Struct, kw_only=True):
    """An execution as it stands."""

    execution_id: UUID
    job_id: UUID | None
    job_name: str | None
    job_type: JobType
    queue: str
    priority: int
    status: Status
    attempt: int
    max_attempts: int
    fire_at: datetime | None
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    worker_id: UUID | None
    target: Any
    payload: Any
    result: Any
    error: Any
    progress: Any
    origin: Literal["fire", "trigger", "backfill", "enqueue"]
    dedup_key: str | None
    traceparent: str | None
    created_at: datetime


class Fire(msgspec.Struct, kw_only=True):
    """A row of the ledger: a due instant and what became of it."""

    job_id: UUID
    fire_at: datetime
    verdict: Verdict
    execution_id: UUID | None
    decided_at: datetime | None


class Preview(msgspec.Struct, kw_only=True):
    """A schedule in words, and the instants that it means."""

    description: str
    fires: list[datetime]


class Count(msgspec.Struct):
    """How many executions were made."""

    executions: int


class ExecutionIds(msgspec.Struct):
    """The ids of what was enqueued, in the order of the items."""

    execution_ids: list[UUID]


class Page(msgspec.Struct, Generic[T]):
    """A page of a list. It may hold fewer than asked for, and still not be the last."""

    items: list[T]
    next_cursor: Annotated[
        str | None, Meta(description="give it as `cursor` for the next page; null: the last")
    ]
