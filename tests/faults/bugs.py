"""Bugs that a scheduler may well have, put into one database, to see that the checker finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import Connection

Db = Connection[Any]


def no_unique_fire(db: Db) -> None:
    """A fire may exist twice, and a tick does not hold the schedule that it reads."""
    for table in ("waiting", "running"):
        for shard in range(16):
            db.execute(f"drop index scheduler_internal.{table}_{shard}_job_id_fire_at_idx".encode())
    # One by one: what fires many at once finds each row again by its place, which is a lock of a kind.
    rewrite(db, "scheduler_internal.fire_punctual", "and s.next_fire_at <= until", "and false")
    rewrite(db, "scheduler.tick_shard", "for update skip locked", "")


def no_fence(db: Db) -> None:
    """An end is taken of anybody, whatever the attempt."""
    finish = "scheduler_internal.finish_shard"
    rewrite(db, finish, "(r.worker_id = finish_shard.worker_id) is true", "true")
    rewrite(db, finish, "(r.execution_id, r.attempt) in", "(r.execution_id, 1) in")
    rewrite(
        db, finish, "select i.execution_id, i.attempt from input i", "select i.execution_id, 1 from input i"
    )
    rewrite(db, finish, " and g.attempt = i.attempt", "")


def leases_by_the_clock_of_the_worker(db: Db) -> None:
    """A beat counts from the time that the worker says it is; some are ahead, some behind."""
    skewed = """:= scheduler.now() + case get_byte(uuid_send(worker_id), 15) % 2
        when 0 then interval '4 seconds' else interval '-1.9 seconds' end"""
    rewrite(db, "scheduler.heartbeat", ":= scheduler.now()", skewed)


def next_fire_from_now(db: Db) -> None:
    """The next instant is sought from the clock on, not from the last instant."""
    following = "scheduler_internal.next_instant(d.spec, d.timezone, {})"
    rewrite(
        db, "scheduler_internal.fire_punctual", following.format("d.next_fire_at"), following.format("at")
    )


def rewrite(db: Db, function: str, old: str, new: str) -> None:
    """Replaces a text within a function of this database."""
    row = db.execute("select pg_get_functiondef(%s::regproc)", [function]).fetchone()
    assert row is not None
    assert old in row[0], f"{function} does not say {old!r} any more: seed the bug anew"
    db.execute(row[0].replace(old, new))


BUGS: dict[Callable[[Db], None], set[str]] = {
    no_unique_fire: {"doubled fire"},
    no_fence: {"stale finish accepted"},
    leases_by_the_clock_of_the_worker: {"late recovery", "lease broken early"},
    next_fire_from_now: {"lost fire"},
}
"""Each bug with the promises that it breaks: at least one of them."""
