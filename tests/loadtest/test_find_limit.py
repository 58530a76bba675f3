"""The search for the highest rate, on a machine that holds what the test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from loadtest import find_limit
from loadtest.installation import Installation
from loadtest.locusts import Entry, Outcome

Steps = list[int]


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Searches, and returns the rates that were tried and the last line."""

    def find(holds: Callable[[int, int], bool], *, start: int = find_limit.RATES[0]) -> tuple[Steps, str]:
        tried: Steps = []

        def step(*_: object, rate: int, seconds: int) -> tuple[Outcome, dict[str, Any]]:
            if seconds != find_limit.WARM_UP_SECONDS:
                tried.append(rate)
            p95 = 199 if holds(rate, tried.count(rate)) else 200
            return Outcome([Entry(name="x", num_requests=1, response_times={p95: 1})], seconds, 0, 0), {}

        monkeypatch.setattr(find_limit, "_step", step)
        find_limit._find(cast(Installation, None), "mixed", seconds=1, start=start)
        return tried, capsys.readouterr().out.splitlines()[-2]

    return find


@pytest.mark.parametrize(
    ("holds", "start", "tried", "found"),
    [
        # Up to the first that is missed, twice; then between it and the last that held.
        (lambda rate, _: rate <= 720, 450, [450, 600, 800, 800, 700, 750, 750], "700 a second."),
        (lambda rate, _: rate < 800, 600, [600, 800, 800, 700, 750], "750 a second."),
        # Others used the machine.
        (
            lambda rate, turn: rate < 800 and turn > 1,
            600,
            [600, 600, 800, 800, 700, 700, 750, 750],
            "750 a second.",
        ),
        (lambda *_: True, 2500, [2500, 3000], "3,000 a second, and none more was tried."),
        (lambda *_: False, 170, [170, 170, 85, 85, 42, 42], "0 a second."),
        (lambda *_: False, 1, [1, 1], "0 a second."),  # never a rate of none
    ],
)
def test_the_highest_rate_is_found(
    search: Callable[..., Any], holds: Callable[[int, int], bool], start: int, tried: Steps, found: str
) -> None:
    steps, said = search(holds, start=start)
    assert steps == tried
    assert said == f"The highest rate of mixed that held: {found}"
