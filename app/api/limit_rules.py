"""What is limited: the levels, the classes of requests, and how a decision is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import msgspec
from litestar.types import HTTPScope

from app.api.errors import Problem

Class = Literal["read", "write", "bulk", "auth"]

LEVELS = ("global", "client", "class")
BULK = ("/bulk", "/backfill")


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
    """Until that level is full again."""
    retry_seconds: float = 0.0


def class_of(scope: HTTPScope) -> Class:
    """Returns the class of a request: what it costs us, roughly."""
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return "read"
    return "bulk" if scope["path"].endswith(BULK) else "write"


def name_of(decision: Decision, kind: Class) -> str:
    """Returns the name of the limit that was the nearest: that of a class is the class's."""
    return kind if decision.level == "class" else decision.level


def refusal(decision: Decision, kind: Class, limits: Limits) -> Problem:
    """Returns the problem of a request too many."""
    seconds = max(1, math.ceil(decision.retry_seconds))
    return Problem(
        429,
        "too-many-requests",
        f"the limit {name_of(decision, kind)!r} is reached",
        hint=f"try again in {seconds} s",
        headers={
            "Retry-After": str(seconds),
            "RateLimit-Policy": policy(limits, kind).decode(),
            "RateLimit": state(decision, kind).decode(),
        },
    )


def policy(limits: Limits, kind: Class) -> bytes:
    """Returns the header RateLimit-Policy: of each level the quota, and the seconds that it is for."""
    named = (("global", limits.everybody), ("client", limits.client), (kind, limits.classes[kind]))
    return ", ".join(f'"{name}";q={_quota(limit)};w={_window(limit)}' for name, limit in named).encode()


def state(decision: Decision, kind: Class) -> bytes:
    """Returns the header RateLimit: what is left at the level that is nearest to its limit."""
    seconds = decision.reset_seconds if decision.admitted else decision.retry_seconds
    name = kind if decision.level == "class" else decision.level
    return f'"{name}";r={decision.remaining};t={math.ceil(seconds)}'.encode()


def _window(limit: Limit) -> int:
    return max(1, round(limit.burst / limit.rate))


def _quota(limit: Limit) -> int:
    """In a window of a second a small burst says less than what may come in it."""
    return max(limit.burst, math.floor(limit.rate * _window(limit)))
