"""What is sent to us: what it does not say keeps its default, and what we do not know is refused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from app.api.documents import find_fault
from app.api.values import (
    Attempts,
    Backoff,
    DedupKey,
    Dst,
    JobName,
    JobType,
    Length,
    Misfire,
    Overlap,
    Payload,
    Priority,
    QueueName,
    Schedule,
    Tags,
    Target,
    Text,
    Time,
    Zone,
    to_utc,
)


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a request."""

    def __post_init__(self) -> None:
        """Raises ValueError, the field in backquotes, for what the database would refuse without a name."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, Raw):
                if fault := find_fault(bytes(value)):
                    raise ValueError(f"`{name}` {fault}")
            elif isinstance(value, datetime):
                setattr(self, name, to_utc(name, value))

    def given(self) -> dict[str, Any]:
        """Returns the arguments that were said, documents as text."""
        found = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not UNSET:
                found[name] = bytes(value).decode() if isinstance(value, Raw) else value
        return found


class Nothing(Body, kw_only=True):
    """No body, or an empty object."""


class JobPolicies(Body, kw_only=True):
    """When and how a job runs."""

    schedule: Schedule | UnsetType | None = UNSET
    timezone: Zone | UnsetType = UNSET
    payload: Payload | UnsetType = UNSET
    queue: QueueName | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    max_attempts: Attempts | UnsetType = UNSET
    backoff: Backoff | UnsetType = UNSET
    backoff_base: Length | UnsetType = UNSET
    backoff_max: Length | UnsetType = UNSET
    timeout: Length | UnsetType = UNSET
    expires_after: Length | UnsetType | None = UNSET
    misfire: Misfire | UnsetType = UNSET
    misfire_window: Length | UnsetType | None = UNSET
    misfire_cap: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType | None = UNSET
    overlap: Overlap | UnsetType = UNSET
    dst: Dst | UnsetType = UNSET
    jitter: Length | UnsetType = UNSET
    starts_at: Time | UnsetType | None = UNSET
    ends_at: Time | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET


class JobDefinition(JobPolicies, kw_only=True):
    """A job, but for its name, which the path tells."""

    job_type: JobType
    target: Target


class NewJob(JobDefinition, kw_only=True):
    """A job."""

    name: JobName


class JobChanges(JobPolicies, kw_only=True):
    """The attributes of a job that are to change; all others stay."""

    job_type: JobType | UnsetType = UNSET
    target: Target | UnsetType = UNSET


class Pause(Body, kw_only=True):
    """Why a job is paused."""

    reason: Text | UnsetType | None = UNSET


class Trigger(Body, kw_only=True):
    """One run of a job beside its schedule."""

    payload: Payload | UnsetType = UNSET
    run_at: Time | UnsetType | None = UNSET


class Backfill(Body, kw_only=True):
    """A stretch of the past, both ends included, of which the instants without an execution get one."""

    from_time: Time
    to_time: Time


class NewExecution(Body, kw_only=True):
    """A piece of work without a job."""

    job_type: JobType
    target: Target
    payload: Payload | UnsetType = UNSET
    queue: QueueName | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    run_at: Time | UnsetType | None = UNSET
    dedup_key: DedupKey | UnsetType | None = UNSET
    max_attempts: Attempts | UnsetType = UNSET
    backoff: Backoff | UnsetType = UNSET
    backoff_base: Length | UnsetType = UNSET
    backoff_max: Length | UnsetType = UNSET
    timeout: Length | UnsetType = UNSET
    expires_after: Length | UnsetType | None = UNSET


class Bulk(Body, kw_only=True):
    """Many pieces of work, enqueued together or not at all."""

    items: Annotated[list[NewExecution], Meta(min_length=1, max_length=10_000)]


class PreviewRequest(Body, kw_only=True):
    """A schedule that is only looked at."""

    schedule: Schedule
    timezone: Zone | UnsetType = UNSET
    n: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    after: Time | UnsetType | None = UNSET
    dst: Dst | UnsetType = UNSET
