"""Progress: seldom written however often it is told, and one that cannot be written costs no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import Database
from tests.workers.support import make_execution, until
from workers import queries, reporter
from workers.database import Link
from workers.executions import Run
from workers.lease import Lease
from workers.looper import Outage
from workers.reporter import Reporter


class Written:
    """Stands for the database: notes what is written."""

    def __init__(self) -> None:
        self.values: list[tuple[UUID, str]] = []
        self.failures = 0
        self.refused = ""

    def has(self, count: int) -> bool:
        """Whether so many were written."""
        return len(self.values) == count

    async def report_progress(
        self, _: Any, *, worker_id: UUID, execution_id: UUID, attempt: int, progress: str
    ) -> bool:
        """As queries.report_progress."""
        del worker_id, attempt
        if self.failures:
            self.failures -= 1
            raise psycopg.OperationalError("away")
        if progress == self.refused:
            raise psycopg.errors.InvalidParameterValue("too deep")
        self.values.append((execution_id, progress))
        return True


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    written = Written()
    monkeypatch.setattr(queries, "report_progress", written.report_progress)
    return written


@pytest.fixture
async def reporting(database: Database) -> AsyncIterator[Reporter]:
    link = Link(database.dsn(user="pgtick_worker"), application_name="test")
    reporting = Reporter(link, Outage(), lease=Lease(seconds=10))
    task = asyncio.create_task(reporting.run())
    yield reporting
    reporting.stop()
    await task
    await link.close()


def make_run() -> Run:
    return Run(execution=make_execution("python", {"handler": "x"}, execution_id=uuid4()), report=print)


async def test_of_many_values_few_are_written_and_the_last(
    reporting: Reporter, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "PAUSE_SECONDS", 0.3)
    run = make_run()
    reporting.report(run, "first")
    await until(lambda: bool(written.values))
    for number in range(100):
        reporting.report(run, str(number))
        await asyncio.sleep(0.005)
    await until(lambda: (run.execution.execution_id, "99") in written.values)
    assert 2 <= len(written.values) <= 6


async def test_a_write_that_fails_loses_no_value(
    reporting: Reporter, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "PAUSE_SECONDS", 0.01)
    runs = [make_run() for _ in range(3)]
    written.failures = 2
    for run in runs:
        reporting.report(run, "1")
    reporting.report(gone := make_run(), "1")
    reporting.forget(gone)
    await until(lambda: len(written.values) == 3)
    assert sorted(written.values) == sorted((run.execution.execution_id, "1") for run in runs)


async def test_a_value_that_is_refused_holds_up_no_other(
    reporting: Reporter, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "PAUSE_SECONDS", 0.01)
    written.refused = "bad"
    bad, good = make_run(), make_run()
    for count in (1, 2):
        reporting.report(bad, "bad")
        reporting.report(good, str(count))
        await until(partial(written.has, count))
    assert {execution_id for execution_id, _ in written.values} == {good.execution.execution_id}
