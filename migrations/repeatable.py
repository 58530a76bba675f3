"""Functions, views and grants: their files are the truth, applied again whenever their text has changed.

Only what changed is applied, or what somebody has dropped or taken over: even an identical `create or replace
view` takes an exclusive lock and replays it on every replica. A file that has gone is forgotten here; what it
made is dropped by a named revision.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

from psycopg import Connection, errors

from migrations.files import GRANTS, SQL, VERSIONS, repeatable_files

RELEASE = version("pgtick")


# As ours, with rights of their own: a dump that is loaded without owners or rights makes them those of who
# loads it, and functions that everybody may call. Where that was scheduler_owner, SQL jobs would run as that.
MADE = """
    with ours as (
        select p.proname as name, p.proowner as owner
        from pg_proc p
        where p.pronamespace = any ('{scheduler,scheduler_internal}'::regnamespace[]) and p.proacl is not null
        union all
        select c.relname, c.relowner
        from pg_class c
        where c.relnamespace = any ('{scheduler,scheduler_internal}'::regnamespace[]) and c.relkind = 'v'
            and c.relacl is not null
    )
    select o.name from ours o
    join pg_roles r on r.oid = o.owner
    where r.rolname = 'scheduler_sql' or (r.rolname = 'scheduler_owner' and o.name <> 'run_as_scheduler_sql')
"""


class BrokenFileError(Exception):
    """PostgreSQL refused a file of ours; the message says which, where and why."""


def is_in_the_way(error: errors.Error) -> bool:
    """Tells whether another session is to blame, so that the same may do a moment later."""
    if isinstance(error, errors.InternalError_):
        # `tuple concurrently updated`: of a role, which another database's migration has changed, or of what
        # somebody grants rights on; `cache lookup failed`: of what was dropped meanwhile, as old partitions.
        return "concurrently" in str(error) or "cache lookup failed" in str(error)
    return isinstance(error, (errors.LockNotAvailable, errors.DeadlockDetected))


def changed_files(conn: Connection[Any]) -> list[Path]:
    """Returns the files whose text, or whose function or view, this database does not have, in order.

    The grants come along with any other: what is created anew starts with a right for everybody.
    """
    known = dict(conn.execute("select path, checksum from scheduler_internal.repeatables").fetchall())
    files = repeatable_files()
    made = {GRANTS.stem} | {name for (name,) in conn.execute(MADE.encode()).fetchall()}
    changed = [
        path for path in files if known.get(name_of(path)) != checksum_of(path) or path.stem not in made
    ]
    if changed and changed[-1] != GRANTS and GRANTS in files:
        changed.append(GRANTS)
    return changed


def gone_files(conn: Connection[Any]) -> list[str]:
    """Returns the names of applied files that exist no more."""
    names = [name_of(path) for path in repeatable_files()]
    rows = conn.execute(
        "select path from scheduler_internal.repeatables where path <> all (%s) order by path", [names]
    ).fetchall()
    return [str(path) for (path,) in rows]


def apply_changed(conn: Connection[Any]) -> list[str]:
    """Applies what changed, in the caller's transaction, and returns the names."""
    conn.execute("set local check_function_bodies = off")  # files may refer to what comes after them
    changed, gone = changed_files(conn), gone_files(conn)
    for path in changed:
        _apply(conn, path)
        conn.execute(
            """
            insert into scheduler_internal.repeatables as r (path, checksum, release) values (%s, %s, %s)
            on conflict (path) do update
            set checksum = excluded.checksum, release = excluded.release, applied_at = clock_timestamp()
            """,
            [name_of(path), checksum_of(path), RELEASE],
        )
    conn.execute("delete from scheduler_internal.repeatables where path = any (%s)", [gone])
    return [name_of(path) for path in changed] + [f"{name} (gone)" for name in gone]


def _apply(conn: Connection[Any], path: Path) -> None:
    text = path.read_text()
    try:
        conn.execute(text.encode())
    except errors.Error as error:
        if is_in_the_way(error):
            raise  # the runner tries again
        position = error.diag.statement_position
        line = f":{text.count(chr(10), 0, int(position)) + 1}" if position else ""
        raise BrokenFileError(f"{name_of(path)}{line}: {error.diag.message_primary or error}") from error


def name_of(path: Path) -> str:
    """Returns the name by which a file is remembered, such as sql/common/now.sql."""
    return path.relative_to(SQL.parent).as_posix()


def checksum_of(path: Path) -> str:
    """Returns the SHA-256 of a file's text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def schema_digest() -> str:
    """Returns what scheduler.schema_version() says of a database that has all of this."""
    newest = max(path.name[:4] for path in VERSIONS.glob("[0-9]*.py"))
    files = sorted((name_of(path), checksum_of(path)) for path in repeatable_files())
    text = "\n".join([newest, *(f"{name} {checksum}" for name, checksum in files)])
    return hashlib.sha256(text.encode()).hexdigest()
