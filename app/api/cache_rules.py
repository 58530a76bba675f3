"""Which answers are kept, for how long, and which changes make them unfit.

A change that is told (see changes.py) makes what bears its tags unfit at once; what changes untold
(executions as they run, the next fire of a job) is at most as old as the TTL. Answers that depend on who asks
are not here: keys with the same scopes share entries.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from urllib.parse import unquote_to_bytes
from uuid import UUID

import msgspec

ID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.IGNORECASE)
"""As the router takes it: with hyphens or without."""
ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})
EXECUTION_SECONDS = 1.0
ENDED_SECONDS = 10.0

JOBS = "jobs"
EXECUTIONS = "executions"


class Rule(msgspec.Struct, frozen=True):
    """For how long answers of a route are kept, and their tags; `{id}` stands for the one in the path."""

    ttl_seconds: float
    tags: tuple[str, ...] = ()
    life_of: Callable[[bytes], float] | None = None
    """Where the answer itself says for how long it will do."""


class Match(msgspec.Struct, frozen=True):
    """A rule as it applies to one path."""

    rule: Rule
    path: str
    """The path as the key has it: ids in their one form."""
    tags: tuple[str, ...]


class _Execution(msgspec.Struct):
    status: str


def _life_of_execution(body: bytes) -> float:
    """Returns how long an execution may be kept: one that has ended only changes when somebody retries it."""
    try:
        ended = msgspec.json.decode(body, type=_Execution).status in ENDED
    except msgspec.DecodeError:
        ended = False
    return ENDED_SECONDS if ended else EXECUTION_SECONDS


# The noun, whether an id follows, and what follows that -> the rule.
RULES: dict[tuple[str, bool, str], Rule] = {
    ("jobs", False, ""): Rule(2.0, (JOBS,)),
    ("jobs", True, ""): Rule(2.0, ("job:{id}",)),
    ("jobs", True, "executions"): Rule(1.0, ("job:{id}", EXECUTIONS)),
    ("jobs", True, "fires"): Rule(1.0, ("job:{id}", EXECUTIONS)),
    ("jobs", True, "preview"): Rule(5.0, ("job:{id}",)),
    ("executions", False, ""): Rule(1.0, (EXECUTIONS,)),
    ("executions", True, ""): Rule(EXECUTION_SECONDS, ("execution:{id}",), _life_of_execution),
    ("queues", False, ""): Rule(1.0, (EXECUTIONS,)),
    ("workers", False, ""): Rule(1.0, ("workers",)),
    ("stats", False, ""): Rule(2.0, (EXECUTIONS,)),
}


def match(path: str) -> Match | None:
    """Returns the rule of a path, if its answers are kept at all."""
    parts = path.split("/")
    if not 3 <= len(parts) <= 5 or parts[0] or parts[1] != "v1":
        return None
    noun = parts[2]
    found = parts[3] if len(parts) > 3 else ""
    rule = RULES.get((noun, bool(found), parts[4] if len(parts) > 4 else ""))
    if rule is None or path.endswith("/"):
        return None
    if found and ID.fullmatch(found) is None:
        return None
    if found:
        found = parts[3] = str(UUID(found))
    return Match(rule, "/".join(parts), tuple(tag.replace("{id}", found) for tag in rule.tags))


def canonical(query: bytes) -> bytes:
    """Returns a query string with its parameters sorted by name.

    Those of one name keep their order, and all keep their spelling: two queries that might mean different
    things never become one.
    """
    if b"&" not in query:
        return query
    parts = [
        (unquote_to_bytes(part.partition(b"=")[0].replace(b"+", b" ")), part) for part in query.split(b"&")
    ]
    return b"&".join(part for _, part in sorted(parts, key=itemgetter(0)))


def tags_of(kind: str, id_: str) -> tuple[str, ...]:
    """Returns the tags of what a change of this kind makes unfit; none for a kind that is not known."""
    if kind == "job":
        return (JOBS, f"job:{id_.lower()}")
    if kind == "execution":
        return (EXECUTIONS, f"execution:{id_.lower()}")
    return ("keys",) if kind == "key" else ()
