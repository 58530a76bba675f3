"""The cache beside a model of everything around it, in every order that hypothesis comes upon.

Around two processes' caches: a primary on which a commit is in the log before it can be seen, a replica that
lags, notifications that come late or never, a Redis that takes writes late, loses or keeps them, wall clocks
that are apart, loads that end in any order or fail, clients that go away. Whatever happens, an answer
includes what its floor stands for, and was read no longer ago than its TTL.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.api.cache import Answer, Cache, Entry, Flight
from app.api.floors import included

TTL_SECONDS = 2.0
KEY = "key"
TAG = "tag"
TURNS = 30
"""So often the loop goes round until nobody can get any further."""

PROCESSES = st.sampled_from([(0,), (1,), (0, 1)])


class Body(msgspec.Struct):
    """What an answer says: which commits it saw, and when."""

    commits: frozenset[int]
    read_at: float


class World:
    """A primary, its log and its clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.lsn = 8
        self.replayed = 8
        self.committed_at: dict[int, int] = {}
        self.visible: set[int] = set()


class Shelf:
    """A Redis that may be late: what is set lies on the way until it is let in."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.up = True
        self.late = False
        self.on_the_way: list[tuple[str, bytes, int]] = []
        self.kept: dict[str, tuple[float, bytes]] = {}

    async def get(self, key: str) -> bytes | None:
        """Returns what is kept and has not expired."""
        await asyncio.sleep(0)
        expires_at, value = self.kept.get(key, (0.0, b""))
        return value if self.up and self.world.now < expires_at else None

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> bool:
        """Sends a value on its way."""
        self.on_the_way.append((key, value, ttl_ms))
        self.let_in()
        await asyncio.sleep(0)
        return self.up

    def let_in(self) -> None:
        """Takes what has come, unless it is late; the time of a value begins now."""
        while self.on_the_way and not self.late:
            key, value, ttl_ms = self.on_the_way.pop(0)
            self.kept[key] = (self.world.now + ttl_ms / 1000, value)


class Read:
    """A load under way."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.fails = False


class Process:
    """A process with its cache, and what its floors stand for."""

    def __init__(self, world: World, shelf: Shelf, skew_seconds: float) -> None:
        self.skew_seconds = skew_seconds
        self.cache = Cache(shelf, clock=lambda: world.now, wall_clock=lambda: world.now + self.skew_seconds)
        self.cache.begin("history", world.lsn)
        self.required = frozenset(world.visible)


class Client:
    """A request and what its answer has to be."""

    def __init__(self, task: asyncio.Task[Entry | None], required: frozenset[int], newer_than: float) -> None:
        self.task = task
        self.required = required
        self.newer_than = newer_than


class CacheMachine(RuleBasedStateMachine):
    """All that can happen."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World()
        self.shelf = Shelf(self.world)
        self.processes = [Process(self.world, self.shelf, 0.0), Process(self.world, self.shelf, 0.0)]
        self.reads: list[Read] = []
        self.clients: list[Client] = []
        self.tokens: list[tuple[int, frozenset[int]]] = [(0, frozenset())]

    def teardown(self) -> None:
        """Lets everything come to its end."""
        while self.reads:
            self.reads.pop().go.set()
            self.turn()
        assert all(client.task.done() for client in self.clients)
        for process in self.processes:
            self.loop.run_until_complete(process.cache.close())
        self.loop.close()

    def turn(self) -> None:
        """Has everybody go as far as possible."""

        async def turn() -> None:
            for _ in range(TURNS):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    async def load(self, flight: Flight, lag: int) -> Answer:
        """Reads after it saw an LSN: on the replica if that is fresh enough, else on the primary."""
        world = self.world
        read = Read()
        seen, at = world.lsn, world.now
        replica = world.replayed - 8 * lag
        if replica >= flight.floor and lag:
            seen = replica
            commits = frozenset(commit for commit, lsn in world.committed_at.items() if lsn <= replica)
        self.reads.append(read)
        await read.go.wait()
        if seen != replica or not lag:
            commits = frozenset(world.visible)
        await asyncio.sleep(0)
        if read.fails:
            raise ConnectionError
        body = msgspec.json.encode(Body(commits, at))
        return Answer(body, [], b"", "", included(seen), TTL_SECONDS)

    async def ask(self, process: Process, token: int, lag: int, *, fresh: bool) -> Entry | None:
        """Does what the layer does."""
        cache = process.cache

        async def load(flight: Flight) -> Answer:
            return await self.load(flight, lag)

        floor = max(token, cache.floors.floor_of([TAG]))
        if not fresh:
            entry = cache.find(KEY, floor, cache.clock())
            if entry is not None:
                if cache.clock() >= entry.soft_at:
                    cache.refresh(KEY, entry, cache.floors.floor_of([TAG]), load)
                return entry
        return await cache.fetch(KEY, floor, load, ttl_seconds=TTL_SECONDS, fresh=fresh)

    @rule(step=st.sampled_from(["log", "show", "notify", "notify", "notify"]), processes=PROCESSES)
    def commit(self, step: str, processes: tuple[int, ...]) -> None:
        """A commit comes so far: into the log; to be seen; to be known."""
        world = self.world
        world.lsn += 8
        world.committed_at[len(world.committed_at)] = world.lsn
        if step != "log":
            self.show()
        if step == "notify":
            self.notify(processes)

    @rule()
    def show(self) -> None:
        """What is in the log can be seen, and its writers are told the LSN."""
        self.world.visible = set(self.world.committed_at)
        self.tokens.append((self.world.lsn, frozenset(self.world.visible)))

    @rule(processes=PROCESSES)
    def notify(self, processes: tuple[int, ...]) -> None:
        """Processes hear of a change, and ask for the floor."""
        for process in processes:
            self.processes[process].cache.floors.raise_floor(TAG, self.world.lsn)
            self.processes[process].required = frozenset(self.world.visible)

    @rule(replays=st.booleans())
    def go_on(self, replays: bool) -> None:
        """Something else is written, or the replica catches up."""
        if replays:
            self.world.replayed = self.world.lsn
        else:
            self.world.lsn += 8

    @rule(seconds=st.sampled_from([0.01, 0.3, 0.7, 0.95, 1.5, 2.5]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.world.now += seconds

    @rule(
        process=st.integers(0, 1),
        tokens=st.integers(0, 2),
        lag=st.sampled_from([0, 0, 1, 2]),
        fresh=st.sampled_from([False, False, False, True]),
        ends=st.sampled_from([True, True, False]),
    )
    def request(self, process: int, tokens: int, lag: int, fresh: bool, ends: bool) -> None:
        """A client asks, maybe with a token; a load that it begins maybe ends at once."""
        token, promised = self.tokens[-min(tokens, len(self.tokens))] if tokens else self.tokens[0]
        asked = self.processes[process]
        work = self.ask(asked, token, lag, fresh=fresh)
        newer_than = self.world.now - (0.0 if fresh else TTL_SECONDS)
        loads = len(self.reads)
        self.clients.append(Client(self.loop.create_task(work), asked.required | promised, newer_than))
        self.turn()
        if ends and len(self.reads) > loads:
            self.end_a_read(-1, fails=False)

    @rule(process=st.integers(0, 1))
    def read(self, process: int) -> None:
        """Most requests are plain, and soon over."""
        self.request(process, tokens=0, lag=0, fresh=False, ends=True)

    @rule(process=st.integers(0, 1), lag=st.integers(0, 2))
    def read_twice(self, process: int, lag: int) -> None:
        """Two clients for one answer, then one at the other process."""
        self.request(process, tokens=0, lag=lag, fresh=False, ends=False)
        self.request(process, tokens=0, lag=lag, fresh=False, ends=True)
        self.request(1 - process, tokens=0, lag=lag, fresh=False, ends=True)

    @precondition(lambda self: self.reads)
    @rule(number=st.integers(0, 3), fails=st.sampled_from([False, False, False, True]))
    def end_a_read(self, number: int, fails: bool) -> None:
        """A load comes to its end."""
        read = self.reads.pop(number % len(self.reads))
        read.fails = fails
        read.go.set()
        self.turn()

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, 3))
    def go_away(self, number: int) -> None:
        """A client has enough."""
        self.clients.pop(number % len(self.clients)).task.cancel()
        self.turn()

    @rule(what=st.sampled_from(["is late", "is late", "loses", "forgets", "is away", "is back"]))
    def redis(self, what: str) -> None:
        """Redis takes what is on the way to it only when it is asked for this; or worse."""
        shelf = self.shelf
        if what == "is late":
            shelf.late = not shelf.late
        elif what == "loses":
            shelf.on_the_way.clear()
        elif what == "forgets":
            shelf.kept.clear()
        else:
            shelf.up = what == "is back"
        shelf.let_in()

    @rule(process=st.integers(0, 1), skew=st.sampled_from([0.0, 0.05, -0.05, 0.9, -0.9, 60.0, -60.0]))
    def restart(self, process: int, skew: float) -> None:
        """A process starts, on a machine with another clock."""
        old = self.processes[process]
        self.processes[process] = Process(self.world, self.shelf, skew)
        self.loop.run_until_complete(old.cache.close())

    @invariant()
    def answers_are_new_enough(self) -> None:
        """No answer lacks what was promised, and none is older than the TTL."""
        waiting = []
        for client in self.clients:
            if not client.task.done():
                waiting.append(client)
            elif not client.task.cancelled() and client.task.exception() is None:
                entry = client.task.result()
                assert entry is not None
                body = msgspec.json.decode(entry.answer.body, type=Body)
                assert client.required <= body.commits
                assert body.read_at >= client.newer_than
        self.clients = waiting


TestCache: Any = pytest.mark.slow(CacheMachine.TestCase)
TestCache.settings = settings(max_examples=400, stateful_step_count=50, deadline=None)
