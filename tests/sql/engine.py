"""pgtick as a test calls it: every function of the schema scheduler by its name, with named arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.support.clock import Clock

SQL_TARGET = {"statement": "select 1"}
Row = dict[str, Any]


class Engine:
    """A connection, the clock, and the functions."""

    def __init__(self, db: Connection[Any], clock: Clock) -> None:
        """Stops the clock at a quiet moment."""
        self.db = db
        self.clock = clock
        self._types: dict[str, dict[str, str]] = {}
        clock.set("2031-03-05T12:00:00+00:00", conn=db)

    def __getattr__(self, function: str) -> Any:
        """Returns a caller of a scalar function: `engine.enqueue(job_type="sql", …)`."""
        return lambda **arguments: self.value(function, **arguments)

    def value(self, function: str, /, **arguments: Any) -> Any:
        """Returns what a function returns."""
        rows = self.rows(function, **arguments)
        assert len(rows) == 1, f"{function} returned {len(rows)} rows"
        return rows[0][function]

    def rows(self, function: str, /, **arguments: Any) -> list[Row]:
        """Returns the rows that a function returns."""
        types = self._argument_types(function)
        given = [
            sql.SQL("{} => {}::" + types[name]).format(sql.Identifier(name), sql.Placeholder(name))
            for name in arguments
        ]
        call = sql.SQL("select * from scheduler.{}({})").format(
            sql.Identifier(function), sql.SQL(", ").join(given)
        )
        values = {name: self._adapt(value, types[name]) for name, value in arguments.items()}
        return self._query(call, values)

    def select(self, query: str, *parameters: Any) -> list[Row]:
        """Returns the rows of a query."""
        return self._query(sql.SQL(query), parameters)

    def one(self, query: str, *parameters: Any) -> Any:
        """Returns the only column of the only row of a query."""
        (row,) = self.select(query, *parameters)
        (value,) = row.values()
        return value

    def execution(self, execution_id: UUID) -> Row:
        """Returns an execution as the view shows it."""
        (row,) = self.rows("get_execution", execution_id=execution_id)
        return row

    def job(self, job_id: UUID) -> Row:
        """Returns a job as the view shows it."""
        (row,) = self.select("select * from scheduler.jobs where job_id = %s", job_id)
        return row

    def attempts(self, execution_id: UUID) -> list[Row]:
        """Returns the attempts at an execution, oldest first."""
        query = "select * from scheduler.attempts where execution_id = %s order by attempt"
        return self.select(query, execution_id)

    def ledger(self, job_id: UUID) -> list[tuple[str, str]]:
        """Returns the verdicts of a job: the instant as 'MM-DD HH:MM' in UTC, and what became of it."""
        query = """
            select to_char(fire_at at time zone 'UTC', 'MM-DD HH24:MI') as instant, verdict
            from scheduler.fires where job_id = %s order by fire_at, verdict
        """
        return [(row["instant"], row["verdict"]) for row in self.select(query, job_id)]

    def job_of(self, schedule: str | None = "0 * * * *", **policies: Any) -> UUID:
        """Creates a SQL job of a random name."""
        job_id = self.value(
            "create_job",
            **{
                "name": str(uuid4()),
                "job_type": "sql",
                "target": SQL_TARGET,
                "schedule": schedule,
                **policies,
            },
        )
        assert isinstance(job_id, UUID)
        return job_id

    def enqueued(self, **arguments: Any) -> UUID:
        """Enqueues a SQL execution."""
        execution_id = self.value("enqueue", **{"job_type": "sql", "target": SQL_TARGET, **arguments})
        assert isinstance(execution_id, UUID)
        return execution_id

    def upkeep(self) -> None:
        """Calls maintain() as often as it makes or drops a partition, and once more."""
        query = "select array_agg(inhrelid order by inhrelid) from pg_inherits"
        before = None
        while before != (before := self.one(query)):
            self.value("maintain")

    def worker(self, **arguments: Any) -> Worker:
        """Returns a worker that is registered."""
        worker = Worker(self, uuid4())
        worker.beat(**arguments)
        return worker

    def fingerprint(self) -> str:
        """Returns a hash of all rows of all our tables."""
        tables = self.select(
            "select 'scheduler_internal.' || relname as name from pg_class"
            " where relnamespace = 'scheduler_internal'::regnamespace and relkind in ('r', 'p')"
            " and not relispartition order by relname"
        )
        parts = " || ".join(
            f"(select coalesce(md5(string_agg(t::text, '' order by t::text)), '-') from {row['name']} t)"
            for row in tables
        )
        return str(self.one(f"select {parts}"))

    def _argument_types(self, function: str) -> dict[str, str]:
        if function not in self._types:
            query = """
                select p.proargnames as names, p.proargtypes::regtype[]::text[] as types
                from pg_proc p where p.pronamespace = 'scheduler'::regnamespace and p.proname = %s
            """
            (row,) = self.select(query, function)
            self._types[function] = dict(zip(row["names"] or [], row["types"], strict=False))
        return self._types[function]

    @staticmethod
    def _adapt(value: Any, type_name: str) -> Any:
        if value is None:
            return None
        if type_name == "jsonb":
            return Jsonb(value)
        if type_name == "jsonb[]":
            return [None if item is None else Jsonb(item) for item in value]
        return value

    def _query(self, query: Any, parameters: Any) -> list[Row]:
        with self.db.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, parameters or None).fetchall()


class Worker:
    """A worker as the database sees it."""

    def __init__(self, engine: Engine, worker_id: UUID) -> None:
        """Takes its id; `beat` registers it."""
        self.engine = engine
        self.worker_id = worker_id

    def beat(self, *held: Row, **arguments: Any) -> list[Row]:
        """Sends a heartbeat: naming the claimed rows, or none (which says nothing about them)."""
        if held:
            arguments["execution_ids"] = [row["execution_id"] for row in held]
            arguments["attempts"] = [row["attempt"] for row in held]
        return self.engine.rows("heartbeat", worker_id=self.worker_id, **arguments)

    def claim(self, max_executions: int = 1, **filters: Any) -> list[Row]:
        """Claims executions."""
        return self.engine.rows("claim", worker_id=self.worker_id, max_executions=max_executions, **filters)

    def claim_one(self, **filters: Any) -> Row:
        """Claims the one execution that is ready."""
        (row,) = self.claim(10, **filters)
        return row

    def finish(
        self,
        *rows: Row,
        status: str = "succeeded",
        result: Any = None,
        error: Any = None,
        retry_after: timedelta | None = None,
    ) -> list[tuple[UUID, int]]:
        """Finishes claimed rows, all alike, and returns those that were refused as stale."""
        refused = self.engine.rows(
            "finish",
            worker_id=self.worker_id,
            execution_ids=[row["execution_id"] for row in rows],
            attempts=[row["attempt"] for row in rows],
            statuses=[status] * len(rows),
            results=[result] * len(rows),
            errors=[error] * len(rows),
            retry_after=[retry_after] * len(rows),
        )
        return [(row["execution_id"], row["attempt"]) for row in refused]

    def fail(self, *rows: Row, **arguments: Any) -> list[tuple[UUID, int]]:
        """Finishes claimed rows as failed."""
        return self.finish(*rows, status="failed", **{"error": {"message": "no"}, **arguments})

    def release(self, *rows: Row) -> int:
        """Gives claimed rows back."""
        count = self.engine.value(
            "release",
            worker_id=self.worker_id,
            execution_ids=[row["execution_id"] for row in rows],
            attempts=[row["attempt"] for row in rows],
        )
        assert isinstance(count, int)
        return count


@contextmanager
def refused(sqlstate: str, message: str, *, argument: str | None = None) -> Iterator[None]:
    """Expects a refusal in the house style: this SQLSTATE and message, with DETAIL and HINT.

    `argument`: and it names this one as the one to blame.
    """
    with pytest.raises(psycopg.Error) as caught:
        yield
    error = caught.value
    assert error.sqlstate == sqlstate, f"{error.sqlstate}: {error}"
    primary = error.diag.message_primary or ""
    assert re.search(message, primary), primary
    assert not primary.endswith("."), primary
    assert "\n" not in primary
    assert not primary[0].isupper(), primary
    assert error.diag.message_detail, f"no DETAIL: {error}"
    assert error.diag.message_hint, f"no HINT: {error}"
    if argument is not None:
        assert error.diag.column_name == argument, error.diag.column_name
