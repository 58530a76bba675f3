"""The runner: one task for each execution, from its claim to its outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec
import structlog

from workers import metrics
from workers.executions import Execution, Executor, Outcome, Run, StopReason, failed
from workers.queries import StopOrder
from workers.tracing import Tracing

TIMER_SECONDS = 0.01
"""At the least so far apart are two looks at what has run for too long."""

_log = structlog.get_logger("runner")


class Runner:
    """Knows everything that this worker holds: what runs, and what has ended but is not recorded yet."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        *,
        concurrency: int,
        on_outcome: Callable[[Run, Outcome], None],
        on_progress: Callable[[Run, Any], None],
        tracing: Tracing | None = None,
    ) -> None:
        self._executors = executors
        self._concurrency = concurrency
        self._on_outcome = on_outcome
        self._on_progress = on_progress
        self._tracing = tracing
        self._held: set[Run] = set()
        self._running: set[Run] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = _log.bind()  # what that finds out anew for each line
        metrics.active.set_function(lambda: len(self._running))

    @property
    def free(self) -> int:
        """How many more executions can be started now."""
        return self._concurrency - len(self._running)

    @property
    def busy(self) -> bool:
        """Whether anything runs."""
        return bool(self._running)

    def job_types(self) -> list[str]:
        """The job types that can be run now."""
        return [job_type for job_type, executor in self._executors.items() if executor.available]

    def held(self) -> list[tuple[UUID, int]]:
        """What the database has given to this worker; read by the heartbeat's thread as well."""
        return [run.execution.key for run in list(self._held)]

    def start(self, execution: Execution) -> None:
        """Begin to run an execution."""
        span = None
        if self._tracing is not None:
            span = self._tracing.begin(execution)
            execution = msgspec.structs.replace(execution, traceparent=span.traceparent)
        run = Run(execution=execution, report=self._progress, abandon=self._abandon, span=span)
        self._held.add(run)
        self._running.add(run)
        self._idle.clear()
        loop = self._loop
        if loop is None:  # to ask for it takes a system call each time, which took a tenth of a run
            loop = self._loop = asyncio.get_running_loop()
        self._look_at(loop, run.since + execution.timeout.total_seconds())
        run.task = loop.create_task(self._run(run))

    def forget(self, run: Run) -> None:
        """The database knows how the run ended, or it is no longer ours."""
        self._held.discard(run)

    def obey(self, orders: list[StopOrder]) -> None:
        """Stop what the database wants stopped."""
        if not orders:
            return
        # What has ended needs no stop: finish tells whether it came too late.
        runs = {run.execution.key: run for run in self._running}
        for order in orders:
            run = runs.get((order.execution_id, order.attempt))
            if run is not None:
                _log.info("stopping", reason=order.reason, **ids(run))
                run.stop(_reason(order.reason))

    def stop_all(self, reason: StopReason) -> None:
        """Stop everything."""
        for run in list(self._running):
            run.stop(reason)

    async def wait_idle(self) -> None:
        """Wait until nothing runs."""
        await self._idle.wait()

    async def _run(self, run: Run) -> None:
        self._end(run, await self._outcome(run))

    def _look_at(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        """Have one timer for all timeouts, at the earliest: one for each run took a tenth of its time."""
        if self._timer is None or at < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(at, self._stop_overdue, loop)

    def _stop_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for run in list(self._running):
            at = run.since + run.execution.timeout.total_seconds()
            if at <= now:
                loop.call_soon(run.stop, "timeout")  # each by itself, should one of them raise
            elif run.stop_reason is None:
                self._look_at(loop, max(at, now + TIMER_SECONDS))

    async def _outcome(self, run: Run) -> Outcome:
        """Run the execution, and whatever happens come back with an outcome."""
        executor = self._executors[run.execution.job_type]
        run.begun = True
        if run.stop_reason is not None:
            return _stopped(run)
        try:
            outcome = await executor.run(run)
        except asyncio.CancelledError:
            return _stopped(run)
        except BaseException as error:
            _log.error("the executor failed", exc_info=error, **ids(run))
            outcome = failed("worker_error", f"{type(error).__name__}: {error}")
        # Lost while it was ending on its own: then its end does not count either.
        return _stopped(run) if run.stop_reason == "lost" else outcome

    def _progress(self, run: Run, value: Any) -> None:
        if run in self._running:  # a thread may go on after its run was given up
            self._on_progress(run, value)

    def _abandon(self, run: Run) -> bool:
        return self._end(run, _stopped(run))

    def _end(self, run: Run, outcome: Outcome) -> bool:
        if run not in self._running:
            return False
        self._running.remove(run)
        if not self._running:
            self._idle.set()
        execution = run.execution
        seconds = time.monotonic() - run.since
        status = "succeeded" if outcome.status == "recorded" else outcome.status
        metrics.run(execution.job_type).observe(seconds)
        metrics.wait(execution.queue).observe(
            max(0.0, (execution.started_at - execution.run_at).total_seconds())
        )
        metrics.attempts(execution.job_type, status).inc()
        self._on_outcome(run, outcome)
        if run.span is not None:
            run.span.end(outcome)
        if self._log.is_enabled_for(logging.INFO):
            self._log.info(
                "execution ended",
                status=status,
                seconds=round(seconds, 3),
                **({"error": outcome.error.get("message", "")[:500]} if outcome.error else {}),
                **ids(run),
            )
        return True


def ids(run: Run) -> dict[str, Any]:
    """Name a run in a log line, and the trace that it belongs to."""
    execution = run.execution
    names = {
        "execution_id": execution.execution_id,
        "attempt": execution.attempt,
        "job": execution.job_name,
    }
    if execution.traceparent:
        names |= {"trace_id": execution.traceparent[3:35], "span_id": execution.traceparent[36:52]}
    return names


def _reason(text: str) -> StopReason:
    return "cancelled" if text == "cancelled" else "timeout" if text == "timeout" else "lost"


def _stopped(run: Run) -> Outcome:
    match run.stop_reason:
        case "timeout":
            message = f"timed out after {run.execution.timeout.total_seconds():g} s"
            return failed("timeout", message, result=run.result)
        case "cancelled":
            error = {"type": "cancelled", "message": "cancelled while it ran"}
            return Outcome(status="cancelled", error=error, result=run.result)
        case _:
            return Outcome(status="discarded")
