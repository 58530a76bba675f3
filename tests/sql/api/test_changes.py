"""Who holds a copy hears of changes: by a notification, or by asking what is new."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection, Notify

from tests.conftest import Connect
from tests.sql.api.pages import read
from tests.sql.engine import SQL_TARGET, Engine, refused


class Changes:
    """Asks what is new, and remembers where it was."""

    def __init__(self, engine: Engine) -> None:
        """Starts from now."""
        self._engine = engine
        self._cursor: str | None = None
        assert self() == []

    def __call__(self) -> list[tuple[str, str]]:
        """Returns the changes since the last call, kind and id."""
        found = read(self._engine, "changes_since", cursor=self._cursor)
        assert found["all"] is False
        self._cursor = found["cursor"]
        return sorted((change["kind"], change["id"]) for change in found["changes"])


class Listener:
    """Listens to what is notified."""

    def __init__(self, conn: Connection[Any]) -> None:
        """Listens on a connection of its own."""
        self._conn = conn
        self._heard: list[tuple[str, str]] = []
        conn.add_notify_handler(self._hear)
        conn.execute("listen scheduler_changes")

    def _hear(self, notify: Notify) -> None:
        payload = json.loads(notify.payload)
        assert set(payload) == {"kind", "id"}
        self._heard.append((payload["kind"], payload["id"]))

    def __call__(self) -> list[tuple[str, str]]:
        """Returns what was notified since the last call, kind and id."""
        self._conn.execute("select")
        found, self._heard = self._heard, []
        return sorted(found)


def new_key(engine: Engine) -> UUID:
    """Makes an API key."""
    (row,) = engine.rows("create_api_key", name="ci", scopes=["read"])
    found = row["key_id"]
    assert isinstance(found, UUID)
    return found


CHANGES: dict[str, tuple[str, Callable[[Engine, UUID], Any]]] = {
    "update_job": ("job", lambda e, i: e.update_job(job_id=i, changes={"queue": "q"})),
    "put_job": ("job", lambda e, _: e.put_job(name="j", job_type="sql", target=SQL_TARGET)),
    "replace_job": ("job", lambda e, i: e.replace_job(job_id=i, job_type="sql", target=SQL_TARGET)),
    "pause_job": ("job", lambda e, i: e.pause_job(job_id=i)),
    "delete_job": ("job", lambda e, i: e.delete_job(job_id=i)),
    "trigger_job": ("", lambda e, i: e.trigger_job(job_id=i)),
    "enqueue": ("", lambda e, _: e.enqueued()),
    "tick": ("", lambda e, _: (e.clock.advance(hours=2), e.rows("tick"))),
}


@pytest.mark.direct
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_a_job_is_told(engine: Engine, connect: Connect, what: str) -> None:
    job_id = engine.job_of(name="j")
    heard = Listener(connect())
    changes = Changes(engine)
    kind, change = CHANGES[what]
    change(engine, job_id)
    expected = [(kind, str(job_id))] if kind else []
    assert heard() == expected
    assert changes() == expected
    assert changes() == []


@pytest.mark.direct
def test_changes_of_executions_and_keys_are_told(engine: Engine, connect: Connect) -> None:
    heard = Listener(connect())
    changes = Changes(engine)
    execution_id, key_id = engine.enqueued(), new_key(engine)
    engine.cancel_execution(execution_id=execution_id)
    engine.retry_execution(execution_id=execution_id)
    engine.revoke_api_key(key_id=key_id)
    expected = sorted([("execution", str(execution_id)), ("key", str(key_id))])
    assert sorted(set(heard())) == expected
    assert changes() == expected


@pytest.mark.direct
def test_nothing_is_told_before_the_commit_nor_after_a_rollback(engine: Engine, connect: Connect) -> None:
    changes = Changes(engine)
    other = connect(autocommit=False)
    other.execute("select scheduler.create_job('a', 'sql', '\"select 1\"')")
    engine.job_of(name="b")
    assert len(changes()) == 1
    other.rollback()
    assert changes() == []


@pytest.mark.direct
def test_what_is_committed_late_is_told_late(engine: Engine, connect: Connect) -> None:
    """Its time and its number are those of the call: others came after it and were told before."""
    engine.maintain()  # the partitions of these days: whoever makes one holds up the others
    changes = Changes(engine)
    late = connect(autocommit=False)
    late.execute("select set_config('scheduler.fake_now', %s, false)", [engine.clock.now.isoformat()])
    row = late.execute("select scheduler.create_job('late', 'sql', '\"select 1\"')").fetchone()
    for number in range(3):
        engine.clock.advance(hours=1)
        job_id = engine.job_of(name=f"other {number}")
        assert changes() == [("job", str(job_id))]
    late.commit()
    assert row is not None
    assert changes() == [("job", str(row[0]))]
    assert changes() == []


def test_what_another_server_counted_is_not_told_again_and_again(engine: Engine) -> None:
    """A dump brings along the transactions of where it was made, which may be far ahead of those here."""
    engine.job_of(name="of the dump")
    engine.db.execute("update scheduler_internal.audit_log set xid = '1000000000000'")
    changes = Changes(engine)
    assert changes() == []
    job_id = engine.job_of(name="of here")
    assert changes() == [("job", str(job_id))]


def test_of_too_many_changes_all_is_said(engine: Engine) -> None:
    cursor = read(engine, "changes_since")["cursor"]
    items = [{"job_type": "sql", "target": "select 1"}] * 1001
    with engine.db.transaction():
        for row in engine.rows("enqueue_many", items=items):
            engine.cancel_execution(execution_id=row["enqueue_many"])
    found = read(engine, "changes_since", cursor=cursor)
    assert (found["all"], len(found["changes"])) == (True, 1000)


def test_after_more_than_a_day_all_is_said(engine: Engine) -> None:
    """No more than a day of the audit log is looked through, so changes before that would be missed."""
    cursor = read(engine, "changes_since")["cursor"]
    engine.job_of()
    engine.clock.advance(hours=24, seconds=-1)
    found = read(engine, "changes_since", cursor=cursor)
    assert (found["all"], len(found["changes"])) == (False, 1)
    engine.clock.advance(seconds=1)
    assert read(engine, "changes_since", cursor=cursor)["all"]
    snapshot, _ = cursor.split("@")
    assert not read(engine, "changes_since", cursor=snapshot)["all"]  # of an earlier release: it is young


@pytest.mark.parametrize("cursor", ["", "x", "5:1:", "1:1:@x", "1:1:@99999999999999999"])
def test_wrong_cursors(engine: Engine, cursor: str) -> None:
    with refused("22023", "^invalid cursor", argument="cursor"):
        read(engine, "changes_since", cursor=cursor)
