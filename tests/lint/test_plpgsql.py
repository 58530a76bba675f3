"""plpgsql_check over every function: types, dead code, unused variables, casts, injections."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection, errors

# What it says of these is known and meant. (function, SQLSTATE or start of the message) -> why.
MEANT = {
    ("scheduler_internal.last_instant", "2F005"): "ends in a loop that only RETURN leaves",
    ("scheduler_internal.next_instant", "2F005"): "ends in a loop that only RETURN leaves",
    ("scheduler_internal.next_matching_day", "2F005"): "ends in a loop that only RETURN leaves",
    ("scheduler_internal.parse_anchor", "2F005"): "its handler ends in refuse_schedule(), which raises",
    ("scheduler_internal.parse_step", "2F005"): "its handler ends in refuse_schedule(), which raises",
    ("scheduler_internal.run_as_scheduler_sql", "text type variable is not sanitized"): (
        "runs the statement of a SQL job: that is what it is for, with the rights of scheduler_sql only"
    ),
    ("scheduler_internal.tidy_session", "text type variable is not sanitized"): (
        "runs what session_holdings() makes, of quoted names and numbers"
    ),
    ("scheduler_internal.ensure_partition", "routine is marked as VOLATILE"): (
        "all that it does is dynamic SQL, which makes a table"
    ),
    ("scheduler_internal.refuse", "routine is marked as VOLATILE"): (
        "an immutable one would be called by the planner, and raise where it is only mentioned"
    ),
    ("scheduler_internal.next_local_step", "routine is marked as STABLE"): (
        "local times follow the server's time zone data, which updates change"
    ),
}

CHECK = """
    select p.oid::regproc::text, f.lineno, f.sqlstate, f.message, f.detail
    from pg_proc p
    cross join lateral plpgsql_check_function_tb(
        p.oid, fatal_errors => false, other_warnings => true, extra_warnings => true,
        performance_warnings => true, security_warnings => true, compatibility_warnings => true) f
    where p.pronamespace = any (%s::regnamespace[])
        and p.prolang = (select l.oid from pg_language l where l.lanname = 'plpgsql')
        -- An integer that becomes a bigint on assignment costs nothing that one could measure.
        and f.hint is distinct from 'Hidden casting can be a performance issue.'
"""


@pytest.fixture
def checked(db: Connection[Any]) -> Connection[Any]:
    """A database with plpgsql_check."""
    try:
        db.execute("create extension plpgsql_check")
    except (errors.UndefinedFile, errors.FeatureNotSupported):
        pytest.skip("the extension plpgsql_check is not installed here (apt: postgresql-15-plpgsql-check)")
    return db


def findings(db: Connection[Any], schemas: list[str]) -> set[tuple[str, str]]:
    """Returns what plpgsql_check says and nobody meant."""
    found = set()
    for name, line, sqlstate, message, detail in db.execute(CHECK, [schemas]).fetchall():
        meant = any(name == known and (sqlstate == what or message.startswith(what)) for known, what in MEANT)
        if not meant:
            found.add((f"{name}:{line}", f"{message} {detail or ''}"))
    return found


def test_functions_are_clean(checked: Connection[Any]) -> None:
    """No error and no warning but the ones that are meant."""
    assert findings(checked, ["scheduler", "scheduler_internal"]) == set()


def test_exceptions_are_needed(checked: Connection[Any]) -> None:
    """What is no longer said needs no exception."""
    said = checked.execute(CHECK, [["scheduler", "scheduler_internal"]]).fetchall()
    unneeded = [
        (known, what)
        for known, what in MEANT
        if not any(row[0] == known and (row[2] == what or row[3].startswith(what)) for row in said)
    ]
    assert unneeded == []


def test_faults_are_found(checked: Connection[Any]) -> None:
    """The check is awake: a column that does not exist, in a branch that no test may ever reach."""
    checked.execute(
        """
        create schema probe;
        create function probe.broken() returns void language plpgsql as $$
        begin
            if false then
                perform w.no_such_column from scheduler_internal.waiting w;
            end if;
        end $$
        """
    )
    assert [message for _, message in findings(checked, ["probe"]) if "no_such_column" in message]
