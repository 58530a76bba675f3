"""The one shape of every background part: a turn, a wait, a way to come through an outage."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod

import psycopg
import structlog

from workers.database import describe

RETRY_MIN_SECONDS = 0.1
RETRY_MAX_SECONDS = 3.0


class Outage:
    """Which parts of a process cannot reach the database: one line when the first fails, one when all work
    again. Of each address one: where that past the pooler is wrong, the database may still go away.
    """

    def __init__(self, what: str = "database") -> None:
        self._what = what
        self._parts: set[str] = set()
        self._log = structlog.get_logger("database")

    @property
    def lasts(self) -> bool:
        """Whether a part has failed, and does not yet work again."""
        return bool(self._parts)

    def begins(self, part: str, error: Exception) -> None:
        """Note that a part failed."""
        if not self._parts:
            self._log.warning(f"{self._what} unavailable, retrying", part=part, error=describe(error))
        self._parts.add(part)

    def ends(self, part: str) -> None:
        """Note that a part works."""
        if part in self._parts:
            self._parts.remove(part)
            if not self._parts:
                self._log.info(f"{self._what} available again")


class Looper(ABC):
    """Takes turns until it is stopped; a turn that fails is taken again after a jittered back-off."""

    name: str

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._log = structlog.get_logger(self.name)

    @abstractmethod
    async def turn(self) -> float:
        """Do one piece of work and return after how many seconds the next may be due."""

    @property
    def stopping(self) -> bool:
        """Whether this was the last turn."""
        return self._stopped.is_set()

    def wake(self) -> None:
        """Take the next turn now; also while a turn is going on. A back-off is not cut short."""
        self._wake.set()

    def stop(self) -> None:
        """End after the turn that is going on."""
        self._stopped.set()
        self._wake.set()

    async def run(self) -> None:
        """Take turns until stopped."""
        failures = 0
        while not self.stopping:
            self._wake.clear()
            began = time.monotonic()
            try:
                seconds = await self.turn()
            except Exception as error:
                # One that worked for so long before, as a listener's does for months, is the first anew.
                failures = failures + 1 if time.monotonic() - began < RETRY_MAX_SECONDS else 1
                if isinstance(error, psycopg.OperationalError):
                    self._outage.begins(self.name, error)
                elif isinstance(error, psycopg.Error):
                    self._log.error("the database refuses", part=self.name, error=describe(error))
                else:
                    self._log.error("a turn failed", part=self.name, exc_info=error)
                await wait_for(self._stopped, seconds=retry_seconds(failures))
                continue
            failures = 0
            self._outage.ends(self.name)
            if not self.stopping:
                await self._rest(seconds)

    async def _rest(self, seconds: float) -> None:
        """Wait to be woken, by a timer at the latest. A timeout, which is an exception, takes a quarter more,
        and an idle worker does little else.
        """
        if seconds <= 0 or self._wake.is_set():
            await asyncio.sleep(0)
            return
        timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()


def retry_seconds(failures: int) -> float:
    """Exponential back-off with jitter, so that a whole fleet does not come back in one instant."""
    ceiling = min(RETRY_MAX_SECONDS, RETRY_MIN_SECONDS * 2.0 ** min(failures, 10))
    return jitter(ceiling / 2, ceiling)


def jitter(least: float, most: float) -> float:
    """Return a random length between the two: what many do at the same pace must not happen in step."""
    return random.uniform(least, most)  # noqa: S311 - no secret


async def wait_for(event: asyncio.Event, *, seconds: float) -> bool:
    """Wait for the event, but not longer than so many seconds; says whether it came."""
    if seconds <= 0 or event.is_set():
        await asyncio.sleep(0)
        return event.is_set()
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
