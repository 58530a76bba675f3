"""One SQL statement, by the extended protocol and in bounded memory: only its first rows are kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from workers.documents import to_json

MAX_ROWS = 100
MAX_ROWS_BYTES = 49_152

_ROWS = (ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_OK)
_ENDS = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY)


class CopyRefusedError(Exception):
    """COPY to or from the client makes no sense in a job; the connection cannot be used any more."""


class Rows:
    """The first rows of a result, as JSON objects."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.count = 0
        self._bytes = 0
        self._full = False

    def take(self, result: PGresult) -> None:
        """Count the rows of a part of the result, and keep them while there is room."""
        for row in range(result.ntuples):
            self.count += 1
            if self._full:
                continue
            self._bytes += sum(len(result.get_value(row, column) or b"") for column in range(result.nfields))
            if self._bytes <= MAX_ROWS_BYTES:
                record = {
                    _name(result, column): _value(result, row, column) for column in range(result.nfields)
                }
                self._bytes += len(to_json(record)) // 4
                self.kept.append(record)
            self._full = self._bytes > MAX_ROWS_BYTES or len(self.kept) >= MAX_ROWS


async def execute(conn: psycopg.AsyncConnection[Any], statement: str) -> dict[str, Any]:
    """Run exactly one statement and return its command tag, its row count and its first rows.

    cursor.execute() would take several statements (a `commit` among them) and all rows; cursor.stream()
    refuses statements without rows.
    """
    rows = Rows()
    async with conn.lock:
        conn.pgconn.send_query_params(statement.encode(), None)
        conn.pgconn.set_single_row_mode()
        tag = await conn.wait(_fetch_all(conn.pgconn, rows))
    last = tag.rpartition(" ")[2]
    summary: dict[str, Any] = {"command": tag, "rowcount": int(last) if last.isdecimal() else rows.count}
    if rows.count:
        summary |= {"rows": rows.kept, "truncated": rows.count > len(rows.kept)}
    return summary


def _fetch_all(pgconn: PGconn, rows: Rows) -> PQGen[str]:
    """Take in the whole result and return its command tag; gives way only where data has to be waited for."""
    yield from generators.send(pgconn)
    tag = ""
    error: psycopg.Error | None = None
    while (result := (yield from generators.fetch(pgconn))) is not None:
        if result.status in _ROWS:
            rows.take(result)
        if result.status in _ENDS:
            tag = (result.command_status or b"").decode()
        elif result.status == ExecStatus.FATAL_ERROR:
            error = psycopg.errors.error_from_result(result)
        elif result.status != ExecStatus.SINGLE_TUPLE:
            raise CopyRefusedError("COPY from or to the client is not possible in a job")
    if error is not None:
        raise error
    return tag


def _name(result: PGresult, column: int) -> str:
    return (result.fname(column) or b"?").decode("utf-8", "replace")


def _value(result: PGresult, row: int, column: int) -> Any:
    data = result.get_value(row, column)
    if data is None:
        return None
    text = data.decode("utf-8", "replace")
    convert = _CONVERSIONS.get(result.ftype(column))
    return convert(text) if convert else text


def _number(text: str) -> float | str:
    number = float(text)
    return number if abs(number) < float("inf") else text  # JSON has no NaN and no infinity


def _document(text: str) -> Any:
    """A number or a depth that Python's JSON does not bear must not fail a job that has done its work."""
    try:
        value = json.loads(text)
        to_json(value)
    except (ValueError, RecursionError):
        return text
    return value


# By type oid; everything else is kept as PostgreSQL writes it, which loses nothing.
_CONVERSIONS: dict[int, Callable[[str], Any]] = {
    16: lambda text: text == "t",
    20: int,
    21: int,
    23: int,
    26: int,
    700: _number,
    701: _number,
    114: _document,
    3802: _document,
}
