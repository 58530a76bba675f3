"""Reads the lists of the REST API, as JSON, in a transaction that must not write."""

from __future__ import annotations

import json
from typing import Any

from psycopg import sql

from tests.sql.engine import Engine


def read(engine: Engine, function: str, **arguments: Any) -> Any:
    """Returns the document that a function makes. Read-only, as on a replica."""
    names = sql.SQL(", ").join(sql.SQL("{0} => %({0})s").format(sql.SQL(name)) for name in arguments)
    call = sql.SQL("select scheduler.{}({})::text").format(sql.SQL(function), names)
    with engine.db.transaction():
        engine.db.execute("set local transaction read only")
        row = engine.db.execute(call, arguments).fetchone()
    assert row is not None
    return None if row[0] is None else json.loads(row[0])


def pages(engine: Engine, function: str, **arguments: Any) -> list[list[Any]]:
    """Returns all pages of a list, each as its items; no item comes twice."""
    found: list[list[Any]] = []
    cursor = None
    while True:
        page = read(engine, function, after=cursor, **arguments)
        assert set(page) == {"items", "next_cursor"}
        assert len(page["items"]) <= arguments.get("max_rows", 50)
        found.append(page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def items(engine: Engine, function: str, **arguments: Any) -> list[Any]:
    """Returns the items of all pages."""
    return [item for page in pages(engine, function, **arguments) for item in page]
