"""A simulated year under every misfire and overlap policy: the ledger equals theory to the last instant."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.sql.engine import Engine
from tests.year.drive import Year
from tests.year.plan import PAIRS, ZONES, make_jobs

pytestmark = pytest.mark.direct  # thousands of settings of the clock, each in its own session

YEAR: Any = {"seed": 1, "hours_between": 16, "days_of_dense": 0.5}


def live(engine: Engine, *, seed: int, hours_between: float, days_of_dense: float) -> int:
    """Lives through a year and returns the number of its verdicts."""
    random = Random(seed)
    jobs = make_jobs(random, 200, days_of_dense=days_of_dense)
    assert {job.schedule.zone for job in jobs} == set(ZONES)
    assert {(job.policy.misfire, job.policy.overlap) for job in jobs} == {(m.misfire, o) for m, o in PAIRS}
    year = Year(engine, jobs, random, hours_between=hours_between)
    year.live()
    verdicts = year.check()
    seen = {verdict for job in jobs for verdict in job.ledger.values()}
    assert seen == {
        "fired",
        "coalesced",
        "skipped_misfire",
        "skipped_overlap",
        "skipped_window",
        "skipped_paused",
    }
    states = {execution.state for job in jobs for execution in job.executions}
    assert states >= {"succeeded", "cancelled", "expired"}
    return verdicts


def test_a_year(engine: Engine) -> None:
    verdicts = live(engine, **YEAR)
    assert verdicts > 5_000


@pytest.mark.slow
def test_a_year_in_detail(engine: Engine) -> None:
    verdicts = live(engine, seed=2, hours_between=6, days_of_dense=1)
    assert verdicts > 10_000
