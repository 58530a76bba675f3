"""The parameters of queries: strictly read, named as the arguments that they become."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
import msgspec.inspect
from msgspec import Meta, field

from app.api.errors import FieldError, Problem
from app.api.values import JobType, Length, QueueName, Status, Text, Time, explain, to_utc

Q = TypeVar("Q", bound="Query")


class Query(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The query of a request: what it does not say is None, or has a default."""

    def __post_init__(self) -> None:
        """Raises ValueError, with the parameter in backquotes, for a time that is none in UTC."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime):
                setattr(self, name, to_utc(name, value))

    def given(self) -> dict[str, Any]:
        """Returns the arguments that were said, or have a default."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}


class NoQuery(Query, kw_only=True):
    """There are no parameters."""


class Paged(Query, kw_only=True):
    """A page of a list."""

    after: Annotated[Text, Meta(description="`next_cursor` of the page before")] | None = field(
        name="cursor", default=None
    )
    max_rows: Annotated[int, Meta(ge=1, le=500, description="how many at most")] = field(
        name="limit", default=50
    )


class JobFilter(Paged, kw_only=True):
    """Which jobs."""

    name_prefix: Annotated[Text, Meta(description="how its name begins", examples=["nightly-"])] | None = None
    job_type: JobType | None = None
    queue: QueueName | None = None
    tag: Annotated[Text, Meta(description="that have this tag", examples=["billing"])] | None = None
    paused: Annotated[bool, Meta(description="only those that are paused, or that are not")] | None = None


class TimeRange(Paged, kw_only=True):
    """A page of what lies between two times."""

    from_time: Annotated[Time, Meta(description="not before this time")] | None = None
    to_time: Annotated[Time, Meta(description="before this time")] | None = None


class JobExecutionFilter(TimeRange, kw_only=True):
    """Which executions of a job."""

    status: Status | None = None
    error_contains: (
        Annotated[
            Text, Meta(description="this text in the error, in any case of letters", examples=["refused"])
        ]
        | None
    ) = None


class ExecutionFilter(JobExecutionFilter, kw_only=True):
    """Which executions."""

    job_id: UUID | None = None
    queue: QueueName | None = None
    job_type: JobType | None = None
    tag: Annotated[Text, Meta(description="whose job has this tag", examples=["billing"])] | None = None


class Instants(Query, kw_only=True):
    """Which instants of a schedule."""

    n: Annotated[int, Meta(ge=1, le=1000, description="how many")] = 5
    after: Annotated[Time, Meta(description="those after this time; else after now")] | None = None


class StatisticsRange(Query, kw_only=True):
    """Which statistics."""

    from_time: (
        Annotated[Time, Meta(description="not before this time; else an hour before the end")] | None
    ) = None
    to_time: Annotated[Time, Meta(description="before this time; else now")] | None = None
    step: Annotated[Length, Meta(description="the length of a step: whole minutes")] = "1 minute"
    queue: QueueName | None = None
    job_type: JobType | None = None


_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,15}")
_TRUTH = {"true": True, "false": False}


def read_query(query_string: bytes, kind: type[Q]) -> Q:
    """Returns the parameters of a query; raises the problem that names the one that does not fit."""
    if not query_string:
        return kind()
    readers = _readers(kind)
    values: dict[str, Any] = {}
    for name, text in _pairs(query_string):
        if name not in readers:
            known = ", ".join(readers)
            raise _refusal(
                name[:100], "is not known", hint=f"there are {known}" if known else "there are none"
            )
        if name in values:
            raise _refusal(name, "must be given once")
        values[name] = readers[name](text)
    try:
        # Strictly: else 1e3 would be a number, 17 a time and null no filter at all.
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`")
        if not name:  # said by us
            _, name, message = message.split("`")
            message = message.strip()
        message = explain(message, name)
        if " such as 2031" in message:
            message += " (in a query + is written %2B)"
        raise _refusal(name, message) from error


def _pairs(query_string: bytes) -> Iterator[tuple[str, str]]:
    try:
        yield from parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:  # no ASCII, or what is escaped is no UTF-8
        raise Problem(
            400,
            "malformed",
            "the query is no UTF-8",
            hint="write what is no ASCII as UTF-8 with %",
            errors=[FieldError("query", "is no UTF-8")],
        ) from error


def _refusal(name: str, message: str, *, hint: str | None = None) -> Problem:
    return Problem(
        400,
        "malformed",
        f"the query parameter {name!r}: {message}",
        hint=hint,
        errors=[FieldError(f"query.{name}", message)],
    )


@cache
def _readers(kind: type[Query]) -> dict[str, Callable[[str], Any]]:
    """Returns what makes a value of a text, by the name of the parameter. What is none stays a text."""
    readers: dict[str, Callable[[str], Any]] = {}
    for found in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        types = getattr(found.type, "types", (found.type,))
        inner = [getattr(t, "type", t) for t in types]
        if any(isinstance(t, msgspec.inspect.IntType) for t in inner):
            readers[found.encode_name] = lambda text: int(text) if _WHOLE_NUMBER.fullmatch(text) else text
        elif any(isinstance(t, msgspec.inspect.BoolType) for t in inner):
            readers[found.encode_name] = lambda text: _TRUTH.get(text, text)
        else:
            readers[found.encode_name] = str
    return readers
