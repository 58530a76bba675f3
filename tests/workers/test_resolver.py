"""Look-ups of names whose servers do not answer: nothing else waits for them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest

from tests.workers.support import Bench, make_execution, run_once
from tests.workers.test_http import closed_port, error, make_executor
from workers.executors import resolver
from workers.executors.resolver import Resolver


class DeadServers:
    """Look-ups of names under `dead.` wait until they are let go."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.let_go = threading.Event()
        self._ask = socket.getaddrinfo

    def getaddrinfo(self, host: str, *args: Any, **kwargs: Any) -> Any:
        if host.endswith("dead."):
            self.asked.release()
            self.let_go.wait()
            host = "127.0.0.1"
        return self._ask(host, *args, **kwargs)


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadServers]:
    dead = DeadServers()
    monkeypatch.setattr(socket, "getaddrinfo", dead.getaddrinfo)
    yield dead
    dead.let_go.set()


async def test_a_name_is_looked_up_as_the_system_does() -> None:
    [first, *_] = await Resolver().resolve("localhost", 80)
    assert (first["hostname"], first["port"]) == ("localhost", 80)
    assert first["host"] in ("127.0.0.1", "::1")
    with pytest.raises(socket.gaierror):
        await Resolver().resolve("localhost", family=socket.AF_UNIX)


async def test_dead_names_hold_up_neither_the_loop_nor_other_calls(dead: DeadServers) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    executor = make_executor(allow="localhost")
    hanging = [
        Bench(executor, make_execution("http", {"url": f"http://{number}.dead./"})) for number in range(3)
    ]
    async with asyncio.timeout(20):
        while not dead.asked.acquire(blocking=False):  # noqa: ASYNC110 - set in a thread
            await asyncio.sleep(0.01)
        # As psycopg does when it connects anew.
        assert await loop.run_in_executor(None, socket.getaddrinfo, "localhost", 5432)
        url = f"http://localhost:{closed_port()}/"
        other = await run_once(executor, make_execution("http", {"url": url}))
    assert error(other)["type"] == "connection"
    for bench in hanging:
        await bench.stop("timeout")


async def test_a_look_up_keeps_its_thread_although_its_run_is_over(
    dead: DeadServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else dead names would take more and more threads."""
    monkeypatch.setattr(resolver, "LOOKUPS", 1)
    names = Resolver()
    given_up = asyncio.create_task(names.resolve("dead."))
    async with asyncio.timeout(20):
        while not dead.asked.acquire(blocking=False):  # noqa: ASYNC110 - set in a thread
            await asyncio.sleep(0.01)
        given_up.cancel()
        await asyncio.wait({given_up})
        assert names._threads.locked()
        dead.let_go.set()
        assert await names.resolve("localhost")


async def test_a_thread_that_cannot_be_started_is_none_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "LOOKUPS", 1)
    names = Resolver()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
        with pytest.raises(RuntimeError):
            await names.resolve("localhost")
    async with asyncio.timeout(20):
        assert await names.resolve("localhost")


def test_the_process_ends_although_a_look_up_does_not() -> None:
    program = """
import asyncio, socket, threading
from workers.executors.resolver import Resolver

async def main():
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask(*_, **__):
        loop.call_soon_threadsafe(asked.set)
        threading.Event().wait()

    socket.getaddrinfo = ask
    looking_up = asyncio.create_task(Resolver().resolve("dead."))
    await asked.wait()
    looking_up.cancel()
    await asyncio.wait({looking_up})

asyncio.run(main())
print("left")
"""
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert process.stdout == "left\n"
