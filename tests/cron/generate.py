"""Random schedules, and random times to ask at: in half of the cases close to a change of the offset."""

# ruff: noqa: DTZ001 -- a local time has no zone
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from tests.cron import oracle, wall_clock

ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Europe/Dublin",
    "America/Santiago",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Africa/Cairo",
    "Pacific/Chatham",
    "America/Caracas",
    "America/Havana",
    "Asia/Tehran",
    "Asia/Beirut",
    "Europe/Moscow",
    "Asia/Gaza",
    "America/Asuncion",
    "Atlantic/Azores",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "America/Scoresbysund",
    "America/Nuuk",
    "Asia/Pyongyang",
    "Africa/Monrovia",
]
DST_POLICIES = ("debian", "wall", "skip")
FIRST_YEAR, LAST_YEAR = 1975, 2036


@dataclass(frozen=True)
class Question:
    """One cron expression, asked at one time in one zone."""

    text: str
    zone: str
    dst: str
    after: datetime


def random_after(random: Random, zone: str) -> datetime:
    """Returns a time, close to a change of the offset in half of the cases, with a fraction in a third."""
    after = datetime(FIRST_YEAR, 1, 1) + timedelta(
        seconds=random.randrange(86400 * 365 * (LAST_YEAR - FIRST_YEAR))
    )
    if random.random() < 0.5:
        changes = [c for year in range(FIRST_YEAR, LAST_YEAR) for c in wall_clock.changes(zone, year)]
        if changes:
            hours = random.choice([1, 2, 2, 2, 30])
            spread = random.randint(-3600 * hours, 3600 * hours)
            after = random.choice(changes) + timedelta(seconds=spread)
    elif random.random() < 0.3:
        after = after.replace(second=0, minute=random.choice([0, 15, 30, 59]))
    if random.random() < 0.3:
        after += timedelta(microseconds=random.choice([1, 999_999, random.randrange(1_000_000)]))
    if random.random() < 0.1:
        # The last moment before a full minute, when most of what is written here runs.
        after = after.replace(second=59, microsecond=999_999)
    return after.replace(tzinfo=UTC)


def random_plain(random: Random, low: int, high: int) -> str:
    """Returns a list of numbers and ranges, some with a step."""
    entries = []
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        first = random.randint(low, high)
        if random.random() < 0.4 and first < high:
            entries.append(f"{first}-{random.randint(first, high)}")
            if random.random() < 0.4:
                entries[-1] += f"/{random.randint(1, high)}"
        else:
            entries.append(str(first))
    return ",".join(entries)


def random_field(random: Random, low: int, high: int, *, star: float) -> str:
    """Returns a field: a star, a step or a list."""
    kind = random.random()
    if kind < star:
        return "*"
    if kind < star + (1 - star) * 0.3:
        return f"*/{random.randint(1, high)}"
    return random_plain(random, low, high)


def random_day_fields(random: Random) -> tuple[str, str]:
    """Returns the two day fields."""
    by_date = random.choice(["*", "*", "*", "?", "*,3", "3,*"])
    if random.random() < 0.5:
        by_date = random.choice(
            [
                random_plain(random, 1, 31),
                random_field(random, 1, 31, star=0.1),
                "L",
                f"L-{random.randint(1, 30)}",
                "LW",
                f"{random.randint(1, 31)}W",
                f"L,{random.randint(1, 20)}",
            ]
        )
    by_weekday = random.choice(["*", "*", "*", "?"])
    if random.random() < 0.5:
        name = random.choice(oracle.DAY_NAMES)
        by_weekday = random.choice(
            [
                random_plain(random, 0, 7),
                random_field(random, 0, 7, star=0.1).replace("*/7", "*/6"),
                name.title(),
                f"{name}#{random.randint(1, 5)}",
                f"{random.randint(0, 7)}#L",
                f"{name}L",
                f"{name},{random.randint(0, 6)}#2",
                "FRI-SUN",
                "mon-fri",
            ]
        )
        if random.random() < 0.25:
            by_weekday = f"+{by_weekday}"
    return by_date, by_weekday


def random_cron(random: Random) -> str:
    """Returns a cron expression of five, six or seven fields that is well written; it may never fire."""
    hours = [random_field(random, 0, 23, star=0.3), str(random.randint(0, 4)), f"{random.randint(0, 3)}-4"]
    by_date, by_weekday = random_day_fields(random)
    month = random_field(random, 1, 12, star=0.75)
    if random.random() < 0.05:
        month = "FEB-apr,Oct"
    fields = [random_field(random, 0, 59, star=0.25), random.choice(hours), by_date, month, by_weekday]
    if random.random() < 0.35:
        fields.insert(0, random_field(random, 0, 59, star=0.2))
        if random.random() < 0.3:
            years = [f"{FIRST_YEAR}-{LAST_YEAR}", "*", "*/2", random_plain(random, FIRST_YEAR, LAST_YEAR)]
            fields.append(random.choice(years))
    return random.choice(list(oracle.NICKNAMES)) if random.random() < 0.01 else " ".join(fields)


def random_question(random: Random, zones: Sequence[str]) -> Question:
    """Returns a question about a random expression."""
    zone = random.choice(zones)
    dst = random.choice(["debian", "debian", *DST_POLICIES])
    return Question(random_cron(random), zone, dst, random_after(random, zone))
