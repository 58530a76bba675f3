"""Fixtures of the workers' tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.conftest import Database
from tests.workers.support import HANDLERS, Program
from workers.processes import Keeper


class StartWorker(Protocol):
    """Starts a worker or a ticker as a process of its own, stopped at the test's end."""

    def __call__(self, *args: str, log: str = "", **environ: str) -> Program: ...


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """A keeper; what is still registered dies with it."""
    keeper = Keeper()
    yield keeper
    keeper.close()


@pytest.fixture
def start(database: Database, tmp_path: Path) -> Iterator[StartWorker]:
    """A function that starts `python -m workers` with the arguments on the test's database."""
    programs: list[Program] = []

    def start(*args: str, log: str = "", **environ: str) -> Program:
        base = {
            "DB_WRITE_CONNECTION_STRING": database.dsn(user="pgtick_worker"),
            "PGTICK_SQL_CONNECTION_STRING": database.dsn(user="pgtick_sql"),
            "PGTICK_HANDLERS": HANDLERS,
            "PGTICK_ALLOW_COMMAND": "on",
            "PGTICK_HTTP_ALLOW": "127.0.0.1",
            "PGTICK_LOG_FORMAT": "json",
        }
        path = Path(log) if log else tmp_path / f"{args[0]}-{len(programs)}.log"
        program = Program(args, base | environ, log=path)
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.kill()


@pytest.fixture
async def readers(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The descriptors that the event loop watches, from now on."""
    loop = asyncio.get_running_loop()
    watched: set[int] = set()

    def add(descriptor: int, *what: Any) -> None:
        watched.add(descriptor)
        add_reader(descriptor, *what)

    def remove(descriptor: int) -> bool:
        watched.discard(descriptor)
        return remove_reader(descriptor)

    add_reader, remove_reader = loop.add_reader, loop.remove_reader
    monkeypatch.setattr(loop, "add_reader", add)
    monkeypatch.setattr(loop, "remove_reader", remove)
    return watched
