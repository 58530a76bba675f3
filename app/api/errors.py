"""Errors over HTTP: RFC 9457 problems, from one table of SQLSTATEs."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import psycopg
from litestar.types import Scope, Send
from msgspec import Meta
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from app.api.context import context_of
from app.api.pools import DeadlineExceededError, UnreachableError
from app.api.problems import KINDS

MEDIA_TYPE = b"application/problem+json"
RETRY_SECONDS = 1


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one part of a request."""

    field: Annotated[str, Meta(examples=["body.schedule", "query.limit", "header.If-Match", "path.job_id"])]
    message: str


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """An answer that says what is wrong and what to do next."""

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        hint: str | None = None,
        errors: list[FieldError] | None = None,
        sqlstate: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.hint = hint
        self.errors = errors or []
        self.sqlstate = sqlstate
        self.headers = headers or {}

    def body(self, request_id: str) -> bytes:
        """Returns the document."""
        document: dict[str, Any] = {
            "type": f"/problems/{self.slug}",
            "title": KINDS[self.slug].title,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:request:{request_id}",
        }
        if self.hint:
            document["hint"] = self.hint
        if self.errors:
            document["errors"] = self.errors
        if self.sqlstate:
            document["sqlstate"] = self.sqlstate
        return msgspec.json.encode(document)


# SQLSTATE, or its class of two characters -> status and slug. What is not here is a fault of ours: 500.
SQLSTATES: dict[str, tuple[int, str]] = {
    "22": (422, "invalid-value"),
    "22004": (422, "missing-value"),
    "P0002": (404, "not-found"),
    "23505": (409, "already-exists"),
    "55000": (409, "not-in-this-state"),
    "54000": (422, "too-much"),
    "42501": (403, "not-allowed"),
    "JB001": (409, "no-lease"),
    "JB002": (422, "idempotency-key-reused"),
    "JB003": (409, "idempotency-key-in-flight"),
    "JB004": (412, "version-mismatch"),
    "08": (503, "database-unavailable"),
    "53": (503, "database-unavailable"),
    "57014": (503, "database-too-slow"),
    "57": (503, "database-unavailable"),
    "25006": (503, "database-unavailable"),
    "40": (503, "database-busy"),
    "55P03": (503, "database-busy"),
}


def find_status(sqlstate: str) -> tuple[int, str]:
    """Returns status and slug of a SQLSTATE."""
    return SQLSTATES.get(sqlstate) or SQLSTATES.get(sqlstate[:2]) or (500, "internal-error")


def unavailable(detail: str, *, slug: str = "database-unavailable", sqlstate: str | None = None) -> Problem:
    """Returns the problem of a database that does not answer."""
    return Problem(503, slug, detail, sqlstate=sqlstate, headers={"Retry-After": str(RETRY_SECONDS)})


def problem_of(error: Exception) -> Problem:
    """Returns the problem that an error of the database is."""
    if isinstance(error, UnreachableError):
        return unavailable("the database cannot be reached, or takes no new connections")
    if isinstance(error, (PoolTimeout, PoolClosed, TooManyRequests)):
        detail = "no connection to the database: all are in use"
        return unavailable(detail, slug="database-busy")
    if not isinstance(error, psycopg.Error):
        return Problem(500, "internal-error", "something went wrong here; the log knows it by its request id")
    if isinstance(error, DeadlineExceededError):
        return unavailable(f"the database: {error}", slug="database-too-slow")
    sqlstate = error.sqlstate
    if sqlstate is None and isinstance(error, psycopg.DataError):  # found before it was sent
        return Problem(422, "invalid-value", str(error), hint="remove the NUL characters")
    if sqlstate is None:
        return unavailable("the database cannot be reached")
    status, slug = find_status(sqlstate)
    diag = error.diag
    if sqlstate == "42501" and diag.message_hint is None:  # of our login; what a key lacks has a hint
        status, slug = 500, "internal-error"
    if status == 500:
        return Problem(500, slug, "the database refused what we asked; the log knows it by its request id")
    if status == 503:
        return unavailable(diag.message_primary or f"the database: {error}", slug=slug, sqlstate=sqlstate)
    message = ". ".join(part for part in (diag.message_primary, diag.message_detail) if part)
    errors = [FieldError(f"body.{diag.column_name}", message)] if diag.column_name else []
    return Problem(status, slug, message, hint=diag.message_hint, errors=errors, sqlstate=sqlstate)


async def send_problem(scope: Scope, send: Send, problem: Problem) -> None:
    """Answers a request with a problem, from a layer outside the framework."""
    body = problem.body(context_of(scope).request_id)
    headers = [(b"content-type", MEDIA_TYPE), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send(
        {
            "type": "http.response.body",
            "body": b"" if scope.get("method") == "HEAD" else body,
            "more_body": False,
        }
    )
