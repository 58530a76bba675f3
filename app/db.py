"""Connections for the command line, and PostgreSQL's errors in one line."""

from __future__ import annotations

import os
import re
from typing import Any

import psycopg
from psycopg import Connection, errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import set_json_loads

from app import localdb
from app.cluster import SUPERUSER
from app.documents import from_json
from app.settings import load_settings

CONNECT_SECONDS = 10

# What PostgreSQL says when a function, a view or the whole schema that this version calls is not there.
SCHEMA_ERRORS = (
    errors.InvalidSchemaName,
    errors.UndefinedTable,
    errors.UndefinedFunction,
    errors.UndefinedColumn,
)

READ_ONLY_FIX = (
    "name the primary, no standby, in the connection string; if it is the primary, find out who set "
    "default_transaction_read_only (providers do when the disk is full)"
)

# What a server, or PgBouncer before it, says when it does not serve us -> the fix. (workers/database.py
# has the same for tickers and workers.)
FIXES = (
    (
        "password authentication failed|no password supplied",
        "correct user and password in the connection string",
    ),
    (
        # PgBouncer says this of an unknown user, too.
        "SASL authentication failed",
        "correct user and password in the connection string; PgBouncer's userlist.txt must have the login",
    ),
    (
        "no such database",
        "correct the database's name in the connection string, or add it to pgbouncer.ini",
    ),
    (
        'database "[^"]*" does not exist',
        "create it (createdb), or correct the database's name in the connection string",
    ),
    ("does not exist$", "create the role, or correct the user in the connection string"),
    (
        "server login has been failing|query_wait_timeout",
        "PgBouncer answers, but had no connection to the database for us; try again, else see its log",
    ),
)


class NoDatabaseError(Exception):
    """No database is given and the local one does not run; the message names the fix."""


def write_conninfo() -> str:
    """Returns the given database, or the local one as its administrator."""
    return load_settings(os.environ).database or _local("pgtick_admin")


def direct_conninfo() -> str:
    """Returns the database past any pooler; the local one as its superuser, who may do everything."""
    settings = load_settings(os.environ)
    return settings.direct_database or settings.database or _local(SUPERUSER)


def connect(conninfo: str | None = None, *, autocommit: bool = True) -> Connection[Any]:
    """Opens a connection, to the database that commands work on unless another is named."""
    conninfo = conninfo or write_conninfo()
    defaults: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "application_name": "pgtick"}
    given = conninfo_to_dict(conninfo)
    missing = {name: value for name, value in defaults.items() if name not in given}
    # Whatever PGCLIENTENCODING says: payloads hold any character.
    options = missing | {"client_encoding": "utf8", "prepare_threshold": None}
    conn = psycopg.connect(conninfo, autocommit=autocommit, **options)
    set_json_loads(from_json, conn)
    return conn


def _local(user: str) -> str:
    cluster = localdb.local_cluster()
    if cluster.pid() is None:
        raise NoDatabaseError(
            "there is no database: set DB_WRITE_CONNECTION_STRING, or start the local one by `pgtick up`"
        )
    return cluster.conninfo(dbname=localdb.DATABASE, user=user)


def describe_error(error: psycopg.Error) -> str:
    """Returns an error of PostgreSQL in one line: message, detail, and the hint, or else our own."""
    return ": ".join(filter(None, explain_error(error)))


def explain_error(error: psycopg.Error) -> tuple[str, str]:
    """Returns what is wrong and our own fix for it, which may be empty: each in one line."""
    diag = error.diag
    if diag.message_primary is None:
        return _explain_lost_connection(str(error))
    if isinstance(error, SCHEMA_ERRORS) and "scheduler" in diag.message_primary:
        return (
            f"{diag.message_primary}: the database's schema is older than this pgtick",
            "run `pgtick migrate`",
        )
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return diag.message_primary, READ_ONLY_FIX
    if isinstance(error, errors.InsufficientPrivilege) and "denied" in diag.message_primary:
        return diag.message_primary, "the login lacks a role for it, see deploy/README.md"
    if (error.sqlstate or "").startswith("08") and (fix := _fix(diag.message_primary)):  # of a pooler
        return diag.message_primary, fix
    return describe_notice(diag), ""


def describe_notice(notice: errors.Diagnostic) -> str:
    """Returns what PostgreSQL remarks on a call in one line: message, detail and hint."""
    parts = (notice.message_primary, notice.message_detail, notice.message_hint)
    return "; ".join(" ".join(part.split()).rstrip(".") for part in parts if part)


def _fix(reason: str) -> str | None:
    return next((fix for pattern, fix in FIXES if re.search(pattern, reason)), None)


def _explain_lost_connection(text: str) -> tuple[str, str]:
    line = " ".join(text.split())
    where = ""
    if found := re.search(r'server at "([^"]+)"(?: \([^)]*\))?, port (\d+)', line):
        where = f" at {found[1]}:{found[2]}"
    if found := re.search(r"FATAL: +(.+)$", line):
        fix = _fix(found[1]) or "see the server's log"
        return f"the database{where} refused the connection: {found[1]}", fix
    if found := re.search(
        r"(?:failed: |connection )(Connection refused|timeout expired|No route to host)", line
    ):
        return (
            f"no database answers{where} ({found[1].lower()})",
            "start it, or correct host and port in the connection string",
        )
    if "resolve host" in line or "translate host" in line:
        return f"the database's host name is not known ({line})", "correct it in the connection string"
    return f"the connection to the database{where} failed: {line}", ""
