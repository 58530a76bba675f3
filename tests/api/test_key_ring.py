"""A key is looked up once for all who ask at a time, and anew after it was changed."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from app.api import auth
from app.api.auth import OUTAGE_SECONDS, STRANGERS, AuthLayer, KeyRing
from app.api.context import Key
from app.api.errors import Problem
from app.api.limit_rules import Limit, Limits
from app.api.limits import Limiter
from tests.workers.support import until

KEY = Key(key_id=UUID(int=1), name="a", scopes=frozenset(("read",)))


class Database:
    """Answers when it is told to, with what is true by then or was when it was asked."""

    def __init__(self) -> None:
        self.key: Key | None = KEY
        self.asked = 0
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self._asks = asyncio.Semaphore(0)

    async def was_asked(self) -> None:
        """Waits for one more call."""
        async with asyncio.timeout(5):
            await self._asks.acquire()

    async def look_up(self, digest: bytes) -> Key | None:
        assert digest == b"digest"
        self.asked += 1
        self._asks.release()
        key = self.key
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return key


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def ring(database: Database) -> KeyRing:
    return KeyRing(database.look_up)


def ask(ring: KeyRing) -> asyncio.Task[Key | None]:
    return asyncio.create_task(ring.find(b"digest"))


async def test_those_who_come_at_once_share_a_look_up(ring: KeyRing, database: Database) -> None:
    first, *others = [ask(ring) for _ in range(10)]
    await database.was_asked()
    first.cancel()
    database.answers.set()
    assert await asyncio.gather(*others) == 9 * [KEY]
    assert await ring.find(b"digest") == KEY
    assert database.asked == 1


async def test_what_was_asked_before_a_change_is_not_believed(ring: KeyRing, database: Database) -> None:
    before = ask(ring)
    await database.was_asked()
    database.key = None
    ring.forget()
    after = ask(ring)
    await database.was_asked()
    database.answers.set()
    assert (await before, await after, await ring.find(b"digest")) == (KEY, None, None)
    assert database.asked == 2


async def test_a_key_that_is_met_while_another_changes_is_no_stranger(
    ring: KeyRing, database: Database
) -> None:
    meeting = ask(ring)
    await database.was_asked()
    ring.forget()
    database.answers.set()
    assert await meeting == KEY
    assert ring.remembers(b"digest")
    assert await ring.find(b"digest") == KEY
    assert database.asked == 2


async def test_a_failure_is_told_to_all_and_tried_again(ring: KeyRing, database: Database) -> None:
    database.error = ConnectionError("away")
    database.answers.set()
    both = await asyncio.gather(ask(ring), ask(ring), return_exceptions=True)
    assert list(both) == [database.error, database.error]
    database.error = None
    assert await ring.find(b"digest") == KEY
    assert database.asked == 2


async def test_a_look_up_that_takes_long_is_not_waited_for(ring: KeyRing, database: Database) -> None:
    before = ask(ring)
    await database.was_asked()
    database.key = None
    began_at, task = ring._under_way[b"digest"]
    ring._under_way[b"digest"] = (began_at - 3.0, task)
    after = ask(ring)
    await database.was_asked()
    database.answers.set()
    assert (await before, await after, await ring.find(b"digest")) == (KEY, None, None)


async def test_that_there_is_no_key_is_believed_from_when_it_was_told(
    ring: KeyRing, database: Database
) -> None:
    """Else a look-up that took long, as in an outage, would begin anew with each who guesses."""
    database.key = None
    asked = ask(ring)
    await database.was_asked()
    began_at, task = ring._under_way[b"digest"]
    ring._under_way[b"digest"] = (began_at - 3.0, task)
    database.answers.set()
    assert (await asked, await ring.find(b"digest")) == (None, None)
    assert database.asked == 1


async def test_strangers_wait_for_their_turn_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who show the same key take one turn together."""
    asked: list[bytes] = []
    answers = asyncio.Event()

    async def look_up(digest: bytes) -> Key | None:
        asked.append(digest)
        await answers.wait()
        return KEY

    async def nothing(*_: Any) -> None:
        raise AssertionError

    wide = Limit(100_000, 100_000)
    limiter = Limiter(Limits(wide, wide, {"auth": wide}), None, node_id="one")
    ring = KeyRing(look_up)
    layer = AuthLayer(nothing, ring, limiter)
    monkeypatch.setattr(auth, "STRANGER_SECONDS", 0.05)
    names = [b"%d" % number for number in range(STRANGERS)]
    first = [asyncio.create_task(layer._meet(name, "address", ring)) for name in names]
    await until(lambda: len(asked) == STRANGERS)
    same = [asyncio.create_task(layer._meet(name, "address", ring)) for name in names]
    with pytest.raises(Problem) as refused:
        await layer._meet(b"another", "address", ring)
    assert refused.value.status == 503
    answers.set()
    assert await asyncio.gather(*first, *same) == 2 * STRANGERS * [KEY]
    assert await layer._meet(b"another", "address", ring) == KEY
    assert sorted(asked) == sorted([*names, b"another"])


@pytest.fixture
async def known(ring: KeyRing, database: Database) -> KeyRing:
    """A ring that knows the key since three seconds, and has to look it up in an outage."""
    database.answers.set()
    assert await ring.find(b"digest") == KEY
    await database.was_asked()
    database.answers.clear()
    database.error = ConnectionError("away")
    grow_old(ring, seconds=3.0)
    return ring


def grow_old(ring: KeyRing, *, seconds: float) -> None:
    ring._known[b"digest"] = (ring._known[b"digest"][0] - seconds, KEY)


async def test_an_outage_ends_no_key_that_was_known(known: KeyRing, database: Database) -> None:
    database.answers.set()
    assert await known.find(b"digest") == KEY


@pytest.mark.parametrize("change", ["forgotten", "too old"])
async def test_what_a_failed_look_up_took_is_counted(known: KeyRing, database: Database, change: str) -> None:
    """Revoked within five seconds, whatever becomes of the look-up."""
    took_seconds = 0.3
    grow_old(known, seconds=OUTAGE_SECONDS - 3.0 - took_seconds / 2)
    asked = ask(known)
    await database.was_asked()
    if change == "forgotten":
        known.forget()
    else:
        await asyncio.sleep(took_seconds)  # the look-up, by the real clock
    database.answers.set()
    with pytest.raises(ConnectionError):
        await asked
