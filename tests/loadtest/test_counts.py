"""No figure is told of work that was not done."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadtest import bench_growth
from loadtest.rivals import turns
from loadtest.rivals.contestants import Contestant

BATCHES = bench_growth.EXECUTIONS // bench_growth.BATCH


@pytest.mark.parametrize("lost", [0, 1])
def test_claims_that_find_too_little_have_no_rate(monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    batches = [[(uuid.uuid4(), 1)] * bench_growth.BATCH] * (BATCHES - lost)
    monkeypatch.setattr(bench_growth, "claim_batch", lambda *_: batches.pop() if batches else [])
    monkeypatch.setattr(bench_growth, "finish_batch", lambda *_: None)
    if not lost:
        assert bench_growth._drain(cast(Any, None), uuid.uuid4(), [None]) > 0
        return
    with pytest.raises(RuntimeError, match=r"^9900 of 10000 executions were claimed and finished$"):
        bench_growth._drain(cast(Any, None), uuid.uuid4(), [None])


@pytest.mark.parametrize(("started", "error"), [(3, None), (2, "it started 2 of 3 jobs")])
def test_jobs_that_do_not_start_are_no_good_latency(
    monkeypatch: pytest.MonkeyPatch, started: int, error: str | None
) -> None:
    contestant = SimpleNamespace(name="it", run=lambda *_, **__: CompletedProcess([], 0, stdout="3\n"))
    place = turns.Place(cast(Contestant, contestant), "", "", is_local=False)

    @contextmanager
    def warm(*_: object, RIVALS_WAITED: str) -> Iterator[None]:  # noqa: N803
        Path(RIVALS_WAITED).write_text("1.5\n" * started)
        yield

    monkeypatch.setattr(turns, "warm", warm)
    monkeypatch.setattr(turns, "connect", lambda _: nullcontext())
    monkeypatch.setattr(turns, "_SETTLE_SECONDS", 0)
    monkeypatch.setattr(turns, "_START_SECONDS", 0)
    if error is None:
        assert turns.latency(place, 1) == [1.5] * 3
        return
    with pytest.raises(RuntimeError, match=f"^{error}$"):
        turns.latency(place, 1)
