"""The benchmark of schedules beside rivals counts what it measures, and nothing else."""

from __future__ import annotations

from loadtest.rivals.firing import _late_ms


def test_fires_of_the_minute_before_do_not_count() -> None:
    noted = "1200.25\n1200.5\n1260.0\n1260.125\n"
    assert _late_ms(noted, 1260) == [0.0, 125.0]
