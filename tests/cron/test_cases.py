"""The cases that other schedulers get wrong, one by one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import Connection

from tests.support.clock import Clock

# expression, zone, after, expected next instant, why
CASES = [
    ("* * * * *", "UTC", "2024-01-01 00:00+00:00", "2024-01-01 00:01+00:00", "strictly after"),
    (
        "* * * * *",
        "UTC",
        "2024-01-01 00:00:00.5+00:00",
        "2024-01-01 00:01+00:00",
        "sub-second start is floored",
    ),
    (
        "*/15 9-17 * * 1-5",
        "UTC",
        "2024-01-05 17:45+00:00",
        "2024-01-08 09:00+00:00",
        "Friday evening -> Monday",
    ),
    (
        "*/7 * * * *",
        "UTC",
        "2024-01-01 00:56+00:00",
        "2024-01-01 01:00+00:00",
        "a step restarts in each hour: 56 -> 0",
    ),
    ("0 0 * * 7", "UTC", "2024-01-01 00:00+00:00", "2024-01-07 00:00+00:00", "7 = Sunday"),
    (
        "0 0 * * FRI-SUN",
        "UTC",
        "2024-01-01 00:00+00:00",
        "2024-01-05 00:00+00:00",
        "SUN as the end of a range is 7",
    ),
    (
        "0 12 1 * +MON",
        "UTC",
        "2025-07-01 00:00+00:00",
        "2025-09-01 12:00+00:00",
        "+ = AND: 1st that is a Monday",
    ),
    (
        "0 12 1-31 * MON",
        "UTC",
        "2025-10-06 12:00+00:00",
        "2025-10-07 12:00+00:00",
        "full range is still restricted: OR = daily",
    ),
    (
        "0 12 *,1 * MON",
        "UTC",
        "2025-10-06 12:00+00:00",
        "2025-10-13 12:00+00:00",
        "first entry is *: unrestricted -> Mondays",
    ),
    (
        "0 12 1,* * MON",
        "UTC",
        "2025-10-06 12:00+00:00",
        "2025-10-07 12:00+00:00",
        "first entry is not *: restricted -> OR, daily",
    ),
    ("0 0 1-7 * +MON", "UTC", "2024-01-02 00:00+00:00", "2024-02-05 00:00+00:00", "first Monday"),
    (
        "0 0 31 2 1",
        "UTC",
        "2024-01-30 00:00+00:00",
        "2024-02-05 00:00+00:00",
        "OR: impossible side adds nothing, Mondays of February",
    ),
    ("0 0 30 * *", "UTC", "2024-01-30 00:00+00:00", "2024-03-30 00:00+00:00", "February is skipped"),
    ("0 0 29 2 *", "UTC", "2024-02-29 00:00+00:00", "2028-02-29 00:00+00:00", "four years"),
    (
        "0 0 29 2 +1",
        "UTC",
        "2072-02-29 00:00+00:00",
        "2112-02-29 00:00+00:00",
        "longest wait there is: 40 years",
    ),
    ("0 0 * 2 MON#5", "UTC", "2020-01-01 00:00+00:00", "2044-02-29 00:00+00:00", "24 years"),
    ("0 0 L-1 * *", "UTC", "2024-02-01 00:00+00:00", "2024-02-28 00:00+00:00", "day before the last"),
    (
        "0 0 LW * *",
        "UTC",
        "2024-03-01 00:00+00:00",
        "2024-03-29 00:00+00:00",
        "31st is a Sunday -> Friday 29th",
    ),
    ("0 0 15W * *", "UTC", "2024-09-01 00:00+00:00", "2024-09-16 00:00+00:00", "15th is a Sunday -> 16th"),
    (
        "0 0 1W * *",
        "UTC",
        "2024-05-31 00:00+00:00",
        "2024-06-03 00:00+00:00",
        "1st is a Saturday -> Monday 3rd",
    ),
    (
        "0 0 31W * *",
        "UTC",
        "2024-02-01 00:00+00:00",
        "2024-03-29 00:00+00:00",
        "no 31st in February: month skipped; 31 Mar is a Sunday -> 29th",
    ),
    ("0 0 * * FRI#L", "UTC", "2024-02-01 00:00+00:00", "2024-02-23 00:00+00:00", "last Friday"),
    ("0 0 1 * TUE#3", "UTC", "2024-01-02 00:00+00:00", "2024-01-16 00:00+00:00", "OR also with #"),
    ("*/10 * * * * *", "UTC", "2024-01-01 00:00:55+00:00", "2024-01-01 00:01+00:00", "second first"),
    (
        "0 0 0 1 1 * */2",
        "UTC",
        "2024-01-01 00:00+00:00",
        "2026-01-01 00:00+00:00",
        "*/2 of 1970-2199: even years",
    ),
    ("0 0 0 1 1 * 2030", "UTC", "2030-01-01 00:00+00:00", None, "no further run: NULL"),
    (
        "30 2 * * *",
        "America/New_York",
        "2024-03-10 03:00-04:00",
        "2024-03-11 02:30-04:00",
        "already ran for that day",
    ),
    (
        "0 30 2 * * *",
        "America/New_York",
        "2024-03-09 12:00-05:00",
        "2024-03-10 03:00-04:00",
        "six fields behave like five",
    ),
    (
        "0,30 2,3 * * *",
        "America/New_York",
        "2024-03-10 03:00-04:00",
        "2024-03-10 03:30-04:00",
        "... and then go on",
    ),
    (
        "*/15 * * * *",
        "America/New_York",
        "2024-03-10 01:45-05:00",
        "2024-03-10 03:00-04:00",
        "interval: 15 real minutes later",
    ),
    (
        "0 */2 * * *",
        "America/New_York",
        "2024-03-10 00:00-05:00",
        "2024-03-10 04:00-04:00",
        "02:00 does not exist, */2 is an interval",
    ),
    (
        "15 0-23 * * *",
        "America/New_York",
        "2024-03-10 01:15-05:00",
        "2024-03-10 03:00-04:00",
        "no * in hour: fixed by the Debian rule -> extra run at 03:00",
    ),
    (
        "0 0 1 4 11 *",
        "America/Sao_Paulo",
        "2018-11-03 23:00-03:00",
        "2018-11-04 01:00-02:00",
        "nats-server #8543: 01:00 exists on that date",
    ),
    (
        "0 9 10 * *",
        "America/Sao_Paulo",
        "2018-10-17 12:00-03:00",
        "2018-11-10 09:00-02:00",
        "robfig/cron #157: month not skipped",
    ),
    (
        "0 0 * * 0",
        "America/Santiago",
        "2022-09-04 00:00-04:00",
        "2022-09-11 01:00-03:00",
        "prefect #5957: no endless loop",
    ),
    (
        "0 12 * * 0",
        "Europe/Berlin",
        "2022-03-24 12:00+01:00",
        "2022-03-27 12:00+02:00",
        "cronie #218: 23-hour day",
    ),
    (
        "30 0 L * *",
        "Europe/Berlin",
        "2021-10-30 12:00+02:00",
        "2021-10-31 00:30+02:00",
        "last day is a 25-hour day (pg_cron $ never sees it)",
    ),
    (
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2024-10-05 12:00+10:30",
        "2024-10-06 02:30+11:00",
        "30-minute gap 02:00-02:30",
    ),
    (
        "* 3 * * *",
        "Australia/Lord_Howe",
        "2026-10-04 00:30+10:30",
        "2026-10-04 03:00+11:00",
        "half-hour shift must not lose 03:00-03:29",
    ),
    ("30 1 * * *", "Antarctica/Troll", "2024-03-30 12:00+00:00", "2024-03-31 03:00+02:00", "two-hour gap"),
    (
        "30 1 * * *",
        "Europe/Dublin",
        "2024-03-30 12:00+00:00",
        "2024-03-31 02:00+01:00",
        "negative DST in tzdata, same rule",
    ),
    (
        "30 1 * * *",
        "America/New_York",
        "2024-11-02 12:00-04:00",
        "2024-11-03 01:30-04:00",
        "repeated hour: first reading",
    ),
    (
        "30 1 * * *",
        "America/New_York",
        "2024-11-03 01:10-05:00",
        "2024-11-04 01:30-05:00",
        "start inside the second reading: next day, never the past",
    ),
    (
        "*/30 * * * *",
        "America/New_York",
        "2024-11-03 01:30-04:00",
        "2024-11-03 01:00-05:00",
        "interval: real time goes on",
    ),
    (
        "* 1 * * *",
        "America/New_York",
        "2024-11-03 01:59-04:00",
        "2024-11-03 01:00-05:00",
        "interval runs in both readings",
    ),
    (
        "0 1-2 * * *",
        "America/New_York",
        "2024-11-03 01:00-04:00",
        "2024-11-03 02:00-05:00",
        "fixed: 01:00 once",
    ),
    (
        "30 23 * * *",
        "America/Sao_Paulo",
        "2018-02-17 23:30-02:00",
        "2018-02-18 23:30-03:00",
        "overlap before midnight",
    ),
    (
        "*/30 23 * * *",
        "America/Sao_Paulo",
        "2018-02-17 23:30-02:00",
        "2018-02-17 23:00-03:00",
        "interval in the repeated hour",
    ),
    (
        "0 */8 * * *",
        "Australia/Lord_Howe",
        "2015-04-05 01:30:01+10:30",
        "2015-04-05 08:00+10:30",
        "half-hour shift must not lose 08:00",
    ),
    (
        "*/30 * * * *",
        "America/St_Johns",
        "2005-10-30 00:00-02:30",
        "2005-10-29 23:30-03:30",
        "local date goes back",
    ),
    (
        "30 2 * * *",
        "Africa/Casablanca",
        "2024-03-09 12:00+01:00",
        "2024-03-10 02:30+01:00",
        "DST off for Ramadan: first reading",
    ),
    (
        "*/25 2 * * *",
        "America/Caracas",
        "2007-12-09 02:51:19-04:00",
        "2007-12-09 02:50-04:30",
        "half-hour overlap, second reading",
    ),
]


@pytest.mark.parametrize(("schedule", "timezone", "after", "expected", "why"), CASES)
def test_fires_next(
    cron: Connection[Any], schedule: str, timezone: str, after: str, expected: str | None, why: str
) -> None:
    rows = cron.execute(
        "select scheduler.next_fire(schedule => %s, timezone => %s, after => %s) at time zone 'UTC'",
        [schedule, timezone, after],
    ).fetchall()
    wanted = None if expected is None else datetime.fromisoformat(expected)
    assert rows == [(wanted and wanted.replace(tzinfo=None) - (wanted.utcoffset() or timedelta()),)], why


SPRING, AUTUMN = "2024-03-30 23:30+00", "2024-10-26 23:30+00"


@pytest.mark.parametrize(
    ("dst", "schedule", "night", "expected"),
    [
        ("debian", "30 2 * * *", SPRING, ["01:00"]),
        ("wall", "30 2 * * *", SPRING, []),
        ("skip", "30 2 * * *", SPRING, []),
        ("debian", "*/30 2 * * *", SPRING, []),
        ("wall", "*/30 2 * * *", SPRING, []),
        ("skip", "*/30 2 * * *", SPRING, []),
        ("debian", "every day from 2024-01-01 02:30", SPRING, ["01:00"]),
        ("debian", "30 2 * * *", AUTUMN, ["00:30"]),
        ("wall", "30 2 * * *", AUTUMN, ["00:30", "01:30"]),
        ("skip", "30 2 * * *", AUTUMN, ["00:30"]),
        ("debian", "*/30 2 * * *", AUTUMN, ["00:00", "00:30", "01:00", "01:30"]),
        ("wall", "*/30 2 * * *", AUTUMN, ["00:00", "00:30", "01:00", "01:30"]),
        ("skip", "*/30 2 * * *", AUTUMN, ["00:00", "00:30"]),
        ("wall", "every day from 2024-01-01 02:30", AUTUMN, ["00:30", "01:30"]),
        ("skip", "every 1 hour", AUTUMN, ["00:00", "01:00", "02:00", "03:00"]),
        # An offset says which reading is meant: where it begins it runs then, whatever the policy.
        *(
            (dst, "every month from 2024-10-27T02:30+01:00", AUTUMN, ["01:30"])
            for dst in ("debian", "wall", "skip")
        ),
        ("debian", "every month from 2024-10-27T02:30+02:00", AUTUMN, ["00:30"]),
        ("wall", "every month from 2024-10-27T02:30+02:00", AUTUMN, ["00:30", "01:30"]),
    ],
)
def test_each_dst_policy_in_a_night_of_change(
    cron: Connection[Any], dst: str, schedule: str, night: str, expected: list[str]
) -> None:
    rows = cron.execute(
        """
        select to_char(p at time zone 'UTC', 'HH24:MI')
        from scheduler.preview(%s, 'Europe/Berlin', n => 5, after => %s, dst => %s) as p
        where p < %s::timestamptz + interval '4 hours'
        """,
        [schedule, night, dst, night],
    ).fetchall()
    assert [at for (at,) in rows] == expected


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("every 15 minutes", ["2024-01-31 10:15", "2024-01-31 10:30"]),
        ("every minute", ["2024-01-31 10:01", "2024-01-31 10:02"]),
        ("EVERY PT90M", ["2024-01-31 10:30", "2024-01-31 12:00"]),
        ("every 1 hour 30 minutes", ["2024-01-31 10:30", "2024-01-31 12:00"]),
        ("every 36 hours from 2024-01-31 00:00Z", ["2024-02-01 12:00", "2024-02-03 00:00"]),
        ("every 2 hours from 2024-03-01T07:30:00+01:00", ["2024-03-01 06:30", "2024-03-01 08:30"]),
        ("every day", ["2024-01-31 23:00", "2024-02-01 23:00"]),
        ("every 2 weeks from 2024-01-22 09:00", ["2024-02-05 08:00", "2024-02-19 08:00"]),
        ("every month from 2024-01-31 12:00", ["2024-01-31 11:00", "2024-02-29 11:00", "2024-03-31 10:00"]),
        ("every 1 year from 2020-02-29", ["2024-02-28 23:00", "2025-02-27 23:00"]),
    ],
)
def test_every(cron: Connection[Any], schedule: str, expected: list[str]) -> None:
    rows = cron.execute(
        """
        select to_char(p at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
        from scheduler.preview(%s, 'Europe/Berlin', n => %s, after => '2024-01-31 10:00+00') as p
        """,
        [schedule, len(expected)],
    ).fetchall()
    assert [at for (at,) in rows] == expected


def test_elapsed_steps_are_exact_however_long_ago_they_began(cron: Connection[Any]) -> None:
    rows = cron.execute(
        """
        select extract(epoch from p - lag(p) over (order by p)) * 1000000
        from scheduler.preview('every 1.000001 seconds from 0001-01-01', n => 100,
                               after => '8999-12-31 23:00+00') as p
        offset 1
        """
    ).fetchall()
    assert set(rows) == {(1_000_001,)}


@pytest.mark.direct
def test_a_session_in_which_backslashes_escape_reads_the_same(db: Connection[Any]) -> None:
    told: list[str | None] = []
    db.add_notice_handler(lambda notice: told.append(notice.message_primary))
    db.execute("set standard_conforming_strings = off")
    for schedule in ("*/15 H(1-2)/1\t* * *", "every 2 days from 2024-01-31"):
        rows = db.execute(
            """
            select scheduler.describe(%(text)s), scheduler_internal.next_instant(
                scheduler_internal.compile_schedule(%(text)s, 'UTC', 'key'), 'UTC', '2024-01-31 00:59+00')
                in ('2024-01-31 01:00+00', '2024-02-02 00:00+00')
            """,
            {"text": schedule},
        ).fetchall()
        assert [is_right for _, is_right in rows] == [True]
    assert told == []


def test_after_is_now_by_default(db: Connection[Any], clock: Clock) -> None:
    clock.set("2030-06-01T12:00:00+00:00")
    rows = db.execute("select scheduler.next_fire('0 9 * * *') = '2030-06-02 09:00+00'").fetchall()
    assert rows == [(True,)]
