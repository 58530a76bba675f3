"""Rate limits: so many requests a second and so many at once, over all processes together.

Three levels decide together: everybody, one client, and one client's requests of a class. Redis keeps a
bucket of each, and one script takes the same number of cells from all three or none from any (limits.lua).
The law, for every level: admitted(t) <= burst + rate * (t - start).

1. A process admits only what it has taken before, so that admitted(t) <= taken(t), and taken obeys the law
   because one script on one server takes. Cells are taken for requests that wait (those that come while one
   call is under way are decided together by the next) and, for who comes often, a few ahead, so that most
   requests are decided without a trip. They are good for LEASE_SECONDS from before the call: so much of
   `rate` may a window that slides exceed the law by. What is not used is lost to the clients, never gained.
2. A process that gets no answer decides alone, with a share of each limit (1 / instances), from buckets that
   are empty then. So all processes together admit no more than `rate`, and Redis nothing.
3. Back: whoever has admitted alone says so, and so does whoever had to send the script again (a server that
   began anew, a replica that took over); the script sees itself when its memory is gone. Then Redis gives
   nothing for two seconds, in which every process hears of it (or finds Redis back) and decides alone, and
   then all buckets in Redis count as empty. So at any time cells come either from Redis or from the shares.

Nobody who is within his limits is turned away for that. A request waits for its cell, up to PATIENCE_SECONDS;
and from buckets that are more than half full each process takes a reserve beforehand. With that alone it gets
through the first HOLD_SECONDS without Redis (unless nobody listens there any more), because an answer that is
only late, on a busy machine, must not make it admit more than it has taken. Whom the reserve does not suffice
waits until they are over.

What is not kept: a process that alone cannot reach Redis adds its share to what the others admit, for it
cannot know of them, nor they of it. Processes must not outnumber `instances` (by default those that were seen
lately). Redis must not evict buckets younger than burst / rate: allkeys-lru does not, allkeys-random does.

All keys bear one hash tag, so that a cluster runs the script on one node: only so are three levels, one of
which all clients share, one decision. One takes it about a tenth of a millisecond, and a process calls it
once at a time, for all that wait.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import structlog

from app.api.limit_gate import Gate, Taken
from app.api.limit_rules import Class, Decision, Limits, refusal
from app.api.own_buckets import OwnBuckets, Promise
from app.api.redis_link import RedisLink, Script, Value

LEASE_SECONDS = 0.05
BEAT_SECONDS = 0.25
NOTICED_SECONDS = 0.3
"""A beat and a timeout of the link: after that every process knows that Redis is silent."""
HOLD_SECONDS = 2 * NOTICED_SECONDS
"""Until then nobody admits alone."""
SETTLE_MICROSECONDS = 2_000_000
"""Longer than any process takes to find Redis back."""
EMPTIED_SECONDS = 1.0
RETRY_SECONDS = 0.05
SEEN_SECONDS = 60.0
GUESSED_INSTANCES = 4
"""For a process that Redis has not told yet."""
MOST_GATES = 20_000
GATES_AT_ONCE = 64

SCRIPT = Script.of(Path(__file__).with_suffix(".lua").read_text(encoding="utf-8"))
KEYS = tuple(f"{{pgtick:limits}}:{name}" for name in ("since", "processes", "all"))
MICROSECONDS = 1_000_000

_log = structlog.get_logger("limits")


class Limiter:
    """One process's part in the limits."""

    def __init__(
        self,
        limits: Limits,
        redis: RedisLink | None,
        *,
        node_id: str,
        instances: int | None = None,
        processes: int = 1,
    ) -> None:
        """Without `instances` shares follow from how many processes Redis has seen lately, or `processes`."""
        self.limits = limits
        self.shared_at = math.inf if redis is None else -math.inf
        """From when on Redis decides; before that this process does, alone."""
        self.emptied_until = -math.inf
        """Until when a bucket may be empty for no fault of its client."""
        self._redis = redis
        self._node_id = node_id
        self._instances = instances
        self._processes = processes
        self._seen = 0
        self._seen_at = 0.0
        self._told_at = -math.inf
        self._alone_since = -math.inf
        self._holds_until = -math.inf
        self._has_admitted_alone = False
        self._own = OwnBuckets()
        self._gates: OrderedDict[tuple[str, Class], Gate] = OrderedDict()
        self._waiting: dict[Gate, None] = {}
        self._drawn: dict[Gate, None] = {}
        self._asking: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._released = asyncio.Event()
        self._released.set()

    async def open(self) -> None:
        """Makes itself known, and then every second."""
        if self._redis is not None:
            await self._call(())
            self._beating = asyncio.create_task(self._beat(), name="rate limits")

    async def close(self) -> None:
        """Ends."""
        for task in (self._beating, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    def gate(self, client: str, kind: Class) -> Gate:
        """Returns where the requests of a class of a client are decided."""
        gate = self._gates.get((client, kind))
        if gate is None:
            gate = self._gates[client, kind] = Gate(self, client, kind)
            if len(self._gates) > MOST_GATES:
                idle = next((key for key, old in self._gates.items() if not old.needed), None)
                if idle is not None:
                    del self._gates[idle]
        return gate

    async def check(self, client: str, kind: Class) -> Decision:
        """Returns the decision on a request that is admitted; raises the problem of one that is not."""
        decision = await self.gate(client, kind).decide()
        if not decision.admitted:
            raise refusal(decision, kind, self.limits)
        return decision

    def ask_for(self, gate: Gate) -> None:
        """Has the next call take what the gate needs."""
        self._waiting[gate] = None
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())

    def note_drawn(self, gate: Gate) -> None:
        """Has the reserve of a gate filled again when Redis is back, even if no request comes."""
        self._drawn[gate] = None

    def holds(self, now: float) -> bool:
        """Whether this process, though alone, admits only from its reserves: Redis may just be late."""
        if self._released.is_set():  # else who waits for that would wait for nothing, again and again
            return False
        return now < self._holds_until and not (self._redis is not None and self._redis.gone)

    async def wait_for_release(self) -> None:
        """Waits until this process admits from more than its reserves again."""
        await self._released.wait()

    @property
    def instances(self) -> int:
        """Among how many processes the limits are shared by those that are alone."""
        if self._instances is not None:
            return self._instances
        seen = 1 if self._redis is None else self._seen or GUESSED_INSTANCES
        return max(self._processes, seen)

    def promise(self, gate: Gate, *, now: float, latest: float) -> Promise:
        """Reserves a cell of this process's share."""
        promise = self._own.reserve(
            gate.own_keys,
            gate.levels,
            now=now,
            share=1 / self.instances,
            latest=min(latest, self.shared_at),
        )
        if promise.reserved and self.shared_at == math.inf:
            self._has_admitted_alone = True
        return promise

    async def _ask(self) -> None:
        while self._waiting:
            gates = list(islice(self._waiting, GATES_AT_ONCE))
            needs = [gate.needed for gate in gates]
            for gate in gates:
                del self._waiting[gate]
            answers: Sequence[Taken | None] = [None] * len(gates)
            try:
                answers = await self._call(gates) or answers
            finally:
                for gate, needed, taken in zip(gates, needs, answers, strict=True):
                    gate.hand_out(needed, taken)
                    if gate.needed:  # those who came while it was under way
                        self._waiting[gate] = None

    async def _call(self, gates: Sequence[Gate]) -> list[Taken] | None:
        """Takes what these gates need; None when Redis did not answer, or gives nothing yet."""
        if self._redis is None:
            return None
        sent_at = time.monotonic()
        tells = sent_at - self._told_at >= BEAT_SECONDS
        # Others, who noticed earlier, may have admitted alone even if this process has not.
        gave_alone = self.shared_at == math.inf and (
            self._has_admitted_alone or sent_at - self._alone_since > HOLD_SECONDS - NOTICED_SECONDS
        )
        keys = [*KEYS, *(key for gate in gates for key in gate.keys)]
        everybody = self.limits.everybody
        args: list[Value] = [
            SETTLE_MICROSECONDS,
            self._node_id if tells else "",
            everybody.rate,
            everybody.burst,
        ]
        for gate in gates:
            args += (gate.needed, gate.ahead, gate.reserve_missing, *gate.arguments)
        answer = await self._redis.run_script(SCRIPT, keys, [int(gave_alone), *args], first_args=[1, *args])
        now = time.monotonic()
        if answer is None:
            self._go_alone(now, hold_seconds=HOLD_SECONDS)
            return None
        settling, age, processes, *numbers = answer
        if tells:
            self._told_at = sent_at
        if settling > 0:
            self._go_alone(now, hold_seconds=0)
            self.shared_at = sent_at + settling / MICROSECONDS
            return None
        if self.shared_at == math.inf:
            if self._has_admitted_alone:
                return None  # since the call was sent: the next says so
            self.shared_at = now
        if tells:
            self._note_processes(processes, now)
        self.emptied_until = sent_at - age / MICROSECONDS + EMPTIED_SECONDS
        return [
            Taken(
                given=given,
                reserved=reserved,
                wait_seconds=wait / MICROSECONDS,
                level=level - 1,
                left=left,
                full_seconds=full / MICROSECONDS,
                good_until=sent_at + LEASE_SECONDS,
            )
            for given, reserved, wait, level, left, full in zip(*[iter(numbers)] * 6, strict=True)
        ]

    def _go_alone(self, now: float, *, hold_seconds: float) -> None:
        if now < self.shared_at:
            return
        self.shared_at = math.inf
        self._alone_since = self._own.empty_at = now
        self._holds_until = now + hold_seconds
        self.emptied_until = now + EMPTIED_SECONDS
        self._has_admitted_alone = False
        self._released.clear()
        self._woken.set()

    def _refill(self) -> None:
        self._drawn = {gate: None for gate in self._drawn if gate.reserve_missing}
        for gate in self._drawn:
            self.ask_for(gate)

    def _note_processes(self, processes: int, now: float) -> None:
        # A server that has lost its memory has seen few since: so believe the most of the last minute.
        if processes >= self._seen or now - self._seen_at > SEEN_SECONDS:
            self._seen, self._seen_at = processes, now

    async def _beat(self) -> None:
        """Keeps this process known, and brings it back to Redis."""
        while True:
            now = time.monotonic()
            if self.shared_at < math.inf or not self.holds(now):
                self._released.set()
            if self.shared_at == math.inf:
                pause = RETRY_SECONDS
            else:
                pause = self.shared_at - now if now < self.shared_at else BEAT_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            except TimeoutError:
                if await self._call(()) is not None:
                    self._refill()
            else:
                self._woken.clear()
                if self.shared_at == math.inf:  # perhaps it was late for once
                    await self._call(())
