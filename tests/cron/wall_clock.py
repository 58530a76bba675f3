"""What the wall clock of a zone shows: stretches of one UTC offset, read from Python's zoneinfo.

All times in UTC and all local times are naive here.
"""

# ruff: noqa: DTZ001
from __future__ import annotations

from calendar import isleap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Segment:
    """A stretch of time in which a zone has one UTC offset; all times are naive UTC."""

    start: datetime
    end: datetime
    offset: timedelta


def utc_offset(zone: str, at: datetime) -> timedelta:
    """Returns a zone's offset at a naive UTC time."""
    offset = at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()
    assert offset is not None
    return offset


@cache
def changes(zone: str, year: int) -> tuple[datetime, ...]:
    """Returns the naive UTC seconds of a year at which a zone's offset changes."""
    found = []
    first, days = datetime(year, 1, 1) - SECOND, 366 if isleap(year) else 365
    probes = [first + timedelta(days=number) for number in range(days + 1)]
    offsets = [utc_offset(zone, probe) for probe in probes]
    for (low, high), (before, after) in zip(pairwise(probes), pairwise(offsets), strict=True):
        if before == after:
            continue
        while high - low > SECOND:
            middle = low + (high - low) // 2
            middle = middle.replace(microsecond=0)
            if utc_offset(zone, middle) == before:
                low = middle
            else:
                high = middle
        found.append(high)
    return tuple(found)


def segments(zone: str, start: datetime) -> Iterator[Segment]:
    """Yields the segments of a zone from some time before a naive UTC time on, for as long as is asked."""
    opened = datetime(start.year - 2, 1, 1)
    for year in range(start.year - 2, 9000):
        for change in changes(zone, year):
            yield Segment(opened, change, utc_offset(zone, opened))
            opened = change
        end = datetime(year + 1, 1, 1)
        yield Segment(opened, end, utc_offset(zone, opened))
        opened = end


def read_local(zone: str, local: datetime) -> datetime | None:
    """Returns the instant of a local time's first showing, or None if it is never shown."""
    for segment in segments(zone, local - timedelta(days=3)):
        if segment.start + segment.offset <= local < segment.end + segment.offset:
            return (local - segment.offset).replace(tzinfo=UTC)
        if segment.start > local + timedelta(days=3):
            break
    return None
