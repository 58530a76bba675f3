"""Every environment variable that pgtick reads: what it means, its default, and where a value came from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

LOG_LEVELS = ("info", "warning", "error")
PREFIX = "PGTICK_"
REPLICA_PREFIX = "DB_READ_REPLICA_"
REPLICA = re.compile(rf"{REPLICA_PREFIX}[0-9]+(_FILE)?")
CONNECTION_STRINGS = (
    "DB_WRITE_CONNECTION_STRING",
    "DB_DIRECT_CONNECTION_STRING",
    "PGTICK_SQL_CONNECTION_STRING",
    "PGTICK_PGBOUNCER_ADMIN",
)
MASK = "********"
SECRET = {"secret": True}
# Scheme, user before a password, servers and database: options may hold anything.
REDIS_URL = re.compile(r"(rediss?(?:\+\w+)?://)(?:([^:@/]*)(?::[^@]*)?@)?([^@?#]*)(?:[?#].*)?")


class SettingsError(Exception):
    """A setting is wrong; the message names the variable and the fix."""


def _variable(name: str, default: Any) -> Any:
    return msgspec.field(default=default, name=name)


def _means(description: str, **extra: Any) -> msgspec.Meta:
    return msgspec.Meta(description=description, extra=extra)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of this process and of those that it starts.

    What only a ticker or a worker reads stands here for `doctor` and is checked where it is used.
    """

    database: Annotated[str | None, _means("primary, through PgBouncer", secret=True)] = _variable(
        "DB_WRITE_CONNECTION_STRING", None
    )
    direct_database: Annotated[str | None, _means("primary, past PgBouncer: migrations", secret=True)] = (
        _variable("DB_DIRECT_CONNECTION_STRING", None)
    )
    sql_database: Annotated[str | None, _means("the login that SQL jobs run as", secret=True)] = _variable(
        "PGTICK_SQL_CONNECTION_STRING", None
    )
    node_id: Annotated[str | None, _means("this process's name in logs; default: the host's")] = _variable(
        "NODE_ID", None
    )
    redis_url: Annotated[str | None, _means("api: cache and rate limits", secret=True)] = _variable(
        "REDIS_URL", None
    )
    redis_password: Annotated[str | None, _means("api: the password of REDIS_URL", secret=True)] = _variable(
        "REDIS_PASSWORD", None
    )
    pgbouncer_admin: Annotated[str | None, _means("api: PgBouncer's admin console", secret=True)] = _variable(
        "PGTICK_PGBOUNCER_ADMIN", None
    )
    data_dir: Annotated[str | None, _means("where the local database lives")] = _variable(
        "PGTICK_DATA_DIR", None
    )
    queues: Annotated[str | None, _means("worker: which queues; default: all")] = _variable(
        "PGTICK_QUEUES", None
    )
    concurrency: Annotated[str, _means("worker: how many executions at once")] = _variable(
        "PGTICK_CONCURRENCY", "10"
    )
    handlers: Annotated[str | None, _means("worker: modules with handlers for python jobs")] = _variable(
        "PGTICK_HANDLERS", None
    )
    allow_command: Annotated[str, _means("worker: whether it runs command jobs")] = _variable(
        "PGTICK_ALLOW_COMMAND", "off"
    )
    lease_seconds: Annotated[str, _means("worker: how long it may be silent")] = _variable(
        "PGTICK_LEASE_SECONDS", "10"
    )
    beat_seconds: Annotated[str, _means("worker: time between heartbeats")] = _variable(
        "PGTICK_BEAT_SECONDS", "3"
    )
    grace_seconds: Annotated[str, _means("worker: how long it waits for its executions to end")] = _variable(
        "PGTICK_GRACE_SECONDS", "30"
    )
    poll_min_seconds: Annotated[str, _means("worker: shortest pause when there is no work")] = _variable(
        "PGTICK_POLL_MIN_SECONDS", "0.01"
    )
    poll_max_seconds: Annotated[str, _means("worker: how far apart idle ones ask, in turn")] = _variable(
        "PGTICK_POLL_MAX_SECONDS", "0.07"
    )
    http_allow: Annotated[str | None, _means("worker: private hosts, host:port or CIDR for http jobs")] = (
        _variable("PGTICK_HTTP_ALLOW", None)
    )
    webhook_secret: Annotated[str | None, _means("worker: signs http jobs", secret=True)] = _variable(
        "PGTICK_WEBHOOK_SECRET", None
    )
    metrics_port: Annotated[str | None, _means("ticker, worker: port of /metrics; default: none")] = (
        _variable("PGTICK_METRICS_PORT", None)
    )
    metrics_token: Annotated[str | None, _means("api: who scrapes /metrics must send it", secret=True)] = (
        _variable("PGTICK_METRICS_TOKEN", None)
    )
    api_host: Annotated[str, _means("api: address to listen on")] = _variable("PGTICK_API_HOST", "127.0.0.1")
    api_port: Annotated[str, _means("api: port to listen on")] = _variable("PGTICK_API_PORT", "3000")
    api_processes: Annotated[str, _means("api: how many processes")] = _variable("PGTICK_API_PROCESSES", "1")
    api_auth: Annotated[str, _means("api: off lets everybody do everything")] = _variable(
        "PGTICK_API_AUTH", "on"
    )
    api_pool_size: Annotated[str, _means("api: connections to the primary, and to each replica")] = _variable(
        "PGTICK_API_POOL_SIZE", "10"
    )
    api_max_lag_seconds: Annotated[str, _means("api: a replica further behind is not read from")] = _variable(
        "PGTICK_API_MAX_LAG_SECONDS", "5"
    )
    api_drain_seconds: Annotated[str, _means("api: how long it waits for its requests to end")] = _variable(
        "PGTICK_API_DRAIN_SECONDS", "25"
    )
    rate_limit: Annotated[str, _means("api: on, or off for no limits")] = _variable("PGTICK_RATE_LIMIT", "on")
    rate_limit_global: Annotated[str, _means("api: requests of all clients, a second:at once")] = _variable(
        "PGTICK_RATE_LIMIT_GLOBAL", "20000:40000"
    )
    rate_limit_client: Annotated[str, _means("api: requests of one client, a second:at once")] = _variable(
        "PGTICK_RATE_LIMIT_CLIENT", "5000:10000"
    )
    rate_limit_read: Annotated[str, _means("api: reads of one client")] = _variable(
        "PGTICK_RATE_LIMIT_READ", "5000:10000"
    )
    rate_limit_write: Annotated[str, _means("api: writes of one client")] = _variable(
        "PGTICK_RATE_LIMIT_WRITE", "2000:4000"
    )
    rate_limit_bulk: Annotated[str, _means("api: bulk enqueues and backfills of one client")] = _variable(
        "PGTICK_RATE_LIMIT_BULK", "50:100"
    )
    rate_limit_auth: Annotated[str, _means("api: unknown keys from one address")] = _variable(
        "PGTICK_RATE_LIMIT_AUTH", "20:40"
    )
    rate_limit_instances: Annotated[
        str, _means("api: among how many processes limits are shared without Redis; auto: those seen lately")
    ] = _variable("PGTICK_RATE_LIMIT_INSTANCES", "auto")
    trusted_proxies: Annotated[str | None, _means("api: networks whose X-Forwarded-For is believed")] = (
        _variable("PGTICK_TRUSTED_PROXIES", None)
    )
    api_max_streams: Annotated[str, _means("api: open streams of events of one process")] = _variable(
        "PGTICK_API_MAX_STREAMS", "1000"
    )
    api_max_streams_per_key: Annotated[str, _means("api: open streams of events of one key")] = _variable(
        "PGTICK_API_MAX_STREAMS_PER_KEY", "50"
    )
    log_format: Annotated[str, _means("auto, console or json")] = _variable("PGTICK_LOG_FORMAT", "auto")
    log_level: Annotated[str, _means("info, warning or error: the least that is logged")] = _variable(
        "PGTICK_LOG_LEVEL", "info"
    )
    replicas: tuple[str, ...] = ()


class Setting(msgspec.Struct, frozen=True):
    """One variable as it stands: for people, so that a secret is masked."""

    name: str
    value: str
    origin: str
    meaning: str


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Reads the settings; X_FILE names a file that holds X, and an empty variable counts as none."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        if value := _read(environ, field.encode_name)[0]:
            values[field.encode_name] = value
    replicas = {name: value for name in _replica_names(environ) if (value := _read(environ, name)[0])}
    values["replicas"] = tuple(replicas.values())
    settings = msgspec.convert(values, Settings)
    for name in CONNECTION_STRINGS:
        if name in values:
            _check_conninfo(name, values[name])
    for name, value in replicas.items():
        _check_conninfo(name, value)
    if settings.log_level not in LOG_LEVELS:
        raise SettingsError(f"PGTICK_LOG_LEVEL must be info, warning or error, not {settings.log_level!r}")
    return settings


def is_given(environ: Mapping[str, str], name: str) -> bool:
    """Tells whether a variable is set, by itself or by a file."""
    return bool(_read(environ, name)[0])


def list_settings(environ: Mapping[str, str]) -> list[Setting]:
    """Returns every variable with its value's origin."""
    rows = []
    for field in msgspec.structs.fields(Settings):
        if field.name == "replicas":
            continue
        value, origin = _read(environ, field.encode_name)
        meta: msgspec.Meta = field.type.__metadata__[0]
        secret = bool((meta.extra or {}).get("secret"))
        shown = value or field.default or ""
        rows.append(
            Setting(field.encode_name, mask(shown) if secret else shown, origin, meta.description or "")
        )
    for name in _replica_names(environ):
        value, origin = _read(environ, name)
        rows.append(Setting(name, mask(value), origin, "streaming replica for reads"))
    return rows


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Returns a warning for each PGTICK_ variable that nothing reads."""
    known = [field.encode_name for field in msgspec.structs.fields(Settings)]
    known += [f"{name}_FILE" for name in known]
    warnings = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and not name.startswith(f"{PREFIX}TEST_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            warnings.append(f"{name} is not known" + (f": did you mean {near[0]}?" if near else ""))
    return warnings


def mask(value: str) -> str:
    """Returns a connection string without its password, and of any other secret only that it is there."""
    if not value:
        return ""
    if found := REDIS_URL.fullmatch(value):
        scheme, user, servers = found.groups()
        return f"{scheme}{'' if user is None else f'{user}:{MASK}@'}{servers}"
    try:
        parts = conninfo_to_dict(value)
    except (ProgrammingError, UnicodeError):
        return MASK
    return make_conninfo("", **parts | {"password": MASK}) if "password" in parts else value


def _read(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    if value := environ.get(name):
        return value, "environment"
    path = environ.get(f"{name}_FILE")
    if not path:
        return "", "default"
    try:
        return Path(path).read_text(encoding="utf-8").strip(), f"{name}_FILE"
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_FILE cannot be read: {error}") from None


def _replica_names(environ: Mapping[str, str]) -> list[str]:
    """Returns the variables that name a replica, by their numbers."""
    names = {name.removesuffix("_FILE") for name in environ if REPLICA.fullmatch(name)}
    return sorted(names, key=lambda name: int(name.removeprefix(REPLICA_PREFIX)))


def _check_conninfo(name: str, value: str) -> None:
    try:
        conninfo_to_dict(value)
    except UnicodeError:
        raise SettingsError(f"{name} is not UTF-8: write other bytes of a URL as %XX") from None
    except ProgrammingError as error:
        # libpq quotes the offending part, which may be the password: so it is not repeated.
        kind = (
            "no valid URL or keyword list" if "://" in value else "no keyword list such as `host=… dbname=…`"
        )
        raise SettingsError(
            f"{name} is {kind}: write postgresql://user:password@host:port/database"
        ) from error
