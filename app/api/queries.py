"""Every statement of the API: a call of one function of `scheduler`. What is decided, is decided there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from psycopg import sql

# In a statement of its own before the data: what is read after it includes it.
LSN = b"""
    select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end
            - '0/0'::pg_lsn)::bigint
"""


class Read(msgspec.Struct, frozen=True):
    """A read: a function that returns one document of JSON, or null where there is nothing."""

    function: str
    arguments: Mapping[str, Any] = {}
    returns_row: bool = False
    """Then the document is that row."""

    def text(self) -> bytes:
        """Returns its statement."""
        return _read(self.function, tuple(self.arguments), self.returns_row)


class Write(msgspec.Struct, frozen=True):
    """A write: a function that changes something; what it returns becomes the answer, as JSON."""

    function: str
    arguments: Mapping[str, Any] = {}
    returns_set: bool = False
    """Then the answer is an array."""

    def text(self) -> bytes:
        """Returns its statement, between the two that belong to every request.

        One statement is one transaction and one trip: start_request() notes who asks, and finds the answer if
        the request came before; else the function is called, and end_request() keeps what it answers.
        """
        return _write(self.function, tuple(self.arguments), self.returns_set)


_WRITE = sql.SQL(
    """
    with request as materialized (
        select * from scheduler.start_request(
            request_id => %(@request_id)s, api_key => %(@api_key)s, scopes => %(@scopes)s,
            traceparent => %(@traceparent)s, idempotency_key => %(@idempotency_key)s,
            key_id => %(@key_id)s, request_hash => %(@request_hash)s)
    ), done as materialized (
        select {answer} as answer from request r where r.status is null
    ), kept as materialized (
        select scheduler.end_request(
            idempotency_key => %(@idempotency_key)s, key_id => %(@key_id)s, status => %(@status)s,
            response => d.answer)
        from done d
        where %(@idempotency_key)s::text is not null
    )
    select coalesce(d.answer, r.response)::text, r.status is not null
    from request r
    left join done d on true
    left join kept k on true
    """
)


# As many as there are sets of arguments that callers give. To put one together takes 0.1 ms or more.


@lru_cache(1_000)
def _read(function: str, names: tuple[str, ...], returns_row: bool) -> bytes:
    statement = (
        "select row_to_json(r)::text from scheduler.{} r" if returns_row else "select scheduler.{}::text"
    )
    return sql.SQL(statement).format(_call(function, names)).as_bytes()


@lru_cache(1_000)
def _write(function: str, names: tuple[str, ...], returns_set: bool) -> bytes:
    answer = sql.SQL(
        "(select json_agg(c) from scheduler.{} c)" if returns_set else "to_json(scheduler.{}::text)"
    )
    return _WRITE.format(answer=answer.format(_call(function, names))).as_bytes()


def _call(function: str, names: tuple[str, ...]) -> sql.Composed:
    named = sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in names
    )
    return sql.SQL("{}({})").format(sql.Identifier(function), named)
