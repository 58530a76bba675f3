"""Rate limits: so many requests a second and so many at once, over all processes together.

Three levels decide together: everybody, one client, and one client's requests of a class. Redis keeps a
bucket of each and one script takes from all of them or from none. What a process may admit it has taken there
first, so for every level, from the beginning on: admitted(t) <= taken(t) <= burst + rate * t.

A trip to Redis for each request would cost more than a cached answer. So those that come while one is under
way are decided together by the next, and who comes often takes some cells ahead. Those are good for
LEASE_SECONDS: by so much a sliding window may be off, and what was not used by then is lost to the client,
never gained.

Without Redis each process admits its share, from buckets that are empty when it begins; when Redis is back,
its buckets count as empty too (see limits.lua). Who finds one just emptied is not refused for that, but waits
a moment. A process that alone cannot reach Redis adds its share to what the others admit: that nobody could
know.

All keys bear one hash tag: a cluster runs the script on one node, which does more than 50,000 a second.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from prometheus_client import Counter

from app.api.errors import Problem
from app.api.redis_link import RedisLink, Script

LEASE_SECONDS = 0.05
AHEAD_SECONDS = 0.04
"""For so long the cells are meant to last that are taken ahead."""
MOST_AHEAD = 200
MOST_BUCKETS = 20_000
RESERVE = 0.02
"""No more than this share of a burst is taken ahead, so that little of a small one is ever lost."""

PATIENCE_SECONDS = 0.1
"""So long a request waits for a cell of a bucket that was emptied for no fault of its client."""

EMPTIED_SECONDS = 1.0

LEVELS = ("global", "client", "class")
Class = Literal["read", "write", "bulk", "auth"]

SCRIPT = Script.of(Path(__file__).with_suffix(".lua").read_text(encoding="utf-8"))
EPOCH_KEY = "{pgtick:limits}:epoch"
PROCESSES_KEY = "{pgtick:limits}:processes"

decisions = Counter("rate_limit_decisions", "Requests that were admitted or not", ["level", "decision"])


class Limit(msgspec.Struct, frozen=True):
    """So many a second, and so many at once after a quiet time."""

    rate: float
    burst: int


class Limits(msgspec.Struct, frozen=True):
    """The limits of an installation."""

    everybody: Limit
    client: Limit
    classes: Mapping[Class, Limit]


class Decision(msgspec.Struct, frozen=True):
    """What became of a request."""

    admitted: bool
    level: str
    """The level that was nearest to its limit."""
    remaining: int
    reset_seconds: float
    """Until that level is as it was before."""
    retry_seconds: float = 0.0


class Limiter:
    """One process's part in the limits."""

    def __init__(self, limits: Limits, redis: RedisLink | None, *, node_id: str, instances: int = 1) -> None:
        self.limits = limits
        self._redis = redis
        self._node_id = node_id
        self._instances = instances
        self._gates: OrderedDict[tuple[str, Class], Gate] = OrderedDict()
        self._epoch = ""
        self._alone_since: float | None = None
        self._was_alone = False
        self._own: dict[tuple[str, ...], OwnBucket] = {}

    def gate(self, client: str, kind: Class) -> Gate:
        """Returns where the requests of a class of a client are decided."""
        gate = self._gates.get((client, kind))
        if gate is None:
            levels = (self.limits.everybody, self.limits.client, self.limits.classes[kind])
            gate = self._gates[client, kind] = Gate(self, client, kind, levels)
            if len(self._gates) > MOST_BUCKETS:
                self._forget_one()
        return gate

    async def check(self, client: str, kind: Class) -> Decision:
        """Returns the decision on a request that is admitted; raises the problem of one that is not."""
        gate = self.gate(client, kind)
        decision = await gate.decide()
        if not decision.admitted:
            raise refusal(decision, kind)
        return decision

    def _forget_one(self) -> None:
        for key, gate in self._gates.items():
            if not gate.busy:
                del self._gates[key]
                return

    async def take(self, gate: Gate, wanted: int) -> Taken:
        """Takes up to so many cells for a gate, from Redis or from this process's share."""
        if self._redis is not None and self._redis.up:
            answer = await self._redis.run_script(
                SCRIPT,
                (EPOCH_KEY, PROCESSES_KEY, *gate.keys),
                (wanted, self._epoch, int(self._was_alone), self._node_id, *gate.arguments),
            )
            if answer is not None:
                given, soonest, narrowest, left, whole, epoch, processes, emptied = answer
                self._epoch = epoch.decode()
                self._was_alone = False
                self._alone_since = None
                self._own.clear()
                self._instances = max(1, int(processes))
                level = LEVELS[narrowest - 1]
                return Taken(
                    given, soonest / 1e6, level, left, whole / 1e6, shared=True, emptied=bool(emptied)
                )
        return self._take_own(gate, wanted)

    def _take_own(self, gate: Gate, wanted: int) -> Taken:
        now = time.monotonic()
        if self._alone_since is None:
            self._alone_since = now
        # What we admit now Redis does not know, so that it must not count its buckets as whole when it is
        # back.
        self._was_alone = self._redis is not None
        starts_whole = self._redis is None
        buckets = [
            self._own_bucket(key, limit, starts_whole, now)
            for key, limit in zip(gate.own_keys, gate.levels, strict=True)
        ]
        given = min(wanted, *(bucket.cells(now) for bucket in buckets))
        soonest = max(bucket.whole_at + bucket.cost - bucket.depth - now for bucket in buckets)
        for bucket in buckets:
            bucket.take(given, now)
        left, level, narrow = min(
            (bucket.cells(now), number, bucket) for number, bucket in enumerate(buckets)
        )
        return Taken(
            given,
            max(0.0, soonest),
            LEVELS[level],
            left,
            max(0.0, narrow.whole_at - now),
            shared=False,
            emptied=not starts_whole and now - self._alone_since < EMPTIED_SECONDS,
        )

    def _own_bucket(self, key: tuple[str, ...], limit: Limit, starts_whole: bool, now: float) -> OwnBucket:
        bucket = self._own.get(key)
        if bucket is None:
            whole_at = now if starts_whole else None
            bucket = OwnBucket(
                self._instances / limit.rate,
                limit.burst / self._instances,
                whole_at,
                self._alone_since or now,
            )
            if len(self._own) > MOST_BUCKETS:
                self._own = {k: b for k, b in self._own.items() if b.whole_at > now}
            self._own[key] = bucket
        return bucket


def refusal(decision: Decision, kind: Class) -> Problem:
    """Returns the problem of a request too many."""
    seconds = max(1, math.ceil(decision.retry_seconds))
    return Problem(
        429,
        "too-many-requests",
        f"the limit {name_of(decision, kind)!r} is reached",
        hint=f"try again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )


def name_of(decision: Decision, kind: Class) -> str:
    """Returns the name of the limit that was the nearest: that of a class is the class's."""
    return kind if decision.level == "class" else decision.level


class OwnBucket:
    """A bucket in this process: a share of the one that all processes have together."""

    def __init__(self, cost: float, burst: float, whole_at: float | None, empty_at: float) -> None:
        self.cost = cost
        self.depth = cost * max(1.0, burst)
        self.whole_at = whole_at if whole_at is not None else empty_at + self.depth

    def cells(self, now: float) -> int:
        """Returns how many cells there are."""
        return max(0, math.floor((now + self.depth - max(now, self.whole_at)) / self.cost + 1e-6))

    def take(self, count: int, now: float) -> None:
        """Takes cells."""
        self.whole_at = max(now, self.whole_at) + count * self.cost


class Taken(msgspec.Struct, frozen=True):
    """Cells that were taken for a gate."""

    given: int
    soonest_seconds: float
    level: str
    left: int
    whole_seconds: float
    shared: bool
    """By Redis, for all processes."""
    emptied: bool
    """Within the last second, for no fault of the client."""


class Gate:
    """Where the requests of one class of one client wait for their cells."""

    def __init__(self, limiter: Limiter, client: str, kind: Class, levels: Sequence[Limit]) -> None:
        self.levels = levels
        self.keys = (
            "{pgtick:limits}:all",
            f"{{pgtick:limits}}:{client}",
            f"{{pgtick:limits}}:{client}:{kind}",
        )
        self.own_keys: tuple[tuple[str, ...], ...] = ((), (client,), (client, kind))
        self.arguments = tuple(number for limit in levels for number in (limit.rate, limit.burst))
        self._limiter = limiter
        self._most_ahead = int(min(MOST_AHEAD, RESERVE * min(limit.burst for limit in levels)))
        self._waiting: deque[asyncio.Future[Decision]] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._ahead = 0
        self._ahead_until = 0.0
        self._refused_until = 0.0
        self._last = Decision(True, "global", 0, 0.0)
        self._shared = True
        # How many came in the current stretch of AHEAD_SECONDS, and in the one before.
        self._stretch_ends_at = 0.0
        self._came = self._came_before = 0

    @property
    def busy(self) -> bool:
        """Whether somebody waits, or cells are held."""
        return bool(self._waiting) or self._ahead > 0

    async def decide(self) -> Decision:
        """Returns the decision on a request; others that wait for theirs are decided with it."""
        return self.decide_now() or await self._decide()

    def decide_now(self) -> Decision | None:
        """Returns the decision on a request, if it can be made without asking."""
        now = time.monotonic()
        self._came += 1
        if now > self._stretch_ends_at:
            self._came_before = self._came if now < self._stretch_ends_at + AHEAD_SECONDS else 0
            self._came = 0
            self._stretch_ends_at = now + AHEAD_SECONDS
        if self._ahead > 0:
            if now < self._ahead_until:
                self._ahead -= 1
                self._count(admitted=True)
                return self._last
            self._ahead = 0
        if now < self._refused_until:  # nothing will have come back before
            self._count(admitted=False)
            return msgspec.structs.replace(
                self._last, admitted=False, remaining=0, retry_seconds=self._refused_until - now
            )
        return None

    async def _decide(self) -> Decision:
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await future

    async def _ask(self) -> None:
        while self._waiting:
            wanted = len(self._waiting) + min(self._came_before, self._most_ahead)
            try:
                taken = await self._limiter.take(self, wanted)
            except BaseException as error:
                while self._waiting:
                    waiter = self._waiting.popleft()
                    if not waiter.done():
                        waiter.set_exception(error if isinstance(error, Exception) else RuntimeError("ended"))
                raise
            if taken.given == 0 and taken.emptied and taken.soonest_seconds < PATIENCE_SECONDS:
                await asyncio.sleep(taken.soonest_seconds)
                continue
            self._hand_out(taken, wanted)

    def _hand_out(self, taken: Taken, wanted: int) -> None:
        now = time.monotonic()
        left = taken.given
        self._shared = taken.shared
        self._last = Decision(True, taken.level, taken.left, taken.whole_seconds)
        # Those that came while it was under way wait for the next, unless some are left over.
        while self._waiting and left > 0:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else its client has gone, and leaves its cell to the next
                left -= 1
                self._count(admitted=True)
                waiter.set_result(self._last)
        self._ahead, self._ahead_until = left, now + LEASE_SECONDS
        if taken.given < wanted and taken.soonest_seconds > 0:
            self._refused_until = now + taken.soonest_seconds
            refused = msgspec.structs.replace(
                self._last, admitted=False, remaining=0, retry_seconds=taken.soonest_seconds
            )
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    self._count(admitted=False)
                    waiter.set_result(refused)

    def _count(self, *, admitted: bool) -> None:
        key = (self._last.level, admitted, self._shared)
        child = _children.get(key)
        if child is None:
            word = ("" if self._shared else "local_") + ("allowed" if admitted else "refused")
            child = _children[key] = decisions.labels(level=key[0], decision=word)
        child.inc()


_children: dict[tuple[str, bool, bool], Counter] = {}
