"""The PostgreSQL server of a test run: one for all processes, a migrated template, a clone for each test."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from app import localdb
from app.binaries import Origin
from app.cluster import Cluster
from migrations.runner import migrate

TEMPLATE = "pgtick_template"
TEMPLATE_LOCK = 4_711

# Nothing here has to survive a power cut. A clone of the template touches several hundred relations.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_locks_per_transaction": "256",
    "max_wal_size": "4GB",
    "log_min_messages": "warning",
    # In its folder, and gone with that: a server that is killed leaves it behind.
    "dynamic_shared_memory_type": "mmap",
}


@dataclass
class Server:
    """A running throw-away server."""

    cluster: Cluster

    @classmethod
    def start(cls, home: Path, *, origin: Origin | None, settings: dict[str, str] | None = None) -> Server:
        """Starts a server in that folder, or finds the one that runs there."""
        server = cls(Cluster(home, origin=origin, settings=SETTINGS | (settings or {})))
        server.cluster.start()
        return server

    def stop(self) -> None:
        """Stops the server."""
        self.cluster.stop()

    def create_database(self) -> str:
        """Creates a database, whose clock may be moved, and returns its name."""
        with self.connect() as conn:
            return create_database(conn, template="template0")

    def clone_template(self) -> str:
        """Creates a migrated database and returns its name; the run's first call migrates the template."""
        self.prepare_template()
        with self.connect() as conn:
            return create_database(conn, template=TEMPLATE)

    def drop_database(self, name: str) -> None:
        """Drops a database, whoever is still connected."""
        with self.connect() as conn:
            drop_database(conn, name)

    def connect(self) -> psycopg.Connection[Any]:
        """Connects to the database that the server has of itself."""
        return psycopg.connect(self.cluster.conninfo(), autocommit=True)

    def conninfo(self, dbname: str, *, user: str = "postgres") -> str:
        """Returns a connection string past any pooler."""
        return self.cluster.conninfo(dbname=dbname, user=user)

    def prepare_template(self) -> None:
        """Migrates the template, unless that was done."""
        with self.connect() as conn:
            conn.execute("select pg_advisory_lock(%s)", [TEMPLATE_LOCK])
            if conn.execute("select from pg_database where datname = %s", [TEMPLATE]).fetchone() is not None:
                return
            draft = create_database(conn, template="template0")
            migrate(self.conninfo(draft))
            localdb.create_logins(self.cluster, dbname=draft)
            # Renamed when whole, so that a failed migration is tried, and told, by the next test too.
            rename = sql.SQL("alter database {} rename to {}")
            conn.execute(rename.format(sql.Identifier(draft), sql.Identifier(TEMPLATE)))


def create_database(conn: psycopg.Connection[Any], *, template: str) -> str:
    """Creates a database, whose clock may be moved, and returns its name."""
    name = f"test_{secrets.token_hex(6)}"
    # Copied as files: row by row into the log, the tests of the SQL take a fifth longer.
    create = sql.SQL("create database {} template {} strategy file_copy")
    conn.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    conn.execute(sql.SQL("alter database {} set scheduler.fake_clock = on").format(sql.Identifier(name)))
    return name


def drop_database(conn: psycopg.Connection[Any], name: str) -> None:
    """Drops a database, whoever is still connected."""
    conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
