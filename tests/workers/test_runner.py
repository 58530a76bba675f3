"""The runner: every run ends once, with the outcome that its stop calls for, whatever its work does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from tests.workers.support import make_execution, until
from tests.workers.test_python import make_settings
from workers.executions import Outcome, Run
from workers.executors.python import PythonExecutor
from workers.processes import Keeper
from workers.registry import Context, Function, Handler
from workers.runner import Runner


class Stage:
    """A runner with one handler on the event loop."""

    def __init__(self, keeper: Keeper, function: Function) -> None:
        self.outcomes: list[Outcome] = []
        self.progress: list[Any] = []
        handlers = {"it": Handler(name="it", function=function, mode="async")}
        self.runner = Runner(
            {"python": PythonExecutor(make_settings(""), handlers=handlers, keeper=keeper)},
            concurrency=10,
            on_outcome=lambda _, outcome: self.outcomes.append(outcome),
            on_progress=lambda _, value: self.progress.append(value),
        )

    def start(self, **changes: Any) -> Run:
        """Starts a run."""
        self.runner.start(make_execution("python", {"handler": "it"}, **changes))
        return next(iter(self.runner._running))

    async def ended(self) -> Outcome:
        """Waits until nothing runs and returns the only outcome."""
        async with asyncio.timeout(20):
            await self.runner.wait_idle()
        [outcome] = self.outcomes
        return outcome


@contextmanager
def noted(notes: list[str], name: str) -> Iterator[None]:
    try:
        yield
    except asyncio.CancelledError:
        notes.append(name)
        raise


async def test_what_returns_nothing_has_no_result(keeper: Keeper) -> None:
    async def nothing(_: Context) -> None: ...

    stage = Stage(keeper, nothing)
    stage.start()
    assert await stage.ended() == Outcome(status="succeeded")


async def test_what_has_ended_is_held_until_it_is_recorded(keeper: Keeper) -> None:
    async def nothing(_: Context) -> None: ...

    stage = Stage(keeper, nothing)
    run = stage.start()
    assert stage.runner.held() == [run.execution.key]
    await stage.ended()
    assert stage.runner.held() == [run.execution.key]
    stage.runner.forget(run)
    assert stage.runner.held() == []


async def test_timeout_stops_the_handler(keeper: Keeper) -> None:
    notes: list[str] = []

    async def waits(context: Context) -> None:
        with noted(notes, f"cancelled, {context.attempt}"):
            await asyncio.sleep(600)

    stage = Stage(keeper, waits)
    stage.start(timeout=timedelta(milliseconds=50))
    outcome = await stage.ended()
    assert outcome.error is not None
    assert outcome.error["message"] == "timed out after 0.05 s"
    assert notes == ["cancelled, 1"]


async def test_each_timeout_counts_from_its_own_start(keeper: Keeper) -> None:
    """One timer serves all: what comes later may be over earlier, and what has ended is no concern of it."""
    notes: list[str] = []

    async def waits(context: Context) -> None:
        with noted(notes, context.payload):
            await asyncio.sleep(0 if context.payload == "ends" else 600)

    stage = Stage(keeper, waits)
    stage.start(timeout=timedelta(milliseconds=10), payload="ends")
    await stage.runner.wait_idle()
    stage.outcomes.clear()
    for milliseconds in (250, 600_000, 50, 150):
        stage.start(timeout=timedelta(milliseconds=milliseconds), payload=str(milliseconds))
    await until(lambda: len(notes) == 3)
    assert notes == ["50", "150", "250"]
    [late] = stage.runner._running
    late.stop("cancelled")
    await stage.runner.wait_idle()
    assert [outcome.status for outcome in stage.outcomes] == ["failed"] * 3 + ["cancelled"]


async def test_a_cancel_counts_although_the_handler_swallows_it(keeper: Keeper) -> None:
    async def swallows(context: Context) -> str:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            return f"cancelled: {context.cancelled.is_set()}"
        return "not cancelled"

    stage = Stage(keeper, swallows)
    run = stage.start()
    await until(lambda: run.on_stop is not None)
    run.stop("cancelled")
    assert (await stage.ended()).status == "cancelled"


async def test_the_same_order_again_does_not_disturb_the_clean_up(keeper: Keeper) -> None:
    cleaned = asyncio.Event()
    notes: list[str] = []

    async def cleans(_: Context) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            with noted(notes, "disturbed"):
                await cleaned.wait()
            notes.append("cleaned")

    stage = Stage(keeper, cleans)
    run = stage.start()
    await until(lambda: run.on_stop is not None)
    run.stop("cancelled")
    for reason in ("cancelled", "timeout"):
        await asyncio.sleep(0)
        run.stop(reason)
    await asyncio.sleep(0)
    cleaned.set()
    assert (await stage.ended()).status == "cancelled"
    assert notes == ["cleaned"]


async def test_a_handler_that_does_not_stop_is_left_behind(keeper: Keeper) -> None:
    """Its place is free for another; what it says later counts no more."""
    released = asyncio.Event()

    async def stubborn(_: Context) -> str:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    stage = Stage(keeper, stubborn)
    run = stage.start()
    await until(lambda: run.on_stop is not None)
    run.stop("lost")
    run.progress("1")
    assert (await stage.ended()).status == "discarded"
    assert stage.runner.free == 10
    run.progress("2")
    assert stage.progress == ["1"]
    released.set()
    assert run.task is not None
    await asyncio.wait({run.task})
    assert len(stage.outcomes) == 1


class Panic(BaseException):
    """What a Rust extension raises when it panics: `except Exception` does not catch it."""


async def test_what_is_no_exception_ends_its_run_too(keeper: Keeper) -> None:
    async def panics(_: Context) -> None:
        raise Panic("index out of bounds")

    stage = Stage(keeper, panics)
    stage.start()
    outcome = await stage.ended()
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert (outcome.error["type"], outcome.error["message"]) == ("Panic", "index out of bounds")


async def test_an_executor_that_breaks_ends_its_run(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*_: object) -> Outcome:
        raise Panic("broken")

    async def nothing(_: Context) -> None: ...

    monkeypatch.setattr(PythonExecutor, "run", breaks)
    stage = Stage(keeper, nothing)
    stage.start()
    outcome = await stage.ended()
    assert outcome.error == {"type": "worker_error", "message": "Panic: broken"}


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(keeper: Keeper) -> None:
    async def cancels_itself(_: Context) -> None:
        waiting = asyncio.get_running_loop().create_future()
        waiting.cancel()
        await waiting

    stage = Stage(keeper, cancels_itself)
    stage.start()
    outcome = await stage.ended()
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error["type"] == "CancelledError"
