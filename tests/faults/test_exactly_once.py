"""The proof: whatever is done to tickers, workers and connections, no promise is broken.

PGTICK_FAULT_SECONDS  how long things are broken (default 30; the full proof takes 120)
PGTICK_FAULT_SEED     which run (default: a new one, printed)
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.faults.checker import check, recoveries, summarize
from tests.faults.history import History
from tests.faults.scenario import Scenario, real_process

SECONDS = float(os.environ.get("PGTICK_FAULT_SECONDS", "30"))
SEED = int(os.environ.get("PGTICK_FAULT_SEED") or random.SystemRandom().randrange(100_000))


@pytest.mark.slow
@pytest.mark.alone
def test_nothing_is_lost_or_doubled(database: Database, tmp_path: Path) -> None:
    scenario = Scenario(database, tmp_path, seed=SEED, seconds=SECONDS)
    history = scenario.run()
    print(describe(scenario, history))
    complaints = check(history)
    assert not complaints, summarize(complaints)
    # A run in which nothing went wrong would prove nothing.
    assert sum(scenario.faults.values()) >= SECONDS
    assert any(fire.verdict != "fired" for fire in history.fires)
    assert any(note.outcome == "refused" for note in history.notes)
    assert any(recoveries(history))


@pytest.mark.slow
@pytest.mark.alone
def test_our_own_processes_keep_the_promises(database: Database, tmp_path: Path) -> None:
    scenario = Scenario(
        database,
        tmp_path,
        seed=SEED,
        seconds=SECONDS,
        lease_seconds=3.0,
        start_seconds=10.0,
        pause_seconds=(0.5, 1.5),  # each of them takes most of a second of processor time to start
        command=real_process,
    )
    history = scenario.run()
    print(describe(scenario, history))
    complaints = check(history)
    assert not complaints, summarize(complaints)
    assert sum(scenario.faults.values()) >= SECONDS / 2
    assert any(fire.verdict != "fired" for fire in history.fires)
    assert any(recoveries(history))


def describe(scenario: Scenario, history: History) -> str:
    """Returns what happened in a run in one paragraph."""
    took = sorted((back - beat).total_seconds() for _, beat, back in recoveries(history) if back is not None)
    slowest = f", the slowest in {took[-1]:.2f} s after the last beat" if took else ""
    refused = sum(note.outcome == "refused" for note in history.notes)
    return (
        f"seed {scenario.seed}: {scenario.faults}; {len(history.fires)} fires, "
        f"{len(history.executions)} executions, {len(history.attempts)} attempts, "
        f"{len(history.effects)} effects; "
        f"{refused} stale ends refused; {len(took)} attempts recovered{slowest}; "
        f"{sum((s.end - s.start).total_seconds() for s in history.stalls):.1f} s of stalls"
    )
