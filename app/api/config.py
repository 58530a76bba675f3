"""What the API is told: flags, then the environment, then the defaults; checked once, at the start."""

from __future__ import annotations

import os
import secrets
import socket
from typing import Any, TypeVar

import msgspec

from app.api.limit_rules import Limit, Limits
from app.api.peer import Network, parse_proxies
from app.settings import Settings, SettingsError

MAX_BODY_BYTES = 1_000_000
MAX_PROCESSES = 64
MAX_RATE = 1e7

T = TypeVar("T")


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one API process; each says which variable sets it."""

    write_conninfo: str
    """DB_WRITE_CONNECTION_STRING."""
    direct_conninfo: str
    """DB_DIRECT_CONNECTION_STRING: for LISTEN; else the write one."""
    replicas: tuple[str, ...] = ()
    """DB_READ_REPLICA_1 .. _N."""
    redis_url: str | None = None
    """REDIS_URL, with the password of REDIS_PASSWORD."""
    redis_password: str | None = None
    pgbouncer_admin: str | None = None
    """PGTICK_PGBOUNCER_ADMIN: the admin console, for /health and /metrics."""
    metrics_token: str | None = None
    """PGTICK_METRICS_TOKEN: what who asks for /metrics must know; none: nothing."""
    node_id: str
    """NODE_ID, else host name and a random part; of several processes each adds its own number."""
    group_id: str | None = None
    """What several processes on one port have in common of it."""
    host: str = "127.0.0.1"
    """PGTICK_API_HOST."""
    port: int = 3000
    """PGTICK_API_PORT."""
    processes: int = 1
    """PGTICK_API_PROCESSES."""
    auth: bool = True
    """PGTICK_API_AUTH: off lets everybody do everything; for a trusted network only."""
    pool_size: int = 10
    """PGTICK_API_POOL_SIZE: connections to the primary and to each replica; one more watches it."""
    max_lag_seconds: float = 5.0
    """PGTICK_API_MAX_LAG_SECONDS: a replica that is further behind is not read from."""
    drain_seconds: float = 25.0
    """PGTICK_API_DRAIN_SECONDS: how long a leaving process waits for its requests."""
    limits: Limits | None = None
    """PGTICK_RATE_LIMIT and PGTICK_RATE_LIMIT_*; None: off."""
    limit_instances: int | None = None
    """PGTICK_RATE_LIMIT_INSTANCES: among how many processes the limits are shared while Redis is away; None:
    among those that were seen lately."""
    trusted_proxies: tuple[Network, ...] = ()
    """PGTICK_TRUSTED_PROXIES."""
    max_streams: int = 1000
    """PGTICK_API_MAX_STREAMS: open streams of live events of one process."""
    max_streams_per_key: int = 50
    """PGTICK_API_MAX_STREAMS_PER_KEY: likewise, of one key."""


def api_settings(settings: Settings, **flags: Any) -> ApiSettings:
    """Checks the settings; raises SettingsError with the variable and the fix. A flag of None is none."""
    given = {name: value for name, value in flags.items() if value is not None}
    database = settings.database or ""
    return ApiSettings(
        write_conninfo=database,
        direct_conninfo=settings.direct_database or database,
        replicas=settings.replicas,
        redis_url=settings.redis_url,
        redis_password=settings.redis_password,
        pgbouncer_admin=settings.pgbouncer_admin,
        metrics_token=settings.metrics_token,
        node_id=settings.node_id or f"{socket.gethostname()}-{secrets.token_hex(3)}",
        host=given.get("host") or settings.api_host,
        port=_number("PGTICK_API_PORT", given.get("port", settings.api_port), int, 1, 65_535),
        processes=_number(
            "PGTICK_API_PROCESSES", given.get("processes", settings.api_processes), int, 1, MAX_PROCESSES
        ),
        auth=_flag("PGTICK_API_AUTH", settings.api_auth),
        pool_size=_number("PGTICK_API_POOL_SIZE", settings.api_pool_size, int, 2, 200),
        max_lag_seconds=_number("PGTICK_API_MAX_LAG_SECONDS", settings.api_max_lag_seconds, float, 0.1, 3600),
        drain_seconds=_number("PGTICK_API_DRAIN_SECONDS", settings.api_drain_seconds, float, 0, 3600),
        limits=_limits(settings) if _flag("PGTICK_RATE_LIMIT", settings.rate_limit) else None,
        limit_instances=None
        if settings.rate_limit_instances == "auto"
        else _number("PGTICK_RATE_LIMIT_INSTANCES", settings.rate_limit_instances, int, 1, 10_000),
        trusted_proxies=parse_proxies(settings.trusted_proxies),
        max_streams=_number("PGTICK_API_MAX_STREAMS", settings.api_max_streams, int, 0, 100_000),
        max_streams_per_key=_number(
            "PGTICK_API_MAX_STREAMS_PER_KEY", settings.api_max_streams_per_key, int, 0, 100_000
        ),
    )


def process_settings(settings: ApiSettings, number: int) -> ApiSettings:
    """Returns the settings of one of several processes: its name tells it from the others."""
    node_id = f"{settings.node_id}-{number}-{os.getpid()}"
    return msgspec.structs.replace(settings, node_id=node_id, group_id=settings.node_id)


def _limits(settings: Settings) -> Limits:
    return Limits(
        everybody=_limit("PGTICK_RATE_LIMIT_GLOBAL", settings.rate_limit_global),
        client=_limit("PGTICK_RATE_LIMIT_CLIENT", settings.rate_limit_client),
        classes={
            "read": _limit("PGTICK_RATE_LIMIT_READ", settings.rate_limit_read),
            "write": _limit("PGTICK_RATE_LIMIT_WRITE", settings.rate_limit_write),
            "bulk": _limit("PGTICK_RATE_LIMIT_BULK", settings.rate_limit_bulk),
            "auth": _limit("PGTICK_RATE_LIMIT_AUTH", settings.rate_limit_auth),
        },
    )


def _limit(name: str, value: str) -> Limit:
    rate, _, burst = value.partition(":")
    try:
        limit = Limit(float(rate), int(burst) if burst else max(1, int(float(rate))))
    except (ValueError, OverflowError):
        limit = Limit(0, 0)
    if not (0 < limit.rate <= MAX_RATE and 1 <= limit.burst <= MAX_RATE):
        raise SettingsError(
            f"{name} must be requests a second and how many at once, such as 100:200, not {value!r}"
        )
    return limit


def _number(name: str, value: Any, kind: type[T], least: float, most: float) -> T:
    try:
        number = kind(value)  # type: ignore[call-arg]
    except ValueError:
        number = None
    if number is None or not least <= number <= most:  # type: ignore[operator]
        what = "a whole number" if kind is int else "a number"
        raise SettingsError(f"{name} must be {what} from {least:g} to {most:g}, not {value!r}")
    return number


def _flag(name: str, value: str) -> bool:
    if value.lower() in ("on", "true", "yes", "1"):
        return True
    if value.lower() in ("off", "false", "no", "0"):
        return False
    raise SettingsError(f"{name} must be on or off, not {value!r}")
