"""What is refused when it is written, with the reason and the fix."""

from __future__ import annotations

from secrets import token_hex
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import psycopg
import pytest
from psycopg import Connection

from migrations.runner import migrate
from tests.support.server import Server

NEVER = "It can never fire"

# schedule, what the detail says, what the hint says
REFUSED = [
    ("0 0 31 2 *", NEVER, "Choose a day"),
    ("0 0 30,31 2 *", NEVER, ""),
    ("0 0 31 4,6,9,11 *", NEVER, ""),
    ("0 0 31W 2 *", NEVER, ""),
    ("0 0 0 29 2 * 2025-2027", NEVER, ""),
    ("5/15 * * * *", "minute field", '"5-59/15"'),
    ("0 JAN/2 * * *", "hour field", "0 to 23"),
    ("0 0 1 MAR/2 *", "month field", '"MAR-12/2"'),
    ("*/0 * * * *", "minute field", "step of 1"),
    ("/5 * * * *", "minute field", '"*/5"'),
    ("60 * * * *", "minute field: 60 is outside 0-59", "0 to 59"),
    ("99999 * * * *", "minute field", ""),
    ("0 24 * * *", "hour field: 24 is outside 0-23", ""),
    ("0 0 0 * *", "day-of-month field: 0 is outside 1-31", ""),
    ("0 22-2 * * *", "hour field", '"22-23,0-2"'),
    ("0 0 * NOV-FEB *", "month field", '"NOV-12,1-FEB"'),
    ("0 0 * * 7-3", "day-of-week field", '"0-3"'),
    # A step goes on where the first range has ended.
    ("0 21-3/2 * * *", "hour field", '"21-23/2,1-3/2"'),
    ("0 0 * OCT-FEB/5 *", "month field", '"OCT-12/5"'),
    ("0 0 0 1 1 * 2030-2026/2", "year field", '"2026-2030/2"'),
    ("0 10 * * ? *", "month field", "first is seconds"),
    ("0 0 1,15W * *", "day-of-month field", ""),
    ("0 0 1-15W * *", "day-of-month field", ""),
    ("0 0 L-0 * *", "day-of-month field", ""),
    ("0 0 L-31 * *", "day-of-month field", "L-1"),
    ("0 0 * * 1-5#2", "day-of-week field", "MON#2"),
    ("0 0 * * 2#6", "day-of-week field", "MON#2"),
    ("0 0 * * 8L", "day-of-week field: 8 is outside 0-7", ""),
    ("0 0 * * L", "day-of-week field", "FRI#L"),
    ("0 0 l * *", "day-of-month field", ""),
    ("+5 * * * *", "minute field", '"+"'),
    ("0 12 +1 * MON", "day-of-month field", '"+"'),
    ("0 12 1 * +", "day-of-week field", ""),
    ("0 12 1 * ++1", "day-of-week field", ""),
    ("? * * * *", "minute field", '"?"'),
    ("1,2, * * * *", "minute field", ""),
    ("1_0 * * * *", "minute field", ""),
    ("٣ * * * *", "minute field", ""),
    ("0 0 * *", "It has 4 field", "five fields"),
    ("0 0 0 1 1 * 2030 2031", "It has 8 field", "five fields"),
    ("30 seconds", "It has 2 field", '"every 30 seconds"'),
    ("daily", "It has 1 field", '"@daily"'),
    ("CRON_TZ=Europe/Berlin 0 9 * * *", "time zone", "timezone: Europe/Berlin"),
    ("0\n0 * * *", "It has 4 field", ""),
    ("0 0 1 1 * 2030", "day-of-week field", ""),
    ("0 0 0 1 1 * 1969", "year field", "1970 to 2199"),
    ("0 0 0 1 1 * H", "year field", ""),
    ("0 0 * * MONDAY", "day-of-week field", "MON"),
    ("0 0 * JANUARY *", "month field", "JAN"),
    ("@Daily", "nickname", "@daily"),
    ("@daily 0 0 * * *", "nickname", ""),
    ("@reboot", "start-up", "trigger_job"),
    ("@every 5m", "not cron", "every 15 minutes"),
    ("H * * * *", "job's name", "next_fire_at"),
    ("", "empty", "five fields"),
    (" \t ", "empty", "five fields"),
    ("every", "length of time", "every 15 minutes"),
    ("every 5", "length of time", "every 15 minutes"),
    ("every monday", "length of time", ""),
    ("every 99999999999 years", "length of time", ""),
    # What PostgreSQL reads as 9 hours, 3630 seconds, 2 seconds, 30 minutes, a month, a minute.
    ("every day 09:00", "unit for each number", '"0 9 * * MON"'),
    ("every mon 09:00", "unit for each number", '"0 9 * * MON"'),
    ("every 09:00", "unit for each number", '"0 9 * * MON"'),
    ("every 1 hour 30", "unit for each number", "every 15 minutes"),
    ("every hours 2", "unit for each number", "every 15 minutes"),
    ("every hour 30 minutes", "unit for each number", "every 15 minutes"),
    ("every mon", "unit for each number", '"months" in full'),
    ("every dec", "unit for each number", ""),
    ("every 1M", "unit for each number", '"months" in full'),
    ("every infinity", "length of time", ""),
    ("every 0.5 seconds", "shorter than one second", ""),
    ("every -1 hour", "shorter than one second", ""),
    ("every 1 month -3 days", "shorter than one second", ""),
    ("every 50 years", "longer than 40 years", ""),
    ("every 1.5 days", "mixes", "36 hours"),
    ("every 1 month 2 hours", "mixes", ""),
    ("every 1 hour from 2024", "ISO 8601", "2030-01-07 09:00"),
    ("every 1 hour from now", "ISO 8601", ""),
    ("every 1 hour from 01/02/2024", "ISO 8601", ""),
    ("every 1 day from 2024-02-30", "is not a time", ""),
    ("every 1 day from 2024-03-10 02:30", "There is no 2024-03-10 02:30 in America/New_York", "offset"),
    ("1," * 500 + "1 * * * *", "at most 1000", "ranges"),
]


@pytest.mark.parametrize(("schedule", "detail", "hint"), REFUSED)
def test_a_wrong_schedule_is_refused(cron: Connection[Any], schedule: str, detail: str, hint: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        cron.execute("select scheduler.next_fire(%s, 'America/New_York')", [schedule])
    diag = caught.value.diag
    assert diag.message_primary is not None
    assert diag.message_primary.startswith('invalid schedule "')
    assert "\n" not in diag.message_primary
    assert len(diag.message_primary) < 150
    assert detail in (diag.message_detail or "")
    assert hint in (diag.message_hint or "")
    assert diag.message_hint


@pytest.mark.parametrize("nothing", ["schedule", "timezone", "dst"])
def test_null_is_refused(cron: Connection[Any], nothing: str) -> None:
    arguments = {"schedule": "0 9 * * *", "timezone": "UTC", "dst": "debian"} | {nothing: None}
    with pytest.raises(psycopg.errors.NullValueNotAllowed, match=f"{nothing} is null"):
        cron.execute(
            "select scheduler.next_fire(%(schedule)s, timezone => %(timezone)s, dst => %(dst)s)", arguments
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'0 9 * * *', dst => 'posix'", "invalid dst policy"),
        ("'0 9 * * *', after => 'infinity'", "after is infinity"),
        ("'0 9 * * *', after => '-infinity'", "after is -infinity"),
        ("'0 9 * * *', after => '294000-01-01'", "after is"),
        ("'0 9 * * *', n => 0", "n is 0"),
        ("'0 9 * * *', n => null", "n is null"),
        ("'0 9 * * *', n => 2147483647", "n is 2147483647"),
    ],
)
def test_a_wrong_argument_is_refused(cron: Connection[Any], arguments: str, message: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=message) as caught:
        cron.execute(f"select scheduler.preview({arguments})".encode())
    assert caught.value.diag.message_hint


@pytest.mark.parametrize(
    ("timezone", "hint"),
    [
        ("GMT+24", "Europe/Berlin or UTC"),
        ("Foo/Bar", "Europe/Berlin or UTC"),
        ("posix/UTC", ""),
        ("right/UTC", ""),
        ("localtime", ""),
        ("Factory", ""),
        ("posixrules", ""),
        ("EST5EDT4", ""),
        ("", ""),
        ("+02:00", ""),
        ("Foo3", ""),
        ("CEST", ""),
        ("Berlin", '"Europe/Berlin"'),
        ("America/New York", '"America/New_York"'),
        ("Asia/Berlin", '"Europe/Berlin"'),
        ("x" * 100_000, ""),
    ],
)
def test_a_wrong_time_zone_is_refused(cron: Connection[Any], timezone: str, hint: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="unknown time zone") as caught:
        cron.execute("select scheduler.next_fire('0 9 * * *', %s)", [timezone])
    assert hint in (caught.value.diag.message_hint or "")
    assert caught.value.diag.message_detail


@pytest.mark.parametrize(
    ("written", "canonical"),
    [("europe/berlin", "Europe/Berlin"), ("utc", "UTC"), ("AMERICA/NEW_YORK", "America/New_York")],
)
def test_a_time_zone_gets_its_canonical_spelling(cron: Connection[Any], written: str, canonical: str) -> None:
    assert cron.execute("select scheduler_internal.check_time_zone(%s)", [written]).fetchall() == [
        (canonical,)
    ]


def test_a_time_zone_is_found_in_turkish(server: Server) -> None:
    """There the small letter of I has no dot."""
    name = f"test_turkish_{token_hex(4)}"
    with server.connect() as conn:
        if not conn.execute("select from pg_collation where collname = 'tr-x-icu'").fetchall():
            pytest.skip("this PostgreSQL has no ICU")
        conn.execute(
            f"create database {name} template template0 locale_provider icu icu_locale 'tr'".encode()
        )
    try:
        migrate(server.conninfo(name))
        with psycopg.connect(server.conninfo(name)) as db:
            rows = db.execute("select scheduler_internal.check_time_zone('EUROPE/BERLIN')").fetchall()
            assert rows == [("Europe/Berlin",)]
    finally:
        server.drop_database(name)


def test_every_name_of_iana_means_its_zone(cron: Connection[Any]) -> None:
    """Not the abbreviation that some are as well: CET has a summer."""
    rows = cron.execute(
        """
        select z.name, at, at at time zone scheduler_internal.check_time_zone(z.name)
        from scheduler_internal.time_zones z,
            unnest('{2015-01-15 12:00+00,2015-07-15 12:00+00}'::timestamptz[]) at
        """
    ).fetchall()
    known = available_timezones()
    wrong = {
        name
        for name, at, local in rows
        if name in known and at.astimezone(ZoneInfo(name)).replace(tzinfo=None) != local
    }
    assert wrong == set()


def test_refreshing_the_time_zones_brings_back_and_takes_away(db: Connection[Any]) -> None:
    known = db.execute("select name from scheduler_internal.time_zones order by name").fetchall()
    db.execute("delete from scheduler_internal.time_zones where name like 'Europe/%'")
    db.execute("insert into scheduler_internal.time_zones (name) values ('Mars/Olympus')")
    db.execute("select scheduler_internal.refresh_time_zones()")
    assert db.execute("select name from scheduler_internal.time_zones order by name").fetchall() == known


def warnings_of(cron: Connection[Any], schedule: str) -> list[tuple[str | None, ...]]:
    warnings: list[tuple[str | None, ...]] = []

    def keep(diag: psycopg.errors.Diagnostic) -> None:
        warnings.append((diag.severity, diag.message_primary, diag.message_detail, diag.message_hint))

    cron.add_notice_handler(keep)
    try:
        cron.execute("select scheduler_internal.compile_schedule(%s)", [schedule])
    finally:
        cron.remove_notice_handler(keep)
    return warnings


@pytest.mark.parametrize(
    ("schedule", "is_ambiguous"),
    [
        ("0 0 */2 * 1", True),
        ("0 0 1 * */2", True),
        ("0 0 */2 * */3", True),
        ("0 0 */2 * *", False),
        ("0 0 */2 * +1", False),
        ("0 0 1-31/2 * 1", False),
        ("0 0 *,5 * 1", False),
    ],
)
def test_days_that_vixie_cron_reads_otherwise_are_warned_of(
    cron: Connection[Any], schedule: str, is_ambiguous: bool
) -> None:
    warnings = warnings_of(cron, schedule)
    assert len(warnings) == is_ambiguous
    for severity, message, detail, hint in warnings:
        assert severity == "WARNING"
        assert message == f'schedule "{schedule}" runs on days that match either day field'
        assert "match both" in (detail or "")
        assert "+" in (hint or "")
        star = "1-31/2" if schedule.startswith("0 0 *") else "0-6/2"
        assert f'such as "{star}" in place of the "*"' in (hint or "")


@pytest.mark.parametrize(
    ("schedule", "means_another_day"),
    [
        ("0 0 12 ? * 2", True),
        ("0 0 12 ? * MON,5L", True),
        ("0 0 12 ? * 2-6", True),
        ("0 0 12 ? * MON-FRI", False),
        ("0 0 12 ? * MON#2", False),
        ("0 0 12 * * 2", False),
        ("0 0 12 1 * ?", False),
    ],
)
def test_days_that_quartz_counts_otherwise_are_warned_of(
    cron: Connection[Any], schedule: str, means_another_day: bool
) -> None:
    warnings = warnings_of(cron, schedule)
    assert len(warnings) == means_another_day
    for severity, message, detail, hint in warnings:
        assert severity == "WARNING"
        assert message == f'schedule "{schedule}" counts weekdays from Sunday as 0'
        assert "Sunday as 1" in (detail or "")
        assert "MON-FRI" in (hint or "")
