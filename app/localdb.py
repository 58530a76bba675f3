"""The database that pgtick brings along when none is given: where it lives, and who logs in to it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from app.account import is_reachable, server_account
from app.binaries import ClusterError
from app.cluster import Cluster
from app.settings import load_settings

DATABASE = "pgtick"

# login role -> the group roles that it is a member of. Jobs of type sql run as pgtick_sql, which is a member
# of nothing else, so that a job cannot reach the scheduler's own tables whatever it says. The API may neither
# claim and finish as a worker does nor make keys: a hole in it does not widen to a key for everything.
LOGINS: dict[str, tuple[str, ...]] = {
    "pgtick_admin": ("scheduler_admin", "scheduler_client", "scheduler_reader"),
    "pgtick_client": ("scheduler_client", "scheduler_reader"),
    "pgtick_api": ("scheduler_client", "scheduler_reader"),
    "pgtick_worker": ("scheduler_worker",),
    "pgtick_sql": ("scheduler_sql",),
}


def home() -> Path:
    """Returns the folder of the local database, which may not exist yet."""
    account = server_account()
    if given := load_settings(os.environ).data_dir:
        folder = Path(given).absolute()
    elif (base := os.environ.get("XDG_DATA_HOME")) or account is None:
        folder = (Path(base) if base else Path.home() / ".local" / "share") / "pgtick"
    else:
        # Root's home is closed to the account that the server runs as.
        folder = Path("/var/lib/pgtick")
    if account is not None and not is_reachable(folder / "data", account):
        raise ClusterError(
            f"PostgreSQL runs as user {account.pw_name}, who cannot reach {folder}: "
            "set PGTICK_DATA_DIR to another folder"
        )
    return folder


def local_cluster() -> Cluster:
    """Returns the local database's server, running or not."""
    return Cluster(home())


@contextmanager
def in_use(cluster: Cluster) -> Iterator[None]:
    """Has the local database run while the block does. Several may use it: the last one out stops it."""
    cluster.home.mkdir(mode=0o711, parents=True, exist_ok=True)
    with (cluster.home / "start.lock").open("a") as start, (cluster.home / "users.lock").open("a") as users:
        fcntl.flock(start, fcntl.LOCK_EX)
        cluster.start()
        create_database(cluster)
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(start, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(start, fcntl.LOCK_EX)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                cluster.stop()


def create_database(cluster: Cluster) -> None:
    """Creates the database in a running server, unless it is there."""
    with psycopg.connect(cluster.conninfo(), autocommit=True) as conn:
        if conn.execute("select from pg_database where datname = %s", [DATABASE]).fetchone() is None:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))


def create_logins(cluster: Cluster, *, dbname: str = DATABASE) -> None:
    """Creates the login roles and their memberships; call it after the migrations, which make the groups."""
    with psycopg.connect(cluster.conninfo(dbname=dbname)) as conn:
        for login, groups in LOGINS.items():
            name = sql.Identifier(login)
            if conn.execute("select from pg_roles where rolname = %s", [login]).fetchone() is None:
                conn.execute(sql.SQL("create role {}").format(name))
            secret = sql.Literal(cluster.password(login))
            conn.execute(sql.SQL("alter role {} with login password {}").format(name, secret))
            for group in groups:
                conn.execute(sql.SQL("grant {} to {}").format(sql.Identifier(group), name))
