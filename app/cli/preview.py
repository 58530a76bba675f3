"""`pgtick preview`."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click


@click.command()
@click.argument("schedule")
@click.option("--timezone", default="UTC", show_default=True, help="IANA name of the time zone.")
@click.option("-n", "count", default=5, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--after", help="Start after this time (default: now), such as 2027-03-28T00:00+01:00.")
@click.option("--check", is_flag=True, help="Compare with croniter, in UTC; exit code 1 if it disagrees.")
def preview(schedule: str, *, timezone: str, count: int, after: str | None, check: bool) -> None:
    """Shows when a SCHEDULE fires next, such as '0 9 * * mon-fri' or 'every 15 minutes'."""
    from app.db import connect

    start = _parse(after)
    with connect() as conn:
        start = start or conn.execute("select scheduler.now()").fetchone()[0]  # type: ignore[index]
        call = "select fire_at from scheduler.preview(%s, %s, %s, %s) as fire_at"
        described = conn.execute("select scheduler.describe(%s)", [schedule]).fetchone()
        instants = [row[0] for row in conn.execute(call, [schedule, timezone, count, start])]
        in_utc = [row[0] for row in conn.execute(call, [schedule, "UTC", count, start])] if check else []
    click.echo(described[0] if described else schedule)
    zone = ZoneInfo(timezone)
    for instant in instants:
        local = instant.astimezone(zone)
        universal = "" if timezone == "UTC" else f"   {instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        click.echo(f"{local:%a %Y-%m-%d %H:%M:%S %Z}{universal}")
    if not instants:
        click.echo("it never fires again")
    if check:
        _compare(schedule, start, [instant.astimezone(UTC) for instant in in_utc])


def _parse(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time such as 2027-03-28T00:00+01:00", param_hint="--after"
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _compare(schedule: str, start: datetime, ours: list[datetime]) -> None:
    """Asks croniter the same. It knows no `every` and no L-n, and only in UTC are its answers good."""
    from croniter import CroniterBadDateError, CroniterError, croniter

    try:
        # Unless told, it takes the sixth field, not the first, for the second.
        oracle = croniter(
            schedule,
            start.astimezone(UTC),
            second_at_beginning=True,
            max_years_between_matches=100,
        )
        theirs: list[datetime | None] = [oracle.get_next(datetime) for _ in ours]
    except CroniterBadDateError:
        theirs = [None] * len(ours)
    except CroniterError as error:
        click.echo(f"croniter cannot tell: {error}")
        return
    for mine, other in zip(ours, theirs, strict=True):
        if mine != other:
            raise click.ClickException(f"croniter disagrees: {other} where pgtick says {mine} (in UTC)")
    click.echo(f"croniter agrees on {len(ours)} (in UTC)")
