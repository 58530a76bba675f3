"""Python handlers: in a warm child process, or on request in a thread or on the worker's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog

from workers.documents import from_json, to_capped_json
from workers.executions import Execution, Outcome, Run, failed
from workers.executors.child import PROGRESS_BYTES, describe_exception, describe_result
from workers.executors.children import Child, ChildDiedError, ChildPool
from workers.processes import Keeper
from workers.registry import Context, Handler
from workers.settings import Settings
from workers.threads import call_in_thread

THREAD_SECONDS = 0.2
"""Who waits longer for a thread waits for one that hangs: those that end make room before their runs do."""
UNAVAILABLE_SECONDS = 2.0

_log = structlog.get_logger("python")


class PythonExecutor:
    """Runs registered handlers. A name that is not registered here is never claimed."""

    def __init__(self, settings: Settings, *, handlers: Mapping[str, Handler], keeper: Keeper) -> None:
        self._handlers = handlers
        self._pool = ChildPool(settings.handler_modules, keeper=keeper)
        # Threads cannot be killed: those that hang must not become more and more.
        self._threads = asyncio.Semaphore(settings.concurrency)
        self._unavailable_until = -math.inf
        self._childless_until = -math.inf

    @property
    def available(self) -> bool:
        """Whether there is any handler; not for a while where those that hang leave no thread, or where no
        child can be started.
        """
        now = time.monotonic()
        lacks_threads = self._threads.locked() and now < self._unavailable_until
        return bool(self._handlers) and not lacks_threads and now >= self._childless_until

    async def start(self) -> None:
        """Start the first child; raises ChildDiedError when the handlers cannot be loaded there."""
        if any(handler.mode == "process" for handler in self._handlers.values()):
            await self._pool.warm()

    async def close(self) -> None:
        """End the idle children; a busy one ends with its run."""
        await self._pool.close()

    async def run(self, run: Run) -> Outcome:
        """Run the handler where its mode says."""
        name = run.execution.target["handler"]
        handler = self._handlers.get(name)
        if handler is None:
            return failed("unknown_handler", f"this worker has no handler {name!r}", retry=False)
        if handler.mode == "process":
            return await self._run_in_child(run, _order(run.execution, handler))
        if handler.mode == "thread":
            return await self._run_in_thread(run, handler)
        return await _run_on_loop(run, handler)

    async def _run_in_child(self, run: Run, order: dict[str, Any]) -> Outcome:
        try:
            child = await self._pool.take()
        except (ChildDiedError, OSError) as error:
            # No doing of the execution's: it would use up all attempts here, while other workers can run it.
            now = time.monotonic()
            if now >= self._childless_until:  # else it has been told: as many failed as were claimed at once
                _log.error("handlers cannot be started, giving executions back", error=str(error))
            self._childless_until = now + UNAVAILABLE_SECONDS
            return Outcome(status="released")
        behaved = False
        try:
            await child.send(order)
            frame = await _answer(child, run)
            behaved = not frame.get("spent")
        except ChildDiedError as error:
            output = child.output.take()
            return failed("handler_died", f"the handler's process {error}", output=output[-2048:])
        except asyncio.CancelledError:
            behaved = await _wind_down(child, run)
            raise
        finally:
            if output := child.output.take():
                _log.info("the handler wrote", execution_id=str(run.execution.execution_id), output=output)
            if behaved:
                self._pool.put_back(child)
            else:
                await child.kill()
        return _outcome(frame)

    async def _run_in_thread(self, run: Run, handler: Handler) -> Outcome:
        context = _context(run.execution, lambda value: _report_from_thread(run, value))
        if not await self._take_thread():
            return Outcome(status="released")
        ended = call_in_thread(lambda: _call(handler, context), name=f"handler {handler.name}")
        ended.add_done_callback(lambda _: self._threads.release())
        try:
            return _outcome(await asyncio.shield(ended))
        except asyncio.CancelledError:
            context.cancelled.set()
            await asyncio.wait({ended}, timeout=run.kill_grace_seconds)
            if not ended.done():
                _log.warning("a handler in a thread does not stop", handler=handler.name, **_ids(run))
            raise

    async def _take_thread(self) -> bool:
        """Wait a moment for a thread; to wait for as long as the run may take would cost it an attempt."""
        try:
            async with asyncio.timeout(THREAD_SECONDS):
                return await self._threads.acquire()
        except TimeoutError:
            now = time.monotonic()
            if now > self._unavailable_until + UNAVAILABLE_SECONDS:  # else it has been told
                _log.error("handlers that do not stop hold all threads, giving executions back")
            self._unavailable_until = now + UNAVAILABLE_SECONDS
            return False


async def _run_on_loop(run: Run, handler: Handler) -> Outcome:
    """In the run's own task: one more, shielded, would cost each run 12 us."""
    # The handler may pass its context on to asyncio.to_thread.
    context = _context(run.execution, lambda value: _report_from_thread(run, value))

    def leave() -> None:
        if run.abandon(run):
            _log.warning("a handler on the event loop does not stop", handler=handler.name, **_ids(run))

    def on_stop() -> None:
        context.cancelled.set()
        asyncio.get_running_loop().call_later(run.kill_grace_seconds, leave)

    run.on_stop = on_stop
    try:
        frame = describe_result(await handler.function(context))
    except asyncio.CancelledError as error:
        if run.stop_reason is not None:
            raise
        frame = describe_exception(error)
    except BaseException as error:  # asyncio would end the run's task with it, and nobody the run
        frame = describe_exception(error)
    finally:
        run.on_stop = None  # else a circle, which only the garbage collector ends
    if run.stop_reason is not None:  # however it took that
        raise asyncio.CancelledError
    return _outcome(frame)


async def _answer(child: Child, run: Run) -> dict[str, Any]:
    while (frame := await child.receive())["kind"] == "progress":
        run.progress(frame["value"])
    return frame


async def _wind_down(child: Child, run: Run) -> bool:
    """Ask the handler to stop, and say whether it did so in time and lacked nothing."""
    if run.kill_grace_seconds == 0:
        return False
    try:
        await child.send({"kind": "cancel"})
        async with asyncio.timeout(run.kill_grace_seconds):
            frame = await _answer(child, run)
    except (ChildDiedError, TimeoutError, asyncio.CancelledError):
        return False
    return not frame.get("spent")


def _call(handler: Handler, context: Context) -> dict[str, Any]:
    try:
        return describe_result(handler.function(context))
    except BaseException as error:
        return describe_exception(error)


def _outcome(frame: dict[str, Any]) -> Outcome:
    if frame["kind"] == "done":
        return Outcome(status="succeeded", result=frame["result"])
    after = frame.get("retry_after")
    return Outcome(
        status="failed", error=frame["error"], retry_after=None if after is None else timedelta(seconds=after)
    )


def _context(execution: Execution, report: Callable[[Any], None]) -> Context:
    """Make a handler's context in this process."""
    return Context(
        execution_id=execution.execution_id,
        job_name=execution.job_name,
        payload=from_json(execution.payload or "null"),
        fire_at=execution.fire_at,
        attempt=execution.attempt,
        max_attempts=execution.max_attempts,
        traceparent=execution.traceparent,
        report=report,
    )


def _order(execution: Execution, handler: Handler) -> dict[str, Any]:
    return {
        "kind": "run",
        "handler": handler.name,
        "execution_id": str(execution.execution_id),
        "job_name": execution.job_name,
        "payload": from_json(execution.payload or "null"),
        "fire_at": execution.fire_at.isoformat() if execution.fire_at else None,
        "attempt": execution.attempt,
        "max_attempts": execution.max_attempts,
        "traceparent": execution.traceparent,
    }


def _report_from_thread(run: Run, value: Any) -> None:
    text = to_capped_json(value, limit_bytes=PROGRESS_BYTES)
    assert run.task is not None  # noqa: S101 - it runs
    with contextlib.suppress(RuntimeError):
        run.task.get_loop().call_soon_threadsafe(run.progress, text)


def _ids(run: Run) -> dict[str, Any]:
    return {"execution_id": str(run.execution.execution_id), "attempt": run.execution.attempt}
