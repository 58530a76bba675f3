"""How the framework's part of a request goes wrong: each way a problem that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import msgspec
import structlog
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.dto import AbstractDTO
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Schema
from litestar.typing import FieldDefinition

from app.api.context import context_of
from app.api.errors import MEDIA_TYPE, FieldError, Problem, problem_of

SLUGS = {
    400: "malformed",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "too-large",
    415: "unsupported-media-type",
}

_log = structlog.get_logger("api")


# The arguments are those of the class that it implements.
# ruff: noqa: ARG002, ARG003
class JsonBody(AbstractDTO[Any]):
    """Decodes a body strictly, and straight into its struct: a document within stays the bytes that came."""

    _types: ClassVar[dict[str, Any]] = {}

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """Notes the struct of a handler."""
        cls._types[handler_id] = field_definition.annotation

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Any:
        """Documents the struct as it is."""
        schema: Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        """Takes any struct."""
        return True

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        """There is nothing to detect: msgspec does it all."""
        return False

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        """Likewise."""
        return iter(())

    def decode_builtins(self, value: dict[str, Any]) -> Any:
        """Refuses forms, which no route takes."""
        raise _unsupported_media_type()

    def decode_bytes(self, value: bytes) -> Any:
        """Returns the struct; a problem names the part that does not fit."""
        connection = self.asgi_connection
        content_type = connection.headers.get("content-type", "application/json")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise _unsupported_media_type()
        return decode(value or b"{}", self._types[connection.route_handler.handler_id])

    def data_to_encodable_type(self, data: Any) -> Any:
        """Answers are made without it."""
        return data


def decode(body: bytes, kind: Any) -> Any:
    """Returns a body as a struct; raises the problem that names the part that does not fit."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        field = f"body{path.rstrip('`')}"
        raise Problem(400, "malformed", f"{field}: {message}", errors=[FieldError(field, message)]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Problem(
            400,
            "malformed",
            f"the body is no JSON: {message}",
            errors=[FieldError("body", message)],
        ) from error


def _unsupported_media_type() -> Problem:
    return Problem(
        415,
        "unsupported-media-type",
        "the body must be JSON",
        hint="send it with `Content-Type: application/json`",
        errors=[FieldError("header.Content-Type", "must be application/json")],
    )


@cache
def _parameters(handler: BaseRouteHandler) -> frozenset[str]:
    """Returns the names of the query parameters that a handler takes."""
    names = set()
    for name, field in handler.parsed_fn_signature.parameters.items():
        given = field.kwarg_definition
        names.add(getattr(given, "query", None) or name)
    return frozenset(names)


def refuse_unknown_parameters(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Refuses what no one would read: a misspelt filter must not look like an answer to it."""
    if not connection.scope["query_string"]:
        return
    known = _parameters(handler)
    for name in connection.query_params.keys():  # noqa: SIM118 - a multi-dict
        if name not in known:
            raise Problem(
                400,
                "malformed",
                f"there is no query parameter {name!r} here",
                hint=f"there are {', '.join(sorted(known)) or 'none'}",
                errors=[FieldError(f"query.{name}", "is not known")],
            )


def answer_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Returns any error as a problem."""
    problem = error if isinstance(error, Problem) else _problem_of(error)
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


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, ValidationException):
        extra = error.extra if isinstance(error.extra, list) else []
        errors = [
            FieldError(f"{e.get('source', 'query')}.{e['key']}", e["message"]) for e in extra if "key" in e
        ]
        detail = "; ".join(f"{e.field}: {e.message}" for e in errors) or error.detail
        return Problem(400, "malformed", detail, errors=errors)
    if isinstance(error, HTTPException):
        headers: Mapping[str, str] = error.headers or {}
        return Problem(
            error.status_code, SLUGS.get(error.status_code, "refused"), error.detail, headers=dict(headers)
        )
    return problem_of(error)


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    Exception: answer_problem,
    HTTPException: answer_problem,
}
