"""Schedules in words."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import Connection

WORDS = {
    "0 9 * * 1-5": "at 09:00 on Monday to Friday",
    "*/15 9-17 * * MON-FRI": "every 15 minutes from 09:00 to 17:59 on Monday to Friday",
    "* * * * *": "every minute",
    "*/10 * * * * *": "every 10 seconds",
    "* * * * * *": "every second",
    "0 * * * *": "every hour",
    "30 * * * *": "every hour at minute 30",
    "30 * * * * *": "every minute at second 30",
    "10,40 * * * * *": "every minute at seconds 10 and 40",
    "*/7 * * * * *": "every minute at every 7th second",
    "H * * * * *": "every minute at a hashed second",
    "30 5 * * * *": "every hour at second 30 of minute 5",
    "*/45 9-17 * * *": "at every 45th minute of the hour from 09:00 to 17:59 every day",
    "*/20 */7 */5 * * *": "every 20 seconds of every 7th minute of the hour in every 5th hour",
    "0 */2 * * *": "every 2 hours",
    "30 */2 * * *": "every 2 hours at minute 30",
    "0 */5 * * *": "every 5 hours from 00:00 to 20:00",
    "*/7 * * * *": "every hour at every 7th minute",
    "0 9-17 * * *": "every hour from 09:00 to 17:00",
    "30 9-17/2 * * *": "every 2 hours from 09:30 to 17:30",
    "0,30 9-17 * * *": "at minutes 0 and 30 from 09:00 to 17:59 every day",
    "5,10-20 * * * *": "every hour at minutes 5 and 10 to 20",
    "0 9,17 * * *": "at 09:00 and 17:00 every day",
    "30 0 9 * * *": "at 09:00:30 every day",
    "0 0 1 * *": "at 00:00 on the 1st of the month",
    "0 0 1,15 * *": "at 00:00 on the 1st and the 15th of the month",
    "0 0 L * *": "at 00:00 on the last day of the month",
    "0 0 L-1 * *": "at 00:00 on the day before the last day of the month",
    "0 0 L-3 1-3 *": "at 00:00 on the day 3 days before the last day of January to March",
    "0 0 LW * *": "at 00:00 on the last working day of the month",
    "0 0 15W * *": "at 00:00 on the working day nearest the 15th of the month",
    "0 0 * * MON#2": "at 00:00 on the second Monday of the month",
    "0 0 * * FRI#L": "at 00:00 on the last Friday of the month",
    "0 0 * * 5L": "at 00:00 on the last Friday of the month",
    "0 12 1 * +MON": "at 12:00 on the 1st of the month, only if it is Monday",
    "0 12 1 * MON": "at 12:00 on the 1st of the month or on Monday",
    "0 0 */2 * *": "at 00:00 on every 2nd day of the month",
    "0 0 1 */3 *": "at 00:00 on the 1st of every 3rd month",
    "0 0 0 1 1 * 2030": "at 00:00 on the 1st of January in 2030",
    "0 0 0 1 1 * */2": "at 00:00 on the 1st of January in every 2nd year",
    "0 0 0 1 1 * 2030-2035": "at 00:00 on the 1st of January in 2030 to 2035",
    "@daily": "at 00:00 every day",
    "@hourly": "every hour",
    "@weekly": "at 00:00 on Sunday",
    "@yearly": "at 00:00 on the 1st of January",
    "H * * * *": "every hour at a hashed minute",
    "H H * * *": "at a hashed time of day every day",
    "H/15 * * * *": "every hour at every 15th minute with a hashed start",
    "H H(1-4) H * *": "at a hashed minute in a hashed hour from 1 to 4 on a hashed day of the month",
    "0 0 ? * ?": "at 00:00 every day",
    "*/5 8-10,14 * * *": "every 5 minutes from 08:00 to 10:59 and from 14:00 to 14:59",
    "*/15 */2 * * *": "every 15 minutes in every 2nd hour",
    "10-50/20 * * * *": "every hour at every 20th minute from 10 to 50",
    "*/10 5 * * * *": "every 10 seconds of minute 5 of every hour",
    "*/10 */5 9 * * MON": "every 10 seconds in every 5th minute from 09:00 to 09:59 on Monday",
    "0 0 * 6 SUN-TUE": "at 00:00 on Sunday to Tuesday in June",
    "0 0 * * FRI-SUN": "at 00:00 on Friday to Sunday",
    "every 15 minutes": "every 15 minutes",
    "every minute": "every minute",
    "every 90 minutes": "every 90 minutes",
    "every 7 hours": "every 7 hours, counted from 1970-01-01 00:00 UTC",
    "every 2 weeks from 2024-01-22 09:00": "every 2 weeks, counted from 2024-01-22 09:00",
    "every day": "every day",
    "every 3 days": "every 3 days, counted from 1970-01-01",
    "EVERY PT1.5S": "every 1.5 seconds",
    "every PT5M": "every 5 minutes",
    "every 1h30m": "every 90 minutes",
    "every 1 hour, 30 minutes": "every 90 minutes",
    "every 00:15:00": "every 15 minutes",
    "EVERY 2 MONTHS from 2024-01-31": "every 2 months, counted from 2024-01-31",
    "every 1 year FROM 2020-02-29T00:00Z": "every year, counted from 2020-02-29T00:00Z",
    "every 18 months": "every 18 months, counted from 1970-01-01",
    "0 0 * * 1-5/2": "at 00:00 on every 2nd day of the week from Monday to Friday",
    "0 0 29 2 *": "at 00:00 on the 29th of February",
    "*/60 * * * *": "every hour at every 60th minute",
    "0 */24 * * *": "at 00:00 every day",
    "15 10 * JAN,JUN *": "at 10:15 in January and June",
    "*/30 0-6,20-23 1-7 1,7 +0": (
        "every 30 minutes from 00:00 to 06:59 and from 20:00 to 23:59 on the 1st to the 7th "
        "of January and July, only if it is Sunday"
    ),
    "H 2 * * *": "at a hashed minute from 02:00 to 02:59 every day",
    "H(0-29)/10 * * * *": "every hour at every 10th minute from 0 to 29 with a hashed start",
    "5 0 * * * *": "every hour at second 5 of minute 0",
    "0,30 * 9 * * *": "every minute at seconds 0 and 30 from 09:00 to 09:59",
    "59 * */2 * * *": "every minute at second 59 in every 2nd hour",
    "10-20 */7 * * * *": "every hour at seconds 10 to 20 of every 7th minute",
    "0 0 1W 1,FEB +MON-WED": (
        "at 00:00 on the working day nearest the 1st of January and February, only if it is "
        "Monday to Wednesday"
    ),
    "0 0 0 1,L 1-6/2 ? 2030,2032": (
        "at 00:00 on the 1st and the last day of every 2nd month from January to June in 2030 and 2032"
    ),
    "0 0 *,3 * 2": "at 00:00 on Tuesday",
    "0 0 * * 7,MON,0,1": "at 00:00 on Sunday and Monday",
}


@pytest.mark.parametrize(("schedule", "words"), WORDS.items())
def test_words(cron: Connection[Any], schedule: str, words: str) -> None:
    assert cron.execute("select scheduler.describe(%s)", [schedule]).fetchall() == [(words,)]


@pytest.mark.parametrize("schedule", ["0 0 31 2 *", "5/15 * * * *", "every 5", "@reboot", ""])
def test_what_is_refused_is_not_described(cron: Connection[Any], schedule: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="invalid schedule"):
        cron.execute("select scheduler.describe(%s)", [schedule])


def test_null_is_not_described(cron: Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.NullValueNotAllowed, match="schedule is null"):
        cron.execute("select scheduler.describe(null)")
