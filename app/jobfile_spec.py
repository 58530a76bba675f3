"""A job as a file wants it: the attributes it may have, and their kinds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from app.jobfile_yaml import Json

Kind: TypeAlias = Literal["text", "integer", "length", "time", "tags"]

# The policies, named as in scheduler.put_job. Their bounds are the database's business, not this table's.
POLICIES: dict[str, Kind] = {
    "timezone": "text",
    "queue": "text",
    "priority": "integer",
    "max_attempts": "integer",
    "backoff": "text",
    "backoff_base": "length",
    "backoff_max": "length",
    "timeout": "length",
    "expires_after": "length",
    "misfire": "text",
    "misfire_window": "length",
    "misfire_cap": "integer",
    "overlap": "text",
    "dst": "text",
    "jitter": "length",
    "starts_at": "time",
    "ends_at": "time",
    "tags": "tags",
}
# A policy with one of these names may be `null`: without it.
NULLABLE = frozenset({"expires_after", "misfire_window", "misfire_cap", "starts_at", "ends_at"})

# What a job runs is written under the name of its type; text alone is short for the first key.
TARGET_KEYS = {"sql": "statement", "http": "url", "python": "handler", "command": "shell"}

# What a job is, as scheduler.jobs tells it and in the order in which it is shown.
COMPARED = ("job_type", "target", "schedule", "payload", *POLICIES, "paused")

# What scheduler.put_job makes of a policy that is not given (lengths in the database's long form): files and
# reports leave it out. A test holds this against the function.
DEFAULTS: dict[str, Json] = {
    "schedule": None,
    "payload": None,
    "timezone": "UTC",
    "queue": "default",
    "priority": 0,
    "max_attempts": 3,
    "backoff": "exponential",
    "backoff_base": "@ 10 secs",
    "backoff_max": "@ 1 hour",
    "timeout": "@ 1 hour",
    "expires_after": None,
    "misfire": "fire_once",
    "misfire_window": None,
    "misfire_cap": None,
    "overlap": "skip",
    "dst": "debian",
    "jitter": "@ 0",
    "starts_at": None,
    "ends_at": None,
    "tags": [],
    "paused": False,
}

# A tag that begins so says which file manages the job, and is nobody else's to set.
MARKS = ("file:", "crontab:")


def marks_of(tags: Iterable[str]) -> list[str]:
    """Those of the tags that say which file manages the job."""
    return [tag for tag in tags if tag.startswith(MARKS)]


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job of a file: the arguments of scheduler.put_job, and the line of each."""

    name: str
    line: int
    arguments: Mapping[str, Json]
    paused: bool | None = None
    lines: Mapping[str, int] = field(default_factory=dict)


def readable(field: str, value: Json) -> Json:
    """A length without the sign that PostgreSQL's long form begins with; any other value as it is."""
    if POLICIES.get(field) == "length" and isinstance(value, str):
        return "0 seconds" if value == "@ 0" else value.removeprefix("@ ")
    return value


def place_of(path: Path) -> str:
    """The file's name under its directory's: the same wherever there is a copy, and at most 80 letters."""
    return shortened("/".join(path.resolve().parts[-2:]).lstrip("/"), 80)


def shortened(text: str, length: int) -> str:
    """The text in at most so many letters, and still another one than that of any other text."""
    if len(text) <= length:
        return text
    return f"{text[: length - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
