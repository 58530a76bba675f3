"""Calls that may never return, each in a thread of its own for which nobody waits, also not at the end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def call_in_thread(function: Callable[[], T], *, name: str) -> asyncio.Future[T]:
    """Call a function in a daemon thread: those of a ThreadPoolExecutor the interpreter joins when it ends.

    The future is done when the thread is; who may be cancelled shields it.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        with contextlib.suppress(RuntimeError):  # the worker has left
            try:
                result = function()
            except Exception as error:
                loop.call_soon_threadsafe(ended.set_exception, error)
            else:
                loop.call_soon_threadsafe(ended.set_result, result)

    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError as error:  # the system gives no more of them
        ended.set_exception(error)
    return ended
