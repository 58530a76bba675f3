"""What machines ask all the time, outside `/v1`: no key, no limit, nothing secret."""

from __future__ import annotations

import hmac

import msgspec
from litestar import Response
from litestar.di import NamedDependency

from app.api.auth import bearer
from app.api.errors import Problem
from app.api.exposition import Exposition
from app.api.handling import AnyRequest
from app.api.health import Health
from app.api.health_report import Liveness, Readiness, Report
from app.api.operations import reads
from app.api.routes.answers import Json

OfHealth = NamedDependency[Health]
OfMetrics = NamedDependency[Exposition]
FRESH = {"Cache-Control": "no-store"}


@reads("/health/live", Liveness, scope=None, summary="Alive?", tag="status")
async def live() -> Json:
    """Looks at nothing: that there is an answer is the answer."""
    return _answer(Liveness(), fine=True)


@reads(
    "/health/ready",
    Readiness,
    otherwise={503: "Not to be given requests."},
    scope=None,
    summary="Ready for requests?",
    tag="status",
)
async def ready(health: OfHealth) -> Json:
    """503 while leaving, while the schema is too old, and when the primary is away for ten seconds."""
    readiness = await health.ready()
    return _answer(readiness, fine=readiness.status == "ready")


@reads(
    "/health",
    Report,
    otherwise={503: "No write can be done here."},
    scope=None,
    summary="How is everything?",
    tag="status",
)
async def report(health: OfHealth) -> Json:
    """Each service up or down, as of a second ago at most."""
    found = await health.report()
    return _answer(found, fine=found.status != "down")


@reads(
    "/metrics",
    str,
    media_type="text/plain",
    refusals=[401],
    scope=None,
    summary="What was counted, for Prometheus",
    tag="status",
)
async def metrics(request: AnyRequest, exposition: OfMetrics) -> Json:
    """As text, or as OpenMetrics if `Accept` says so; only with PGTICK_METRICS_TOKEN, if it is set."""
    if exposition.token is not None:
        shown = bearer(request.scope) or b""
        if not hmac.compare_digest(shown, exposition.token.encode()):
            raise Problem(
                401,
                "no-key",
                "the metrics need their token",
                hint="send `Authorization: Bearer` with the value of PGTICK_METRICS_TOKEN",
                headers={"WWW-Authenticate": 'Bearer realm="pgtick metrics"'},
            )
    body, content_type = await exposition.render(request.headers.get("accept", ""))
    return Response(body, media_type=content_type, headers=FRESH)


def _answer(document: msgspec.Struct, *, fine: bool) -> Json:
    body = msgspec.json.encode(document)
    return Response(body, status_code=200 if fine else 503, media_type="application/json", headers=FRESH)


ROUTES = [live, ready, report, metrics]
