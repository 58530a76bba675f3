"""Handlers that behave, and handlers that do what handlers must not do."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

from workers import Context, Permanent, RetryAfter, handler


@handler("echo")
def echo(ctx: Context) -> Any:
    return {"payload": ctx.payload, "attempt": ctx.attempt, "pid": os.getpid(), "job": ctx.job_name}


@handler("echo-async")
async def echo_async(ctx: Context) -> Any:
    await asyncio.sleep(0)
    return {"payload": ctx.payload, "pid": os.getpid()}


@handler("echo-thread", mode="thread")
def echo_thread(ctx: Context) -> Any:
    ctx.progress({"step": 1})
    return {"payload": ctx.payload, "pid": os.getpid()}


@handler("echo-loop", mode="async")
async def echo_loop(ctx: Context) -> Any:
    ctx.progress({"step": 1})
    await asyncio.sleep(0)
    return {"payload": ctx.payload, "pid": os.getpid()}


@handler("progress-of-a-thread", mode="async")
async def progress_of_a_thread(ctx: Context) -> None:
    await asyncio.to_thread(ctx.progress, "from a thread")


@handler("raise")
def raises(ctx: Context) -> None:
    raise ValueError("no luck")


@handler("raise-loop", mode="async")
async def raises_on_loop(ctx: Context) -> None:
    raise ValueError("no luck")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise SystemExit("nobody can print this")


@handler("unprintable-thread", mode="thread")
def unprintable_in_thread(ctx: Context) -> None:
    raise UnprintableError


@handler("unprintable")
def unprintable(ctx: Context) -> None:
    raise UnprintableError


@handler("permanent")
def permanent(ctx: Context) -> None:
    raise Permanent("no such user")


@handler("later")
async def later(ctx: Context) -> None:
    raise RetryAfter(42, "the quota is used up")


class BusyError(RetryAfter):
    def __init__(self) -> None:
        self.message = "never told RetryAfter"


@handler("busy")
def busy(ctx: Context) -> None:
    raise BusyError


@handler("busy-thread", mode="thread")
def busy_in_thread(ctx: Context) -> None:
    raise BusyError


@handler("sys-exit")
def sys_exit(ctx: Context) -> None:
    sys.exit(3)


@handler("sys-exit-thread", mode="thread")
def sys_exit_thread(ctx: Context) -> None:
    sys.exit(3)


@handler("os-exit")
def os_exit(ctx: Context) -> None:
    print("about to leave")
    os._exit(137)


@handler("segfault")
def segfault(ctx: Context) -> None:
    ctypes.string_at(0)


@handler("fork")
def fork(ctx: Context) -> int:
    pid = os.fork()
    return pid or 99


@handler("fork-and-exit")
def fork_and_exit(ctx: Context) -> None:
    if os.fork() == 0:
        time.sleep(600)
    os._exit(1)


@handler("flood")
def flood(ctx: Context) -> str:
    line = "x" * 1023 + "\n"
    for _ in range(ctx.payload["lines"]):
        sys.stdout.write(line)
    return "done"


@handler("big-result")
def big_result(ctx: Context) -> str:
    return "y" * 10_000_000


@handler("odd-result")
def odd_result(ctx: Context) -> Any:
    return ["\0", "\ud800", "\\u0000", "ok"]


@handler("no-json")
def no_json(ctx: Context) -> Any:
    return object()


@handler("no-json-thread", mode="thread")
def no_json_in_thread(ctx: Context) -> Any:
    return Decimal("9.99")


@handler("no-json-loop", mode="async")
async def no_json_on_loop(ctx: Context) -> Any:
    return float("nan")


@handler("no-json-progress")
def no_json_as_progress(ctx: Context) -> None:
    ctx.progress(object())


@handler("sigterm")
def sigterm(ctx: Context) -> Any:
    """Gets the signal itself, then gives it to what it started and to a copy of itself."""
    os.kill(os.getpid(), signal.SIGTERM)
    started = subprocess.Popen(["sleep", "60"])
    started.terminate()
    copy = os.fork()
    if copy == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(copy, signal.SIGTERM)
    return {"started": started.wait(), "copy": os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])}


@handler("hang")
def hang(ctx: Context) -> None:
    Path(ctx.payload["started"]).write_text(str(os.getpid()))
    time.sleep(600)


@handler("polite")
def polite(ctx: Context) -> str:
    Path(ctx.payload["started"]).write_text(str(os.getpid()))
    ctx.cancelled.wait(600)
    return "stopped"


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


@handler("polite-async")
async def polite_async(ctx: Context) -> None:
    write(ctx.payload["started"], str(os.getpid()))
    try:
        await asyncio.sleep(600)
    finally:
        write(ctx.payload["started"] + ".cleaned", "yes")


@handler("hold-gil")
def hold_gil(ctx: Context) -> None:
    Path(ctx.payload["started"]).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(ctx.payload.get("seconds", 600))


@handler("block-loop", mode="async")
async def block_loop(ctx: Context) -> str:
    time.sleep(ctx.payload["seconds"])  # noqa: ASYNC251 - that is what it is for
    return "done"


@handler("progress")
def progress(ctx: Context) -> str:
    for step in range(5):
        ctx.progress({"step": step})
    return "done"


@handler("stubborn", mode="async")
async def stubborn(ctx: Context) -> None:
    write(ctx.payload["started"], str(os.getpid()))
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            continue


@handler("leave-to-threads", mode="async")
async def leave_to_threads(ctx: Context) -> None:
    """Takes all threads of the default executor, and more."""
    write(ctx.payload["started"], str(os.getpid()))
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 60) for _ in range(40)))


@handler("leave-a-thread", mode="thread")
def leave_a_thread(ctx: Context) -> None:
    ThreadPoolExecutor().submit(time.sleep, 60)
    Path(ctx.payload["started"]).write_text(str(os.getpid()))
    ctx.cancelled.wait()


_earlier: list[Context] = []


@handler("report-late")
def report_late(ctx: Context) -> int:
    """Does what a thread would that an earlier run has left behind."""
    for each in _earlier:
        each.progress("late")
    _earlier.append(ctx)
    return len(_earlier)


_open: list[int] = []


@handler("leak-files")
def leak_files(ctx: Context) -> int:
    """Leaves files open, of which its process may have only some more."""
    if not _open:
        most = len(list(Path("/proc/self/fd").iterdir())) + 20
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        _open.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(10))
    except OSError as error:
        raise ConnectionError("cannot connect") from error
    return len(_open)


@handler("lack-files-when-stopped")
def lack_files_when_stopped(ctx: Context) -> None:
    write(ctx.payload["started"], str(os.getpid()))
    ctx.cancelled.wait(600)
    raise OSError(errno.EMFILE, "too many open files")


@handler("progress-and-wait")
def progress_and_wait(ctx: Context) -> None:
    for step in range(3):
        ctx.progress({"step": step})
    ctx.cancelled.wait(600)


@handler("touch")
def touch(ctx: Context) -> str:
    """Notes a line in a file, so that a test can count the runs."""
    with Path(ctx.payload["file"]).open("a") as file:
        file.write(f"{ctx.execution_id} {ctx.attempt}\n")
    time.sleep(ctx.payload.get("seconds", 0))
    return "done"


@handler("noop", mode="async")
async def noop(ctx: Context) -> None:
    """Measures the way there and back."""
