"""A checker that was never seen to complain is no evidence: four bugs, each caught, and a run without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from tests.conftest import Connect, Database
from tests.faults.bugs import BUGS
from tests.faults.checker import check, summarize
from tests.faults.scenario import Scenario

SEED = 20_26
SECONDS = 10.0

pytestmark = pytest.mark.slow


def small(database: Database, folder: Path) -> Scenario:
    return Scenario(database, folder, seed=SEED, seconds=SECONDS, tickers=4, workers=6, jobs=96)


@pytest.mark.parametrize(("bug", "promises"), BUGS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_bug_is_caught(
    bug: Callable[[Connection[Any]], None],
    promises: set[str],
    database: Database,
    connect: Connect,
    tmp_path: Path,
) -> None:
    bug(connect(direct=True))
    complaints = check(small(database, tmp_path).run())
    assert promises & {complaint.promise for complaint in complaints}, summarize(complaints)


def test_without_a_bug_there_is_no_complaint(database: Database, tmp_path: Path) -> None:
    complaints = check(small(database, tmp_path).run())
    assert not complaints, summarize(complaints)
