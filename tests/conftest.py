"""Fixtures for tests against a real PostgreSQL.

One server for the whole run, started by the process that was called; `-n` workers find it by its folder. A
test gets a clone of a migrated template. From the environment:

PGTICK_TEST_PG=system|wheel      which PostgreSQL (default: the system's, else the wheel's)
PGTICK_TEST_POOL=pgbouncer|none  whether through PgBouncer in transaction mode, with pools of two (default:
                                 where it is installed); a test marked `direct` goes past it
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from psycopg import Connection

from app.binaries import Origin
from app.cluster import Cluster
from tests.support import folders
from tests.support.alone import beside, turn
from tests.support.clock import Clock
from tests.support.clones import Clones
from tests.support.folders import make_folder, remove_folder
from tests.support.guard import guard
from tests.support.nginx import Nginx
from tests.support.pooler import Pooler
from tests.support.redis_server import Redis, RedisCluster
from tests.support.server import Server
from tests.support.topology import Topology, running_topology

# Started in the background of a script, a run ignores Ctrl-C, and whatever it starts and means to stop by one
# would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SERVER = pytest.StashKey[Server]()
ORIGINS: dict[str | None, Origin | None] = {None: None, "system": "system", "wheel": "wheel"}
POOLED = (
    os.environ.get("PGTICK_TEST_POOL", "pgbouncer" if shutil.which("pgbouncer") else "none") == "pgbouncer"
)


class Connect(Protocol):
    """Opens another connection to the test's database, closed at the test's end."""

    def __call__(
        self, *, user: str = "postgres", autocommit: bool = True, direct: bool = False
    ) -> Connection[Any]: ...


class StartNginx(Protocol):
    """Starts nginx as shipped in front of those ports of 127.0.0.1, stopped at the test's end."""

    def __call__(self, *ports: int, changes: Mapping[str, str] | None = None) -> Nginx: ...


@dataclass(frozen=True)
class Database:
    """A test's own database."""

    name: str
    server: Server
    pooler: Pooler | None

    def dsn(self, *, user: str = "postgres", direct: bool = False) -> str:
        """Returns a connection string; `direct` goes past the pooler, if there is one."""
        if self.pooler is None or direct:
            return self.server.conninfo(self.name, user=user)
        return self.pooler.conninfo(self.name, user=user)


def start_server(config: pytest.Config) -> Server:
    """Returns the run's server, starting it with the first call."""
    if SERVER not in config.stash:
        origin = ORIGINS[os.environ.get("PGTICK_TEST_PG")]
        if hasattr(config, "workerinput"):
            config.stash[SERVER] = Server.start(Path(config.workerinput["pgtick_home"]), origin=origin)
        else:
            home = make_folder()
            guard().add_cluster(home)

            def clean_up() -> None:
                Cluster(home).stop()
                remove_folder(home)

            config.add_cleanup(clean_up)  # first: a Ctrl-C may come while it starts
            # So that `timeout`, too, leaves nothing behind.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            config.stash[SERVER] = Server.start(home, origin=origin)
    return config.stash[SERVER]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker of pytest-xdist where the server is."""
    node.workerinput["pgtick_home"] = str(start_server(node.config).cluster.home)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Gives a test that is marked `alone` the machine to itself, of the processes of pytest-xdist."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    folder = Path(item.config.workerinput["pgtick_home"])
    with turn(folder, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """The run's PostgreSQL server."""
    return start_server(request.config)


@pytest.fixture(scope="session")
def pooler(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooler | None]:
    """This process's PgBouncer, unless the run is to go past it."""
    if not POOLED:
        yield None
        return
    # The logins are made with the template; PgBouncer reads their secrets when it starts.
    server.drop_database(server.clone_template())
    with folders.server_folder() as folder:
        pooler = Pooler(server.cluster, folder, pool_size=2)
        yield pooler
        pooler.stop()


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A folder that the account can reach as which a server runs: pytest's own are closed to others."""
    with folders.server_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def clones(request: pytest.FixtureRequest, server: Server) -> Iterator[Clones]:
    """Databases with today's schema."""
    at_work = partial(beside, server.cluster.home) if hasattr(request.config, "workerinput") else nullcontext
    with Clones(server, at_work=at_work) as clones:
        yield clones


@pytest.fixture
def database(request: pytest.FixtureRequest, server: Server, pooler: Pooler | None) -> Iterator[Database]:
    """A database of the test's own with today's schema."""
    is_direct = request.node.get_closest_marker("direct") is not None
    if request.node.get_closest_marker("alone") is not None:  # then no other is made or dropped, either
        name = server.clone_template()
        drop = server.drop_database
    else:
        clones = request.getfixturevalue("clones")
        name = clones.take()
        drop = clones.give_back
    yield Database(name, server, None if is_direct else pooler)
    drop(name)


@pytest.fixture
def empty_database(server: Server) -> Iterator[Database]:
    """A database of the test's own with nothing in it, past any pooler."""
    name = server.create_database()
    yield Database(name, server, None)
    server.drop_database(name)


@pytest.fixture
def dsn(database: Database) -> str:
    """The superuser's connection string of the test's database."""
    return database.dsn()


@pytest.fixture
def connect(database: Database) -> Iterator[Connect]:
    """A function that opens connections, as any of the logins."""
    opened: list[Connection[Any]] = []

    def open_one(*, user: str = "postgres", autocommit: bool = True, direct: bool = False) -> Connection[Any]:
        dsn = database.dsn(user=user, direct=direct)
        conn = psycopg.connect(dsn, autocommit=autocommit, prepare_threshold=None)
        opened.append(conn)
        return conn

    yield open_one
    for conn in opened:
        conn.close()


@pytest.fixture
def db(connect: Callable[[], Connection[Any]]) -> Connection[Any]:
    """A superuser's connection to the test's database, in autocommit."""
    return connect()


@pytest.fixture
def clock(db: Connection[Any], database: Database) -> Clock:
    """The database's clock."""
    return Clock(db, database.name, database.pooler)


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis of the test's own, with a password."""
    with Redis(tmp_path_factory.mktemp("redis"), password=Redis.make_password()) as redis:
        yield redis


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three Redis nodes with a password; who kills one starts it again."""
    with RedisCluster(tmp_path_factory.mktemp("redis"), password=Redis.make_password()) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def topology() -> Iterator[Topology]:
    """A primary with two streaming replicas, PgBouncer and Redis; who breaks a part of it mends it again."""
    origin = ORIGINS[os.environ.get("PGTICK_TEST_PG")]
    with folders.server_folder() as folder, running_topology(folder, origin=origin) as topology:
        yield topology


@pytest.fixture
def start_nginx(server_folder: Path) -> Iterator[StartNginx]:
    """A function that starts nginx."""
    with ExitStack() as started:

        def start(*ports: int, changes: Mapping[str, str] | None = None) -> Nginx:
            folder = Path(tempfile.mkdtemp(prefix="nginx-", dir=server_folder))
            folder.chmod(0o711)
            return started.enter_context(Nginx(folder, ports, changes=changes))

        yield start
