"""limits.lua against a model that counts cells in fractions, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.api.limits import KEYS, SCRIPT
from tests.support.redis_server import Redis

pytestmark = pytest.mark.slow

CLOCK = "{pgtick:limits}:clock"
# The same script, but for the clock, and for the time after which Redis itself drops what is full.
TEXT = SCRIPT.text.replace("redis.call('TIME')", f"{{0, tonumber(redis.call('GET', '{CLOCK}'))}}")
TEXT = TEXT.replace(", 'PX', math.ceil((of.full_at - now) / 1000)", "")
SETTLE = 2_000_000
START = 1_800_000_000_000_000
CLIENTS = ("a", "b")
CLASSES = ("read", "write")

limits = st.tuples(st.sampled_from([0.5, 1, 3, 7.5, 100, 999, 5000, 70_000]), st.integers(1, 50))


@pytest.fixture
def client(redis_server: Redis) -> Iterator[Any]:
    """A connection to Redis."""
    with redis_server.client() as client:
        yield client


class Bucket:
    """A bucket of the model: cells as a fraction, as of a time."""

    def __init__(self, limit: tuple[float, int], at: int) -> None:
        self.burst = limit[1]
        self.rate = Fraction(limit[0])
        self.cells = Fraction(0)
        self.at = at
        self.taken = 0
        self.began_at = at

    def fill(self, now: int) -> None:
        """Moves on to a later time."""
        self.cells = min(Fraction(self.burst), self.cells + self.rate * Fraction(now - self.at, 1_000_000))
        self.at = now


class Script(RuleBasedStateMachine):
    """Takes, waits, forgets; at each step no bucket has given more than the law allows."""

    redis: Any

    @initialize(everybody=limits, client=limits, kind=limits)
    def begin(self, everybody: tuple[float, int], client: tuple[float, int], kind: tuple[float, int]) -> None:
        self.redis.flushall()
        self.now = START
        self.limits = {"": everybody, "client": client, "class": kind}
        self.since: int | None = None
        self.buckets: dict[tuple[str, ...], Bucket] = {}

    def call(self, wanted: list[tuple[str, str, int, int, int]], *, alone: bool = False) -> list[int]:
        """Runs the script for these gates."""
        self.redis.set(CLOCK, self.now)
        keys = list(KEYS)
        args: list[Any] = [int(alone), SETTLE, "", *self.limits[""]]
        for client, kind, needed, ahead, reserve in wanted:
            keys += [f"{{pgtick:limits}}:{client}", f"{{pgtick:limits}}:{client}:{kind}"]
            args += [needed, ahead, reserve, *self.limits["client"], *self.limits["class"]]
        answer: list[int] = self.redis.eval(TEXT, len(keys), *keys, *args)
        if self.since is None or (alone and self.since <= self.now):
            self.since = self.now + SETTLE
            self.buckets = {}
        return answer

    def bucket(self, key: tuple[str, ...]) -> Bucket:
        """Returns a bucket of the model: empty when the memory began."""
        assert self.since is not None
        if key not in self.buckets:
            limit = self.limits[("", "client", "class")[len(key)]]
            self.buckets[key] = Bucket(limit, self.since)
        return self.buckets[key]

    @rule(
        wanted=st.lists(
            st.tuples(
                st.sampled_from(CLIENTS),
                st.sampled_from(CLASSES),
                st.integers(0, 60),
                st.integers(0, 20),
                st.integers(0, 20),
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda gate: gate[:2],
        ),
        alone=st.sampled_from([False, False, False, True]),
    )
    def take(self, wanted: list[tuple[str, str, int, int, int]], alone: bool) -> None:
        answer = self.call(wanted, alone=alone)
        assert self.since is not None
        if self.since > self.now:
            assert answer == [self.since - self.now, 0, 0]
            return
        assert answer[:3] == [0, self.now - self.since, 0]
        for number, (client, kind, needed, ahead, reserve) in enumerate(wanted):
            given, reserved, wait, level, left, full = answer[3 + 6 * number : 9 + 6 * number]
            buckets = [self.bucket(key) for key in ((), (client,), (client, kind))]
            for bucket in buckets:
                bucket.fill(self.now)
            held = min(bucket.cells for bucket in buckets)
            # All or nothing, and nothing that is not there; rounding may cost a cell, never give one.
            assert given + reserved <= held
            assert given >= min(needed, int(held * Fraction(99, 100)) - 1)
            assert given <= needed + ahead
            assert reserved <= reserve
            if given > needed:
                assert given - needed <= (held - needed) / 2
            if reserved:
                assert held - given - reserved >= min(bucket.burst for bucket in buckets) // 2
            for bucket in buckets:
                bucket.cells -= given + reserved
                bucket.taken += given + reserved
            assert left <= buckets[level - 1].cells
            assert full >= 0
            if given < needed:
                assert left == 0
                assert wait > 0

    @rule(microseconds=st.one_of(st.integers(0, 2000), st.integers(0, 3_000_000), st.just(60_000_000)))
    def wait(self, microseconds: int) -> None:
        self.now += microseconds

    @precondition(lambda self: self.since is not None)
    @rule()
    def settle(self) -> None:
        assert self.since is not None
        self.now = max(self.now, self.since)

    @rule()
    def lose_everything(self) -> None:
        self.redis.flushall()
        self.since = None
        self.buckets = {}

    @invariant()
    def law(self) -> None:
        for bucket in getattr(self, "buckets", {}).values():
            elapsed = Fraction(self.now - bucket.began_at, 1_000_000)
            assert bucket.taken <= bucket.rate * max(0, elapsed)


def test_the_law(client: Any) -> None:
    machine = type("Machine", (Script,), {"redis": client})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None)
    )
