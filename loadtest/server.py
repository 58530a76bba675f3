"""A database to measure in: migrated, filled with nothing, and gone afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from app import localdb
from app.cluster import Cluster
from migrations.runner import migrate

# As a production server: every commit waits for the disk.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
SETTINGS = DURABLE | {
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "max_connections": "50",
    "max_locks_per_transaction": "256",
    "log_min_messages": "warning",
}


def connect(conninfo: str) -> psycopg.Connection[Any]:
    """Connects as the workers do: nothing prepared, because of PgBouncer."""
    return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)


@dataclass(frozen=True)
class Database:
    """A migrated database on a running server."""

    conninfo: str
    worker_conninfo: str
    is_local: bool

    def connect(self) -> psycopg.Connection[Any]:
        """Connects as the owner."""
        return connect(self.conninfo)

    def processor_seconds(self, conn: psycopg.Connection[Any]) -> float | None:
        """Returns the processor time that a connection's server process has used: the busier the machine, the
        more it tells than the clock. None where the server runs elsewhere or the system does not say.
        """
        stat = Path(f"/proc/{conn.info.backend_pid}/stat")
        if not self.is_local or not stat.exists():
            return None
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def database(dsn: str | None) -> Iterator[Database]:
    """Has a database while the block runs: on a server of its own, or as an extra one on the given server."""
    if dsn is not None:
        with _extra_database(dsn) as conninfo:
            yield Database(conninfo, conninfo, is_local=False)
        return
    home = Path(tempfile.mkdtemp(prefix="pgtick-bench-"))
    home.chmod(0o711)
    cluster = Cluster(home, settings=SETTINGS)
    try:
        cluster.start()
        with _extra_database(cluster.conninfo()) as conninfo:
            name = str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"])
            localdb.create_logins(cluster, dbname=name)
            yield Database(conninfo, cluster.conninfo(dbname=name, user="pgtick_worker"), is_local=True)
    finally:
        cluster.stop()
        shutil.rmtree(home)


@contextmanager
def _extra_database(dsn: str) -> Iterator[str]:
    name = f"pgtick_bench_{secrets.token_hex(6)}"
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        # As it was found: the drivers of rivals may look elsewhere.
        found = conn.info
        conninfo = make_conninfo(dsn, dbname=name, host=found.host, port=found.port, user=found.user)
    try:
        migrate(conninfo)
        yield conninfo
    finally:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
