"""A database to measure in: migrated, filled with nothing, and gone afterwards."""

from __future__ import annotations

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

# As durable as a production server: every commit waits for the disk.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "max_connections": "50",
    "max_locks_per_transaction": "256",
    "log_min_messages": "warning",
}


@dataclass(frozen=True)
class Database:
    """A migrated database on a running server."""

    conninfo: str
    worker_conninfo: str

    def connect(self) -> psycopg.Connection[Any]:
        """Connects as the owner, as the workers do: nothing prepared, because of PgBouncer."""
        return psycopg.connect(self.conninfo, autocommit=True, prepare_threshold=None)


@contextmanager
def database(dsn: str | None) -> Iterator[Database]:
    """Has a database while the block runs: on a server of its own, or as an extra one on the given server."""
    if dsn is not None:
        with _extra_database(dsn) as conninfo:
            yield Database(conninfo, conninfo)
        return
    home = Path(tempfile.mkdtemp(prefix="pgtick-bench-"))
    home.chmod(0o711)
    cluster = Cluster(home, settings=SETTINGS)
    try:
        cluster.start()
        with _extra_database(cluster.conninfo()) as conninfo:
            name = str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"])
            localdb.create_logins(cluster, dbname=name)
            yield Database(conninfo, cluster.conninfo(dbname=name, user="pgtick_worker"))
    finally:
        cluster.stop()
        shutil.rmtree(home)


@contextmanager
def _extra_database(dsn: str) -> Iterator[str]:
    name = f"pgtick_bench_{secrets.token_hex(6)}"
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    try:
        conninfo = make_conninfo(dsn, dbname=name)
        migrate(conninfo)
        yield conninfo
    finally:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
