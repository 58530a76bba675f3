"""What the handlers share: parameters, preconditions, and answers of JSON that PostgreSQL made."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from app.api.auth import check_scope
from app.api.context import Context, context_of
from app.api.database import Database, Idempotency, Written
from app.api.errors import FieldError, Problem
from app.api.schemas import Page

AnyRequest = Request[Any, Any, Any]
Json = Response[bytes]
Db = NamedDependency[Database]


class _Versioned(msgspec.Struct):
    version: int


def context(request: AnyRequest) -> Context:
    """Returns the context of a request."""
    return context_of(request.scope)


def needs(scope: str) -> dict[str, Any]:
    """Returns the mark of a handler that says which scope a key must have."""
    return {"scope": scope}


def check_key(connection: Any, handler: Any) -> None:
    """Refuses a key that lacks the scope of the handler; one that names none is an oversight of ours."""
    check_scope(context_of(connection.scope), handler.opt["scope"])


def answers(kind: Any, status: int = 200, description: str = "Done") -> dict[int, ResponseSpec]:
    """Documents what an answer holds."""
    return {status: ResponseSpec(data_container=kind, generate_examples=False, description=description)}


def page(kind: Any) -> dict[int, ResponseSpec]:
    """Documents a page of a list."""
    return answers(Page[kind], description="A page")


def reply(body: bytes | None, *, status: int = 200, headers: dict[str, str] | None = None) -> Json:
    """Returns a document as an answer; raises the problem that there is none."""
    if body is None:
        raise Problem(404, "not-found", "there is nothing with this id")
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def reply_written(written: Written, *, status: int = 200, location: str | None = None) -> Json:
    """Returns what came of a write."""
    headers = {"Location": location} if location else {}
    if written.replayed:
        headers["Idempotent-Replayed"] = "true"
    return reply(written.body, status=status, headers=headers)


def reply_job(body: bytes | None, *, status: int = 200, headers: dict[str, str] | None = None) -> Json:
    """Returns a job with its ETag: its version, which If-Match is about, and what tells two answers apart."""
    if body is None:
        return reply(body)
    version = msgspec.json.decode(body, type=_Versioned).version
    etag = f'"{version}.{zlib.crc32(body):08x}"'
    return reply(body, status=status, headers={"ETag": etag, **(headers or {})})


def expected_version(if_match: str | None) -> int | None:
    """Returns the version that If-Match names; None where any will do."""
    if if_match is None or if_match.strip() == "*":
        return None
    # A proxy that compresses an answer makes its ETag weak: the version in it is still the job's.
    version = if_match.strip().removeprefix("W/").removeprefix('"').partition(".")[0]
    if not (version.isascii() and version.isdecimal() and len(version) < 10):
        raise Problem(
            400,
            "malformed",
            "If-Match is no ETag of ours",
            hint="send the ETag of the job as it was given",
            errors=[FieldError("header.If-Match", "is no ETag of ours")],
        )
    return int(version)


async def idempotency(request: AnyRequest, key: str | None) -> Idempotency | None:
    """Returns what makes this request the same as another: its key, and a hash of all that it asks for."""
    if key is None:
        return None
    digest = hashlib.sha256()
    for part in (request.method.encode(), request.scope["raw_path"], request.scope["query_string"]):
        digest.update(part + b"\0")
    digest.update(await request.body())
    return Idempotency(key, digest.digest())


def job_path(job_id: UUID | str) -> str:
    """Returns the path of a job."""
    return f"/v1/jobs/{job_id}"


def execution_path(execution_id: UUID | str) -> str:
    """Returns the path of an execution."""
    return f"/v1/executions/{execution_id}"
