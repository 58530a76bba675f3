"""The routes of `/v1`: each handler is one call of a function of `scheduler`."""

from app.api.routes import events, executions, jobs, overview

ROUTES = [*jobs.ROUTES, *executions.ROUTES, *overview.ROUTES, *events.ROUTES]
