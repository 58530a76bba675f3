"""Two hundred jobs, mixed by a seed: every kind of schedule, in twelve zones, under all pairs of policies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random

from tests.cron import oracle, wall_clock
from tests.year.model import Job, Policy, Schedule

START = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2025, 1, 1, tzinfo=UTC)
ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Europe/Dublin",
    "America/Santiago",
    "Africa/Cairo",
    "Pacific/Chatham",
    "Asia/Kathmandu",
]
SPARSE = [
    "0 0 * * *",
    "30 2 * * *",
    "30 1 * * *",
    "0 3 * * *",
    "0,30 2,3 * * 0",
    "0 30 2 * * *",
    "0 9 * * MON-FRI",
    "0 12 L * *",
    "0 12 LW * *",
    "0 6 15W * *",
    "0 7 * * FRI#L",
    "0 7 * * MON#2",
    "0 0 1 * *",
    "0 5 29 2 *",
    "30 2 31 3 *",
    "@weekly",
    "@daily",
    "@monthly",
    "@yearly",
    "H H * * *",
    "H H(0-5) * * H",
    "H H H * *",
    "0 12 1-7 * +MON",
    "0 0 13 * FRI",
    "15 0-23/8 * * *",
    "0 */8 * * SUN",
    "0 0 L-2 * *",
]
DENSE = ["*/15 * * * *", "*/10 1-3 * * *", "0 * * * *", "*/20 * * * * *", "5,35 */2 * * *", "H/10 * * * *"]
DENSE_DAYS = {"*/20 * * * * *": 0.25, "0 * * * *": 12, "5,35 */2 * * *": 12}  # how long it may go on; else 4
MISFIRES = (
    Policy(misfire="skip"),
    Policy(misfire="skip", misfire_window=timedelta(hours=6)),
    Policy(misfire="fire_once"),
    Policy(misfire="fire_once", misfire_window=timedelta(hours=30)),
    Policy(misfire="fire_all"),
    Policy(misfire="fire_all", misfire_window=timedelta(days=2)),
    Policy(misfire="fire_all", misfire_cap=3),
    Policy(misfire="fire_all", misfire_window=timedelta(days=4), misfire_cap=2),
)
OVERLAPS = ("allow", "skip", "queue_one", "cancel_running")
PAIRS = tuple(product(MISFIRES, OVERLAPS))


def random_schedule(random: Random, *, may_be_dense: bool) -> Schedule:
    """Returns a schedule of any kind."""
    zone = random.choice(ZONES)
    kind = random.random()
    if kind < 0.08:
        day = START + timedelta(days=random.randrange(5, 360), hours=random.randrange(24))
        return Schedule(f"0 {day.minute} {day.hour} {day.day} {day.month} * 2024", zone)
    if kind < 0.16:
        hours = random.choice([7, 12, 36, 100])
        return Schedule(f"every {hours} hours", zone, step=timedelta(hours=hours))
    if kind < 0.28:
        # Far from any change of the clocks itself, its steps may land in a gap or a repeated hour.
        anchor = datetime(2024, 1, random.choice([3, 17, 31]), random.choice([0, 1, 2, 3, 12]), 30)  # noqa: DTZ001 - local
        unit, steps = random.choice(
            [
                ("2 days", oracle.Steps(anchor, days=2)),
                ("1 week", oracle.Steps(anchor, days=7)),
                ("1 month", oracle.Steps(anchor, months=1)),
            ]
        )
        return Schedule(f"every {unit} from {anchor:%Y-%m-%d %H:%M}", zone, calendar=steps)
    dst = random.choice(["debian", "debian", "wall", "skip"])
    texts = DENSE if may_be_dense and kind > 0.85 else SPARSE
    return Schedule(random.choice(texts), zone, dst=dst)


def random_job(random: Random, number: int, *, days_of_dense: float) -> Job:
    """Returns a job; its pair of policies is the one whose turn it is."""
    schedule = random_schedule(random, may_be_dense=True)
    misfire, overlap = PAIRS[number % len(PAIRS)]
    jitter = random.choice(
        [timedelta(0)] * 6 + [timedelta(minutes=10), timedelta(hours=6), timedelta(days=1)]
    )
    expires_after = random.choice([None] * 6 + [timedelta(hours=2), timedelta(days=3)])
    starts_at = ends_at = None
    if schedule.text in DENSE:
        # A dense one lives for some days, half of the time those of a change of its zone's clocks.
        days = DENSE_DAYS.get(schedule.text, 4.0) * days_of_dense
        changes = wall_clock.changes(schedule.zone, START.year)
        if changes and random.random() < 0.5:
            starts_at = random.choice(changes).replace(tzinfo=UTC) - timedelta(days=days / 2)
        else:
            starts_at = START + timedelta(days=random.randrange(2, 350))
        ends_at = starts_at + timedelta(days=days)
    elif random.random() < 0.5 and "2024" not in schedule.text:
        starts_at = START + timedelta(days=random.randrange(0, 250), minutes=random.randrange(1440))
        ends_at = starts_at + timedelta(days=random.randrange(30, 200))
    policy = replace(
        misfire,
        overlap=overlap,
        jitter=jitter,
        expires_after=expires_after,
        starts_at=starts_at,
        ends_at=ends_at,
    )
    return Job(f"job {number}", schedule, policy, decided_upto=START)


def make_jobs(random: Random, count: int, *, days_of_dense: float) -> list[Job]:
    """Returns the jobs of a year, each of which has a future."""
    jobs: list[Job] = []
    while len(jobs) < count:
        job = random_job(random, len(jobs), days_of_dense=days_of_dense)
        if job.next_due() is not None:
            jobs.append(job)
    return jobs
