"""Python handlers: registered by name in modules that the operator names, never imported from a payload."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args
from uuid import UUID

import msgspec

Mode = Literal["process", "thread", "async"]
Function = Callable[["Context"], Any]
F = TypeVar("F", bound=Function)

SAMPLES = "examples.handlers"
SAMPLES_FILE = Path("examples", "handlers.py")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")


class HandlerError(Exception):
    """A handler was declared wrongly, or a module of handlers cannot be loaded."""


class Permanent(Exception):  # noqa: N818 - it reads as what the handler says: raise Permanent("no such user")
    """The execution failed and no further attempt can help."""


class RetryAfter(Exception):  # noqa: N818
    """The execution failed and is to be tried again after the given seconds or at the given time."""

    seconds: float | None = None
    """None where a subclass has not called __init__: then the job's backoff counts."""

    def __init__(
        self, after: float | datetime, message: str = "the handler asked to be tried again later"
    ) -> None:
        super().__init__(message)
        seconds = (after - datetime.now(UTC)).total_seconds() if isinstance(after, datetime) else float(after)
        if not abs(seconds) < timedelta.max.total_seconds():
            raise ValueError(f"RetryAfter takes a finite number of seconds or a time, not {after!r}")
        self.seconds = max(0.0, seconds)


class Context(msgspec.Struct, frozen=True, kw_only=True, eq=False, dict=True):
    """What a handler is told about the execution that it runs."""

    execution_id: UUID
    job_name: str | None
    payload: Any
    fire_at: datetime | None
    attempt: int
    max_attempts: int
    traceparent: str | None = None
    report: Callable[[Any], None] = lambda _: None

    @property
    def cancelled(self) -> threading.Event:
        """Set when the execution is to stop: by a user, by its timeout or because the worker leaves."""
        # Made when it is asked for; the first one made counts, whichever thread asks.
        event: threading.Event = self.__dict__.setdefault("_cancelled", threading.Event())
        return event

    def progress(self, value: Any) -> None:
        """Show how far the execution has come; of many values soon after each other only the last counts."""
        self.report(value)


@dataclass(frozen=True, kw_only=True)
class Handler:
    """A function with the name that payloads know it by, and the place where it runs."""

    name: str
    function: Function
    mode: Mode

    @property
    def is_async(self) -> bool:
        """Whether calling the function gives a coroutine."""
        return inspect.iscoroutinefunction(self.function)


_handlers: dict[str, Handler] = {}


def handler(name: str, *, mode: Mode = "process") -> Callable[[F], F]:
    """Register a function, sync or async, as the Python handler `name`.

    mode "process" (the default): in a warm child process of its own; whatever it does, nothing else is
    harmed, and it can be killed. "thread" and "async" (on the worker's own event loop, coroutine functions
    only) save the hop between processes, but share the worker's fate: they cannot be killed, and one that
    blocks holds up its neighbours.
    """
    if not _NAME.fullmatch(name):
        raise HandlerError(f"{name!r} is not a handler's name: letters, digits and _ . : - only, at most 128")
    if mode not in get_args(Mode):
        raise HandlerError(f"handler {name!r}: mode must be one of {', '.join(get_args(Mode))}, not {mode!r}")

    def register(function: F) -> F:
        declared = Handler(name=name, function=function, mode=mode)
        if mode == "async" and not declared.is_async:
            raise HandlerError(f"handler {name!r}: mode 'async' needs an async function")
        if mode == "thread" and declared.is_async:
            raise HandlerError(f"handler {name!r}: mode 'thread' needs a plain function")
        known = _handlers.get(name)
        if known is not None and _origin(known.function) != _origin(function):
            raise HandlerError(
                f"handler {name!r} is registered twice: by {_origin(known.function)} and {_origin(function)}"
            )
        _handlers[name] = declared
        return function

    return register


def load_handlers(modules: Iterable[str]) -> dict[str, Handler]:
    """Import the modules, also those in the current folder, and return every handler registered by then."""
    modules = list(modules)
    # `pgtick up` names them in whatever folder: an `examples` there that has none must not hide ours.
    if SAMPLES in modules and not SAMPLES_FILE.exists():
        _load(SAMPLES)
    _look_in_current_folder()
    for module in modules:
        _load(module)
    return dict(_handlers)


def _load(module: str) -> None:
    try:
        importlib.import_module(module)
    except HandlerError:
        raise
    except Exception as error:
        raise HandlerError(
            f"cannot load handlers from {module!r}: {type(error).__name__}: {error}"
        ) from error


def _look_in_current_folder() -> None:
    """Have modules found there, although -P started us: before others, so that a user's `app` is his own.

    `workers` is imported by now, so that a folder of that name is never looked into.
    """
    with contextlib.suppress(FileNotFoundError):  # it was deleted
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)


def _origin(function: Function) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
