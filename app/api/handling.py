"""How a request is taken, and how it goes wrong: each way a problem that names the part to blame."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import psycopg
import structlog
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.handlers import BaseRouteHandler

from app.api.auth import check_scope
from app.api.bodies import Body
from app.api.config import MAX_BODY_BYTES
from app.api.context import context_of
from app.api.errors import MEDIA_TYPE, FieldError, Problem, problem_of
from app.api.observe import READS
from app.api.operations import Operation, operation_of
from app.api.parameters import NoQuery, Query, read_query
from app.api.values import explain

B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)
AnyRequest = Request[Any, Any, Any]

BODY_SECONDS = 10.0
MAX_KEY_LENGTH = 255
IF_MATCH = r'^(\*|[0-9]{1,9}(\.[0-9a-f]{8})?|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$'
"""`*`, ETags, or a version. A proxy that compresses an answer makes its ETag weak: the version in it is still
the job's."""

# What the framework refuses: slug, detail, and the part to blame.
REFUSALS: dict[int, tuple[str, str, str | None]] = {
    404: ("not-found", "there is nothing at this path", "path"),
    405: ("method-not-allowed", "the method is not known here", "method"),
    413: ("too-large", f"a body may have up to {MAX_BODY_BYTES:,} bytes", "body"),
}
ARGUMENTS = {
    "name": "path.name",
    "after": "query.cursor",
    "max_rows": "query.limit",
    "expected_version": "header.If-Match",
    "idempotency_key": "header.Idempotency-Key",
}
"""Where an argument of a function comes from that bears another name in a request, or is in no body."""

_FIELD = re.compile(r"^(?:Object (?:missing required|contains unknown) field )?`([^`]+)`\s*")
_log = structlog.get_logger("api")


async def check_request(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuses a key that lacks the scope, and a query or condition where none is read.

    It must not seem to count: a PUT with `If-None-Match: *` replaced the job that it was not to touch.
    Waits for nothing; a guard that is not async, Litestar calls in a thread.
    """
    operation = operation_of(handler)
    if operation is None:  # OPTIONS: whoever has a key
        return
    if operation.scope is not None:
        check_scope(context_of(connection.scope), operation.scope)
    if operation.query is NoQuery:
        read_query(connection.scope["query_string"], NoQuery)
    if connection.scope.get("method") not in READS:
        for name, _ in connection.scope["headers"]:
            if name == b"if-none-match":
                hint = "to create a job only if its name is free, POST it to /v1/jobs"
                raise header_problem("If-None-Match", "is not taken with a write", hint=hint)
            if name == b"if-match" and not operation.if_match:
                raise header_problem("If-Match", "is not taken here", hint="leave it out")


def query_of(request: AnyRequest, kind: type[Q]) -> Q:
    """Returns the parameters of a request's query."""
    return read_query(request.scope["query_string"], kind)


async def body_of(request: AnyRequest, kind: type[B]) -> B:
    """Returns the body of a request; a body that is left out is an empty object."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.body()
    except TimeoutError:
        raise Problem(
            408,
            "too-slow",
            f"the body did not arrive within {BODY_SECONDS:g} s",
            headers={"Connection": "close"},
        ) from None
    except InternalServerException:  # nobody will see the answer
        raise Problem(400, "malformed", "the connection ended before the body") from None
    content_type = header(request, "Content-Type")
    if content_type is not None or body:
        _check_media_type(content_type or "application/json")
    return decode(body or b"{}", kind)


def header(request: AnyRequest, name: str) -> str | None:
    """Returns a header that may be given once."""
    wanted = name.lower().encode()
    found = [value for key, value in request.scope["headers"] if key == wanted]
    if len(found) > 1:
        raise header_problem(name, "must be given once")
    return found[0].decode("latin-1") if found else None


def header_problem(name: str, message: str, *, hint: str | None = None) -> Problem:
    """Returns the problem of a header that is not what it should be."""
    return Problem(
        400, "malformed", f"{name} {message}", hint=hint, errors=[FieldError(f"header.{name}", message)]
    )


def decode(body: bytes, kind: type[B]) -> B:
    """Returns a body as a struct; raises the problem that names the part that does not fit."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        field = f"body{path.rstrip('`')}"
        if named := _FIELD.match(message):
            field = f"{field}.{named[1]}"
            message = (
                "is missing"
                if "missing" in named[0]
                else "is not known"
                if "unknown" in named[0]
                else message[named.end() :]
            )
    except UnicodeDecodeError:
        field, message = "body", "is no UTF-8"
    except RecursionError:
        field, message = "body", "is nested too deeply"
    except msgspec.DecodeError as error:
        field, message = "body", f"is no JSON: {error}"
    message = explain(message, field.rpartition(".")[2])
    raise Problem(400, "malformed", f"{field}: {message}", errors=[FieldError(field, message)])


def _check_media_type(content_type: str) -> None:
    media_type, _, parameters = content_type.partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\";\s]+)", parameters, re.IGNORECASE)
    if media_type.strip().lower() != "application/json" or (charset and charset[1].lower() != "utf-8"):
        raise Problem(
            415,
            "unsupported-media-type",
            "the body must be JSON, in UTF-8",
            hint="send it with `Content-Type: application/json`",
            errors=[FieldError("header.Content-Type", "must be application/json")],
        )


def answer_problem(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Returns any error as a problem."""
    problem = error if isinstance(error, Problem) else _problem_of(request, error)
    context = context_of(request.scope)
    if problem.status == 500:
        _log.error("cannot answer", request_id=context.request_id, exc_info=error)
    elif problem.status > 500:  # what we depend on is away: nothing that our code could tell
        _log.warning("cannot answer", request_id=context.request_id, error=problem.detail)
    return Response(
        content=problem.body(context.request_id),
        status_code=problem.status,
        media_type=MEDIA_TYPE.decode(),
        headers=problem.headers,
    )


def _problem_of(request: AnyRequest, error: Exception) -> Problem:
    if isinstance(error, HTTPException):
        return _problem_of_framework(error)
    problem = problem_of(error)
    if isinstance(error, psycopg.Error) and (argument := error.diag.column_name) and problem.errors:
        operation = operation_of(request.scope.get("route_handler"))
        problem.errors = [FieldError(_place_of(argument, operation), e.message) for e in problem.errors]
    return problem


def _place_of(argument: str, operation: Operation | None) -> str:
    """Returns where in a request an argument of a function came from."""
    if operation is None:
        return argument
    if operation.body is not None and argument in operation.body.__struct_fields__:
        return f"body.{argument}"
    if argument in operation.query.__struct_fields__:
        names = dict(
            zip(operation.query.__struct_fields__, operation.query.__struct_encode_fields__, strict=True)
        )
        return f"query.{names[argument]}"
    return ARGUMENTS.get(argument, f"body.{argument}" if operation.body else f"path.{argument}")


def _problem_of_framework(error: HTTPException) -> Problem:
    if isinstance(error, ValidationException):
        extra = error.extra if isinstance(error.extra, list) else []
        errors = [FieldError(f"path.{e['key']}", e["message"]) for e in extra if "key" in e]
        detail = "; ".join(f"{e.field}: {e.message}" for e in errors) or error.detail
        return Problem(400, "malformed", detail, errors=errors)
    headers: Mapping[str, str] = error.headers or {}
    status = error.status_code
    if status >= 500:
        return problem_of(error)
    slug, detail, field = REFUSALS.get(status, ("malformed", error.detail, None))
    if allowed := headers.get("allow"):
        detail = f"{detail}; there are {allowed}"
    errors = [FieldError(field, detail)] if field else []
    return Problem(status, slug, detail, errors=errors, headers=dict(headers))


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    Exception: answer_problem,
    HTTPException: answer_problem,
}
