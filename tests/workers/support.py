"""What the tests of the workers share: executions made by hand, and runs of them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

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
    values |= changes
    if values["payload"] is not None:
        values["payload"] = json.dumps(values["payload"], ensure_ascii=False)
    return Execution(**values)


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


class Program:
    """A ticker or worker that runs as a process of its own."""

    def __init__(self, args: Sequence[str], environ: dict[str, str], *, log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers", *args],
                env={"PATH": os.environ["PATH"], **environ},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text()

    def events(self, event: str) -> list[dict[str, Any]]:
        """Returns the log lines of one kind."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def wait(self, *, seconds: float = 20.0) -> int:
        """Waits for its end and returns its exit status."""
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Ends it without asking."""
        self.process.kill()
        self.process.wait()


class Schedule:
    """Speaks to the scheduler as a user does."""

    def __init__(self, conn: Connection[Any]) -> None:
        self.conn = conn

    def enqueue(self, job_type: str, target: Any, **arguments: Any) -> UUID:
        """Makes an execution."""
        names = ", ".join(f"{name} => %({name})s" for name in arguments)
        row = self.conn.execute(
            f"select scheduler.enqueue(%(job_type)s, %(target)s{', ' if names else ''}{names})",
            {
                "job_type": job_type,
                "target": Jsonb(target),
                **{key: Jsonb(value) if key == "payload" else value for key, value in arguments.items()},
            },
        ).fetchone()
        assert row is not None
        execution_id: UUID = row[0]
        return execution_id

    def execution(self, execution_id: UUID) -> Any:
        """Returns the execution as it is now."""
        cursor = self.conn.cursor(row_factory=namedtuple_row)
        row = cursor.execute("select * from scheduler.get_execution(%s)", (execution_id,)).fetchone()
        assert row is not None
        return row

    def wait(self, execution_id: UUID, *statuses: str, seconds: float = 20.0) -> Any:
        """Waits until the execution has one of the statuses (any end, if none is given)."""
        wanted = statuses or ("succeeded", "failed", "cancelled", "expired")
        give_up_at = time.monotonic() + seconds
        while (row := self.execution(execution_id)).status not in wanted:
            assert time.monotonic() < give_up_at, row
            time.sleep(0.01)
        return row

    def count(self, status: str) -> int:
        """Counts the executions in a status."""
        row = self.conn.execute(
            "select count(*) from scheduler.executions where status = %s", (status,)
        ).fetchone()
        assert row is not None
        count: int = row[0]
        return count


def wait_until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Waits for something that another process does."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def wait_for_file(path: Path) -> str:
    """Waits until a handler has written its file, and returns what is in it."""
    wait_until(lambda: path.exists() and path.read_text() != "")
    return path.read_text()
