"""Imported schedules fire when Debian's cron would."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from psycopg import Connection

from app.crontab_fields import translate_schedule
from tests.files.cron_oracle import runs

PAIRS = 3_000
COUNT = 6


def _field(rng: random.Random, low: int, high: int, names: list[str], *, shy: float) -> str:
    if rng.random() < shy:
        return "*"
    return ",".join(_item(rng, low, high, names) for _ in range(rng.choice([1, 1, 1, 2, 3])))


def _item(rng: random.Random, low: int, high: int, names: list[str]) -> str:
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice(["*", f"*/{rng.randint(1, high - low)}"])
    if kind == 1 and names:
        return rng.choice(names)
    first = rng.randint(low, high)
    if kind == 2:
        return str(first)
    last = rng.randint(first, high)
    return f"{first}-{last}" + (f"/{rng.randint(1, 7)}" if kind == 3 else "")


def _schedule(rng: random.Random) -> str:
    months = ["jan", "FEB", "Mar", "apr", "dec"]
    return " ".join(
        [
            _field(rng, 0, 59, [], shy=0.1),
            _field(rng, 0, 23, [], shy=0.2),
            _field(rng, 1, 31, [], shy=0.1),
            _field(rng, 1, 12, months, shy=0.6),
            _field(rng, 0, 7, ["mon", "TUE", "Sat"], shy=0.1),
        ]
    )


def test_random_entries_fire_as_crons_rule_says(db: Connection[Any]) -> None:
    rng = random.Random(20261123)
    asked: list[tuple[str, date, list[datetime]]] = []
    while len(asked) < PAIRS:
        schedule, start = _schedule(rng), date(2024, 1, 1) + timedelta(days=rng.randrange(1000))
        expected = runs(schedule, start, count=COUNT)
        if len(expected) == COUNT:
            asked.append((schedule, start, expected))
    rows = db.execute(
        "select array(select scheduler.preview(s, 'UTC', %s, a)) "
        "from unnest(%s::text[], %s::timestamptz[]) with ordinality as q (s, a, n) order by n",
        [
            COUNT,
            [translate_schedule(schedule) for schedule, _, _ in asked],
            [_just_before(start) for _, start, _ in asked],
        ],
    ).fetchall()
    wrong = [
        (schedule, translate_schedule(schedule), start, found[:2], expected[:2])
        for (schedule, start, expected), (found,) in zip(asked, rows, strict=True)
        if [instant.astimezone(UTC) for instant in found] != expected
    ]
    assert wrong == []
    # The day rule is what the translation is for: there must be enough of it.
    assert sum("+" in translate_schedule(schedule) for schedule, _, _ in asked) > PAIRS // 10


def _just_before(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        # In the gap of 10 March 2024: fixed times just after it, those with a star not at all.
        ("30 2 * * *", "2024-03-10T00:00-05:00", "2024-03-10T03:00-04:00"),
        ("*/30 2 * * *", "2024-03-10T00:00-05:00", "2024-03-11T02:00-04:00"),
        # In the hour that 3 November 2024 has twice: fixed times once, those with a star in both.
        ("30 1 * * *", "2024-11-03T01:30-04:00", "2024-11-04T01:30-05:00"),
        ("*/30 * * * *", "2024-11-03T01:30-04:00", "2024-11-03T01:00-05:00"),
        ("30 1 */2 * sun", "2024-11-03T01:00-04:00", "2024-11-03T01:30-04:00"),
    ],
)
def test_clock_changes_are_debians(db: Connection[Any], schedule: str, after: str, expected: str) -> None:
    row = db.execute(
        "select scheduler.next_fire(%s, 'America/New_York', %s::timestamptz, 'debian')",
        [translate_schedule(schedule), after],
    ).fetchone()
    assert row is not None
    assert row[0] == datetime.fromisoformat(expected)
