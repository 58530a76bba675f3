"""The OpenAPI 3.1 document, made of what the handlers are declared as and of the structs that they use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute

from app.api import schemas
from app.api.bodies import Body
from app.api.examples import ANSWERS, REQUESTS
from app.api.operations import Operation, operation_of
from app.api.parameters import Paged, Query
from app.api.responses import (
    HEADERS,
    LINKS,
    PARAMETERS,
    PATH_PARAMETERS,
    next_page,
    problem_responses,
    problem_statuses,
)

Json = dict[str, Any]

DESCRIPTION = """\
Jobs, their executions, and what is going on, of a scheduler that lives in PostgreSQL.

**Keys.** Everything under `/v1` needs an API key: `Authorization: Bearer KEY`. Each operation names the \
scope that the key must have; `admin` has them all, and alone makes jobs of the types `sql` and `command`.

**Problems.** Every refusal is a document of the schema `Problem` (RFC 9457): what is wrong, which part of \
the request is to blame, what to do next. Unknown fields and parameters are refused.

**Lists** are paged: while `next_cursor` is not null, send it as `cursor` for the next page. What is added \
meanwhile neither repeats nor hides anything.

**What you wrote, you read.** A write answers with `X-Consistency-Token`. Sent with a read, it makes sure \
that the answer includes that write, whichever replica or cache it comes from.

**Sending again.** A POST with an `Idempotency-Key` is done once within a day, however often it is sent: \
after the first time it answers with what that has made, as it stands now, and `Idempotent-Replayed: true`.

**Traces.** `X-Request-ID` is taken over (1 to 128 printable characters) and given back; it stands in the \
audit log. W3C `traceparent` goes on to what the request makes.
"""
TAGS = [
    {"name": "jobs", "description": "The definitions: what runs when, and under which policies."},
    {"name": "executions", "description": "Pieces of work: made by a job, or enqueued by themselves."},
    {"name": "overview", "description": "What is going on, and what a schedule means."},
    {"name": "status", "description": "For machines that look after this one. No key is needed."},
]
METHODS = ("get", "post", "put", "patch", "delete")
_PATH_PARAMETER = re.compile(r"\{(\w+):\w+\}")


def make_document(app: Litestar) -> bytes:
    """Returns the document of an application's routes, as JSON."""
    operations = sorted(_operations(app), key=lambda found: (found[0], METHODS.index(found[1])))
    structs = {kind for *_, o, _ in operations for kind in (o.body, o.answer) if _is_struct(kind)}
    _, components = msgspec.json.schema_components(
        [*sorted(structs, key=str), schemas.Problem], ref_template="#/components/schemas/{name}"
    )
    paths: Json = {}
    for path, method, name, operation, description in operations:
        paths.setdefault(path, {})[method] = _document(path, name, operation, description)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "pgtick", "version": version("pgtick"), "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": TAGS,
        "paths": paths,
        "components": {
            "schemas": components,
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": problem_responses(),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, with the scopes listed.",
                }
            },
        },
    }
    return msgspec.json.encode(document)


def _operations(app: Litestar) -> Iterator[tuple[str, str, str, Operation, str]]:
    for route in sorted(app.routes, key=lambda r: r.path):
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            operation = operation_of(handler)
            if operation is not None:
                method = next(iter(sorted(handler.http_methods))).lower()  # GET before HEAD
                name = handler.fn.__name__
                yield (
                    _PATH_PARAMETER.sub(r"{\1}", route.path),
                    method,
                    name,
                    operation,
                    cleandoc(handler.fn.__doc__ or ""),
                )


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _document(path: str, name: str, operation: Operation, description: str) -> Json:
    document: Json = {
        "operationId": name,
        "summary": operation.summary,
        "description": description,
        "tags": [operation.tag],
        "security": [{"key": [operation.scope]}] if operation.scope else [],
    }
    if parameters := list(_parameters(path, operation)):
        document["parameters"] = parameters
    if operation.body is not None:
        document["requestBody"] = _request_body(operation.body)
    document["responses"] = dict(_responses(path, name, operation))
    return document


def _parameters(path: str, operation: Operation) -> Iterator[Json]:
    for name in _names(path):
        yield {"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]}
    yield from _query_parameters(operation.query)
    if operation.if_match:
        yield {"$ref": "#/components/parameters/IfMatch"}
    if operation.idempotent:
        yield {"$ref": "#/components/parameters/IdempotencyKey"}
    if operation.scope is not None and operation.body is None and not operation.if_match:
        yield {"$ref": "#/components/parameters/ConsistencyToken"}


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _query_parameters(query: type[Query]) -> Iterator[Json]:
    properties = msgspec.json.schema_components([query])[1][query.__name__]["properties"]
    for name, schema in properties.items():
        if "anyOf" in schema:  # or null, which a query cannot say
            schema = next(s for s in schema["anyOf"] if s != {"type": "null"})
        schema = {key: value for key, value in schema.items() if (key, value) != ("default", None)}
        if "enum" in schema:
            schema["enum"] = [value for value in schema["enum"] if value is not None]
        parameter: Json = {"name": name, "in": "query"}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        yield {**parameter, "schema": schema}


def _request_body(body: type[Body]) -> Json:
    content: Json = {"schema": _ref(body)}
    if body in REQUESTS:
        content["examples"] = {
            re.sub(r"\W+", "-", name): {"summary": name, "value": value}
            for name, value in REQUESTS[body].items()
        }
    required = any(field.required for field in msgspec.structs.fields(body))
    return {"required": required, "content": {"application/json": content}}


def _responses(path: str, name: str, operation: Operation) -> Iterator[tuple[str, Json]]:
    headers = ["X-Request-ID"]
    if operation.scope is not None:
        headers += ["X-Consistency-Token", "RateLimit", "RateLimit-Policy"]
    headers += ["ETag"] * operation.gives_etag + ["Location"] * operation.has_location
    headers += ["Idempotent-Replayed"] * operation.idempotent
    for status in (operation.status, *operation.otherwise):
        answer: Json = {
            "description": operation.otherwise.get(status) or _describe(operation),
            "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        }
        if operation.answer is not None:
            schema = _ref(operation.answer) if _is_struct(operation.answer) else {"type": "string"}
            content: Json = {"schema": schema}
            if operation.answer in ANSWERS and status == operation.status:
                content["example"] = ANSWERS[operation.answer]
            answer["content"] = {operation.media_type: content}
        if status < 400 and (links := _links(path, name, operation)):
            answer["links"] = links
        yield str(status), answer
    for problem in problem_statuses(path, operation):
        yield str(problem), {"$ref": f"#/components/responses/{problem}"}


def _links(path: str, name: str, operation: Operation) -> Json:
    links: Json = LINKS.get(operation.answer, {})
    if issubclass(operation.query, Paged):
        links = links | next_page(name, _names(path))
    return links


def _describe(operation: Operation) -> str:
    if operation.answer is None:
        return "Done."
    if not _is_struct(operation.answer):
        return f"Text of the type {operation.media_type}."
    return cleandoc(operation.answer.__doc__ or "Done.").partition("\n")[0]


def _ref(kind: Any) -> Json:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
