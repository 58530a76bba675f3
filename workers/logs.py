"""Structured logs: JSON for machines, columns for people; no value can forge a line."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from workers.settings import LogFormat


def configure_logs(log_format: LogFormat, *, node_id: str) -> None:
    """Send everything to stderr in the chosen format."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: list[Any] = (
        # Values are shown by repr(), which escapes line ends and terminal codes.
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), repr_native_str=True)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,  # else each line makes a logger anew
    )
    logging.basicConfig(handlers=[Forward()], level=logging.WARNING, force=True)
    # The pool for SQL jobs tells of every try to connect; what counts is told where a job meets it.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    if not console:
        structlog.contextvars.bind_contextvars(node_id=node_id)


class Forward(logging.Handler):
    """What libraries log by other means becomes a line like ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record on."""
        log = structlog.get_logger().bind(logger=record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)
