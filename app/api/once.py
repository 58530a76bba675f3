"""What is worked out at most so often, however many ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Keeps what a call returned for a moment; those who ask while it is under way share its outcome."""

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]], *, seconds: float) -> None:
        """Takes the call and how long its outcome is good for, from its beginning."""
        self._call = call
        self._seconds = seconds
        self._began_at = 0.0
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Returns the outcome of a call that has begun lately, or of a new one."""
        now = time.monotonic()
        task = self._task
        if task is None or (task.done() and (now - self._began_at >= self._seconds or _failed(task))):
            self._began_at = now
            task = self._task = asyncio.create_task(self._call())
        return await asyncio.shield(task)  # who asked may go away; the others still wait


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
