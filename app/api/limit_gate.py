"""Where the requests of one class of one client are decided: in memory if possible."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import Counter

from app.api.limit_rules import LEVELS, Class, Decision
from app.api.own_buckets import Promise

if TYPE_CHECKING:
    from app.api.limits import Limiter

STRETCH_SECONDS = 0.04
"""What came in a stretch is taken ahead for the next: it is good for a little longer."""
OFTEN = 4
MOST_AHEAD = 200
AHEAD_OF_BURST = 0.02
"""No more than this share of a burst is taken ahead, so that little of a small one is ever lost."""
RESERVE_SECONDS = 1.5
RESERVE_OF_BURST = 0.2
"""All processes together hold no more than this share of a burst in reserve; it is good for ever."""
PATIENCE_SECONDS = 0.2
"""So long a request waits for a cell of a bucket that was emptied for no fault of its client."""
MOST_HELD = 1000
"""So many requests wait at most for Redis to answer again, or to be given up."""

decisions = Counter("rate_limit_decisions", "Requests that were admitted or not", ["level", "decision"])
_children: dict[tuple[str, str], Counter] = {}


class Taken(msgspec.Struct, frozen=True):
    """What a call took for a gate, and what it saw of the buckets."""

    given: int
    reserved: int
    wait_seconds: float
    level: int
    left: int
    full_seconds: float
    good_until: float


class Gate:
    """Holds cells that were taken ahead, the requests that wait for theirs, and what is known of refusals."""

    def __init__(self, limiter: Limiter, client: str, kind: Class) -> None:
        limits = limiter.limits
        self.levels = (limits.everybody, limits.client, limits.classes[kind])
        self.keys = (f"{{pgtick:limits}}:{client}", f"{{pgtick:limits}}:{client}:{kind}")
        self.own_keys: tuple[tuple[str, ...], ...] = ((), (client,), (client, kind))
        self.arguments = tuple(number for limit in self.levels[1:] for number in (limit.rate, limit.burst))
        self._limiter = limiter
        self._least_burst = min(limit.burst for limit in self.levels)
        self._most_ahead = int(min(MOST_AHEAD, AHEAD_OF_BURST * self._least_burst))
        self._reserve = 0
        self._held = 0
        self._waiting: deque[asyncio.Future[Decision | None]] = deque()
        self._cells = 0
        self._cells_until = 0.0
        self._refused_until = 0.0
        self._level = LEVELS[0]
        self._left = 0
        self._full_at = 0.0
        # How many came in this stretch, and in the one before.
        self._stretch_ends_at = 0.0
        self._came = self._came_before = 0

    @property
    def needed(self) -> int:
        """How many cells are waited for."""
        return len(self._waiting)

    @property
    def ahead(self) -> int:
        """How many to take ahead: none for who comes seldom, whose cells would be lost."""
        often = max(self._came_before, self._came)
        return min(often, self._most_ahead) if often >= OFTEN else 0

    @property
    def reserve_missing(self) -> int:
        """How many cells to add to the reserve."""
        wanted = max(1, math.ceil(self._came_before * RESERVE_SECONDS / STRETCH_SECONDS))
        most = math.floor(RESERVE_OF_BURST * self._least_burst / self._limiter.instances)
        return max(0, min(wanted, most) - self._reserve)

    def is_exhausted(self) -> bool:
        """Whether a request would be refused, for its client's own fault; takes nothing."""
        now = time.monotonic()
        limiter = self._limiter
        if now < limiter.emptied_until:
            return False
        if now < limiter.shared_at:
            return limiter.promise(self, now=now, latest=-math.inf).at > now
        return now < self._refused_until

    async def decide(self) -> Decision:
        """Returns the decision on a request."""
        return self.decide_now() or await self.decide_later()

    def decide_now(self) -> Decision | None:
        """Returns the decision on a request if nothing has to be waited for."""
        now = time.monotonic()
        self._came += 1
        if now > self._stretch_ends_at:
            self._came_before = self._came if now < self._stretch_ends_at + STRETCH_SECONDS else 0
            self._came = 0
            self._stretch_ends_at = now + STRETCH_SECONDS
        return self._look(now)

    async def decide_later(self) -> Decision:
        """Returns the decision on a request for which `decide_now` had none."""
        limiter = self._limiter
        now = time.monotonic()
        patient_until = now + PATIENCE_SECONDS
        while True:
            if now < self._refused_until:
                if now >= limiter.emptied_until or self._refused_until > patient_until:
                    return self._refuse(now)
                await asyncio.sleep(self._refused_until - now)
            elif now >= limiter.shared_at:
                answer = await self._ask()
                if answer is not None:
                    return answer
            elif limiter.holds(now):
                if self._held >= MOST_HELD:
                    return self._refuse_alone(limiter.promise(self, now=now, latest=-math.inf), now)
                self._held += 1
                try:
                    await limiter.wait_for_release()
                finally:
                    self._held -= 1
                patient_until = time.monotonic() + PATIENCE_SECONDS
            else:
                promise = limiter.promise(self, now=now, latest=patient_until)
                if promise.reserved:
                    await asyncio.sleep(promise.at - now)
                    return self._admit_alone(promise)
                if limiter.shared_at > patient_until:
                    return self._refuse_alone(promise, now)
                await asyncio.sleep(limiter.shared_at - now)
            now = time.monotonic()
            decision = self._look(now)
            if decision is not None:
                return decision

    def hand_out(self, needed: int, taken: Taken | None) -> None:
        """Gives the cells of a call to those for whom it was made; who gets none looks again."""
        now = time.monotonic()
        given = 0
        if taken is not None:
            given = taken.given
            self._reserve += taken.reserved
            self._level, self._left, self._full_at = LEVELS[taken.level], taken.left, now + taken.full_seconds
            if given < needed or taken.left == 0:
                self._refused_until = now + taken.wait_seconds
        for _ in range(min(needed, len(self._waiting))):
            waiter = self._waiting.popleft()
            if waiter.done():  # its client has gone, and leaves its cell to the next
                continue
            given -= 1
            waiter.set_result(self._admit(now) if given >= 0 else None)
        if taken is not None and given > 0:
            self._cells, self._cells_until = given, taken.good_until

    async def _ask(self) -> Decision | None:
        waiter: asyncio.Future[Decision | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._limiter.ask_for(self)
        return await waiter

    def _look(self, now: float) -> Decision | None:
        if self._cells > 0:
            if now < self._cells_until:
                self._cells -= 1
                return self._admit(now)
            self._cells = 0
        limiter = self._limiter
        if now < self._refused_until:  # no cell can have come back before
            return self._refuse(now) if now >= limiter.emptied_until else None
        if now < limiter.shared_at:
            if limiter.holds(now):
                return self._admit_from_reserve(now)
            promise = limiter.promise(self, now=now, latest=now)
            if promise.reserved:
                return self._admit_alone(promise)
        return None

    def _admit(self, now: float) -> Decision:
        _count(self._level, "allowed")
        return Decision(True, self._level, self._left + self._cells, max(0.0, self._full_at - now))

    def _admit_from_reserve(self, now: float) -> Decision | None:
        if self._reserve == 0:
            return None
        self._reserve -= 1
        self._limiter.note_drawn(self)
        return self._admit(now)

    def _refuse(self, now: float) -> Decision:
        _count(self._level, "refused")
        return Decision(False, self._level, 0, max(0.0, self._full_at - now), self._refused_until - now)

    @staticmethod
    def _admit_alone(promise: Promise) -> Decision:
        level = LEVELS[promise.level]
        _count(level, "local_allowed")
        return Decision(True, level, promise.left, promise.full_seconds)

    @staticmethod
    def _refuse_alone(promise: Promise, now: float) -> Decision:
        level = LEVELS[promise.level]
        _count(level, "local_refused")
        return Decision(False, level, 0, promise.full_seconds, promise.at - now)


def _count(level: str, decision: str) -> None:
    child = _children.get((level, decision))
    if child is None:  # labels() looks them up under a lock
        child = _children[level, decision] = decisions.labels(level, decision)
    child.inc()
