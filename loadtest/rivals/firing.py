"""`python -m loadtest.rivals.firing`: schedules that are due in the same second, and how late each starts.

pgtick: from the fire's instant to the claim by its worker. pg_cron: to the start that it notes itself, in
background workers, as many as it is allowed to have. APScheduler: to the call of the function.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from app import localdb
from app.cluster import Cluster
from loadtest.command import Output, main
from loadtest.figures import Figure, Report, percentile, server_settings
from loadtest.processes import running
from loadtest.rivals import tools
from loadtest.rivals.contestants import PROGRAMS, ROOT, Contestant
from loadtest.rivals.tools import MissingError
from loadtest.server import SETTINGS, connect
from migrations.runner import migrate

# pg_cron runs as many jobs at once as it may, each in a background worker; the documentation says how.
CRON = {
    "shared_preload_libraries": "pg_cron",
    "cron.use_background_workers": "on",
    "cron.max_running_jobs": "32",
    "max_worker_processes": "48",
}
LEAD_SECONDS = 15
WAIT_SECONDS = 20


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--schedules", type=click.IntRange(1), default=200, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True)
@click.option("--json", "json_path", type=Output(), help="Also write the results here.")
def bench(schedules: int, rounds: int, json_path: Path | None) -> None:
    """Measures how late pgtick, pg_cron and APScheduler start what is due at the same full minute."""
    contestants: dict[str, Callable[[Cluster, int], list[float]]] = {
        "pgtick": _pgtick,
        "pg_cron": _pg_cron,
        "APScheduler": _apscheduler,
    }
    late: dict[str, list[list[float]]] = {}
    home = Path(tempfile.mkdtemp(prefix="pgtick-bench-"))
    home.chmod(0o711)
    cluster = Cluster(home, settings=SETTINGS)
    try:
        if _has_pg_cron(cluster):
            cluster.settings |= CRON
        else:
            click.echo("pg_cron is left out: the server has no such extension (Debian: postgresql-15-cron)")
            del contestants["pg_cron"]
        cluster.start()
        with connect(cluster.conninfo()) as conn:
            settings = server_settings(conn)
            for name in contestants:
                conn.execute(b"create database " + _database(name).encode())
        for _ in range(rounds):
            for name, measure in contestants.items():
                try:
                    late.setdefault(name, []).append(measure(cluster, schedules))
                except MissingError as reason:
                    click.echo(f"{name} is left out: {reason}")
    finally:
        cluster.stop()
        shutil.rmtree(home)
    figures = [
        Figure(
            name=f"{name}: {label}", unit="ms", values=[percentile(values, percent) for values in rounds_of]
        )
        for name, rounds_of in late.items()
        for label, percent in (("p50", 50), ("p99", 99), ("latest", 100))
    ]
    note = f"{schedules} schedules due at the same full minute"
    report = Report(benchmark="firing", note=note, settings=settings, figures=figures)
    click.echo(report.table())
    if json_path is not None:
        json_path.write_text(json.dumps(report.document(), indent=2, ensure_ascii=False) + "\n")


def _pgtick(cluster: Cluster, schedules: int) -> list[float]:
    """One ticker and one worker, as `pgtick up` runs them."""
    conninfo = cluster.conninfo(dbname=_database("pgtick"))
    migrate(conninfo)
    localdb.create_logins(cluster, dbname=_database("pgtick"))
    worker = cluster.conninfo(dbname=_database("pgtick"), user="pgtick_worker")
    with connect(conninfo) as conn:
        for number in range(schedules):
            conn.execute(
                "select scheduler.put_job(%s, job_type => 'python', target => %s, schedule => '* * * * *')",
                [f"fire {number}", '{"handler": "noop"}'],
            )
        with (
            running("ticker", conninfo=worker),
            running("worker", "--handlers", "loadtest.handlers", conninfo=worker),
        ):
            minute = _wait_for_minute()
        rows = conn.execute(
            "select extract(epoch from started_at - fire_at)::float8 * 1000 from scheduler_internal.history "
            "where fire_at = to_timestamp(%s)",
            [minute],
        ).fetchall()
        conn.execute("select scheduler.delete_job(job_id) from scheduler.jobs")
    return _complete("pgtick", [row[0] for row in rows], schedules)


def _pg_cron(cluster: Cluster, schedules: int) -> list[float]:
    """Schedules in the database that the extension lives in."""
    with connect(cluster.conninfo()) as conn:
        conn.execute("create extension if not exists pg_cron")
        for number in range(schedules):
            conn.execute("select cron.schedule(%s, '* * * * *', 'select 1')", [f"fire {number}"])
        minute = _wait_for_minute()
        conn.execute("select cron.unschedule(jobname) from cron.job")
        rows = conn.execute(
            "select extract(epoch from start_time)::float8 * 1000 - %s from cron.job_run_details "
            "where start_time >= to_timestamp(%s)",
            [minute * 1000, minute],
        ).fetchall()
        conn.execute("truncate cron.job_run_details")
    return _complete("pg_cron", [row[0] for row in rows], schedules)


def _apscheduler(cluster: Cluster, schedules: int) -> list[float]:
    """One scheduler process with its jobs in PostgreSQL."""
    conninfo = cluster.conninfo(dbname=_database("APScheduler"))
    with connect(conninfo) as conn:
        conn.execute("drop table if exists apscheduler_jobs")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "waited"
        path.touch()
        command = [tools.python(), "-m", f"{PROGRAMS}.apscheduler", str(schedules), "600"]
        process = subprocess.Popen(
            command, env=Contestant.environ(conninfo, RIVALS_WAITED=str(path)), cwd=ROOT
        )
        try:
            minute = _wait_for_minute()
        finally:
            process.terminate()
            process.wait()
        return _complete("APScheduler", _late_ms(path.read_text(), minute), schedules)


def _wait_for_minute() -> int:
    """Waits for a full minute that is far enough away to be ready for it, and for what it starts."""
    minute = -(-int(time.time() + LEAD_SECONDS) // 60) * 60
    time.sleep(minute + WAIT_SECONDS - time.time())
    return minute


def _late_ms(noted: str, minute: int) -> list[float]:
    """How late each of the noted times is; fires of a minute before it are there as well."""
    return [(at - minute) * 1000 for at in map(float, noted.splitlines()) if at >= minute]


def _complete(name: str, late: list[float], schedules: int) -> list[float]:
    if len(late) < schedules:
        raise RuntimeError(f"{name} started {len(late)} of {schedules} within {WAIT_SECONDS} s")
    return late


def _has_pg_cron(cluster: Cluster) -> bool:
    """Asks the server's programs for their folder."""
    config = subprocess.run(
        [cluster.binaries.program("pg_config"), "--sharedir"], capture_output=True, text=True, check=False
    )
    return (Path(config.stdout.strip()) / "extension" / "pg_cron.control").exists()


def _database(name: str) -> str:
    return f"firing_{name.lower()}"


if __name__ == "__main__":
    main(bench, "python -m loadtest.rivals.firing")
