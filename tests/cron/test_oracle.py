"""Every answer of next_instant against what the rules say."""

# ruff: noqa: DTZ001 -- a local time has no zone
from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.cron import generate, oracle, wall_clock
from tests.cron.generate import Question

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def zones(cron: Connection[Any]) -> list[str]:
    """The zones of which the server and Python know the same rules: their tzdata may be of different age."""
    names, times, offsets = [], [], []
    for zone in generate.ZONES:
        years = range(generate.FIRST_YEAR - 2, generate.LAST_YEAR + 2)
        changes = [change for year in years for change in wall_clock.changes(zone, year)]
        for at in [*(c - wall_clock.SECOND for c in changes), *changes, *(datetime(y, 7, 1) for y in years)]:
            names.append(zone)
            times.append(at)
            offsets.append(wall_clock.utc_offset(zone, at))
    rows = cron.execute(
        """
        select u.zone
        from unnest(%s::text[], %s::timestamp[], %s::interval[]) as u(zone, at, utc_offset)
        where u.at at time zone 'UTC' at time zone u.zone - u.at <> u.utc_offset
        """,
        [names, times, offsets],
    ).fetchall()
    agreed = [zone for zone in generate.ZONES if (zone,) not in rows]
    assert len(agreed) >= 20
    return agreed


def answers(
    cron: Connection[Any], questions: Sequence[Question], *, key: str | None = None
) -> list[datetime | None]:
    """Returns what next_instant says, all in one statement."""
    with cron.transaction():
        # Day arithmetic and output must not depend on the session; and */n warns.
        cron.execute("set local timezone = 'America/New_York'")
        cron.execute("set local client_min_messages = error")
        rows = cron.execute(
            """
            select scheduler_internal.next_instant(
                scheduler_internal.compile_schedule(q.schedule, q.timezone, %s, q.dst), q.timezone, q.after
            ) at time zone 'UTC'
            from unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[])
                with ordinality as q(schedule, timezone, dst, after, n)
            order by q.n
            """,
            [
                key,
                [q.text for q in questions],
                [q.zone for q in questions],
                [q.dst for q in questions],
                [q.after for q in questions],
            ],
        ).fetchall()
    return [at and at.replace(tzinfo=UTC) for (at,) in rows]


def differences(
    questions: Sequence[Question], got: Sequence[datetime | None], wanted: Sequence[datetime | None]
) -> list[tuple[Question, datetime | None, datetime | None]]:
    """Returns the questions with two different answers."""
    return [(q, g, w) for q, g, w in zip(questions, got, wanted, strict=True) if g != w]


@pytest.mark.parametrize(
    ("count", "seed"),
    [pytest.param(3_000, 20260101, id="3000"), pytest.param(20_000, 7, id="20000", marks=pytest.mark.slow)],
)
def test_random_cron_expressions_fire_as_the_rules_say(
    cron: Connection[Any], zones: list[str], count: int, seed: int
) -> None:
    random = Random(seed)
    questions: list[Question] = []
    wanted: list[datetime | None] = []
    while len(questions) < count:
        question = generate.random_question(random, zones)
        schedule = oracle.Cron(question.text)
        if oracle.can_fire(schedule):
            questions.append(question)
            wanted.append(oracle.next_instant(schedule, question.zone, question.after, question.dst))
    assert {q.zone for q in questions} == set(zones)
    assert differences(questions, answers(cron, questions), wanted) == []


def test_hashed_fields_fire_as_the_rules_say(cron: Connection[Any], zones: list[str]) -> None:
    random = Random(3)
    texts = [
        "H * * * *",
        "H H * * *",
        "H/15 * * * *",
        "H(0-29)/10 H(1-4) * * *",
        "H H H * *",
        "H 2 H(1-7) H H",
        "H H H H H *",
    ]
    questions, wanted = [], []
    for _ in range(500):
        zone = random.choice(zones)
        question = Question(random.choice(texts), zone, "debian", generate.random_after(random, zone))
        questions.append(question)
        wanted.append(oracle.next_instant(oracle.Cron(question.text, "nightly"), zone, question.after))
    assert differences(questions, answers(cron, questions, key="nightly"), wanted) == []


def test_random_every_schedules_fire_as_the_rules_say(cron: Connection[Any], zones: list[str]) -> None:
    random = Random(11)
    questions: list[Question] = []
    wanted: list[datetime | None] = []
    for _ in range(4_000):
        zone, dst = random.choice(zones), random.choice(generate.DST_POLICIES)
        after = generate.random_after(random, zone)
        anchor = (after + timedelta(seconds=random.randint(-(10**8), 10**6))).replace(microsecond=0)
        kind, number = random.choice(["elapsed", "days", "months"]), random.randint(1, 40)
        if kind == "elapsed":
            seconds = random.choice([1, 30, 900, 3600, 5400, 129_600, random.randint(1, 10**6)])
            text = f"every {seconds} seconds from {anchor.isoformat()}"
            wanted.append(oracle.next_elapsed(timedelta(seconds=seconds), anchor, after))
        else:
            text = f"every {number} {kind} from {anchor.isoformat()}"
            local = anchor.replace(tzinfo=None) + wall_clock.utc_offset(zone, anchor.replace(tzinfo=None))
            if random.random() < 0.5:
                # From the time of day that a change near `after` skips or repeats.
                at = after.replace(tzinfo=None) + wall_clock.utc_offset(zone, after.replace(tzinfo=None))
                local = local.replace(hour=at.hour, minute=random.choice([0, 15, 30, at.minute]), second=0)
                first = wall_clock.read_local(zone, local)
                if first is None:
                    continue
                anchor = first
                text = f"every {number} {kind} from {local.isoformat(' ')}"
            steps = oracle.Steps(local, **{kind: number})
            wanted.append(oracle.next_instant(steps, zone, after, dst, earliest=anchor))
        questions.append(Question(text, zone, dst, after))
    assert differences(questions, answers(cron, questions), wanted) == []


def test_what_names_no_date_is_refused(cron: Connection[Any]) -> None:
    random = Random(5)
    texts = (generate.random_cron(random) for _ in range(20_000))
    never = [text for text in texts if not oracle.can_fire(oracle.Cron(text))]
    assert len(never) >= 50
    for text in never:
        with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
            cron.execute("select scheduler_internal.compile_schedule(%s)", [text])
        assert caught.value.diag.message_detail is not None
        assert caught.value.diag.message_detail.startswith("It can never fire"), text


def walk(schedule: oracle.Cron, zone: str, after: datetime, dst: str, hours: int) -> datetime | None:
    """Returns the next instant by looking at the wall clock once a minute, for that many hours."""

    def matches(local: datetime) -> bool:
        return (
            local.minute in schedule.minutes
            and local.hour in schedule.hours
            and local.month in schedule.months
            and local.day in schedule.days(local.year, local.month)
        )

    shown: set[datetime] = set()
    at = after.replace(tzinfo=None, second=0, microsecond=0) - timedelta(hours=30)
    before = at + wall_clock.utc_offset(zone, at)
    while at < after.replace(tzinfo=None) + timedelta(hours=hours):
        at += MINUTE
        local = at + wall_clock.utc_offset(zone, at)
        is_due = matches(local)
        if dst == "skip" or (dst == "debian" and not schedule.is_interval):
            is_due = is_due and local not in shown
        if dst == "debian" and not schedule.is_interval:
            missed, was = before + MINUTE, local
            while missed < was:
                is_due = is_due or matches(missed)
                missed += MINUTE
        if is_due and at.replace(tzinfo=UTC) > after:
            return at.replace(tzinfo=UTC)
        shown.add(local)
        before = local
    return None


def test_the_oracle_agrees_with_a_walk_along_the_clock() -> None:
    random = Random(17)
    compared = 0
    while compared < 100:
        question = generate.random_question(random, generate.ZONES)
        if len(question.text.split()) != 5:
            continue
        schedule = oracle.Cron(question.text)
        walked = walk(schedule, question.zone, question.after, question.dst, 36)
        wanted = oracle.next_instant(schedule, question.zone, question.after, question.dst)
        if walked is None:
            assert wanted is None or wanted > question.after + timedelta(hours=36) - MINUTE, question
        else:
            assert walked == wanted, question
            compared += 1
