"""The parts of the OpenAPI document that many operations share: headers, parameters, links, problems."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from app.api import schemas
from app.api.examples import EXECUTION_ID, JOB_ID
from app.api.handling import IF_MATCH, MAX_KEY_LENGTH
from app.api.operations import Operation
from app.api.parameters import NoQuery
from app.api.problems import KINDS

Json = dict[str, Any]

PATH_PARAMETERS: dict[str, Json] = {
    "job_id": {
        "description": "the id of a job",
        "schema": {"type": "string", "format": "uuid"},
        "example": JOB_ID,
    },
    "execution_id": {
        "description": "the id of an execution",
        "schema": {"type": "string", "format": "uuid"},
        "example": EXECUTION_ID,
    },
    "name": {
        "description": "the name of a job; a slash in it is written %2F",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        "example": "nightly-report",
    },
}

PARAMETERS: dict[str, Json] = {
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "the ETag that the job must have, as it was given; `*` for any",
        "schema": {"type": "string", "pattern": IF_MATCH},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "any text, best a UUID; the same request again within a day does nothing twice",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
    },
    "ConsistencyToken": {
        "name": "X-Consistency-Token",
        "in": "header",
        "description": "as a write answered it: what is read then includes that write",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    },
}

HEADERS: dict[str, Json] = {
    "X-Request-ID": {
        "description": "the id of the request: as it was sent, else made here",
        "schema": {"type": "string"},
    },
    "X-Consistency-Token": {
        "description": "the state of the database that the answer includes",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    },
    "ETag": {"description": "what If-Match is compared with", "schema": {"type": "string"}},
    "Location": {"description": "the path of what was made", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` where an earlier request with this Idempotency-Key has done it",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "RateLimit": {
        "description": "what is left of the rate limit, and for how long",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "the rate limits that hold", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "after how many seconds it is worth trying again",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {"description": "how to show a key", "schema": {"type": "string"}},
}

_OF_A_JOB = (
    "get_job",
    "replace_job",
    "update_job",
    "delete_job",
    "pause_job",
    "resume_job",
    "trigger_job",
    "backfill_job",
    "list_job_executions",
    "list_fires",
    "preview_job",
)
_OF_AN_EXECUTION = ("get_execution", "cancel_execution", "retry_execution")
_AT_THIS_VERSION = {"header.If-Match": "$response.header.ETag"}


def _links(operations: tuple[str, ...], parameter: str, where: str, **more: Any) -> Json:
    """Returns links to operations whose parameter stands somewhere in the body."""
    return {
        name: {
            "operationId": name,
            "parameters": {parameter: f"$response.body#/{where}", **more.get(name, {})},
        }
        for name in operations
    }


LINKS: dict[Any, Json] = {
    schemas.Job: _links(
        _OF_A_JOB,
        "job_id",
        "job_id",
        replace_job=_AT_THIS_VERSION,
        update_job=_AT_THIS_VERSION,
        delete_job=_AT_THIS_VERSION,
    )
    | _links(("put_job",), "name", "name"),
    schemas.JobPage: _links(_OF_A_JOB, "job_id", "items/0/job_id"),
    schemas.Execution: _links(_OF_AN_EXECUTION, "execution_id", "execution_id"),
    schemas.ExecutionIds: _links(_OF_AN_EXECUTION, "execution_id", "execution_ids/0"),
    schemas.ExecutionPage: _links(_OF_AN_EXECUTION, "execution_id", "items/0/execution_id"),
}
"""What may follow an answer, and where in it the parameters for that stand."""


def next_page(name: str, path_parameters: list[str]) -> Json:
    """Returns the link from a page of a list to the one after it."""
    same = {parameter: f"$request.path.{parameter}" for parameter in path_parameters}
    return {
        "next_page": {
            "operationId": name,
            "parameters": {**same, "cursor": "$response.body#/next_cursor"},
        }
    }


_MORE_HEADERS = {
    401: ["WWW-Authenticate"],
    429: ["Retry-After", "RateLimit", "RateLimit-Policy"],
    503: ["Retry-After"],
}
_DESCRIPTIONS = {
    400: "The request is malformed.",
    401: "No API key, or none that is valid.",
    403: "The API key lacks the scope.",
    404: "There is nothing with this id, or not any more.",
    408: "The body did not arrive in time.",
    409: "The state of things does not allow it, or the same request is still at work.",
    412: "The job is not at the version that If-Match names.",
    413: "The body is larger than 1,000,000 bytes.",
    415: "The body is not JSON.",
    422: "A value is refused, or the Idempotency-Key belongs to another request.",
    429: "Too many requests.",
    503: "The database does not answer, or not in time.",
}


def problem_statuses(path: str, operation: Operation) -> list[int]:
    """Returns the statuses of the problems that an operation may answer with."""
    found = set(operation.refusals)
    if operation.scope is None:
        return sorted(found)
    found |= {400, 401, 403, 429, 503}
    if "_id}" in path:
        found.add(404)
    if operation.body is not None:
        found |= {408, 413, 415, 422}
    if operation.query is not NoQuery:
        found.add(422)
    if operation.idempotent:  # 404: what it made when it was sent before has been deleted since
        found |= {404, 409, 422}
    if operation.conflicts:
        found.add(409)
    if operation.if_match:
        found.add(412)
    return sorted(found)


def problem_responses() -> dict[str, Json]:
    """Returns the answers that say what is wrong, by status."""
    kinds = defaultdict(list)
    for slug, kind in KINDS.items():
        kinds[kind.status].append((slug, kind))
    return {
        str(status): {
            "description": description,
            "headers": {
                name: {"$ref": f"#/components/headers/{name}"}
                for name in ["X-Request-ID", *_MORE_HEADERS.get(status, [])]
            },
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {
                        slug: {
                            "summary": kind.title,
                            "value": {
                                "type": f"/problems/{slug}",
                                "title": kind.title,
                                "status": status,
                                "detail": kind.meaning,
                                "instance": "urn:request:0195ed8e-6c03-7e55-9d21-3f4a5b6c7d8e",
                            },
                        }
                        for slug, kind in kinds[status]
                    },
                }
            },
        }
        for status, description in _DESCRIPTIONS.items()
    }
