"""A fresh database for a contestant, on the server that all share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql
from psycopg.conninfo import make_conninfo

from loadtest.rivals.contestants import Contestant
from loadtest.server import Database


@contextmanager
def fresh(db: Database, contestant: Contestant) -> Iterator[str]:
    """Has a database with the contestant's tables while the block runs."""
    name = sql.Identifier(dbname := f"pgtick_rival_{secrets.token_hex(6)}")
    with db.connect() as conn:
        conn.execute(sql.SQL("create database {}").format(name))
    try:
        conninfo = make_conninfo(db.conninfo, dbname=dbname)
        contestant.run("install", conninfo=conninfo)
        yield conninfo
    finally:
        with db.connect() as conn:
            conn.execute(sql.SQL("drop database {} with (force)").format(name))
