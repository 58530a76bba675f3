"""The kinds of values in requests and answers: how each is written, and its bounds.

The database checks them all again, and more: what stands here is what a client should know before it asks.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Raw

JobType = Literal["sql", "http", "python", "command"]
Status = Literal["scheduled", "ready", "running", "succeeded", "failed", "cancelled", "expired"]
Verdict = Literal[
    "fired", "coalesced", "skipped_overlap", "skipped_misfire", "skipped_paused", "skipped_window"
]
Origin = Literal["fire", "trigger", "backfill", "enqueue"]
Backoff = Literal["fixed", "linear", "exponential"]
Misfire = Literal["skip", "fire_once", "fire_all"]
Overlap = Literal["allow", "skip", "queue_one", "cancel_running"]
Dst = Literal["debian", "wall", "skip"]

END = r"$(?!\n)"
"""Python's `$` lets a line feed pass."""

# PostgreSQL's text has no NUL. Said here, so that the field is named.
NO_NUL = r"^[^\x00]*$"

# What PostgreSQL writes, and what people write, each unit once and the larger first. Its own grammar has
# more, and errors that name no field. Seven digits overflow nothing.
_N = r"[+-]?[0-9]{1,7}(\.[0-9]{1,6})?"
_DATE = "".join(
    rf"({_N} ?{unit}( |$))?" for unit in (r"(years?|yrs?|y)", r"(months?|mons?)", r"(weeks?|w)", r"(days?|d)")
)
_TIME = "".join(
    rf"({_N} ?{unit}( |$))?" for unit in (r"(hours?|hrs?|h)", r"(minutes?|mins?|m)", r"(seconds?|secs?|s)")
)
_CLOCK = r"[+-]?[0-9]{1,7}:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_ISO = r"P(([0-9]{1,7}[YMWD]){1,4}(T([0-9]{1,7}[HMS]){1,3})?|T([0-9]{1,7}[HMS]){1,3})"
LENGTH = rf"^(0|{_DATE}({_TIME}|{_CLOCK})|{_ISO}){END}"

QUEUE = rf"^[A-Za-z0-9][A-Za-z0-9._:-]{{0,62}}{END}"

_EXPLAINED = {
    "Expected `int`, got `str`": "must be a whole number",
    "Expected `bool`, got `str`": "must be true or false",
    "Expected `datetime` with a timezone component": "must say its time zone: 2031-03-05T12:00:00Z",
    "Invalid RFC3339 encoded datetime": "must be a time such as 2031-03-05T12:00:00Z",
    "Invalid UUID": "must be a UUID",
} | {
    f"Expected `str` matching regex {pattern!r}": message
    for pattern, message in (
        (NO_NUL, "must not hold a NUL character"),
        (LENGTH, "must be a length such as `90 seconds`, `1 day 02:00:00` or `PT15M`"),
        (QUEUE, "must be 1 to 63 of A-Z a-z 0-9 . _ : - that begin with a letter or digit"),
    )
}


def to_utc(name: str, time: datetime) -> datetime:
    """Returns a time in UTC: PostgreSQL knows no zones that are 16 hours off, the format of times does."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"`{name}` is out of range") from None


_CHOICES = {
    "job_type": JobType,
    "status": Status,
    "backoff": Backoff,
    "misfire": Misfire,
    "overlap": Overlap,
    "dst": Dst,
}


def explain(message: str, name: str) -> str:
    """Returns the message of a decoder about a field, for people: without regular expressions."""
    message = message.replace(" | null`", "`")
    if message.startswith("Invalid enum value") and name in _CHOICES:
        return f"must be one of {', '.join(get_args(_CHOICES[name]))}"
    return _EXPLAINED.get(message, message)


Text = Annotated[str, Meta(max_length=1000, pattern=NO_NUL)]
JobName = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL, examples=["nightly-report"])]
QueueName = Annotated[str, Meta(max_length=63, pattern=QUEUE, examples=["default"])]
Priority = Annotated[int, Meta(ge=-100, le=100, description="0 is normal; higher runs sooner")]
Attempts = Annotated[int, Meta(ge=1, le=1000, description="how many attempts at most, the first included")]
Length = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=LENGTH,
        description="a length of time: `90 seconds`, `1 day 02:00:00`, `PT15M`",
        examples=["5 minutes"],
    ),
]
Time = Annotated[datetime, Meta(tz=True, examples=["2031-03-05T12:00:00Z"])]
Zone = Annotated[
    str,
    Meta(
        max_length=100, pattern=NO_NUL, description="a name of the IANA database", examples=["Europe/Berlin"]
    ),
]
Schedule = Annotated[
    str,
    Meta(
        max_length=1000,
        pattern=NO_NUL,
        description="cron (5 fields; 6: second first; 7: year last), a nickname such as `@daily`, or "
        "`every 15 minutes [from TIME]`",
        examples=["30 2 * * *"],
    ),
]
DedupKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=500,
        pattern=NO_NUL,
        description="until it has ended, another with this key is the same execution",
        examples=["invoice-4711"],
    ),
]
Tag = Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL)]
Tags = Annotated[list[Tag], Meta(max_length=50, examples=[["billing"]])]


Target = Annotated[
    Raw,
    Meta(
        description="what to run: for http `url` (and `method`, `headers`, `body`), for python `handler`, "
        "for sql `statement`, for command `shell` or `args`; a text is short for the first of them",
        examples=[{"url": "https://reports.example.com/build"}],
        extra_json_schema={"type": ["object", "string"]},
    ),
]
Payload = Annotated[
    Raw,
    Meta(
        description="any JSON of up to 1 MB and 64 levels",
        examples=[{"kind": "daily"}],
    ),
]
AnyJson = Annotated[Any, Meta(description="any JSON")]
