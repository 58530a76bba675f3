"""Traces over OTLP: on where OTEL_EXPORTER_OTLP_ENDPOINT says to where, and the extra `otel` is installed.

An execution's span goes on with the trace that its row names, such as that of the request that enqueued it.
What it calls gets the span's own traceparent: webhooks, commands, handlers, and what SQL jobs enqueue.
Without all this the row's traceparent is passed on as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import structlog

from workers.executions import Execution, Outcome
from workers.threads import call_in_thread

SERVICE = "pgtick-worker"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# What is on its way to a collector that does not answer is given up after so long.
CLOSE_SECONDS = 5.0

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

    def begin(self, execution: Execution) -> Span:
        """Begin the span of an attempt."""
        headers = {"traceparent": execution.traceparent} if execution.traceparent else {}
        attributes: dict[str, str | int] = {
            "pgtick.execution_id": str(execution.execution_id),
            "pgtick.attempt": execution.attempt,
            "pgtick.job": execution.job_name or "",
            "pgtick.job_type": execution.job_type,
            "pgtick.queue": execution.queue,
        }
        inner = self._tracer.start_span(
            f"execute {execution.job_type}",
            context=self._propagator.extract(headers),
            kind=self._trace.SpanKind.CONSUMER,
            attributes=attributes,
        )
        return Span(self._trace, inner)

    async def close(self) -> None:
        """Send what is left."""
        sent = call_in_thread(self._provider.shutdown, name="last spans")
        await asyncio.wait({sent}, timeout=CLOSE_SECONDS)


class Span:
    """An attempt's span."""

    def __init__(self, trace: Any, inner: Any) -> None:
        """Wrap what OpenTelemetry calls one."""
        self._trace = trace
        self._inner = inner

    @property
    def traceparent(self) -> str:
        """Its place in its trace, as W3C writes it."""
        place = self._inner.get_span_context()
        return f"00-{place.trace_id:032x}-{place.span_id:016x}-{place.trace_flags:02x}"

    def end(self, outcome: Outcome) -> None:
        """End it with the outcome."""
        self._inner.set_attribute("pgtick.outcome", outcome.status)
        if outcome.error is not None:
            self._inner.set_attribute("error.type", str(outcome.error.get("type", "")))
            message = str(outcome.error.get("message", ""))[:500]
            self._inner.set_status(self._trace.StatusCode.ERROR, message)
        self._inner.end()


def make_tracing(environ: Mapping[str, str], *, node_id: str) -> Tracing | None:
    """Return what makes spans, if they are asked for and can be made."""
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
