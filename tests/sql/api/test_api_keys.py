"""Keys of the REST API: shown once, two alive while one is rotated, ended for good."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.sql.engine import Engine, Row, refused


def new_key(engine: Engine, **arguments: Any) -> Row:
    """Makes a key."""
    (row,) = engine.rows("create_api_key", **{"name": "ci", "scopes": ["read"], **arguments})
    return row


def check(engine: Engine, secret: str) -> list[Row]:
    """Returns what the database knows of a secret, asked as the API does: by its hash."""
    return engine.rows("check_api_key", api_key_hash=hashlib.sha256(secret.encode()).digest())


def shown(engine: Engine, row: Row) -> Row:
    """Returns a key as the view shows it."""
    (seen,) = engine.select("select * from scheduler.api_keys where key_id = %s", row["key_id"])
    return seen


def test_a_key_is_known_by_its_hash(engine: Engine) -> None:
    key = new_key(engine, scopes=["operate", "read", "read"], expires_at=engine.clock.now + timedelta(days=1))
    assert check(engine, key["api_key"]) == [
        {
            "key_id": key["key_id"],
            "name": "ci",
            "scopes": ["read", "operate"],
            "expires_at": engine.clock.now + timedelta(days=1),
        }
    ]
    assert check(engine, key["api_key"] + "0") == []
    assert shown(engine, key)["prefix"] == key["api_key"][:12]
    assert key["api_key"].startswith("pgt_")


def test_secrets_are_random(engine: Engine) -> None:
    digits = "".join(new_key(engine)["api_key"].removeprefix("pgt_") for _ in range(200))
    share = [count / len(digits) for count in Counter(digits).values()]
    entropy = -sum(part * math.log2(part) for part in share)
    # 64 digits of nearly 4 bits; two of them tell the version of a uuid, two only its variant.
    assert len(digits) == 200 * 64
    assert entropy > 3.95


def test_the_secret_is_kept_nowhere(engine: Engine) -> None:
    secrets = [new_key(engine)["api_key"]]
    (rotated,) = engine.rows("rotate_api_key", key_id=shown(engine, new_key(engine))["key_id"])
    secrets.append(rotated["api_key"])
    tables = engine.select(
        "select c.oid::regclass::text as name from pg_class c"
        " where c.relnamespace = 'scheduler_internal'::regnamespace and c.relkind in ('r', 'p')"
    )
    for table in tables:
        for secret in secrets:
            query = f"select count(*) from {table['name']} t where strpos(t::text, %s) > 0"
            assert engine.one(query, secret) == 0, table["name"]


def test_an_expired_key_is_none(engine: Engine) -> None:
    key = new_key(engine, expires_at=engine.clock.now + timedelta(hours=1))
    assert shown(engine, key)["status"] == "active"
    engine.clock.advance(hours=1)
    assert check(engine, key["api_key"]) == []
    assert shown(engine, key)["status"] == "expired"


def test_rotation_has_two_alive(engine: Engine) -> None:
    old = new_key(engine, scopes=["enqueue"], expires_at=engine.clock.now + timedelta(days=90))
    engine.clock.advance(days=80)
    (new,) = engine.rows("rotate_api_key", key_id=old["key_id"], overlap="2 days")
    assert [len(check(engine, key["api_key"])) for key in (old, new)] == [1, 1]
    (known,) = check(engine, new["api_key"])
    assert (known["name"], known["scopes"]) == ("ci", ["enqueue"])
    assert known["expires_at"] == engine.clock.now + timedelta(days=90)
    assert shown(engine, old)["replaced_by"] == new["key_id"]
    engine.clock.advance(days=2)
    assert [len(check(engine, key["api_key"])) for key in (old, new)] == [0, 1]


def test_a_rotated_key_is_the_same_client(engine: Engine) -> None:
    first, another = new_key(engine), new_key(engine)
    secrets, key_id = [first["api_key"]], first["key_id"]
    for _ in range(3):
        (new,) = engine.rows("rotate_api_key", key_id=key_id)
        secrets, key_id = [*secrets, new["api_key"]], new["key_id"]
    assert [check(engine, secret)[0]["key_id"] for secret in secrets] == [first["key_id"]] * 4
    assert check(engine, another["api_key"])[0]["key_id"] == another["key_id"]


def test_rotation_prolongs_nothing(engine: Engine) -> None:
    end = engine.clock.now + timedelta(hours=1)
    old = new_key(engine, expires_at=end)
    engine.rows("rotate_api_key", key_id=old["key_id"], overlap="1 day")
    assert shown(engine, old)["expires_at"] == end


def test_what_has_ended_is_not_rotated(engine: Engine) -> None:
    keys = [new_key(engine), new_key(engine, expires_at=engine.clock.now + timedelta(hours=1))]
    keys.append(new_key(engine))
    engine.revoke_api_key(key_id=keys[0]["key_id"])
    engine.rows("rotate_api_key", key_id=keys[2]["key_id"])
    engine.clock.advance(hours=2)
    for key in keys:
        with refused("55000", "^key pgt_.* cannot be rotated$"):
            engine.rows("rotate_api_key", key_id=key["key_id"])


def test_a_revoked_key_is_none_for_good(engine: Engine) -> None:
    key = new_key(engine)
    engine.revoke_api_key(key_id=key["key_id"])
    assert check(engine, key["api_key"]) == []
    at = shown(engine, key)["revoked_at"]
    engine.clock.advance(hours=1)
    engine.revoke_api_key(key_id=key["key_id"])
    assert (shown(engine, key)["revoked_at"], shown(engine, key)["status"]) == (at, "revoked")
    assert engine.one("select count(*) from scheduler.audit_log where action = 'revoke_api_key'") == 1


def test_changes_of_keys_are_audited(engine: Engine) -> None:
    key = new_key(engine)
    (other,) = engine.rows("rotate_api_key", key_id=key["key_id"])
    engine.revoke_api_key(key_id=other["key_id"])
    log = engine.select("select action, object_id, object_name, detail from scheduler.audit_log")
    assert {row["action"]: row["object_id"] for row in log} == {
        "create_api_key": key["key_id"],
        "rotate_api_key": key["key_id"],
        "revoke_api_key": other["key_id"],
    }
    assert {row["object_name"] for row in log} == {"ci"}
    assert [row["detail"]["scopes"] for row in log if row["action"] == "create_api_key"] == [["read"]]


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("name", None, "^invalid key name NULL$"),
        ("name", "", "^invalid key name ''$"),
        ("name", "x" * 101, "^invalid key name"),
        ("name", "a\nb", "^invalid key name"),
        ("scopes", None, "^invalid scopes NULL$"),
        ("scopes", [], "^invalid scopes '{}'$"),
        ("scopes", ["root"], "^invalid scopes '{root}'$"),
        ("scopes", ["read", None], "^invalid scopes"),
        ("expires_at", "2031-03-05T12:00Z", "^expires_at .* is not ahead$"),
        ("expires_at", "infinity", "^expires_at infinity is not ahead$"),
        ("expires_at", "9999-01-01T00:00Z", "^expires_at .* is too far ahead$"),
    ],
)
def test_wrong_keys(engine: Engine, argument: str, value: Any, message: str) -> None:
    with refused("22023", message, argument=argument):
        new_key(engine, **{argument: value})


@pytest.mark.parametrize("overlap", [None, "-1 second", "2 years"])
def test_wrong_overlaps(engine: Engine, overlap: str | None) -> None:
    key = new_key(engine)
    with refused("22023", "^overlap .* is out of range$", argument="overlap"):
        engine.rows("rotate_api_key", key_id=key["key_id"], overlap=overlap)


@pytest.mark.parametrize("function", ["rotate_api_key", "revoke_api_key"])
@pytest.mark.parametrize("key_id", [None, uuid4()], ids=["null", "unknown"])
def test_unknown_keys(engine: Engine, function: str, key_id: Any) -> None:
    with refused("P0002", "^key .* does not exist$"):
        engine.rows(function, key_id=key_id)
