"""The files of sql/ as a reader finds them: short, narrow, one object each, and safe behind a pooler."""

from __future__ import annotations

import re

import pytest

from migrations.files import GRANTS, SQL, repeatable_files
from migrations.repeatable import name_of
from tests.support.check_sql import problems_of

MAX_COLUMNS = 100
MAX_LINES = 120

# Longer, with the reason: one statement or one loop that would be harder to follow in two places.
LONG_FILES = {
    "sql/claim/claim_shard.sql": "one statement moves a batch from waiting to running, one walk finds it",
    "sql/finish/finish_shard.sql": "one statement moves a batch from running to history, waiting and rollups",
    "sql/cron/next_instant.sql": "the search for the next instant is one loop over day, time and offset",
}

FILES = sorted(SQL.rglob("*.sql"))
FUNCTION_FILES = [path for path in repeatable_files() if path != GRANTS]

# Through a pooler in transaction mode a session is shared: what outlives the transaction hits a stranger.
SESSION_STATE = {
    "a session-level advisory lock": re.compile(r"\bpg_(?:try_)?advisory_(?:lock|unlock)"),
    "LISTEN": re.compile(r"(?:^|;)\s*(?:un)?listen\b", re.M),
    "SET without LOCAL": re.compile(
        r"(?:;|\bbegin|\bthen|\bloop|\belse|\A)\s*set\s+(?!local\b|constraints\b)|\breset\s+(?!role\b)\w+\s*;"
    ),
    "set_config() for the session": re.compile(r"\bset_config\s*\((?:[^();]|\([^()]*\))*,\s*false\s*\)"),
    "a prepared statement": re.compile(r"(?:^|;)\s*prepare\b", re.M),
}


def without_comments(text: str) -> str:
    """Returns SQL in lower case without its comments."""
    return re.sub(r"--[^\n]*", "", text).lower()


def session_state_of(text: str) -> list[str]:
    """Returns which kinds of state that outlives a transaction a text of SQL touches."""
    return [name for name, pattern in SESSION_STATE.items() if pattern.search(without_comments(text))]


def test_lines_are_narrow() -> None:
    """No line is wider than half a screen, ends in a space or holds a tab."""
    wrong = [
        f"{name_of(path)}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > MAX_COLUMNS or line != line.rstrip() or "\t" in line
    ]
    assert wrong == []


def test_files_are_short() -> None:
    """A function that needs more does two things; the exceptions are named, and are exceptions."""
    long = {name_of(path) for path in FUNCTION_FILES if len(path.read_text().splitlines()) > MAX_LINES}
    assert long == set(LONG_FILES)


def test_one_object_a_file_that_can_be_applied_again() -> None:
    """A file makes one function or view, has its name, and every statement can be repeated."""
    assert [problem for path in repeatable_files() for problem in problems_of(path, path.read_text())] == []


def test_nothing_outlives_the_transaction() -> None:
    """No session state: everything works through PgBouncer in transaction mode."""
    found = {name_of(path): session_state_of(path.read_text()) for path in FILES}
    # This one gives back what a SQL job has taken.
    assert {name: kinds for name, kinds in found.items() if kinds} == {
        "sql/finish/session_holdings.sql": ["a session-level advisory lock"]
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("perform pg_advisory_lock(1);", "a session-level advisory lock"),
        ("if pg_try_advisory_lock(1) then", "a session-level advisory lock"),
        ("listen jobs;", "LISTEN"),
        ("begin set work_mem = '1GB';", "SET without LOCAL"),
        ("perform f(); set session x.y = 1;", "SET without LOCAL"),
        ("set role scheduler_owner;", "SET without LOCAL"),
        ("perform set_config('a.b', c::text, false);", "set_config() for the session"),
        ("prepare p as select 1;", "a prepared statement"),
    ],
)
def test_session_state_is_recognised(text: str, found: str) -> None:
    """The check above sees what it is there for."""
    assert session_state_of(text) == [found]


def test_notify_is_rare() -> None:
    """Each takes a lock at the commit that all others wait for: where changes are audited, and on request."""
    notify = re.compile(r"(?:^|;|\bbegin|\bthen)\s*notify\b|\bpg_notify\b", re.M)
    found = [name_of(path) for path in FILES if notify.search(without_comments(path.read_text()))]
    assert found == ["sql/common/audit.sql", "sql/common/wake_workers.sql"]


def test_harmless_text_passes() -> None:
    """Transaction-level locks, updates and the settings of a function are none of it."""
    text = """
        create or replace function f() returns void language plpgsql set search_path = pg_catalog as $$
        begin
            perform pg_try_advisory_xact_lock(1), set_config('a.b', coalesce(c, ''), true);
            set local lock_timeout = '1s';
            update t set a = 1;   -- listen; set role x; notify y
        end $$
    """
    assert session_state_of(text) == []
