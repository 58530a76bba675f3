"""What the tests of the workers share: executions made by hand, and runs of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from workers.executions import Execution, Executor, Outcome, Run, StopReason

HANDLERS = "tests.workers.handlers"


def make_execution(job_type: str, target: Any, **changes: Any) -> Execution:
    """Makes an execution as claim gives it."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "execution_id": uuid4(),
        "attempt": 1,
        "job_id": None,
        "job_name": "a job",
        "job_type": job_type,
        "queue": "default",
        "target": target,
        "payload": None,
        "fire_at": now,
        "run_at": now,
        "started_at": now,
        "timeout": timedelta(hours=1),
        "max_attempts": 3,
        "traceparent": None,
        "token": None,
    }
    return Execution(**(values | changes))


class Bench:
    """Runs one execution on an executor as the runner does: in a task that can be stopped."""

    def __init__(self, executor: Executor, execution: Execution) -> None:
        self.progress: list[Any] = []
        self.run = Run(execution=execution, report=lambda _, value: self.progress.append(value), begun=True)
        self._executor = executor
        self.run.task = asyncio.create_task(self._main())
        self.outcome: Outcome | None = None

    async def _main(self) -> None:
        self.outcome = await self._executor.run(self.run)

    async def ended(self) -> Outcome:
        """Waits for the outcome."""
        assert self.run.task is not None
        async with asyncio.timeout(60):
            await self.run.task
        assert self.outcome is not None
        return self.outcome

    async def stop(self, reason: StopReason) -> None:
        """Stops the run and waits until it has cleaned up."""
        self.run.stop(reason)
        assert self.run.task is not None
        async with asyncio.timeout(60):
            await asyncio.gather(self.run.task, return_exceptions=True)
        assert self.run.task.cancelled()


async def run_once(executor: Executor, execution: Execution) -> Outcome:
    """Runs one execution to its end."""
    return await Bench(executor, execution).ended()


async def until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Waits for something that another process does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - no event comes out of another process
            await asyncio.sleep(0.01)


async def appears(path: Path) -> str:
    """Waits until another process has written a file, and returns what is in it."""

    def content() -> str:
        return path.read_text() if path.exists() else ""

    await until(lambda: content() != "")
    return content()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
