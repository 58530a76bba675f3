"""A model that was never seen to disagree is no evidence: bugs of the tick, each caught within the year."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from psycopg import Connection

from tests.faults.bugs import rewrite
from tests.sql.engine import Engine
from tests.year.test_year import YEAR, live

pytestmark = [pytest.mark.slow, pytest.mark.direct]

Db = Connection[Any]


def cap_is_one_too_many(db: Db) -> None:
    """Of what was missed, misfire_cap and one more are run."""
    rewrite(
        db,
        "scheduler_internal.fire_schedule",
        "for i in 2..s.misfire_cap loop",
        "for i in 1..s.misfire_cap loop",
    )


def on_time_ends_too_early(db: Db) -> None:
    """Who is late by just the minute that misfire = skip allows is missed."""
    fire = "scheduler_internal.fire_schedule"
    rewrite(db, fire, "when v_newest < at - coalesce(", "when v_newest <= at - coalesce(")
    rewrite(
        db,
        "scheduler_internal.fire_punctual",
        "and rules.fire_at >= coalesce(",
        "and rules.fire_at > coalesce(",
    )


def queue_one_queues_two(db: Db) -> None:
    """A fire is held although one is held already."""
    rewrite(db, "scheduler_internal.fire_or_skip", "v_skip := exists (", "v_skip := false and exists (")


def queue_one_lets_two_go(db: Db) -> None:
    """The fire that should be held runs beside the one that runs."""
    rewrite(db, "scheduler_internal.fire_or_skip", "v_held := true", "v_held := false")


BUGS = [cap_is_one_too_many, on_time_ends_too_early, queue_one_queues_two, queue_one_lets_two_go]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_bug_is_caught(bug: Callable[[Db], None], engine: Engine, db: Db) -> None:
    bug(db)
    with pytest.raises(AssertionError, match=r"only in the (database|model)"):
        live(engine, **YEAR)
