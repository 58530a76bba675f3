"""The rounds: everyone's turn in each, so that a slow moment of the machine hits all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from loadtest.figures import Figure, Report, Target, percentile, server_settings
from loadtest.rivals.contestants import FUNCTIONS, US, Contestant
from loadtest.rivals.database import fresh
from loadtest.rivals.turns import BATCH, PROCESSES, RATE, Place, Throughput, latency, throughput
from loadtest.server import Database, database

KINDS = ("throughput", "latency")
PERCENTS = (50, 95, 99)
WAL_TARGET = Target(1_200)
# Ours against theirs: graphile-worker keeps nothing, the next two keep history.
DRAIN_TARGETS = {"graphile-worker": 1.0, "pg-boss": 1.8, "PgQueuer": 1.8, "Procrastinate": 25.0}


def run(
    contestants: Sequence[Contestant], *, rounds: int, kinds: Sequence[str], seconds: float, dsn: str | None
) -> Iterator[list[Report]]:
    """Measures round by round, beginning with another contestant each time; says after each what is known."""
    spent: dict[str, list[Throughput]] = {contestant.name: [] for contestant in contestants}
    waited: dict[str, list[list[float]]] = {contestant.name: [] for contestant in contestants}
    with ExitStack() as stack:
        db = stack.enter_context(database(dsn))
        with db.connect() as conn:
            settings = server_settings(conn)
        places = [stack.enter_context(_place(db, contestant)) for contestant in contestants]
        for number in range(rounds):
            for place in places[number % len(places) :] + places[: number % len(places)]:
                if "throughput" in kinds:
                    spent[place.contestant.name].append(throughput(place))
                if "latency" in kinds and place.contestant.has_latency:
                    waited[place.contestant.name].append(latency(place, seconds))
            reports = []
            if "throughput" in kinds:
                figures = [figure for c in contestants for figure in _spent(c.name, spent[c.name])]
                figures += [figure for c in contestants for figure in _against(c, spent)]
                note = f"{PROCESSES} processes, batches of {BATCH}, no-op jobs"
                reports.append(Report(benchmark="rivals", note=note, settings=settings, figures=figures))
            if "latency" in kinds:
                figures = [figure for c in contestants for figure in _waited(c.name, waited)]
                note = f"enqueue to start, {RATE} a second for {seconds:g} s, {PROCESSES} worker processes"
                reports.append(
                    Report(benchmark="rivals' latency", note=note, settings=settings, figures=figures)
                )
            yield reports


def _spent(name: str, spent: list[Throughput]) -> list[Figure]:
    figures = [
        Figure(name=f"{name}: enqueue", unit="1/s", values=[s.enqueued for s in spent]),
        Figure(name=f"{name}: drain", unit="1/s", values=[s.drained for s in spent]),
        Figure(name=f"{name}: WAL of enqueue", unit="bytes", values=[s.enqueue_wal for s in spent]),
        Figure(name=f"{name}: WAL of drain", unit="bytes", values=[s.drain_wal for s in spent]),
        Figure(
            name=f"{name}: WAL of both",
            unit="bytes",
            values=[s.enqueue_wal + s.drain_wal for s in spent],
            target=WAL_TARGET if name == US else None,
        ),
    ]
    workers = [s.worker_seconds * 1e6 for s in spent if s.worker_seconds is not None]
    server = [s.server_seconds * 1e6 for s in spent if s.server_seconds is not None]
    if workers and server:
        figures.append(Figure(name=f"{name}: worker's time in drain", unit="µs", values=workers))
        figures.append(Figure(name=f"{name}: server's time in drain", unit="µs", values=server))
    return figures


def _against(rival: Contestant, spent: dict[str, list[Throughput]]) -> Iterator[Figure]:
    """Ratios of ours to a rival's in the same round."""
    if rival.is_ours:
        return
    for us in (US, FUNCTIONS):
        pairs = list(zip(spent.get(us, []), spent[rival.name], strict=False))
        least = DRAIN_TARGETS[rival.name] if us == US else None
        if pairs and us == US:
            yield Figure(
                name=f"enqueue, {us} against {rival.name}",
                unit="ratio",
                values=[o.enqueued / r.enqueued for o, r in pairs],
                target=Target(1.0, "at least"),
            )
        if pairs:
            yield Figure(
                name=f"drain, {us} against {rival.name}",
                unit="ratio",
                values=[o.drained / r.drained for o, r in pairs],
                target=Target(least, "at least") if least is not None else None,
            )


def _waited(name: str, waited: dict[str, list[list[float]]]) -> Iterator[Figure]:
    for percent in PERCENTS if waited[name] else ():
        values = [percentile(round_of, percent) for round_of in waited[name]]
        yield Figure(name=f"{name}: p{percent}", unit="ms", values=values)
    if name == US or not waited[name] or not waited.get(US):
        return
    for percent in (50, 99):
        pairs = zip(waited[US], waited[name], strict=True)
        yield Figure(
            name=f"p{percent}, {US} against {name}",
            unit="ratio",
            values=[percentile(o, percent) / percentile(r, percent) for o, r in pairs],
            target=Target(1.0) if name == "graphile-worker" else None,
        )


@contextmanager
def _place(db: Database, contestant: Contestant) -> Iterator[Place]:
    """Has a database of its own for a rival while the block runs; ours is there, logins included."""
    if contestant.is_ours:
        contestant.run("install", conninfo=db.conninfo)
        yield Place(contestant, db.conninfo, db.worker_conninfo, db.is_local)
        return
    with fresh(db, contestant) as conninfo:
        yield Place(contestant, conninfo, conninfo, db.is_local)
