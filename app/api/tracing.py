"""Traces over OTLP: on where OTEL_EXPORTER_OTLP_ENDPOINT says to where, and the extra `otel` is installed.

A request's span goes on with the trace of its `traceparent`; each call into the database is a span within;
what the request enqueues bears the span's own traceparent, with which a worker goes on. Without all this a
`traceparent` is passed on as it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any

import structlog

from app.api.context import Context

SERVICE = "pgtick-api"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
CLOSE_SECONDS = 5.0
"""What is on its way to a collector that does not answer is given up after so long."""

_NO_SPAN: AbstractContextManager[None] = contextlib.nullcontext()
_log = structlog.get_logger("tracing")


class Tracing:
    """Makes the spans of a process; where it is made, OpenTelemetry is imported."""

    def __init__(self, *, node_id: str) -> None:
        """Raises ImportError where the extra is not installed."""
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        release = version("pgtick")
        ours = {"service.name": SERVICE, "service.version": release, "service.instance.id": node_id}
        resource = Resource.create(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("pgtick", release)
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, method: str, path: str, context: Context) -> Span:
        """Begins the span of a request; from then on its traceparent is the span's."""
        headers = {"traceparent": context.traceparent} if context.traceparent else {}
        attributes = {
            "http.request.method": method,
            "url.path": path,
            "client.address": context.peer,
            "pgtick.request_id": context.request_id,
        }
        inner = self._tracer.start_span(
            method,
            context=self._propagator.extract(headers),
            kind=self._trace.SpanKind.SERVER,
            attributes=attributes,
        )
        context.traceparent = traceparent_of(inner)
        return Span(self._trace, self._tracer, inner)

    async def close(self) -> None:
        """Sends what is left."""
        # In a thread of its own: that of an executor would keep the process from ending.
        thread = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        thread.start()
        await asyncio.to_thread(thread.join, CLOSE_SECONDS)


class Span:
    """A request's span."""

    def __init__(self, trace: Any, tracer: Any, inner: Any) -> None:
        """Wraps what OpenTelemetry calls one."""
        self._trace = trace
        self._tracer = tracer
        self._inner = inner

    @contextlib.contextmanager
    def call(self, function: str) -> Iterator[None]:
        """Has a span within it for a call into the database."""
        within = self._trace.set_span_in_context(self._inner)
        span = self._tracer.start_span(
            f"scheduler.{function}",
            context=within,
            kind=self._trace.SpanKind.CLIENT,
            attributes={"db.system.name": "postgresql", "db.stored_procedure.name": f"scheduler.{function}"},
        )
        try:
            yield
        except Exception as error:
            sqlstate = getattr(error, "sqlstate", None)
            if sqlstate:
                span.set_attribute("db.response.status_code", sqlstate)
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(self._trace.StatusCode.ERROR)
            raise
        finally:
            span.end()

    def end(self, method: str, context: Context, status: int) -> None:
        """Ends it with what became of the request."""
        if context.route != "unmatched":
            self._inner.update_name(f"{method} {context.route}")
            self._inner.set_attribute("http.route", context.route)
        self._inner.set_attribute("http.response.status_code", status)
        if context.key is not None:
            self._inner.set_attribute("pgtick.api_key", context.key.name)
        if context.cache is not None:
            self._inner.set_attribute("pgtick.cache", context.cache)
        if status >= 500:
            self._inner.set_status(self._trace.StatusCode.ERROR)
        self._inner.end()


def make_tracing(environ: Mapping[str, str], *, node_id: str) -> Tracing | None:
    """Returns what makes spans, if they are asked for and can be made."""
    if not any(environ.get(name) for name in ENDPOINTS):
        return None
    if (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER") == "none"
    ):
        return None
    try:
        return Tracing(node_id=node_id)
    except ImportError:
        _log.warning("no traces: OpenTelemetry is not installed; pip install 'pgtick[otel]'")
        return None


def call(context: Context, function: str) -> AbstractContextManager[None]:
    """Returns the span of a call into the database, where there are any."""
    return _NO_SPAN if context.span is None else context.span.call(function)


def traceparent_of(span: Any) -> str:
    """Returns a span's place in its trace, as W3C writes it."""
    place = span.get_span_context()
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-{place.trace_flags:02x}"
