"""Ends as `pgtick up` shows them: each once, and what is left out is told once."""

from __future__ import annotations

from contextlib import closing
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import Connection

from app import follow
from app.follow import LINES_PER_LOOK, Follower
from tests.conftest import Database

MORE = "… and more: `pgtick executions list` shows all"


def test_what_a_burst_leaves_out_is_told_once(
    database: Database, db: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An hour later each time that somebody looks at it: it is always time to look.
    monkeypatch.setattr(follow, "time", SimpleNamespace(monotonic=count(step=3600).__next__))
    said: list[str] = []
    follower = Follower(database.dsn(), said.append)

    def end(number: int) -> None:
        db.execute("select scheduler.enqueue('sql', '\"select 1\"') from generate_series(1, %s)", [number])
        db.execute(
            "select scheduler.cancel_execution(execution_id => x.execution_id) from scheduler.executions x"
            " where x.finished_at is null"
        )

    def look() -> list[str]:
        said.clear()
        for _ in range(12):  # as many as it rests after one
            follower.look()
        return said

    with closing(follower):
        assert look() == []
        end(LINES_PER_LOOK + 50)
        assert len(look()) == LINES_PER_LOOK + 1
        assert said[-1] == MORE
        assert look() == []
        end(5)
        assert len(look()) == 5
        assert MORE not in said
        end(LINES_PER_LOOK)
        assert len(look()) == LINES_PER_LOOK
        assert MORE not in said
        end(LINES_PER_LOOK + 1)
        assert look()[-1] == MORE
