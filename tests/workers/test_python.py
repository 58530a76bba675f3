"""Python handlers: what they give back, and that whatever one does, the worker and its neighbours live."""

from __future__ import annotations

import asyncio
import json
import math
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.cli import foreign_modules
from tests.workers.support import HANDLERS, Bench, appears, is_alive, make_execution, run_once, until
from workers.executions import Outcome
from workers.executors import python
from workers.executors.children import Child, ChildDiedError
from workers.executors.python import PythonExecutor
from workers.processes import Keeper
from workers.registry import Context, Handler, HandlerError, RetryAfter, handler, load_handlers
from workers.settings import Settings, load_settings

OF_A_USER = """
from workers import handler

@handler("of-a-user")
def greet(context):
    return "hello"
"""


def make_settings(handlers: str = HANDLERS) -> Settings:
    return load_settings({"DB_WRITE_CONNECTION_STRING": "unused", "PGTICK_HANDLERS": handlers})


@pytest.fixture
async def executor(keeper: Keeper) -> AsyncIterator[PythonExecutor]:
    settings = make_settings()
    executor = PythonExecutor(settings, handlers=load_handlers(settings.handler_modules), keeper=keeper)
    await executor.start()
    yield executor
    await executor.close()


def bench(executor: PythonExecutor, name: str, payload: Any = None) -> Bench:
    return Bench(executor, make_execution("python", {"handler": name}, payload=payload))


async def run(executor: PythonExecutor, name: str, payload: Any = None) -> Outcome:
    return await bench(executor, name, payload).ended()


def result(outcome: Outcome) -> Any:
    assert outcome.status == "succeeded", outcome
    assert outcome.result is not None
    return json.loads(outcome.result)


def error(outcome: Outcome) -> dict[str, Any]:
    assert outcome.status == "failed"
    assert outcome.error is not None
    return outcome.error


async def test_default_mode_runs_in_a_warm_child(executor: PythonExecutor) -> None:
    first = result(await run(executor, "echo", {"n": 1}))
    second = result(await run(executor, "echo-async", {"n": 2}))
    assert first["payload"] == {"n": 1}
    assert first["job"] == "a job"
    assert first["attempt"] == 1
    assert first["pid"] == second["pid"] != os.getpid()


@pytest.mark.parametrize("name", ["echo-thread", "echo-loop"])
async def test_other_modes_run_here(executor: PythonExecutor, name: str) -> None:
    running = bench(executor, name, {"n": 1})
    assert result(await running.ended()) == {"payload": {"n": 1}, "pid": os.getpid()}
    await asyncio.sleep(0)
    assert running.progress == ['{"step":1}']


async def test_many_at_once_have_a_child_each(executor: PythonExecutor, tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(3)]
    benches = [bench(executor, "polite", {"started": str(file)}) for file in files]
    pids = {await appears(file) for file in files}
    assert len(pids) == 3
    await asyncio.gather(*(one.stop("cancelled") for one in benches))


@pytest.mark.parametrize("name", ["raise", "raise-loop"])
async def test_exception_is_told_with_its_traceback(executor: PythonExecutor, name: str) -> None:
    told = error(await run(executor, name))
    assert told["type"] == "ValueError"
    assert told["message"] == "no luck"
    assert 'raise ValueError("no luck")' in told["traceback"]
    assert "retry" not in told


@pytest.mark.parametrize("name", ["unprintable", "unprintable-thread"])
async def test_an_exception_that_cannot_be_printed_is_a_failure(executor: PythonExecutor, name: str) -> None:
    outcome = await run(executor, name)
    assert error(outcome)["type"] == "UnprintableError"
    assert error(outcome)["message"] == "UnprintableError, which cannot be printed"


async def test_permanent_failure_is_not_retried(executor: PythonExecutor) -> None:
    assert error(await run(executor, "permanent"))["retry"] is False


async def test_retry_after_sets_the_delay(executor: PythonExecutor) -> None:
    outcome = await run(executor, "later")
    assert error(outcome)["message"] == "the quota is used up"
    assert outcome.retry_after == timedelta(seconds=42)


@pytest.mark.parametrize("name", ["busy", "busy-thread"])
async def test_retry_after_of_a_subclass_without_a_time_leaves_the_backoff(
    executor: PythonExecutor, name: str
) -> None:
    outcome = await run(executor, name)
    assert error(outcome)["type"] == "BusyError"
    assert outcome.retry_after is None


@pytest.mark.parametrize("name", ["sys-exit", "sys-exit-thread"])
async def test_sys_exit_is_a_failure(executor: PythonExecutor, name: str) -> None:
    assert error(await run(executor, name))["message"] == "the handler called sys.exit(3)"
    assert result(await run(executor, "echo"))["attempt"] == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("os-exit", "the handler's process exited with status 137"),
        ("segfault", "the handler's process was killed by SIGSEGV"),
        ("fork-and-exit", "the handler's process exited with status 1"),
    ],
)
async def test_dead_child_fails_its_execution_only(
    executor: PythonExecutor, tmp_path: Path, name: str, reason: str
) -> None:
    started = tmp_path / "started"
    neighbour = bench(executor, "polite", {"started": str(started)})
    await appears(started)
    told = error(await run(executor, name))
    assert told["message"] == reason
    if name == "os-exit":
        assert "about to leave" in told["output"]
    assert result(await run(executor, "echo"))["attempt"] == 1
    assert neighbour.outcome is None
    await neighbour.stop("cancelled")


async def test_who_lacks_files_has_no_files_of_earlier_runs_the_next_time(executor: PythonExecutor) -> None:
    """A handler that leaves files open would fail for good, once they are more than a process may have."""
    statuses = [(await run(executor, "leak-files")).status for _ in range(6)]
    assert "failed" in statuses[:3]
    assert "succeeded" in statuses[3:]


async def test_fork_that_returns_does_not_answer(executor: PythonExecutor) -> None:
    assert result(await run(executor, "fork")) != 99
    assert result(await run(executor, "echo", "next"))["payload"] == "next"


async def test_a_sigterm_to_all_processes_ends_no_handler(executor: PythonExecutor) -> None:
    """As systemd sends it; what the handler starts it may end as ever."""
    ended = -signal.SIGTERM
    assert result(await run(executor, "sigterm")) == {"started": ended, "copy": ended}


@pytest.mark.slow
async def test_gigabyte_of_output_costs_no_memory(executor: PythonExecutor) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert result(await run(executor, "flood", {"lines": 1_000_000})) == "done"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB
    assert result(await run(executor, "echo"))["attempt"] == 1


async def test_big_result_is_capped(executor: PythonExecutor) -> None:
    outcome = await run(executor, "big-result")
    capped = result(outcome)
    assert capped["truncated"] is True
    assert capped["bytes"] == 10_000_002
    assert len(outcome.result or "") < 65_536


async def test_result_is_made_storable(executor: PythonExecutor) -> None:
    assert result(await run(executor, "odd-result")) == ["\ufffd", "?", "\\u0000", "ok"]
    assert "not storable as JSON" in error(await run(executor, "no-json"))["message"]


@pytest.mark.parametrize("name", ["no-json", "no-json-thread", "no-json-loop"])
async def test_a_result_that_cannot_be_stored_is_not_made_again(executor: PythonExecutor, name: str) -> None:
    told = error(await run(executor, name))
    assert told["type"] == "DocumentError"
    assert told["retry"] is False


async def test_progress_that_cannot_be_stored_may_be_better_the_next_time(executor: PythonExecutor) -> None:
    told = error(await run(executor, "no-json-progress"))
    assert told["type"] == "DocumentError"
    assert "retry" not in told


async def test_progress_of_a_thread_reaches_the_loop_in_its_own(executor: PythonExecutor) -> None:
    """What takes it wakes tasks, which no other thread may do."""
    threads = []
    reporting = bench(executor, "progress-of-a-thread")
    reporting.run.report = lambda *_: threads.append(threading.current_thread())
    await reporting.ended()
    assert threads == [threading.current_thread()]


async def test_progress_of_an_earlier_run_is_nobodys(executor: PythonExecutor) -> None:
    await run(executor, "report-late")
    later = bench(executor, "report-late")
    assert (await later.ended()).result == "2"
    assert later.progress == []


async def test_progress_arrives_in_order(executor: PythonExecutor) -> None:
    running = bench(executor, "progress")
    assert result(await running.ended()) == "done"
    assert running.progress == [f'{{"step":{step}}}' for step in range(5)]


@pytest.mark.parametrize("name", ["hang", "hold-gil"])
async def test_lost_lease_kills_at_once(executor: PythonExecutor, tmp_path: Path, name: str) -> None:
    started = tmp_path / "started"
    hanging = bench(executor, name, {"started": str(started)})
    pid = int(await appears(started))
    begun = time.monotonic()
    await hanging.stop("lost")
    assert time.monotonic() - begun < 4
    assert not is_alive(pid)


@pytest.mark.slow
async def test_hanging_handler_is_killed_after_the_grace(executor: PythonExecutor, tmp_path: Path) -> None:
    started = tmp_path / "started"
    hanging = bench(executor, "hang", {"started": str(started)})
    pid = int(await appears(started))
    begun = time.monotonic()
    await hanging.stop("cancelled")
    assert time.monotonic() - begun > 4
    assert not is_alive(pid)


async def test_cancelled_handler_that_stops_keeps_its_child(executor: PythonExecutor, tmp_path: Path) -> None:
    for name in ("polite", "polite-async"):
        started = tmp_path / name
        polite = bench(executor, name, {"started": str(started)})
        pid = int(await appears(started))
        begun = time.monotonic()
        await polite.stop("cancelled")
        assert time.monotonic() - begun < 4
        assert result(await run(executor, "echo"))["pid"] == pid
    assert (tmp_path / "polite-async.cleaned").exists()


async def test_cancelled_handler_that_lacks_files_leaves_its_child_to_none(
    executor: PythonExecutor, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    lacking = bench(executor, "lack-files-when-stopped", {"started": str(started)})
    pid = int(await appears(started))
    await lacking.stop("cancelled")
    assert result(await run(executor, "echo"))["pid"] != pid


class Threads:
    """One thread, and a handler that keeps it until it is let go, whoever asks it to stop."""

    def __init__(self, keeper: Keeper) -> None:
        self.calls: list[Any] = []
        self.let_go = threading.Event()
        self.executor = PythonExecutor(
            load_settings({"DB_WRITE_CONNECTION_STRING": "unused", "PGTICK_CONCURRENCY": "1"}),
            handlers={"hang": Handler(name="hang", function=self._hang, mode="thread")},
            keeper=keeper,
        )

    def _hang(self, context: Context) -> None:
        self.calls.append(context.payload)
        self.let_go.wait()

    def start(self, payload: Any) -> Bench:
        """Starts a run."""
        return bench(self.executor, "hang", payload)

    async def leave_one_behind(self) -> None:
        """Has a run given up whose thread goes on."""
        hanging = self.start("hanging")
        await until(lambda: self.calls == ["hanging"])
        await hanging.stop("lost")


@pytest.fixture
def threads(keeper: Keeper) -> Iterator[Threads]:
    threads = Threads(keeper)
    yield threads
    threads.let_go.set()


async def test_who_is_cancelled_while_the_answer_comes_loses_none(keeper: Keeper) -> None:
    """Else its child would be waited for until the grace is over, and killed."""
    child = await Child.spawn([HANDLERS], keeper=keeper)
    for turns in range(8):
        execution = make_execution("python", {"handler": "echo"}, attempt=turns)
        await child.send(python._order(execution, Handler(name="echo", function=print, mode="process")))
        select.select([child._writer.get_extra_info("socket")], [], [])
        receiving = asyncio.create_task(child.receive())
        for _ in range(turns):
            await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.wait({receiving})
        async with asyncio.timeout(20):
            frame = await child.receive() if receiving.cancelled() else receiving.result()
        assert json.loads(frame["result"])["attempt"] == turns
    await child.kill()


async def test_what_gets_no_thread_is_given_back(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "UNAVAILABLE_SECONDS", 600.0)
    await threads.leave_one_behind()
    assert threads.executor.available
    with capture_logs() as lines:
        async with asyncio.timeout(20):
            outcomes = await asyncio.gather(*(threads.start(number).ended() for number in range(3)))
    assert outcomes == [Outcome(status="released")] * 3
    assert [line["log_level"] for line in lines] == ["error"]
    assert threads.calls == ["hanging"]
    assert not threads.executor.available
    threads.let_go.set()
    await until(lambda: threads.executor.available)
    assert (await threads.start("at last").ended()).status == "succeeded"


async def test_without_a_thread_it_tries_again_after_a_while(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other handlers need none."""
    monkeypatch.setattr(python, "UNAVAILABLE_SECONDS", 0.01)
    await threads.leave_one_behind()
    assert (await threads.start(1).ended()).status == "released"
    await until(lambda: threads.executor.available)


async def test_who_gets_a_thread_in_a_moment_is_run(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python, "THREAD_SECONDS", 60.0)
    await threads.leave_one_behind()
    burst = [threads.start(number) for number in range(3)]
    threads.let_go.set()
    assert [(await one.ended()).status for one in burst] == ["succeeded"] * 3


async def test_unknown_handler_is_refused(executor: PythonExecutor) -> None:
    outcome = await run_once(executor, make_execution("python", {"handler": "os.system"}, payload="id"))
    assert error(outcome)["type"] == "unknown_handler"


async def test_handlers_that_do_not_load_are_told_at_start(keeper: Keeper) -> None:
    executor = PythonExecutor(
        make_settings("tests.workers.missing"), handlers=load_handlers([HANDLERS]), keeper=keeper
    )
    with pytest.raises(ChildDiedError, match=r"cannot load handlers from 'tests\.workers\.missing'"):
        await executor.start()


async def test_a_child_finds_handlers_in_the_current_folder(
    keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign_modules(tmp_path)
    (tmp_path / "of_a_user.py").write_text(OF_A_USER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    handlers = load_handlers(["of_a_user"])
    executor = PythonExecutor(make_settings("of_a_user"), handlers=handlers, keeper=keeper)
    await executor.start()
    try:
        assert result(await run(executor, "of-a-user")) == "hello"
    finally:
        await executor.close()


async def test_what_gets_no_child_is_given_back(
    keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose handlers no longer load must not use up the attempts of all that is claimed."""
    module = tmp_path / "of_a_user.py"
    module.write_text(OF_A_USER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(python, "UNAVAILABLE_SECONDS", 3600.0)
    executor = PythonExecutor(
        make_settings("of_a_user"), handlers=load_handlers(["of_a_user"]), keeper=keeper
    )
    module.write_text("import no_such_module")
    with capture_logs() as logs:
        ended = await asyncio.gather(*(run(executor, "of-a-user") for _ in range(3)))
    assert [outcome.status for outcome in ended] == ["released"] * 3
    assert not executor.available
    assert [line["event"] for line in logs] == ["handlers cannot be started, giving executions back"]
    assert "No module named 'no_such_module'" in logs[0]["error"]
    module.write_text(OF_A_USER)
    assert result(await run(executor, "of-a-user")) == "hello"
    await executor.close()


def test_handlers_are_checked_when_they_are_declared() -> None:
    async def coroutine(_: object) -> None: ...

    for declare in (
        lambda: handler("no spaces"),
        lambda: handler("x", mode="forkserver"),  # type: ignore[arg-type]
        lambda: handler("x", mode="async")(lambda _: None),
        lambda: handler("x", mode="thread")(coroutine),
        lambda: handler("echo")(lambda _: None),
    ):
        load_handlers([HANDLERS])
        with pytest.raises(HandlerError):
            declare()


def test_retry_after_takes_no_negative_time() -> None:
    assert RetryAfter(-5).seconds == 0
    for odd in (math.inf, -math.inf, math.nan, 1e30):
        with pytest.raises(ValueError, match="RetryAfter takes a finite number of seconds"):
            RetryAfter(odd)
