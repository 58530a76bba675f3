"""What the handlers share: preconditions, and answers of JSON that PostgreSQL made."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from typing import Annotated
from urllib.parse import unquote
from uuid import UUID

import msgspec
from litestar import Response
from litestar.di import NamedDependency
from litestar.params import PathParameter

from app.api.context import Context, context_of
from app.api.database import Database, Idempotency, Written
from app.api.errors import FieldError, Problem
from app.api.handling import IF_MATCH, MAX_KEY_LENGTH, AnyRequest, header, header_problem
from app.api.observe import one_path
from app.api.queries import Read

Json = Response[bytes]
Db = NamedDependency[Database]
JobId = Annotated[UUID, PathParameter()]
ExecutionId = Annotated[UUID, PathParameter()]
ANY_VERSION = -1
"""As the SQL has it: the job may be at any version, but there must be one."""
NO_VERSION = -2
"""Likewise: no job is at it."""
_IF_MATCH = re.compile(IF_MATCH)
_OUR_ETAG = re.compile(r'(?:^|")([0-9]{1,9})(?:\.[0-9a-f]{8})?(?:$|")')


class _Versioned(msgspec.Struct):
    version: int


def context(request: AnyRequest) -> Context:
    """Returns the context of a request."""
    return context_of(request.scope)


def reply(body: bytes | None, *, status: int = 200, headers: dict[str, str] | None = None) -> Json:
    """Returns a document as an answer; raises the problem that there is none."""
    if body is None:
        raise Problem(404, "not-found", "there is nothing with this id")
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def reply_job(body: bytes | None, *, status: int = 200, headers: dict[str, str] | None = None) -> Json:
    """Returns a job with its ETag: its version, which If-Match is about, and what tells two answers apart."""
    if body is None:
        return reply(body)
    version = msgspec.json.decode(body, type=_Versioned).version
    etag = f'"{version}.{zlib.crc32(body):08x}"'
    return reply(body, status=status, headers={"ETag": etag, **(headers or {})})


def reply_written(
    written: Written,
    *,
    status: int = 200,
    location: str | None = None,
    how: Callable[..., Json] = reply,
) -> Json:
    """Returns what came of a write, as what it changed stands now."""
    headers = {"Location": location} if location else {}
    if written.replayed:
        headers["Idempotent-Replayed"] = "true"
    if written.body is None:
        raise Problem(404, "not-found", "it was done, but what it was done to is there no more")
    return how(written.body, status=status, headers=headers)


def expected_version(request: AnyRequest) -> int | None:
    """Returns the version that If-Match names, ANY_VERSION for `*`; None without If-Match.

    Of several ETags the newest version counts: a job that was at it is at none before.
    """
    if_match = header(request, "If-Match")
    if if_match is None:
        return None
    if _IF_MATCH.fullmatch(if_match.strip()) is None:
        raise header_problem("If-Match", "is no ETag", hint="send the ETag of the job as it was given")
    if if_match.strip() == "*":
        return ANY_VERSION
    return max(map(int, _OUR_ETAG.findall(if_match.strip())), default=NO_VERSION)


async def idempotency(request: AnyRequest) -> Idempotency | None:
    """Returns what makes this request the same as another: its key, and a hash of all that it asks for."""
    key = header(request, "Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise header_problem(
            "Idempotency-Key", f"must have 1 to {MAX_KEY_LENGTH} characters", hint="use a UUID"
        )
    digest = hashlib.sha256()
    for part in (request.method.encode(), _raw_path(request).encode(), request.scope["query_string"]):
        digest.update(part + b"\0")
    digest.update(await request.body())
    return Idempotency(key, digest.digest())


def name_of(request: AnyRequest) -> str:
    """Returns the name of a job from the path, which may hold an escaped slash."""
    try:
        name = unquote(_raw_path(request).partition("/by-name/")[2], errors="strict")
    except UnicodeDecodeError:
        raise _refused_name("is no UTF-8") from None
    if "\0" in name:
        raise _refused_name("must not hold a NUL character")
    return name


def _raw_path(request: AnyRequest) -> str:
    """Returns the path as it was sent, but in its one form: an escaped slash belongs to a name."""
    return one_path(request.scope["raw_path"].decode("ascii"))


def _refused_name(message: str) -> Problem:
    return Problem(400, "malformed", f"the name {message}", errors=[FieldError("path.name", message)])


def read_job(job_id: UUID | str) -> Read:
    """Returns the read of a job."""
    return Read("get_job_json", {"job_id": job_id})


def read_execution(execution_id: UUID | str) -> Read:
    """Returns the read of an execution."""
    return Read("get_execution_json", {"execution_id": execution_id})


def job_path(job_id: UUID | str) -> str:
    """Returns the path of a job."""
    return f"/v1/jobs/{job_id}"


def execution_path(execution_id: UUID | str) -> str:
    """Returns the path of an execution."""
    return f"/v1/executions/{execution_id}"
