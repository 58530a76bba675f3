"""The routes as they are declared: what a handler takes and gives, which the OpenAPI document is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from litestar import HttpMethod, Response, route
from litestar.handlers import HTTPRouteHandler

from app.api.bodies import Body
from app.api.parameters import NoQuery, Query

OPERATION = "operation"
"""Where it stands in the `opt` of a handler."""

Tag = Literal["jobs", "executions", "overview", "status"]
Declare = Callable[[Callable[..., Any]], HTTPRouteHandler]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler does, for those who call it."""

    summary: str
    tag: Tag
    scope: str | None
    """What a key must have; None: no key is needed."""
    answer: Any
    """The type of what it answers with, if that is JSON."""
    status: int = 200
    query: type[Query] = NoQuery
    body: type[Body] | None = None
    media_type: str = "application/json"
    if_match: bool = False
    """Whether it takes If-Match."""
    gives_etag: bool = False
    has_location: bool = False
    idempotent: bool = False
    """Whether it takes Idempotency-Key."""
    conflicts: bool = False
    """Whether the state of things may not allow it."""
    otherwise: Mapping[int, str] = {}
    """Other statuses that the same answer may come with, and what they say."""
    refusals: Sequence[int] = ()
    """Statuses of problems beside those that follow from the rest."""


def operation_of(handler: Any) -> Operation | None:
    """Returns the operation that a handler is declared as; None for what the framework made."""
    operation: Operation | None = handler.opt.get(OPERATION)
    return operation


def reads(
    path: str, answer: Any, *, summary: str, tag: Tag, scope: str | None = "read", **more: Any
) -> Declare:
    """Declares a handler that only looks: GET, and HEAD, which is the same without the body."""
    operation = Operation(summary=summary, tag=tag, scope=scope, answer=answer, **more)
    return route(path, http_method=[HttpMethod.GET, HttpMethod.HEAD], opt={OPERATION: operation})


def writes(
    method: Literal["POST", "PUT", "PATCH", "DELETE"],
    path: str,
    answer: Any,
    *,
    summary: str,
    tag: Tag,
    scope: str,
    **more: Any,
) -> Declare:
    """Declares a handler that changes something. Every POST may be sent again with its Idempotency-Key."""
    operation = Operation(
        summary=summary, tag=tag, scope=scope, answer=answer, **{"idempotent": method == "POST", **more}
    )
    return route(
        path, http_method=[HttpMethod(method)], opt={OPERATION: operation}, status_code=operation.status
    )


def answering_options(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """Returns the handlers and one for OPTIONS of each path: the framework's knows half of the methods."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    return [*(_tells(path, ", ".join(sorted(found))) for path, found in methods.items()), *handlers]


def _tells(path: str, allowed: str) -> HTTPRouteHandler:
    @route(path, http_method=[HttpMethod.OPTIONS], status_code=204)
    async def tell_methods() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": allowed})

    return tell_methods
