"""`pgtick keys`: the secret alone on stdout, once; keys found by name, first characters or id."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import Any, Protocol

import pytest
from psycopg import Connection

from tests.conftest import Database
from tests.support.cli import error_line
from tests.support.cli import pgtick as run


class Keys(Protocol):
    """Runs `pgtick keys` with these arguments."""

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def keys(database: Database) -> Keys:
    """On the test's database, as the login that the command line has there."""

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        return run("keys", *args, DB_WRITE_CONNECTION_STRING=database.dsn(user="pgtick_admin"))

    return call


def works(db: Connection[Any], secret: str) -> tuple[str, list[str]] | None:
    """Returns name and scopes of the key with this secret, if it is valid."""
    digest = hashlib.sha256(secret.encode()).digest()
    query = "select name, scopes from scheduler.check_api_key(api_key_hash => %s)"
    return db.execute(query, [digest]).fetchone()


def listed(keys: Keys, *args: str) -> list[dict[str, Any]]:
    """Returns what `keys list` shows."""
    rows: list[dict[str, Any]] = json.loads(keys("list", "-o", "json", *args).stdout)
    return rows


def test_a_new_secret_is_alone_on_stdout(keys: Keys, db: Connection[Any]) -> None:
    done = keys("create", "ci", "--scope", "enqueue", "--scope", "read", "--expires", "90d")
    assert done.returncode == 0
    secret = done.stdout.removesuffix("\n")
    assert works(db, secret) == ("ci", ["read", "enqueue"])
    assert "ci (read, enqueue) works until 2" in done.stderr
    assert secret not in done.stderr
    (row,) = listed(keys)
    assert row["prefix"] == secret[:12]
    assert secret not in keys("list").stdout


def test_as_json_it_is_one_document(keys: Keys, db: Connection[Any]) -> None:
    done = keys("create", "ci", "--scope", "admin", "-o", "json")
    made = json.loads(done.stdout)
    assert works(db, made["api_key"]) == ("ci", ["admin"])
    assert made["expires_at"] is None
    assert done.stderr == ""


def test_rotate_by_name_again_and_again(keys: Keys, db: Connection[Any]) -> None:
    first = keys("create", "ci", "--scope", "read").stdout.strip()
    second = keys("rotate", "ci").stdout.strip()
    third = keys("rotate", "ci", "--overlap", "0").stdout.strip()
    assert len({first, second, third}) == 3
    assert works(db, first) == works(db, third) == ("ci", ["read"])
    assert works(db, second) is None
    assert {row["prefix"] for row in listed(keys)} == {first[:12], third[:12]}
    assert len(listed(keys, "--all")) == 3


def test_revoke_asks_which_of_two(keys: Keys, db: Connection[Any]) -> None:
    old = keys("create", "ci", "--scope", "read").stdout.strip()
    new = keys("rotate", "ci").stdout.strip()
    line = error_line(keys("revoke", "ci"))
    assert 'there are 2 keys "ci": name one of ' in line
    assert old[:12] in line
    assert new[:12] in line
    assert keys("revoke", old[:12]).stdout == f"revoked ci ({old[:12]}…)\n"
    assert works(db, old) is None
    assert keys("revoke", "ci").returncode == 0
    assert works(db, new) is None
    assert "see pgtick keys list" in error_line(keys("revoke", "ci"))
    assert listed(keys) == []


def test_a_leaked_secret_can_be_pasted_and_is_not_repeated(keys: Keys, db: Connection[Any]) -> None:
    secret = keys("create", "leaked", "--scope", "read").stdout.strip()
    done = keys("revoke", secret)
    assert done.returncode == 0
    assert works(db, secret) is None
    assert secret not in done.stdout + done.stderr
    unknown = "pgt_" + "0" * 64
    assert unknown not in error_line(keys("revoke", unknown))


def test_a_key_by_its_id(keys: Keys, db: Connection[Any]) -> None:
    keys("create", "ci", "--scope", "read")
    (row,) = listed(keys)
    assert keys("revoke", row["key_id"].upper()).returncode == 0
    assert listed(keys) == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["create", "ci"], 2, "Missing option '--scope'"),
        (["create", "ci", "--scope", "write"], 2, "'write' is not one of 'read', 'enqueue'"),
        (["create", "ci", "--scope", "read", "--expires", "soon"], 2, "write it like 90d"),
        (["create", "ci", "--scope", "read", "--expires", "9999999999y"], 2, "write it like 90d"),
        (["create", "ci", "--scope", "read", "--expires", "-1d"], 1, "is not ahead"),
        (["create", " ci", "--scope", "read"], 1, "invalid key name"),
        (["rotate", "none"], 1, 'no key "none" works'),
    ],
)
def test_what_is_wrong_is_one_line(keys: Keys, args: list[str], code: int, said: str) -> None:
    assert said in error_line(keys(*args), code=code)
