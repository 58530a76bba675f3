"""An execution as it comes out of `claim`, a run of it in this process, and the outcome that goes into
`finish`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

import msgspec

if TYPE_CHECKING:
    from workers.tracing import Span

StopReason = Literal["cancelled", "timeout", "lost", "shutdown"]

# "recorded": the executor has already written the end itself. "released": it was never begun, give it back.
# "discarded": the execution is no longer ours, say nothing.
Status = Literal["succeeded", "failed", "cancelled", "recorded", "released", "discarded"]

URGENT = ("lost", "shutdown")

KILL_GRACE_SECONDS = 5.0
"""Between the polite request to stop and the kill."""


class Execution(msgspec.Struct, frozen=True):
    """One row of scheduler.claim. A struct, because a frozen dataclass takes ten times as long to make."""

    execution_id: UUID
    attempt: int
    job_id: UUID | None
    job_name: str | None
    job_type: str
    queue: str
    target: Any
    """Its numbers that have a point are msgspec.Raw, as they were written: only to be written again."""
    payload: str | None
    """JSON text, as the database writes it: not every number survives as one of Python."""
    fire_at: datetime | None
    run_at: datetime
    started_at: datetime
    timeout: timedelta
    max_attempts: int
    traceparent: str | None
    token: UUID | None

    @property
    def key(self) -> tuple[UUID, int]:
        """The attempt as the database knows it. In this process a Run is: a UUID is slow to hash."""
        return self.execution_id, self.attempt


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    status: Status
    result: str | None = None
    """JSON text, as documents.to_json writes it."""
    error: dict[str, Any] | None = None
    retry_after: timedelta | None = None


def failed(
    kind: str,
    message: str,
    *,
    retry: bool = True,
    result: str | None = None,
    retry_after: timedelta | None = None,
    **details: Any,
) -> Outcome:
    """Make the outcome of a run that failed."""
    error: dict[str, Any] = {"type": kind, "message": message, **details}
    if not retry:
        error["retry"] = False
    return Outcome(status="failed", error=error, result=result, retry_after=retry_after)


@dataclass(eq=False, kw_only=True, slots=True)
class Run:
    """An execution that this process holds, from its claim to the answer to its finish."""

    execution: Execution
    report: Callable[[Run, Any], None] = field(repr=False)
    abandon: Callable[[Run], bool] = field(repr=False, default=lambda _: False)
    """Ends the run although its task goes on; False when it has ended."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    since: float = field(default_factory=time.monotonic)
    """When it was claimed, in seconds of this process's clock."""
    begun: bool = False
    stop_reason: StopReason | None = None
    result: str | None = field(default=None, repr=False)
    """What is left of a run that was stopped, as JSON text: a command's output until then."""
    on_stop: Callable[[], None] | None = field(default=None, repr=False)
    """Set by an executor that wants to hear of a stop before its task is cancelled."""
    span: Span | None = field(default=None, repr=False)

    @property
    def kill_grace_seconds(self) -> float:
        """How long the stopped work may take to clean up: not at all once the lease is lost."""
        return 0.0 if self.stop_reason in URGENT else KILL_GRACE_SECONDS

    def stop(self, reason: StopReason) -> None:
        """Ask the run to end; a second call counts only when it is more urgent: it cuts the grace short."""
        if self.stop_reason is not None and (self.stop_reason in URGENT or reason not in URGENT):
            return
        self.stop_reason = reason
        if self.task is not None and self.begun:  # else it sees the reason when it begins
            if self.on_stop is not None:
                self.on_stop()
            self.task.cancel()

    def progress(self, value: Any) -> None:
        """Pass on how far the work has come."""
        self.report(self, value)


class Executor(Protocol):
    """Runs executions of one job type. A cancelled `run` stops the work before it raises."""

    @property
    def available(self) -> bool:
        """Whether executions of this type are to be claimed now."""

    async def start(self) -> None:
        """Make ready; raises where the worker must not start at all."""

    async def run(self, run: Run) -> Outcome:
        """Do the work and say how it ended."""

    async def close(self) -> None:
        """Let go of everything."""
