"""What a ticker or a worker is told: flags first, then the environment, then the defaults."""

from __future__ import annotations

import base64
import binascii
import math
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

LogFormat = Literal["auto", "console", "json"]
LogLevel = Literal["info", "warning", "error"]


class SettingsError(Exception):
    """A setting is missing or wrong; the message names the variable and the fix."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a process; each field says which variable or flag sets it."""

    database: str
    """DB_WRITE_CONNECTION_STRING."""
    direct_database: str | None = None
    """DB_DIRECT_CONNECTION_STRING: past PgBouncer, to LISTEN and claim; without it the worker only polls."""
    sql_database: str | None = None
    """PGTICK_SQL_CONNECTION_STRING: the login that SQL jobs run as; without it no SQL job is claimed."""
    node_id: str
    """NODE_ID."""
    queues: tuple[str, ...] = ()
    """PGTICK_QUEUES, --queues; none: all."""
    concurrency: int = 10
    """PGTICK_CONCURRENCY, --concurrency."""
    handler_modules: tuple[str, ...] = ()
    """PGTICK_HANDLERS, --handlers; without them no Python job is claimed."""
    allow_command: bool = False
    """PGTICK_ALLOW_COMMAND, --allow-command."""
    lease_seconds: float = 10.0
    """PGTICK_LEASE_SECONDS: how long the worker may be silent before its executions are taken back."""
    beat_seconds: float = 3.0
    """PGTICK_BEAT_SECONDS."""
    grace_seconds: float = 30.0
    """PGTICK_GRACE_SECONDS: how long a leaving worker waits for what it runs."""
    poll_min_seconds: float = 0.01
    """PGTICK_POLL_MIN_SECONDS: the first pause of a worker that found nothing; it doubles up to the next."""
    poll_max_seconds: float = 0.07
    """PGTICK_POLL_MAX_SECONDS: so far apart are the polls of workers that find nothing, which take turns;
    at least 0.21 s where nothing has ended for a minute."""
    http_allow: tuple[str, ...] = ()
    """PGTICK_HTTP_ALLOW: hosts, host:port or CIDR that HTTP jobs may reach although they are not public."""
    webhook_secrets: tuple[bytes, ...] = ()
    """PGTICK_WEBHOOK_SECRET: `whsec_…`, several by comma while one is being replaced."""
    metrics_port: int | None = None
    """PGTICK_METRICS_PORT."""
    log_format: LogFormat = "auto"
    """PGTICK_LOG_FORMAT; auto: console on a terminal, else JSON."""
    log_level: LogLevel = "info"
    """PGTICK_LOG_LEVEL: the least that is logged; info: a line for each execution, too."""


def load_settings(
    environ: Mapping[str, str],
    *,
    queues: str | None = None,
    concurrency: int | None = None,
    handlers: str | None = None,
    allow_command: bool | None = None,
) -> Settings:
    """Read the settings; raises SettingsError with the variable and the fix."""
    source = _Source(environ)
    database = source.text("DB_WRITE_CONNECTION_STRING")
    if database is None:
        raise SettingsError(
            "DB_WRITE_CONNECTION_STRING is not set: "
            "set it to the primary's connection string, or run `pgtick up`, which brings a database along"
        )
    settings = Settings(
        database=database,
        direct_database=source.text("DB_DIRECT_CONNECTION_STRING"),
        sql_database=source.text("PGTICK_SQL_CONNECTION_STRING"),
        node_id=source.text("NODE_ID") or f"{socket.gethostname()}-{secrets.token_hex(3)}",
        queues=_split(queues if queues is not None else source.text("PGTICK_QUEUES")),
        concurrency=concurrency
        if concurrency is not None
        else int(source.number("PGTICK_CONCURRENCY", 10, least=1, most=10_000)),
        handler_modules=_split(handlers if handlers is not None else source.text("PGTICK_HANDLERS")),
        allow_command=allow_command if allow_command is not None else source.flag("PGTICK_ALLOW_COMMAND"),
        lease_seconds=source.number("PGTICK_LEASE_SECONDS", 10.0, least=3.0, most=3_600.0),
        beat_seconds=source.number("PGTICK_BEAT_SECONDS", 3.0, least=0.1),
        grace_seconds=source.number("PGTICK_GRACE_SECONDS", 30.0, least=0.0),
        poll_min_seconds=source.number("PGTICK_POLL_MIN_SECONDS", 0.01, least=0.001),
        poll_max_seconds=source.number("PGTICK_POLL_MAX_SECONDS", 0.07, least=0.001),
        http_allow=_split(source.text("PGTICK_HTTP_ALLOW")),
        webhook_secrets=_webhook_secrets(source.text("PGTICK_WEBHOOK_SECRET")),
        metrics_port=source.port("PGTICK_METRICS_PORT"),
        log_format=source.log_format("PGTICK_LOG_FORMAT"),
        log_level=source.log_level("PGTICK_LOG_LEVEL"),
    )
    if settings.beat_seconds * 2 > settings.lease_seconds - 1:
        raise SettingsError(
            f"PGTICK_BEAT_SECONDS ({settings.beat_seconds:g}) is too long for PGTICK_LEASE_SECONDS "
            f"({settings.lease_seconds:g}): two beats must fit into the lease less one second"
        )
    if settings.poll_min_seconds > settings.poll_max_seconds:
        raise SettingsError("PGTICK_POLL_MIN_SECONDS is above PGTICK_POLL_MAX_SECONDS: lower it")
    return settings


class _Source:
    """The environment, where X_FILE names a file that holds X."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        value = self._environ.get(name)
        if value:
            return value
        path = self._environ.get(f"{name}_FILE")
        if not path:
            return None
        try:
            return Path(path).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}_FILE cannot be read: {error}") from None

    def number(self, name: str, default: float, *, least: float, most: float = math.inf) -> float:
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            raise SettingsError(f"{name} must be a number, not {value!r}") from None
        if number > most:
            raise SettingsError(f"{name} must be at most {most:g}, not {value}")
        if not least <= number < math.inf:
            raise SettingsError(f"{name} must be at least {least:g}, not {value}")
        return number

    def port(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not value.isdecimal() or not 0 < int(value) < 65536:
            raise SettingsError(f"{name} must be a port from 1 to 65535, not {value!r}")
        return int(value)

    def flag(self, name: str) -> bool:
        value = (self.text(name) or "off").lower()
        if value in ("1", "on", "true", "yes"):
            return True
        if value in ("0", "off", "false", "no"):
            return False
        raise SettingsError(f"{name} must be on or off, not {value!r}")

    def log_format(self, name: str) -> LogFormat:
        value = self.text(name) or "auto"
        try:
            log_format: LogFormat = msgspec.convert(value, LogFormat)
        except msgspec.ValidationError:
            raise SettingsError(f"{name} must be auto, console or json, not {value!r}") from None
        return log_format

    def log_level(self, name: str) -> LogLevel:
        value = self.text(name) or "info"
        try:
            log_level: LogLevel = msgspec.convert(value, LogLevel)
        except msgspec.ValidationError:
            raise SettingsError(f"{name} must be info, warning or error, not {value!r}") from None
        return log_level


def _split(value: str | None) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in (value or "").split(",")) if part)


def _webhook_secrets(value: str | None) -> tuple[bytes, ...]:
    keys = []
    for text in _split(value):
        try:
            key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = b""
        if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
            raise SettingsError(
                "PGTICK_WEBHOOK_SECRET must be whsec_ and the base64 of 24 to 64 random bytes: "
                "make one with `echo whsec_$(openssl rand -base64 32)`"
            )
        keys.append(key)
    return tuple(keys)


def current_settings(
    *,
    queues: str | None = None,
    concurrency: int | None = None,
    handlers: str | None = None,
    allow_command: bool | None = None,
) -> Settings:
    """Read the settings of this process."""
    return load_settings(
        os.environ, queues=queues, concurrency=concurrency, handlers=handlers, allow_command=allow_command
    )
