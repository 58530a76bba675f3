"""What a schedule means, written from the rules and not from the SQL.

No bit masks and no arithmetic on offsets of single instants: a zone is cut into segments of one UTC offset,
and a schedule runs where the wall clock of a segment shows a matching time. What happens to a local time that
is shown twice or never is decided where two segments meet.
"""

# ruff: noqa: DTZ001 -- a local time has no zone
from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from tests.cron.wall_clock import segments

LONGEST_WAIT_YEARS = 41
MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAY_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@lru_cache(maxsize=10_000)
def expand(
    text: str, low: int, high: int, names: tuple[str, ...], key: str | None, name: str
) -> frozenset[int]:
    """Returns the values of a plain cron field."""

    def value(token: str) -> int:
        upper = token.upper()
        return names.index(upper) + (1 if names is MONTH_NAMES else 0) if upper in names else int(token)

    def slot(count: int) -> int:
        return int(hashlib.md5(f"{key}:{name}".encode(), usedforsecurity=False).hexdigest()[:8], 16) % count

    values: set[int] = set()
    for entry in text.split(","):
        whole, _, step_text = entry.partition("/")
        step = int(step_text or 1)
        if whole.startswith("H"):
            given = re.fullmatch(r"H\((\d+)-(\d+)\)", whole)
            first, last = (int(given[1]), int(given[2])) if given else (low, 28 if high == 31 else high)
            if step_text:
                values.update(range(first + slot(min(step, last - first + 1)), last + 1, step))
            else:
                values.add(first + slot(last - first + 1))
            continue
        if whole == "*":
            first, last = low, high
        elif "-" in whole:
            left, right = whole.split("-")
            first, last = value(left), value(right)
            if names is DAY_NAMES and right.upper() == "SUN" and first > 0:
                last = 7
        else:
            first = last = value(whole)
        values.update(range(first, last + 1, step))
    return frozenset(values)


@dataclass
class Cron:
    """A cron expression: which local times it names."""

    text: str
    key: str | None = None
    seconds: list[int] = field(init=False)
    minutes: list[int] = field(init=False)
    hours: list[int] = field(init=False)
    is_interval: bool = field(init=False)

    def __post_init__(self) -> None:
        """Reads the fields."""
        fields = NICKNAMES.get(self.text, self.text).split()
        fields = ["0", *fields] if len(fields) == 5 else fields
        second, minute, hour, self.by_date, month, self.by_weekday = fields[:6]
        self.seconds = sorted(expand(second, 0, 59, (), self.key, "second"))
        self.minutes = sorted(expand(minute, 0, 59, (), self.key, "minute"))
        self.hours = sorted(expand(hour, 0, 23, (), self.key, "hour"))
        self.months = expand(month, 1, 12, MONTH_NAMES, self.key, "month")
        year = fields[6] if len(fields) == 7 else "*"
        self.years = None if year == "*" else expand(year, 1970, 2199, (), None, "year")
        self.is_interval = any(re.match(r"\*|H(\(\d+-\d+\))?/", f) for f in (second, minute, hour))
        self._days: dict[tuple[int, int], list[int]] = {}

    def _by_date(self, year: int, month: int, last: int) -> set[int]:
        def workday(number: int) -> int:
            weekday = date(year, month, number).isoweekday()
            if weekday == 6:
                return number - 1 if number > 1 else 3
            if weekday == 7:
                return number + 1 if number < last else number - 2
            return number

        numbers: set[int] = set()
        for entry in self.by_date.split(","):
            if entry in ("*", "?"):
                numbers.update(range(1, last + 1))
            elif entry == "LW":
                numbers.add(workday(last))
            elif entry.endswith("W"):
                numbers.update({workday(int(entry[:-1]))} if int(entry[:-1]) <= last else ())
            elif entry.startswith("L"):
                numbers.add(last - int(entry[2:] or 0))
            else:
                numbers |= expand(entry, 1, 31, (), self.key, "day-of-month")
        return {number for number in numbers if 1 <= number <= last}

    def _by_weekday(self, year: int, month: int, last: int) -> set[int]:
        numbers: set[int] = set()
        for entry in self.by_weekday.removeprefix("+").split(","):
            special = re.fullmatch(r"(\w+)#([1-5L])|([0-7]|[A-Za-z]{3})(L)", entry)
            if special:
                (named,) = expand(special[1] or special[3], 0, 7, DAY_NAMES, None, "")
                which = special[2] or special[4]
                weekdays = {named % 7}
            else:
                which = ""
                plain = "*" if entry == "?" else entry
                weekdays = {value % 7 for value in expand(plain, 0, 6, DAY_NAMES, self.key, "day-of-week")}
            for number in range(1, last + 1):
                is_counted = number > last - 7 if which == "L" else which in ("", str((number + 6) // 7))
                if is_counted and date(year, month, number).isoweekday() % 7 in weekdays:
                    numbers.add(number)
        return numbers

    def days(self, year: int, month: int) -> list[int]:
        """Returns the matching days of a month."""
        if (year, month) not in self._days:
            last = monthrange(year, month)[1]
            by_date, by_weekday = self._by_date(year, month, last), self._by_weekday(year, month, last)
            both = self.by_weekday.startswith("+") or any(
                text.split(",")[0] in ("*", "?") for text in (self.by_date, self.by_weekday)
            )
            self._days[year, month] = sorted(by_date & by_weekday if both else by_date | by_weekday)
        return self._days[year, month]

    def first(self, low: datetime, high: datetime) -> datetime | None:
        """Returns the first matching local time in [low, high)."""
        year, month = low.year, low.month
        while datetime(year, month, 1) < high and year < low.year + 2200:
            if month in self.months and (self.years is None or year in self.years):
                for number in self.days(year, month):
                    day = date(year, month, number)
                    if day < low.date():
                        continue
                    found = self._first_time(low.time() if day == low.date() else time())
                    if found is not None:
                        local = datetime.combine(day, found)
                        return local if local < high else None
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return None

    def _first_time(self, low: time) -> time | None:
        floor = (low.hour, low.minute, low.second + (low.microsecond > 0))
        for hour in self.hours[bisect_left(self.hours, floor[0]) :]:
            for minute in self.minutes:
                if (hour, minute) < floor[:2]:
                    continue
                for second in self.seconds:
                    if (hour, minute, second) >= floor:
                        return time(hour, minute, second)
        return None


@dataclass(frozen=True)
class Steps:
    """Calendar steps counted from a local anchor: which local times they name."""

    anchor: datetime
    months: int = 0
    days: int = 0
    is_interval = False

    def _local(self, count: int) -> datetime:
        if self.days:
            return self.anchor + timedelta(days=count * self.days)
        year, month = divmod(self.anchor.year * 12 + self.anchor.month - 1 + count * self.months, 12)
        day = min(self.anchor.day, monthrange(year, month + 1)[1])
        return self.anchor.replace(year=year, month=month + 1, day=day)

    def first(self, low: datetime, high: datetime) -> datetime | None:
        """Returns the first named local time in [low, high)."""
        # No step is longer than this many days, so that this count is never too high.
        count = max(0, (low - self.anchor).days) // (self.days or self.months * 31)
        while (local := self._local(count)) < low:
            count += 1
        return local if local < high else None


def next_instant(
    schedule: Cron | Steps,
    zone: str,
    after: datetime,
    dst: str = "debian",
    *,
    earliest: datetime | None = None,
) -> datetime | None:
    """Returns the first instant strictly after another one, both aware, at which a schedule runs.

    It runs at every time that the wall clock shows; unless it is an interval (or dst is wall) only at the
    first showing; and, if it is of fixed time and dst is debian, for a time that is never shown, right after
    the gap.
    """
    if earliest is not None and after < earliest:
        return earliest
    every_reading = dst == "wall" or (dst == "debian" and schedule.is_interval)
    runs_after_gap = dst == "debian" and not schedule.is_interval
    floor = after.astimezone(UTC).replace(tzinfo=None)
    years = getattr(schedule, "years", None)
    last_year = max(years) + 1 if years else floor.year + LONGEST_WAIT_YEARS + 1
    shown_upto: datetime | None = None  # the local time that the segments before have shown
    for segment in segments(zone, floor):
        if segment.start.year > last_year:
            return None
        opens, closes = segment.start + segment.offset, segment.end + segment.offset
        if (
            runs_after_gap
            and shown_upto is not None
            and shown_upto < opens
            and segment.start > floor
            and schedule.first(shown_upto, opens)
        ):
            return segment.start.replace(tzinfo=UTC)
        low = opens if every_reading or shown_upto is None else max(opens, shown_upto)
        low = max(low, floor + timedelta(microseconds=1) + segment.offset)
        local = schedule.first(low, closes) if low < closes else None
        if local is not None:
            return (local - segment.offset).replace(tzinfo=UTC)
        shown_upto = closes if shown_upto is None else max(shown_upto, closes)
    return None


def can_fire(schedule: Cron) -> bool:
    """Says whether a cron expression names any date at all."""
    start = datetime(1970 if schedule.years else 2000, 1, 1)
    return (
        schedule.first(start, datetime(2200 if schedule.years else 2000 + LONGEST_WAIT_YEARS, 1, 1))
        is not None
    )


def next_elapsed(step: timedelta, anchor: datetime, after: datetime) -> datetime:
    """Returns the first of anchor, anchor + step, anchor + 2 * step … that is after an instant."""
    return anchor + max(0, (after - anchor) // step + 1) * step
