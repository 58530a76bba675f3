"""What `pgtick doctor` looks at: everything that pgtick depends on, each with its state and the fix."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

import msgspec
import psycopg
from psycopg import Connection
from psycopg.rows import dict_row

from app import localdb
from app.binaries import ClusterError, find_binaries
from app.db import (
    READ_ONLY_FIX,
    NoDatabaseError,
    connect,
    describe_error,
    direct_conninfo,
    explain_error,
    write_conninfo,
)
from app.settings import Settings, SettingsError

OLDEST_SERVER = 15_00_00
CLOCK_SKEW_SECONDS = 2.0
SLOW_ROUND_TRIP_SECONDS = 0.05

Status = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    status: Status
    detail: str
    fix: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Looks at everything; what cannot be looked at because of an earlier finding is left out."""
    yield Finding(
        "pgtick", "ok", f"{importlib.metadata.version('pgtick')}, Python {platform.python_version()}"
    )
    yield from _check_settings(settings)
    yield _check_programs(settings)
    yield _check_psql()
    yield from _check_connection("database", write_conninfo, _check_server)
    if settings.direct_database is not None:
        yield from _check_connection("direct connection", direct_conninfo, _check_direct)
    yield from _check_schema()
    if settings.sql_database is not None:
        yield from _check_connection("SQL jobs' login", partial(str, settings.sql_database), _check_sql_login)
    elif settings.database is not None:
        yield Finding(
            "SQL jobs' login",
            "warn",
            "none given: no worker runs SQL jobs",
            "set PGTICK_SQL_CONNECTION_STRING",
        )
    for number, replica in enumerate(settings.replicas, start=1):
        yield from _check_connection(f"replica {number}", partial(str, replica), _check_replica)
    yield _check_redis(settings)
    if settings.pgbouncer_admin is not None:
        yield _check_pgbouncer(settings.pgbouncer_admin)
    yield from _check_health()


def _check_settings(settings: Settings) -> Iterator[Finding]:
    """Looks at what only the API, and what only a worker, refuses when it starts."""
    from app.api.config import api_settings

    try:
        api_settings(settings)
        yield Finding("settings of the API", "ok", "none is refused")
    except SettingsError as error:
        yield Finding("settings of the API", "fail", str(error), "correct it, or unset it for the default")
    # A worker needs a database to be named; how that one does is looked at below.
    environ = os.environ | ({} if settings.database else {"DB_WRITE_CONNECTION_STRING": "host=127.0.0.1"})
    check = [sys.executable, "-P", "-m", "workers", "check"]  # -P: ours, whatever the current folder has
    worker = subprocess.run(check, env=environ, capture_output=True, text=True, check=False)
    if worker.returncode == 0:
        yield Finding("settings of workers", "ok", "none is refused, and all handlers load")
    else:
        reason = worker.stderr.strip().rpartition("\n")[2].removeprefix("pgtick: ")
        yield Finding("settings of workers", "fail", reason, "correct it, or unset it for the default")


def _check_programs(settings: Settings) -> Finding:
    try:
        binaries = find_binaries()
    except ClusterError as error:
        # Only the local database needs them.
        return Finding("PostgreSQL's programs", "warn" if settings.database else "fail", "none", str(error))
    detail = f"{binaries.major} ({binaries.origin}) in {binaries.directory}"
    if settings.database is None:
        detail += f", local database in {localdb.home()}"
    return Finding("PostgreSQL's programs", "ok", detail)


def _check_psql() -> Finding:
    if found := shutil.which("psql"):
        return Finding("psql", "ok", found)
    try:
        return Finding("psql", "ok", find_binaries().program("psql"))
    except ClusterError:
        return Finding("psql", "warn", "none", "install postgresql-client")


def _check_connection(
    check: str, conninfo: Callable[[], str], look: Callable[[str, Connection[Any]], Iterator[Finding]]
) -> Iterator[Finding]:
    try:
        with connect(conninfo()) as conn:
            yield from look(check, conn)
    except (NoDatabaseError, ClusterError) as error:
        yield Finding(check, "fail", "none", str(error))
    except psycopg.Error as error:
        yield Finding(check, "fail", *explain_error(error))


def _check_server(check: str, conn: Connection[Any]) -> Iterator[Finding]:
    began = datetime.now(UTC)
    row = conn.execute(
        """
        select clock_timestamp(), pg_is_in_recovery(), pg_backend_pid(),
            current_setting('transaction_read_only') = 'on'
        """
    ).fetchone()
    took = (datetime.now(UTC) - began).total_seconds()
    if row is None:
        raise AssertionError("a select without a from gives one row")
    now, in_recovery, pid, read_only = row
    pooled = ", through a pooler" if pid != conn.info.backend_pid else ""
    version = conn.info.server_version
    detail = (
        f"PostgreSQL {version // 10_000}.{version % 10_000} at {conn.info.host}:{conn.info.port}{pooled}, "
        f"{took * 1000:.1f} ms"
    )
    if version < OLDEST_SERVER:
        yield Finding(check, "fail", detail, "upgrade to PostgreSQL 15 or newer")
    elif in_recovery:
        yield Finding(
            check, "fail", f"{detail}, a replica", "DB_WRITE_CONNECTION_STRING must name the primary"
        )
    elif read_only:
        yield Finding(check, "fail", f"{detail}, takes no writes", READ_ONLY_FIX)
    elif took > SLOW_ROUND_TRIP_SECONDS:
        yield Finding(check, "warn", detail, "run tickers and workers nearer to the database")
    else:
        yield Finding(check, "ok", detail)
    skew = (now - began).total_seconds()
    if abs(skew) > CLOCK_SKEW_SECONDS:
        # Harmless for pgtick, which knows the database's clock only; but logs do not line up.
        yield Finding(
            "clock", "warn", f"this machine is {skew:+.1f} s off the database's", "synchronise with NTP"
        )
    else:
        yield Finding("clock", "ok", f"within {CLOCK_SKEW_SECONDS:g} s of the database's")


def _check_direct(check: str, conn: Connection[Any]) -> Iterator[Finding]:
    row = conn.execute("select pg_backend_pid()").fetchone()
    if row is not None and row[0] != conn.info.backend_pid:
        yield Finding(
            check, "fail", "goes through a pooler", "DB_DIRECT_CONNECTION_STRING must name the server itself"
        )
    else:
        yield Finding(check, "ok", f"{conn.info.host}:{conn.info.port} as {conn.info.user}")


def _check_schema() -> Iterator[Finding]:
    from migrations.runner import MigrationError, pending

    try:
        names = pending(direct_conninfo())
    except (NoDatabaseError, ClusterError, psycopg.OperationalError):
        return  # told above
    except psycopg.errors.InsufficientPrivilege:
        yield Finding(
            "schema",
            "warn",
            "this login may not look",
            "set DB_DIRECT_CONNECTION_STRING to the login that migrates",
        )
        return
    except (MigrationError, psycopg.Error) as error:
        yield Finding("schema", "fail", str(error).splitlines()[0], "")
        return
    if names:
        yield Finding("schema", "fail", f"{len(names)} pending", "run `pgtick migrate`")
    else:
        yield Finding("schema", "ok", "up to date")


def _check_sql_login(check: str, conn: Connection[Any]) -> Iterator[Finding]:
    row = conn.execute(
        """
        select r.rolsuper, pg_has_role(r.oid, 'scheduler_sql', 'member'),
            array(select m.roleid::regrole::text from pg_auth_members m
                  where m.member = r.oid and m.roleid <> 'scheduler_sql'::regrole)
        from pg_roles r where r.rolname = current_user
        """
    ).fetchone()
    superuser, member, others = row or (False, False, [])
    if superuser or any(other.startswith("scheduler_") for other in others):
        yield Finding(
            check, "fail", f"{conn.info.user} has too many rights", "make it a member of scheduler_sql only"
        )
    elif not member:
        yield Finding(check, "fail", f"{conn.info.user} may not finish jobs", "grant scheduler_sql to it")
    else:
        yield Finding(check, "ok", conn.info.user)


def _check_replica(check: str, conn: Connection[Any]) -> Iterator[Finding]:
    row = conn.execute(
        """
        select pg_is_in_recovery(), pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
        """
    ).fetchone()
    in_recovery, behind = row or (False, None)
    version = conn.info.server_version
    where = f"PostgreSQL {version // 10_000}.{version % 10_000} at {conn.info.host}:{conn.info.port}"
    if in_recovery:
        yield Finding(check, "ok", f"{where}, {behind or 0} bytes to replay")
    else:
        yield Finding(check, "warn", f"{where} is a primary", "correct the variable")


def _check_pgbouncer(conninfo: str) -> Finding:
    name, fix = "PgBouncer's console", "correct PGTICK_PGBOUNCER_ADMIN, or stats_users in pgbouncer.ini"
    try:
        with connect(conninfo) as conn:
            # The console speaks the simple protocol only.
            result = conn.pgconn.exec_(b"show version")
            value = result.get_value(0, 0) if result.ntuples else None
    except psycopg.Error as error:
        return Finding(name, "fail", describe_error(error), fix)
    if value is None:
        return Finding(name, "fail", "it does not tell its version", fix)
    return Finding(name, "ok", value.decode())


def _check_redis(settings: Settings) -> Finding:
    from app.doctor_redis import look_at_redis

    if settings.redis_url is not None:
        return look_at_redis(settings.redis_url, settings.redis_password)
    if settings.database is None:
        return Finding("Redis", "ok", "none given: `pgtick up` brings its own")
    return Finding(
        "Redis", "warn", "none given: each process of the API caches and limits by itself", "set REDIS_URL"
    )


def _check_health() -> Iterator[Finding]:
    try:
        with connect() as conn, conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                "select check_name, status, detail, hint from scheduler.health()"
            ).fetchall()
    except psycopg.errors.InsufficientPrivilege as error:
        yield Finding("health", "fail", *explain_error(error))
        return
    except (NoDatabaseError, ClusterError, psycopg.Error):
        return  # the schema's and the connection's findings have told why
    for row in rows:
        yield Finding(row["check_name"], row["status"], row["detail"] or "", row["hint"] or "")
