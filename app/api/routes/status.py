"""What machines ask all the time, outside `/v1`: no key, no limit, nothing secret."""

from __future__ import annotations

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from app.api.health import Health
from app.api.health_report import Liveness, Readiness, Report
from app.api.routes.answers import Json, answers

OfHealth = NamedDependency[Health]
ANYBODY: list[dict[str, list[str]]] = [{}]
FRESH = {"Cache-Control": "no-store"}


@get("/health/live", security=ANYBODY, responses=answers(Liveness), summary="Alive?", tags=["status"])
async def live() -> Json:
    """Looks at nothing: that there is an answer is the answer."""
    return _answer(Liveness(), fine=True)


@get(
    "/health/ready",
    security=ANYBODY,
    responses=answers(Readiness) | answers(Readiness, 503, "Not to be given requests"),
    summary="Ready for requests?",
    tags=["status"],
)
async def ready(health: OfHealth) -> Json:
    """503 while leaving, while the schema is too old, and when the primary is away for ten seconds."""
    readiness = await health.ready()
    return _answer(readiness, fine=readiness.status == "ready")


@get(
    "/health",
    security=ANYBODY,
    responses=answers(Report) | answers(Report, 503, "No write can be done here"),
    summary="How is everything?",
    tags=["status"],
)
async def report(health: OfHealth) -> Json:
    """Each service up or down, as of a second ago at most."""
    found = await health.report()
    return _answer(found, fine=found.status != "down")


def _answer(document: msgspec.Struct, *, fine: bool) -> Json:
    body = msgspec.json.encode(document)
    return Response(body, status_code=200 if fine else 503, media_type="application/json", headers=FRESH)


ROUTES = [live, ready, report]
