"""When an idle worker asks for work."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workers.claimer import MOST_TURNS, until_turn
from workers.queries import PollOrder

APART = 0.07
NOW = st.floats(0, 2e9)


@given(workers=st.integers(1, 50), place=st.integers(0, 49), now=NOW)
def test_a_turn_comes_once_a_period(workers: int, place: int, now: float) -> None:
    order = PollOrder(place=place % workers, workers=workers)
    period = APART * min(workers, MOST_TURNS)
    first = until_turn(order, now=now, apart=APART)
    assert APART / 2 < first <= period + APART / 2
    # The timer may come a moment early or late: it is the same turn.
    for deviation in (-0.005, 0.0, 0.005):
        following = until_turn(order, now=now + first + deviation, apart=APART)
        assert abs(following + deviation - period) < 1e-5


@given(workers=st.integers(1, 50), now=NOW)
def test_turns_are_evenly_spread(workers: int, now: float) -> None:
    period = APART * min(workers, MOST_TURNS)
    waits = [until_turn(PollOrder(place, workers), now=now, apart=APART) for place in range(workers)]
    turns = sorted(wait % period for wait in waits)
    turns.append(turns[0] + period)
    assert all(abs(after - before - period / workers) < 1e-5 for before, after in pairwise(turns))
