"""Profiles of real use: who calls and how often (a locust file each, in this folder), and what must hold.

Nothing here imports locust, which replaces parts of the standard library in whatever process imports it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent


class Limit(msgspec.Struct, frozen=True):
    """Of the requests of these names none may fail, and 95 % are answered faster than this."""

    p95_ms: float
    names: str = ""
    """How the names begin; empty: all."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One profile."""

    does: str
    locustfile: str
    limits: tuple[Limit, ...] = (Limit(200),)
    callers: int = 1
    """How many user classes the locust file has."""
    greed: float = 0
    """How many times its rate limit a client sends that does not care; 0: there is none."""
    herd: int = 0
    """How many schedules are due in one second in the midst of it."""
    seconds: int = 60


PROFILES = {
    "mixed": Profile(
        does="people who look at dashboards, services that enqueue and ask what became of it",
        locustfile="mixed.py",
    ),
    "dashboard": Profile(does="reads only: what dashboards poll", locustfile="dashboard.py"),
    "bursts": Profile(
        does="bulk enqueues of 500, five at a time, and look-ups",
        locustfile="bursts.py",
        # Five bulk enqueues come at once, and two cores share them with all else.
        limits=(Limit(200, "/v1/executions/{id}"), Limit(1000, "/v1/executions/bulk")),
    ),
    "greedy": Profile(
        does="a client at ten times its rate limit beside ten others",
        locustfile="greedy.py",
        limits=(Limit(200, "/v1/"), Limit(200, "overview"), Limit(1000, "greedy")),
        callers=2,
        greed=10,
    ),
    "herd": Profile(
        does="50,000 schedules due in one second, beside what dashboards poll",
        locustfile="dashboard.py",
        # For some seconds ticker, worker and PostgreSQL want more than two cores. All must fire and no read
        # fail; how long it takes is told.
        limits=(),
        herd=50_000,
        seconds=45,
    ),
}
