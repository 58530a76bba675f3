"""What the health checks answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from app.api.schema import State

Status = Literal["up", "down", "off", "unknown"]
Reason = Literal["draining", "schema", "primary"]


class Liveness(msgspec.Struct, frozen=True):
    """That the process answers."""

    status: Literal["alive"] = "alive"


class Readiness(msgspec.Struct, frozen=True):
    """Whether the process should be given requests."""

    status: Literal["ready", "unready"]
    reasons: list[Reason] = []


class Primary(msgspec.Struct, frozen=True):
    """The primary, by the way that writes take."""

    status: Status
    latency_ms: float | None
    schema: State
    """`current`: as this version made it; `newer`: by a later release; `old`: `pgtick migrate` is due."""


class Replica(msgspec.Struct, frozen=True):
    """A streaming replica."""

    name: str
    status: Status
    latency_ms: float | None
    lag_seconds: float | None


class Service(msgspec.Struct, frozen=True):
    """Something that may be there or not; `off`: it is not configured."""

    status: Status
    latency_ms: float | None = None


class Ticker(msgspec.Struct, frozen=True):
    """The tickers, as the database sees them."""

    status: Status
    late_seconds: float | None = None
    """By how much the latest due fire is late."""
    seen_seconds: float | None = None
    """How long ago one came by; None: never."""


class Workers(msgspec.Struct, frozen=True):
    """The workers, as the database sees them."""

    status: Status
    active: int | None = None
    draining: int | None = None
    silent: int | None = None
    """Those whose lease ran out within the last ten minutes."""


class Services(msgspec.Struct, frozen=True):
    """All that the process stands on."""

    primary: Primary
    replicas: list[Replica]
    redis: Service
    pgbouncer: Service
    ticker: Ticker
    workers: Workers


class Pool(msgspec.Struct, frozen=True):
    """The connections of this process to one database."""

    open: int
    in_use: int
    waiting: int
    """Requests that wait for one."""


class Connections(msgspec.Struct, frozen=True):
    """The connections of this process."""

    clients: int
    pools: dict[str, Pool]


class Report(msgspec.Struct, frozen=True):
    """How everything is. `down` (503): no write can be done here; `degraded`: something is missing."""

    status: Literal["ok", "degraded", "down"]
    node_id: str
    time: datetime
    version: str
    draining: bool
    uptime_seconds: float
    memory_bytes: int
    cpu_percent: float
    """Of one processor, since the report before."""
    connections: Connections
    services: Services
