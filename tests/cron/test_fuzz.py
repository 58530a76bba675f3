"""Whatever is written as a schedule is taken or refused: no other error, and in bounded time."""

from __future__ import annotations

from random import Random
from time import perf_counter
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection

from tests.cron import generate

fuzz = settings(max_examples=800, deadline=None, derandomize=True)

FRAGMENTS = [
    *"*/,-?#LWH+ @\t0123456789()%~:.TZ",
    *["every ", " from ", "every 1", "day", "months", "2024-01-31", "09:00", "MON", "FEB", "L-", "LW", "#L"],
    *["999999999999999999999", "-1", "1e9", "ago", "infinity", "@daily", "H(", "٣", "é", "'", '"', "\\"],
]

# Ten times what the longest takes: a machine may be busy, but work that grows faster than the text shows.
MOST_SECONDS = 2.0


def take_or_refuse(cron: Connection[Any], text: str) -> bool:
    """Says whether a schedule is taken; all of it, since describing and searching must not fail either."""
    started = perf_counter()
    try:
        cron.execute(
            """
            select scheduler_internal.next_instant(
                    scheduler_internal.compile_schedule(%(text)s, 'America/St_Johns', 'key'),
                    'America/St_Johns', '2024-03-10 02:30+00'),
                scheduler.describe(%(text)s)
            """,
            {"text": text},
        )
        refusal = None
    except psycopg.errors.InvalidParameterValue as error:
        refusal = error.diag
    assert perf_counter() - started < MOST_SECONDS, text[:100]
    if refusal is None:
        return True
    assert (refusal.message_primary or "").startswith("invalid schedule"), text[:100]
    assert refusal.message_detail, text[:100]
    assert refusal.message_hint, text[:100]
    return False


def without_nul(text: str) -> bool:
    """Says whether PostgreSQL can store a text at all."""
    return "\0" not in text


@given(text=st.text(st.characters(codec="utf-8"), max_size=60).filter(without_nul))
@fuzz
def test_any_text(cron: Connection[Any], text: str) -> None:
    take_or_refuse(cron, text)


@given(text=st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join))
@fuzz
def test_any_fragments(cron: Connection[Any], text: str) -> None:
    take_or_refuse(cron, text)


def test_mutations_of_what_is_well_written(cron: Connection[Any]) -> None:
    random = Random(29)
    taken = 0
    for _ in range(3_000):
        text = random.choice([generate.random_cron(random), "every 2 weeks from 2024-01-31 09:00+01:00"])
        for _ in range(random.choice([1, 1, 2, 4])):
            at, length = random.randrange(len(text) + 1), random.choice([0, 0, 1, 3])
            text = text[:at] + random.choice(FRAGMENTS) * random.choice([0, 1, 1]) + text[at + length :]
        taken += take_or_refuse(cron, text)
    # Neither is the fuzz all noise nor is all of it taken.
    assert 300 < taken < 2_700


@pytest.mark.parametrize(
    "text",
    [
        ",".join(["0-59"] * 190) + " * * * *",
        "*/1," * 240 + "* * * * *",
        "0 0 0 1 1 * " + ",".join(["1970-2199"] * 95),
        "0 0 0 29 2 +1 " + ",".join(["1970-2199/7"] * 80),
        "(" * 990,
        "H(" * 490,
        "every " + "1 day " * 160,
        "every 1 day from " + "2024-01-31 " * 80,
        " " * 100_000 + "* * * * *",
        "*" * 1_000_000,
        "every" + " \t" * 490 + "1 day",
        "every 1 day" + " from" * 190,
    ],
    ids=range(12),
)
def test_long_schedules_take_bounded_time(cron: Connection[Any], text: str) -> None:
    take_or_refuse(cron, text)
