"""The routes of `/v1`: each handler is one call of a function of `scheduler`."""

from __future__ import annotations

from litestar.handlers import HTTPRouteHandler

from app.api.operations import answering_options
from app.api.routes import events, executions, jobs, overview

ROUTES: list[HTTPRouteHandler] = answering_options(
    [*jobs.ROUTES, *executions.ROUTES, *overview.ROUTES, *events.ROUTES]
)
