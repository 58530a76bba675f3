"""The kinds of problems: each has a page under /problems that its `type` points to."""

from __future__ import annotations

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """A kind of problem."""

    status: int
    title: str
    meaning: str
    """What happened and what to do, in a few sentences."""


KINDS: dict[str, Kind] = {
    "malformed": Kind(
        400,
        "The request is malformed",
        "A part of the request is not what the OpenAPI document (/schema) asks for: JSON that is none, a "
        "field or parameter that is missing, unknown, or of another kind. `errors` names each part. Correct "
        "it; sent again as it is, it will be refused again.",
    ),
    "no-key": Kind(
        401,
        "An API key is needed",
        "Send `Authorization: Bearer KEY`. `pgtick keys create` or `scheduler.create_api_key()` makes a key "
        "and shows it once.",
    ),
    "bad-key": Kind(
        401,
        "The API key is not valid",
        "It is unknown, revoked, or its time is over. `pgtick keys list` shows the keys by their first "
        "characters; `pgtick keys rotate` makes a second one before the first expires.",
    ),
    "not-allowed": Kind(
        403,
        "Not allowed",
        "The API key lacks the scope that this needs: read (look), enqueue (add executions), operate (jobs, "
        "cancel, retry) or admin (all of it, and jobs of the types sql and command). Use another key.",
    ),
    "not-found": Kind(
        404,
        "Not found",
        "There is nothing at this path, or nothing with this id. Executions are dropped with their day when "
        "the retention time is over.",
    ),
    "method-not-allowed": Kind(
        405,
        "The method is not known here",
        "The path exists, the method does not. `Allow` lists those that do.",
    ),
    "too-slow": Kind(
        408, "The body took too long", "The rest of the request's body did not arrive in time. Send it again."
    ),
    "already-exists": Kind(
        409,
        "It exists already",
        "A job of this name exists. Change that (PUT /v1/jobs/by-name/NAME creates or replaces), or choose "
        "another name.",
    ),
    "not-in-this-state": Kind(
        409,
        "Its state does not allow this",
        "What was asked for does not fit what the job or execution is doing: one that has ended cannot be "
        "cancelled, one that has not cannot be retried. Nothing was changed.",
    ),
    "idempotency-key-in-flight": Kind(
        409,
        "The same request is still at work",
        "A request with this Idempotency-Key has begun and not ended. Wait a moment and send it again: its "
        "answer will be given.",
    ),
    "no-lease": Kind(409, "The lease is over", "The worker's lease has run out, and others do its work now."),
    "version-mismatch": Kind(
        412,
        "The job has changed",
        "The job is not at the version that If-Match names: somebody changed it since it was read. Read it "
        "again, decide anew, and send the new ETag.",
    ),
    "too-large": Kind(
        413,
        "The body is too large",
        "A body may have up to 1,000,000 bytes. Split a bulk into several; keep large data in a table or a "
        "store of yours and send its key.",
    ),
    "unsupported-media-type": Kind(
        415, "The body must be JSON", "Send it as JSON, with `Content-Type: application/json`."
    ),
    "invalid-value": Kind(
        422,
        "A value is not accepted",
        "The request is well-formed, but the scheduler refuses a value in it: a schedule that means nothing, "
        "a time zone that is none, a range the wrong way round. `detail` and `hint` say what would do.",
    ),
    "missing-value": Kind(
        422, "A value is missing", "The scheduler needs a value that is null. `errors` names it."
    ),
    "too-much": Kind(422, "It is too much at once", "Ask for less: a shorter stretch of time, fewer items."),
    "idempotency-key-reused": Kind(
        422,
        "The Idempotency-Key belongs to another request",
        "The key was used within the last 24 hours for a request with another method, path or body. Use a "
        "new key for a new request.",
    ),
    "too-many-requests": Kind(
        429, "Too many requests", "Wait for the seconds that `Retry-After` tells, then go on more slowly."
    ),
    "too-many-streams": Kind(
        429,
        "Too many streams",
        "This key, or this process, has as many open event streams as it may. Close some, or listen to "
        "several topics on one.",
    ),
    "headers-too-large": Kind(
        431, "The headers are too large", "Request line and headers may have up to 64 kB together."
    ),
    "internal-error": Kind(
        500,
        "Something is wrong here",
        "It is not your request's fault. The log knows more about it under the request id; please report it.",
    ),
    "api-unavailable": Kind(
        503,
        "No process answers",
        "The proxy reaches no process of the API, or the one that it asked broke off. A write may have been "
        "carried out: with an Idempotency-Key it can be sent again without harm.",
    ),
    "leaving": Kind(503, "This process leaves", "Send it again: another process answers."),
    "database-unavailable": Kind(
        503,
        "The database is away",
        "No database answers, or none that takes us. Nothing was lost; send it again after `Retry-After`; "
        "`/health` tells whether the database is up.",
    ),
    "database-busy": Kind(
        503,
        "The database is busy",
        "All connections are in use, or somebody holds a lock. Send it again after `Retry-After`.",
    ),
    "database-too-slow": Kind(
        503, "It took too long", "The database did not finish in time. Ask for less, or send it again later."
    ),
}
