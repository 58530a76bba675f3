"""`pgtick up`: everything on this machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click
from psycopg.conninfo import conninfo_to_dict

from app import localdb
from app.cli._up_api import LocalApi
from app.cli._up_redis import redis_children
from app.cli._up_worker import worker_child
from app.cli.processes import process_environment
from app.cluster import SUPERUSER, Cluster
from app.db import connect, direct_conninfo, write_conninfo
from app.echo import Echo
from app.follow import Follower
from app.settings import SettingsError, load_settings
from app.supervisor import Child

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ECHO_PORT = 7483  # as examples/jobs.yaml says
CHECK_SECONDS = 0.1


class Terminal:
    """Where lines go, until nobody is there to read them."""

    def __init__(self) -> None:
        """Begins with a reader."""
        self._gone = False

    def say(self, line: str) -> None:
        """Prints a line. A terminal that has gone is no reason to fall over: its SIGHUP stops us in order."""
        if self._gone:
            return
        try:
            click.echo(line)
        except OSError:
            self._gone = True


class Stop:
    """A request to stop, by Ctrl-C, SIGTERM or a terminal that closes; a second one allows no more time."""

    def __init__(self) -> None:
        """Begins with none."""
        self.asked = threading.Event()
        self.hurry = threading.Event()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals for as long as the block lasts; one that was being ignored (nohup) still is."""
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        old = {sign: signal.getsignal(sign) for sign in signals}
        for sign in signals:
            if old[sign] is not signal.SIG_IGN:
                signal.signal(sign, self._on_signal)
        try:
            yield
        finally:
            for sign in signals:
                signal.signal(sign, old[sign])

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.asked.is_set():
            self.hurry.set()
        self.asked.set()


@click.command()
def up() -> None:
    """Runs all of pgtick here: a database if none is given, ticker, worker, API; Ctrl-C stops it."""
    terminal, stop = Terminal(), Stop()
    settings = load_settings(os.environ)
    if settings.database is None and settings.direct_database is not None:
        raise SettingsError(
            "DB_DIRECT_CONNECTION_STRING is set without DB_WRITE_CONNECTION_STRING: "
            "set both for a database of yours, or none for the local one"
        )
    api = LocalApi(settings, terminal.say)
    with contextlib.ExitStack() as stack:
        stack.enter_context(stop.listening())
        # First of all: who cannot have the port that he named, need not wait for a database to learn it.
        stack.enter_context(api.listening())
        cluster = None
        if settings.database is None:
            cluster = localdb.local_cluster()
            stack.enter_context(localdb.in_use(cluster))
        if not stop.asked.is_set():
            _run(cluster, api, terminal, stop, stack)
    terminal.say("stopped")


def _run(
    cluster: Cluster | None,
    api: LocalApi,
    terminal: Terminal,
    stop: Stop,
    stack: contextlib.ExitStack,
) -> None:
    _tell_database(cluster, terminal)
    _migrate(cluster, terminal)
    environ = process_environment(os.environ)
    environ["PGTICK_LOG_FORMAT"] = "json"  # of which the supervisor picks the errors
    if cluster is not None:
        echo = stack.enter_context(Echo(ECHO_PORT))
        allowed = [load_settings(environ).http_allow, echo.address]
        environ["PGTICK_HTTP_ALLOW"] = ",".join(filter(None, allowed))
        _apply_sample(cluster, echo, terminal)
    logs = localdb.home() / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    children = [
        *redis_children(load_settings(os.environ), environ, logs / "valkey.log", terminal.say),
        Child("ticker", ["workers", "ticker"], environ, logs / "ticker.log", terminal.say),
        worker_child(cluster, environ, logs / "worker.log", terminal.say),
        api.child(cluster, environ, logs / "api.log"),
    ]
    api.tell()
    terminal.say(f"logs       {logs}")
    terminal.say("running    ticker, worker and API; executions follow as they end; Ctrl-C stops everything")
    follower = Follower(write_conninfo(), terminal.say)
    try:
        while not stop.asked.wait(CHECK_SECONDS):
            for child in children:
                child.check()
            follower.look()
    finally:
        follower.close()
        terminal.say("stopping: what runs may end; a second Ctrl-C cuts it short")
        for child in reversed(children):
            child.stop(hurry=stop.hurry)


def _tell_database(cluster: Cluster | None, terminal: Terminal) -> None:
    if cluster is None:
        given = conninfo_to_dict(write_conninfo())
        shown = " ".join(f"{key}={given[key]}" for key in ("host", "port", "dbname", "user") if key in given)
        terminal.say(f"database   {shown}")
        return
    binaries = cluster.binaries
    terminal.say(f"database   PostgreSQL {binaries.major} ({binaries.origin}) in {cluster.home}")
    terminal.say(
        f"           PGPASSFILE={shlex.quote(str(cluster.pgpass))} psql -h 127.0.0.1 -p {cluster.port} "
        f"-U {SUPERUSER} {localdb.DATABASE}"
    )
    terminal.say("           or shorter: pgtick psql")


def _migrate(cluster: Cluster | None, terminal: Terminal) -> None:
    from migrations.runner import MigrationError, migrate

    connect(direct_conninfo()).close()
    try:
        applied = migrate(direct_conninfo())
    except MigrationError as error:
        raise click.ClickException(str(error)) from error
    if cluster is not None:
        localdb.create_logins(cluster)
    terminal.say(f"schema     {f'{len(applied)} files applied' if applied else 'up to date'}")


def _apply_sample(cluster: Cluster, echo: Echo, terminal: Terminal) -> None:
    from app.jobfile import apply_file
    from app.jobfile_problems import JobFileError
    from app.jobfile_report import report_lines

    path = EXAMPLES / "jobs.yaml"
    if echo.address != f"127.0.0.1:{ECHO_PORT}":
        # Somebody else has the port: the sample's http job calls the one that we got.
        text = path.read_text().replace(f"127.0.0.1:{ECHO_PORT}", echo.address)
        path = cluster.home / "jobs.yaml"
        path.write_text(text)
    with connect(cluster.conninfo(dbname=localdb.DATABASE)) as conn:
        conn.execute((EXAMPLES / "demo.sql").read_bytes())
    try:
        with connect(write_conninfo()) as conn:
            report = apply_file(conn, path)
    except JobFileError as error:
        # Somebody's own file has a job of that name, say. He has no need of the sample.
        terminal.say(f"sample     not applied: {'; '.join(str(error).splitlines())}")
        return
    terminal.say(f"sample     examples/jobs.yaml: {list(report_lines(report))[-1]}")
