"""Brings a database to today's schema: revisions, then changed functions, all in one transaction."""

from __future__ import annotations

import io
import random
import time
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import Connection, errors, sql
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from migrations.files import OWNER_CHANGE, ROLES_AND_SCHEMAS, VERSION_TABLE_SCHEMA, repeatable_files
from migrations.repeatable import (
    RELEASE,
    BrokenFileError,
    apply_changed,
    changed_files,
    checksum_of,
    gone_files,
    is_in_the_way,
    name_of,
)

LOCK_ATTEMPTS = 5
LOCK_TIMEOUT = "2s"

# Shorter than deadlock_timeout: it is the migration that lets go, and nobody else is cancelled.
FIRST_LOCKS_TIMEOUT = "500ms"

# In the order in which most take them, so that who is on his way gets through.
LOCK_ORDER = (
    *("jobs", "job_names", "job_versions", "schedules", "dedup_keys", "waiting", "running", "workers"),
    *("history", "audit_log"),
)

# One migration at a time in a database; the second then finds nothing left to do.
MIGRATION_LOCK = 7_046_029_254_386_353_131

# Also in a server that a dump was loaded into: it brings along the schemas, but no roles.
NO_ROLES = """
    select to_regnamespace('scheduler_internal') is null or not exists (
        select from pg_auth_members m
        where m.roleid = to_regrole('scheduler_sql') and m.member = to_regrole('scheduler_owner'))
"""

# What needs data besides a schema: the zones that a schedule may name, the partitions of the next days.
FINAL_CALLS = ("scheduler_internal.refresh_time_zones()", "scheduler.maintain()")


class MigrationError(Exception):
    """The database cannot be migrated; the message is one line and names the fix."""


def migrate(conninfo: str) -> list[str]:
    """Applies what is pending and returns its names; either all of it happens, or nothing."""
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            return _migrate_once(conninfo)
        except BrokenFileError as error:
            raise MigrationError(str(error)) from error
        except errors.InsufficientPrivilege as error:
            raise MigrationError(
                f"{error.diag.message_primary}: migrate as the database's owner with the right to create "
                "roles (CREATEROLE), or give an administrator the output of `pgtick migrate --sql`"
            ) from error
        except errors.Error as error:
            # Behind a long query a change of a table waits, and everybody else behind it: rather let go, and
            # come again.
            if not is_in_the_way(error):
                raise
            if attempt == LOCK_ATTEMPTS:
                raise MigrationError(
                    f"another session is in the way ({error.diag.message_primary}): "
                    "stop tickers and workers, end old transactions (pg_stat_activity shows them), and run "
                    "`pgtick migrate` again"
                ) from error
            time.sleep(random.uniform(0.5, 1.0) * attempt)  # noqa: S311
        except DBAPIError as error:
            # SQLAlchemy's own: of a connection that was not to be had, or, since its rollback found the
            # connection dead, in the place of the error before.
            if not error.connection_invalidated:
                raise (error.orig or error) from None
            raise MigrationError(
                "the connection to the database was lost on the way, which undoes what was not committed: "
                "run it again"
            ) from error
    raise AssertionError("unreachable")


def pending(conninfo: str) -> list[str]:
    """Returns the names of what `migrate` would apply, and changes nothing."""
    with _connect(conninfo) as conn:
        revisions = _pending_revisions(conn)
        if conn.execute("select to_regclass('scheduler_internal.repeatables')").fetchone() == (None,):
            return [*revisions, *map(name_of, repeatable_files())]
        repeatables = [name_of(path) for path in changed_files(conn)]
        return [*revisions, *repeatables, *(f"{name} (gone)" for name in gone_files(conn))]


def offline_sql() -> str:
    """Returns the SQL that sets up an empty database, for those who must read it first."""
    config = _config()
    config.output_buffer = io.StringIO()
    command.upgrade(config, "head", sql=True)
    parts = [
        "begin;",
        ROLES_AND_SCHEMAS.read_text(),
        OWNER_CHANGE.read_text(),
        config.output_buffer.getvalue(),
    ]
    parts.append("set local check_function_bodies = off;")
    for path in repeatable_files():
        parts.append(f"-- {name_of(path)}\n{path.read_text()}")
        parts.append(
            "insert into scheduler_internal.repeatables (path, checksum, release) "
            f"values ('{name_of(path)}', '{checksum_of(path)}', '{RELEASE}');"
        )
    parts += [f"select {call};" for call in FINAL_CALLS]
    return "\n".join([*parts, "commit;\n"])


def _connect(conninfo: str) -> Connection[Any]:
    # The files are UTF-8, whatever PGCLIENTENCODING says.
    return psycopg.connect(conninfo, prepare_threshold=None, client_encoding="utf8")


def _migrate_once(conninfo: str) -> list[str]:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _connect(conninfo),
        poolclass=NullPool,
    )
    with engine.begin() as connection:
        conn: Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        encoding = conn.info.parameter_status("server_encoding")
        if encoding not in ("UTF8", "SQL_ASCII"):  # the latter takes any character too, unchecked
            raise MigrationError(
                f"this database cannot hold every character, its encoding is {encoding}: make another one, "
                "`createdb --template template0 --encoding UTF8 NAME`"
            )
        conn.execute("select pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
        conn.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
        revisions = _pending_revisions(conn)
        if conn.execute(NO_ROLES.encode()).fetchone() == (True,):
            conn.execute(ROLES_AND_SCHEMAS.read_bytes())
        conn.execute(OWNER_CHANGE.read_bytes())
        if revisions:
            _lock_first(conn, revisions)
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        applied = [*revisions, *apply_changed(conn)]
        if applied:
            for call in FINAL_CALLS:
                if conn.execute("select to_regprocedure(%s)", [call]).fetchone() != (None,):
                    conn.execute(f"select {call}".encode())
        return applied


def _lock_first(conn: Connection[Any], revisions: list[str]) -> None:
    """Takes all locks before anything is done.

    Who reads and writes several tables would else hold one that is still to come, and wait for one that is
    locked already: beside three clients each try from 0001 to 0006 ended in a deadlock.
    """
    script = ScriptDirectory.from_config(_config())
    modes: dict[str, str] = {}
    for revision in revisions:
        for table, mode in getattr(script.get_revision(revision).module, "LOCKS", {}).items():
            modes[table] = min(mode, modes.get(table, mode))  # "access exclusive" or "share"
    if conn.execute("select to_regclass('scheduler_internal.repeatables')").fetchone() == (None,):
        return  # a first installation
    conn.execute(f"set local lock_timeout = '{FIRST_LOCKS_TIMEOUT}'")
    ours = "select viewname from pg_views where schemaname = 'scheduler' and viewowner = current_user"
    for (view,) in conn.execute(f"{ours} order by viewname".encode()).fetchall():
        # Locks it, and no table, and changes nothing: that is its owner.
        conn.execute(sql.SQL("alter view scheduler.{} owner to current_user").format(sql.Identifier(view)))
    for table in sorted(modes, key=LOCK_ORDER.index):
        conn.execute(f"lock table {VERSION_TABLE_SCHEMA}.{table} in {modes[table]} mode".encode())
    conn.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")


def _pending_revisions(conn: Connection[Any]) -> list[str]:
    script = ScriptDirectory.from_config(_config())
    known = [revision.revision for revision in script.walk_revisions()][::-1]
    table = f"{VERSION_TABLE_SCHEMA}.alembic_version"
    if conn.execute("select to_regclass(%s)", [table]).fetchone() == (None,):
        return known
    row = conn.execute(f"select version_num from {table}".encode()).fetchone()
    if row is None:
        return known
    if row[0] not in known:
        raise MigrationError(
            f"the database's schema ({row[0]}) is newer than this pgtick: install the newer one"
        )
    return known[known.index(row[0]) + 1 :]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
