"""The highest rate of a profile that everything on this machine holds, the load included.

Goes up step by step until a limit is missed, then halves what is between, twice. A step that missed is tried
once more: others may have used the machine.

`python -m loadtest.find_limit [PROFILE…]`, in a checkout: the servers are those of the tests.
"""

from __future__ import annotations

from collections.abc import Mapping

import click

from loadtest.command import main
from loadtest.installation import Installation, installed
from loadtest.load_report import table, usage_between
from loadtest.locusts import Outcome, judge, run_locust
from loadtest.profiles import PROFILES, Profile
from loadtest.usage import Usage

RATES = (170, 300, 450, 600, 800, 1000, 1250, 1500, 1750, 2000, 2500, 3000)
WARM_UP_SECONDS = 5
HALVINGS = 2
TRIES = 2
KINDS = ("mixed", "dashboard")
"""What is asked for at a steady rate: with writes, and reads only."""
COLUMNS = ("planned/s", "answered/s", "failed", "p50 ms", "p95 ms", "p99 ms", "cores by part")


@click.command()
@click.argument("profiles", metavar="[PROFILE]...", nargs=-1, type=click.Choice(KINDS))
@click.option(
    "--seconds", type=click.IntRange(1), default=15, help="How long each step takes.", show_default=True
)
@click.option("--processes", type=click.IntRange(1), default=2, help="API processes.", show_default=True)
@click.option("--start", type=click.IntRange(1), default=RATES[0], help="The lowest rate.", show_default=True)
def find_limit(profiles: tuple[str, ...], seconds: int, processes: int, start: int) -> None:
    """Finds the highest rate without a failure and with p95 below its limit: mixed, dashboard, or both."""
    for name in profiles or KINDS:
        with installed() as installation, installation.serving(processes=processes):
            _find(installation, name, seconds=seconds, start=start)


def _find(installation: Installation, name: str, *, seconds: int, start: int) -> None:
    profile = PROFILES[name]
    rates = [start, *(rate for rate in RATES if rate > start)]
    held, missed, halvings = 0, 0, HALVINGS
    rows: list[tuple[str, ...]] = [COLUMNS]
    _step(installation, profile, rate=start, seconds=WARM_UP_SECONDS)
    while rates:
        rate = rates.pop(0)
        for _ in range(TRIES):
            outcome, spent = _step(installation, profile, rate=rate, seconds=seconds)
            rows.append(_row(rate, outcome, spent))
            click.echo("  ".join((name, *rows[-1])))
            if not judge(profile, outcome):
                held = rate
                break
        else:
            missed, rates = rate, []
        if missed and not rates and halvings:
            between = (held + missed) // 2
            rates, halvings = [between] if between > held else [], halvings - 1
    found = f"The highest rate of {name} that held: {held:,} a second" + (
        "." if missed else ", and none more was tried."
    )
    click.echo("\n".join(["", *table(rows), "", found, ""]))


def _step(
    installation: Installation, profile: Profile, *, rate: float, seconds: int
) -> tuple[Outcome, dict[str, Usage]]:
    installation.wait_until_idle()
    before = installation.usage()
    outcome = run_locust(
        profile,
        url=installation.url,
        rate=rate,
        seconds=seconds,
        environ={"PGTICK_API_KEYS": ",".join(installation.keys)},
    )
    return outcome, usage_between(before, installation.usage(), outcome=outcome)


def _row(rate: float, outcome: Outcome, spent: Mapping[str, Usage]) -> tuple[str, ...]:
    total = outcome.total()
    return (
        f"{rate:,.0f}",
        f"{total.num_requests / outcome.seconds:,.0f}",
        f"{total.num_failures:,}",
        *(f"{total.percentile(percent):,}" for percent in (50, 95, 99)),
        ", ".join(f"{name} {each.processor_seconds:.2f}" for name, each in spent.items()),
    )


if __name__ == "__main__":
    main(find_limit, "python -m loadtest.find_limit")
