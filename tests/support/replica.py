"""A streaming replica of a test's server, which can lag, conflict, fail and take over."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from app.account import server_account
from app.cluster import Cluster
from tests.support.guard import guard
from tests.support.program import free_port, wait_until
from tests.support.server import SETTINGS

# A reader that stands in the way of replay is told to go after a moment, not after half a minute; and who has
# lost its primary looks for it every 0.1 s, not every 5.
REPLICA_SETTINGS = {
    "max_standby_streaming_delay": "100ms",
    "hot_standby_feedback": "off",
    "wal_retrieve_retry_interval": "100ms",
}


class Replica:
    """A running replica; its logins and their passwords are those of the primary."""

    def __init__(self, primary: Cluster, home: Path, *, settings: dict[str, str] | None = None) -> None:
        """Copies the primary, starts, and waits until it streams."""
        self.name = home.name
        self.primary = primary
        self.cluster = Cluster(home, settings=SETTINGS | REPLICA_SETTINGS | (settings or {}))
        home.mkdir(mode=0o711)
        (home / "port").write_text(f"{free_port()}\n")
        shutil.copy(primary.pgpass, self.cluster.pgpass)
        self._copy_primary()
        guard().add_cluster(home)
        self.start()
        self.wait_until_streaming()

    def conninfo(self, dbname: str = "postgres", *, user: str = "postgres") -> str:
        """Returns a connection string."""
        return self.cluster.conninfo(dbname=dbname, user=user)

    def start(self) -> None:
        """Starts it, on the port that it had before."""
        self.cluster.start()

    def stop(self) -> None:
        """Stops it in order."""
        self.cluster.stop()

    def kill(self) -> None:
        """Ends it the hard way."""
        self.cluster.kill()

    def set_delay(self, delay: str) -> None:
        """Has it replay each commit only so long after the primary made it; '0' ends that."""
        self._set("recovery_min_apply_delay", delay)

    def pause(self) -> None:
        """Has it receive, but replay nothing until it resumes."""
        self._execute("select pg_wal_replay_pause()")
        self._wait_for("select pg_get_wal_replay_pause_state() = 'paused'", "replay is paused")

    def resume(self) -> None:
        """Has it replay again."""
        self._execute("select pg_wal_replay_resume()")

    def promote(self) -> None:
        """Makes it a primary."""
        self._execute("select pg_promote()")

    def follow(self, primary: Cluster) -> None:
        """Has it stream from another primary, without a restart."""
        self.primary = primary
        self._set("primary_conninfo", self._primary_conninfo())

    def wait_until_streaming(self) -> None:
        """Waits until it receives what the primary writes."""
        self._wait_for("select status = 'streaming' from pg_stat_wal_receiver", f"{self.name} streams")

    def wait_until_replayed(self) -> None:
        """Waits until it has replayed what the primary has written by now."""
        with psycopg.connect(self.primary.conninfo()) as conn:
            row = conn.execute("select pg_current_wal_insert_lsn()").fetchone()
        assert row is not None
        self._wait_for(f"select pg_last_wal_replay_lsn() >= '{row[0]}'", f"{self.name} replays {row[0]}")

    def _copy_primary(self) -> None:
        """Makes the data directory, as a replica's: standby.signal, and where to stream from."""
        program = self.primary.binaries.program("pg_basebackup")
        if not Path(program).exists():
            pytest.skip(f"no {program}")
        account = server_account()
        data = self.cluster.data
        data.mkdir(mode=0o700)
        if account is not None:
            os.chown(data, account.pw_uid, account.pw_gid)
        done = subprocess.run(
            [
                *(program, "-d", self._primary_conninfo()),
                *("-D", str(data), "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"),
                *("--no-sync", "--no-manifest"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
        assert done.returncode == 0, done.stderr

    def _primary_conninfo(self) -> str:
        return make_conninfo(self.primary.conninfo(), dbname=None, application_name=self.name)

    def _set(self, name: str, value: str) -> None:
        statement = sql.SQL("alter system set {} = {}")
        self._execute(statement.format(sql.Identifier(name), sql.Literal(value)))
        self._execute("select pg_reload_conf()")

    def _execute(self, statement: str | sql.Composed) -> Any:
        encoded = statement.encode() if isinstance(statement, str) else statement
        with psycopg.connect(self.conninfo(), autocommit=True) as conn:
            cursor = conn.execute(encoded)
            return cursor.fetchone() if cursor.description else None

    def _wait_for(self, query: str, what: str) -> None:
        def holds() -> bool:
            with suppress(psycopg.OperationalError):
                return bool(self._execute(query) == (True,))
            return False

        wait_until(holds, what)
