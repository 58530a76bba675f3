"""Structured logs, one line an event: JSON for machines, columns for people; no value can forge a line."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import IO, Any, TextIO, cast

import structlog
from structlog.typing import EventDict

from app.api.context import CURRENT
from app.settings import SettingsError


def configure_logs(log_format: str, log_level: str, *, node_id: str) -> None:
    """Sends everything from a level on to stderr in the chosen format."""
    if log_format not in ("auto", "console", "json"):
        raise SettingsError(f"PGTICK_LOG_FORMAT must be auto, console or json, not {log_format!r}")
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), repr_native_str=True)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_request,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(log_level),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, Unbreakable(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[Forward()], level=logging.WARNING, force=True)
    # A pool tells of every try to connect; what counts is told where it matters.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if not console:
        structlog.contextvars.bind_contextvars(node_id=node_id)


def add_request(_: Any, __: str, event: EventDict) -> EventDict:
    """Adds the ids of the request that a line is about."""
    context = CURRENT.get()
    if context is not None:
        event.setdefault("request_id", context.request_id)
        if context.traceparent is not None:
            event["trace_id"], event["span_id"] = context.traceparent[3:35], context.traceparent[36:52]
    return event


class Unbreakable:
    """A stream on which nothing raises: a full disk, or a reader that has left, must not stop the work."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream

    def write(self, data: Any) -> None:
        """Writes it, if that is possible."""
        with suppress(OSError, ValueError):
            self._stream.write(data)

    def flush(self) -> None:
        """Sends what is still buffered, if that is possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()


class Forward(logging.Handler):
    """What libraries log by other means becomes a line like ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Sends a record on."""
        log = structlog.get_logger().bind(logger=record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)
