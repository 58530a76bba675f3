"""What pgtick runs on in production, small: a primary, streaming replicas, PgBouncer and Redis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from app.binaries import Origin
from app.cluster import Cluster
from tests.support.guard import guard
from tests.support.pooler import Pooler
from tests.support.program import free_port
from tests.support.redis_server import Redis
from tests.support.replica import Replica
from tests.support.server import Server

# The replicas keep what a replica needs that was away for a moment.
PRIMARY_SETTINGS = {"wal_keep_size": "512MB"}


@dataclass
class Topology:
    """It runs; `dbname` is migrated, and on the replicas."""

    folder: Path
    server: Server
    dbname: str
    replicas: list[Replica]
    pooler: Pooler
    redis: Redis

    @property
    def primary(self) -> Cluster:
        """The primary, which changes with a failover."""
        return self.server.cluster

    def conninfo(self, *, user: str = "postgres") -> str:
        """Returns a connection string to the primary, past PgBouncer."""
        return self.server.conninfo(self.dbname, user=user)

    def pooled_conninfo(self, *, user: str = "pgtick_api") -> str:
        """Returns a connection string to the primary, through PgBouncer."""
        return self.pooler.conninfo(self.dbname, user=user)

    def replica_conninfo(self, number: int, *, user: str = "pgtick_api") -> str:
        """Returns a connection string to a replica, counted from 0."""
        return self.replicas[number].conninfo(self.dbname, user=user)

    def environ(self, *, user: str = "pgtick_api") -> dict[str, str]:
        """The variables by which pgtick finds all of it."""
        replicas = {
            f"DB_READ_REPLICA_{number + 1}": self.replica_conninfo(number, user=user)
            for number in range(len(self.replicas))
        }
        return {
            "DB_WRITE_CONNECTION_STRING": self.pooled_conninfo(user=user),
            "DB_DIRECT_CONNECTION_STRING": self.conninfo(user=user),
            **replicas,
            **self.redis.environ,
        }

    def wait_until_replayed(self) -> None:
        """Waits until every replica shows what the primary shows now."""
        for replica in self.replicas:
            replica.wait_until_replayed()

    def provoke_conflict(self, table: str) -> None:
        """Has every replica replay a lock that no reader of that table can stand beside.

        Who reads it there, or has in a transaction that is still open, is cancelled after
        max_standby_streaming_delay (SQLSTATE 40001).
        """
        with psycopg.connect(self.conninfo()) as conn:
            conn.execute(f"lock table {table} in access exclusive mode".encode())

    def fail_over(self) -> None:
        """Kills the primary; the first replica takes its place, for PgBouncer and the other replicas too.

        What was given out before as a direct connection string still leads to the dead one.
        """
        self.primary.kill()
        heir, *others = self.replicas
        heir.promote()
        self.server = Server(heir.cluster)
        self.replicas = others
        for replica in others:
            replica.follow(heir.cluster)
        self.pooler.point_to(heir.cluster, self.dbname)


@contextmanager
def running_topology(
    folder: Path,
    *,
    replicas: int = 2,
    origin: Origin | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Topology]:
    """Has it run while the block does, in that folder; `settings` replace those of the test servers."""
    with ExitStack() as stack:
        home = folder / "primary"
        home.mkdir(mode=0o711)
        (home / "port").write_text(f"{free_port()}\n")
        guard().add_cluster(home)
        server = Server.start(home, origin=origin, settings=PRIMARY_SETTINGS | dict(settings or {}))
        stack.callback(server.stop)
        dbname = server.clone_template()
        with ThreadPoolExecutor(replicas) as pool:
            homes = [folder / f"replica-{number + 1}" for number in range(replicas)]
            for each in homes:
                stack.callback(Cluster(each).stop)
            made = list(pool.map(partial(Replica, server.cluster), homes))
        (folder / "pgbouncer").mkdir()
        pooler = Pooler(server.cluster, folder / "pgbouncer")
        stack.callback(pooler.stop)
        (folder / "redis").mkdir()
        redis = stack.enter_context(Redis(folder / "redis", password=Redis.make_password()))
        yield Topology(folder, server, dbname, made, pooler, redis)
