"""When Debian's cron would run an entry, in UTC: written from crontab(5) and cron's day rule, day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


def runs(schedule: str, start: date, *, count: int, days: int = 1500) -> list[datetime]:
    """The first runs from the beginning of a day on, looking ahead that many days."""
    minute, hour, day, month, weekday = schedule.split()
    minutes, hours = _values(minute, 0, 59), _values(hour, 0, 23)
    month_days, months = _values(day, 1, 31), _values(month, 1, 12, _MONTHS, 1)
    weekdays = {value % 7 for value in _values(weekday, 0, 7, _DAYS, 0)}
    both = day.startswith("*") or weekday.startswith("*")
    found: list[datetime] = []
    for offset in range(days):
        today = start + timedelta(days=offset)
        by_day, by_weekday = today.day in month_days, today.isoweekday() % 7 in weekdays
        if today.month in months and ((by_day and by_weekday) if both else (by_day or by_weekday)):
            found += [
                datetime(today.year, today.month, today.day, h, m, tzinfo=UTC)
                for h in sorted(hours)
                for m in sorted(minutes)
            ]
        if len(found) >= count:
            break
    return found[:count]


def _values(field: str, low: int, high: int, names: list[str] | None = None, base: int = 0) -> set[int]:
    values: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            first, last = low, high
        else:
            ends = [_value(text, names, base) for text in span.split("-")]
            first, last = ends[0], ends[-1]
        values.update(range(first, last + 1, int(step or 1)))
    return values


def _value(text: str, names: list[str] | None, base: int) -> int:
    return int(text) if text.isdigit() else (names or []).index(text.lower()) + base
