"""`pgtick preview`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import LiteralString

import click

_PREVIEW: LiteralString = "select fire_at from scheduler.preview(%s, %s, %s, %s) as fire_at"
# By the server's own zones, which the schedule was reckoned with.
_LOCAL: LiteralString = """
    select to_char(t at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), to_char(t, 'Dy YYYY-MM-DD HH24:MI:SS TZ')
    from unnest(%s::timestamptz[]) as t
"""


@click.command()
@click.argument("schedule")
@click.option("--timezone", default="UTC", show_default=True, help="IANA name of the time zone.")
@click.option("-n", "count", default=5, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--after", help="Start after this time (default: now), such as 2027-03-28T00:00+01:00.")
@click.option("--check", is_flag=True, help="Compare with croniter, in UTC; exit code 1 if it disagrees.")
def preview(schedule: str, *, timezone: str, count: int, after: str | None, check: bool) -> None:
    """Shows when a SCHEDULE fires next, such as '0 9 * * mon-fri' or 'every 15 minutes'."""
    from app.db import connect, describe_notice

    start = _parse(after)
    warnings: dict[str, None] = {}  # each once, as every call below gives them
    with connect() as conn, conn.transaction():
        conn.add_notice_handler(lambda notice: warnings.update({describe_notice(notice): None}))
        start = start or conn.execute("select scheduler.now()").fetchone()[0]  # type: ignore[index]
        described = conn.execute("select scheduler.describe(%s)", [schedule]).fetchone()
        instants = [row[0] for row in conn.execute(_PREVIEW, [schedule, timezone, count, start])]
        in_utc = [row[0] for row in conn.execute(_PREVIEW, [schedule, "UTC", count, start])] if check else []
        conn.execute("select set_config('timezone', %s, true)", [timezone])
        shown = conn.execute(_LOCAL, [instants]).fetchall()
    click.echo(described[0] if described else schedule)
    for universal, local in shown:
        click.echo(local if local == f"{local[:4]}{universal} UTC" else f"{local}   {universal} UTC")
    if not instants:
        click.echo("it never fires again")
    for warning in warnings:
        click.echo(f"! {warning}", err=True)
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
