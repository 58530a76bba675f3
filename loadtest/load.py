"""Profiles of real use, by locust, against all of it on this machine: nginx, API processes, a replica,
PgBouncer, Redis, a ticker, a worker. Says which limit a profile missed, and fails then.

`python -m loadtest.load [PROFILE…]`, in a checkout: the servers are those of the tests.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from loadtest.command import main
from loadtest.herd import Herd
from loadtest.installation import CLIENTS, Installation, installed
from loadtest.load_report import section, title, usage_between
from loadtest.locusts import judge, run_locust
from loadtest.profiles import PROFILES

# The herd comes so long after the load begins: locust has started and the first reads are cached.
HERD_AFTER_SECONDS = 10
CLIENT_LIMITS = ("PGTICK_RATE_LIMIT_CLIENT", "PGTICK_RATE_LIMIT_READ", "PGTICK_RATE_LIMIT_WRITE")


@click.command()
@click.argument("profiles", metavar="[PROFILE]...", nargs=-1, type=click.Choice(list(PROFILES)))
@click.option(
    "--rate",
    type=click.FloatRange(0.1),
    default=170.0,
    help="Requests a second, of all clients; 170 are 10,000 a minute.",
    show_default=True,
)
@click.option("--seconds", type=click.IntRange(1), help="How long each; default: 60, the herd 45.")
@click.option("--processes", type=click.IntRange(1), default=2, help="API processes.", show_default=True)
@click.option(
    "--report",
    default=Path("load-report"),
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write report.md and the plots.",
    show_default=True,
)
def load(profiles: tuple[str, ...], rate: float, seconds: int | None, processes: int, report: Path) -> None:
    """Runs profiles: mixed, dashboard, bursts, greedy, herd; without a name, all of them."""
    names = profiles or tuple(PROFILES)
    if seconds and seconds <= HERD_AFTER_SECONDS and any(PROFILES[name].herd for name in names):
        raise click.UsageError(
            f"herd takes more than {HERD_AFTER_SECONDS} s: it comes so long after the load begins"
        )
    report.mkdir(parents=True, exist_ok=True)
    sections, all_missed = [title()], []
    with installed() as installation:
        for name in names:
            text, missed = _run(
                name,
                installation,
                rate=rate,
                seconds=seconds or PROFILES[name].seconds,
                processes=processes,
                html=report / f"{name}.html",
            )
            click.echo(text)
            sections.append(text)
            all_missed += [f"{name}: {line}" for line in missed]
            (report / "report.md").write_text("\n".join(sections))
    for line in all_missed:
        click.echo(f"MISSED: {line}", err=True)
    sys.exit(1 if all_missed else 0)


def _run(
    name: str, installation: Installation, *, rate: float, seconds: int, processes: int, html: Path
) -> tuple[str, list[str]]:
    """Runs one profile; returns its section of the report, and the limits that it missed."""
    profile = PROFILES[name]
    herd = Herd(installation.topology.conninfo(), profile.herd) if profile.herd else None
    greedy, limits = _greedy(rate, profile.greed) if profile.greed else (0.0, {})
    variables = {
        "PGTICK_API_KEYS": ",".join(installation.keys),
        "PGTICK_GREEDY_KEY": installation.greedy_key,
        "PGTICK_GREEDY_RATE": str(greedy),
    }
    with installation.serving(processes=processes, environ=limits):
        installation.wait_until_idle()
        if herd is not None:
            herd.set_due(in_seconds=HERD_AFTER_SECONDS)
        ended_before, wal_before = installation.written()
        before = installation.usage()
        outcome = run_locust(
            profile,
            url=installation.url,
            rate=rate - greedy,
            seconds=seconds,
            environ=variables,
            html=html,
        )
        spent = usage_between(before, installation.usage(), outcome=outcome)
        ended, wal = installation.written()
        facts, missed = [_written(ended - ended_before, wal - wal_before)], judge(profile, outcome)
        if herd is not None:
            late = herd.wait()
            facts.append(late.line())
            if len(late.started_seconds) != late.due:
                missed.append(f"only {len(late.started_seconds):,} of {late.due:,} schedules fired and ran")
    text = section(name, profile.does, rate=rate, outcome=outcome, spent=spent, facts=facts, missed=missed)
    return text, missed


def _greedy(rate: float, greed: float) -> tuple[float, dict[str, str]]:
    """Returns how many of the requests a second the greedy client sends, and the limits of each client: twice
    what each of the others sends on average, so that those never come near.
    """
    polite = rate / (1 + greed * 2 / CLIENTS)
    allowed = 2 * polite / CLIENTS
    return rate - polite, dict.fromkeys(CLIENT_LIMITS, f"{allowed:g}:{max(1, round(allowed))}")


def _written(executions: int, wal_bytes: int) -> str:
    each = f", {wal_bytes / executions:,.0f} bytes each" if executions else ""
    return f"{executions:,} executions ended meanwhile; {wal_bytes / 1e6:,.1f} MB of WAL{each}"


if __name__ == "__main__":
    main(load, "python -m loadtest.load")
