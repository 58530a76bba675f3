"""The production in small that the tests of the API run on: late, in conflict, gone, in charge."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection

from tests.support import folders
from tests.support.program import wait_until
from tests.support.topology import Topology, running_topology

pytestmark = pytest.mark.slow

NOTES = "select count(*) from public.notes"


@pytest.fixture
def primary(topology: Topology) -> Iterator[Connection]:
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        conn.execute("create table if not exists public.notes (x integer)")
        conn.execute("truncate public.notes")
        topology.wait_until_replayed()
        yield conn


def count_notes(topology: Topology, number: int) -> int:
    """Returns how many notes a replica shows."""
    with psycopg.connect(topology.replica_conninfo(number, user="postgres")) as conn:
        row = conn.execute(NOTES).fetchone()
    assert row is not None
    return int(row[0])


def test_every_part_is_found_by_its_variable(topology: Topology, primary: Connection) -> None:
    environ = topology.environ()
    in_recovery = {}
    for name in (
        "DB_WRITE_CONNECTION_STRING",
        "DB_DIRECT_CONNECTION_STRING",
        "DB_READ_REPLICA_1",
        "DB_READ_REPLICA_2",
    ):
        with psycopg.connect(environ[name], prepare_threshold=None) as conn:
            assert conn.execute("select count(*) from scheduler.jobs").fetchone() == (0,)
            in_recovery[name] = conn.execute("select pg_is_in_recovery()").fetchone()
            assert conn.info.user == "pgtick_api"
    assert list(in_recovery.values()) == [(False,), (False,), (True,), (True,)]
    assert environ["DB_WRITE_CONNECTION_STRING"] != environ["DB_DIRECT_CONNECTION_STRING"]
    with topology.redis.client() as client:
        assert client.ping()


def test_the_pooler_is_as_shipped(topology: Topology) -> None:
    conninfo = topology.pooler.conninfo("pgbouncer", user="postgres")
    with psycopg.connect(conninfo, autocommit=True) as conn:
        result = conn.pgconn.exec_(b"SHOW CONFIG")
        settings = {result.get_value(i, 0): result.get_value(i, 1) for i in range(result.ntuples)}
    assert settings[b"pool_mode"] == b"transaction"
    assert settings[b"default_pool_size"] == b"20"


def test_a_delayed_replica_lags_and_catches_up(topology: Topology, primary: Connection) -> None:
    late, prompt = topology.replicas
    late.set_delay("1h")
    primary.execute("insert into public.notes values (1)")
    prompt.wait_until_replayed()
    assert (count_notes(topology, 0), count_notes(topology, 1)) == (0, 1)
    late.set_delay("0")
    late.wait_until_replayed()
    assert count_notes(topology, 0) == 1
    late.set_delay("500ms")
    began = time.monotonic()
    primary.execute("insert into public.notes values (2)")
    wait_until(lambda: count_notes(topology, 0) == 2, "the replica shows the note")
    assert time.monotonic() - began >= 0.5
    late.set_delay("0")
    late.wait_until_replayed()


def test_a_paused_replica_shows_nothing_new(topology: Topology, primary: Connection) -> None:
    paused, other = topology.replicas
    paused.pause()
    primary.execute("insert into public.notes values (1)")
    other.wait_until_replayed()
    assert (count_notes(topology, 0), count_notes(topology, 1)) == (0, 1)
    paused.resume()
    paused.wait_until_replayed()
    assert count_notes(topology, 0) == 1


def count_conflicts(topology: Topology) -> int:
    """Returns how many readers the first replica has cancelled for a lock that it had to replay."""
    with psycopg.connect(topology.replica_conninfo(0, user="postgres")) as conn:
        row = conn.execute("select sum(confl_lock) from pg_stat_database_conflicts").fetchone()
    assert row is not None
    return int(row[0])


def test_a_reader_in_conflict_is_cancelled(topology: Topology, primary: Connection) -> None:
    primary.execute("insert into public.notes values (1)")
    topology.wait_until_replayed()
    before = count_conflicts(topology)
    with psycopg.connect(topology.replica_conninfo(0, user="postgres")) as reader:

        def read_on() -> bool:
            reader.execute(NOTES)
            return False

        read_on()
        topology.provoke_conflict("public.notes")
        # Between two queries the whole session is ended, and whether its last word (SQLSTATE 40001)
        # still reaches a client that just asks again is up to TCP; so the server's own count tells the cause.
        with pytest.raises(psycopg.OperationalError):
            wait_until(read_on, "the reader is told")
    wait_until(lambda: count_conflicts(topology) > before, "the conflict is counted")
    topology.wait_until_replayed()
    assert count_notes(topology, 0) == 1


def test_a_killed_replica_comes_back_on_its_port(topology: Topology, primary: Connection) -> None:
    replica = topology.replicas[1]
    port = replica.cluster.port
    replica.kill()
    with pytest.raises(psycopg.OperationalError):
        count_notes(topology, 1)
    primary.execute("insert into public.notes values (1)")
    replica.start()
    replica.wait_until_replayed()
    assert replica.cluster.port == port
    assert count_notes(topology, 1) == 1


def test_a_killed_pooler_comes_back_on_its_port(topology: Topology, primary: Connection) -> None:
    topology.pooler.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(topology.pooled_conninfo())
    topology.pooler.restart()
    with psycopg.connect(topology.pooled_conninfo()) as conn:
        assert conn.execute("select 1").fetchone() == (1,)


def test_the_first_replica_takes_over() -> None:
    with folders.server_folder() as folder, running_topology(folder) as topology:
        pooled = topology.pooled_conninfo(user="postgres")
        with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
            conn.execute("create table public.notes (x integer)")
            conn.execute("insert into public.notes values (1)")
        topology.wait_until_replayed()
        topology.fail_over()
        with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as conn:
            conn.execute("insert into public.notes values (2)")
            assert conn.execute(NOTES).fetchone() == (2,)
        topology.wait_until_replayed()
        assert count_notes(topology, 0) == 2
        assert len(topology.replicas) == 1
