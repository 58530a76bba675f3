"""The server that pgtick brings along: started, found again, stopped, whatever happened before."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from app import account, localdb
from app.binaries import ClusterError, Origin, find_binaries
from app.cluster import Cluster
from tests.support.cli import environment
from tests.support.program import accepts, wait_until

FAST = {"fsync": "off"}
MakeCluster = Callable[..., Cluster]


@pytest.fixture
def make_cluster(server_folder: Path) -> Iterator[MakeCluster]:
    """A function that returns another view of the same server, which is stopped at the end."""

    def make(origin: Origin | None = None) -> Cluster:
        return Cluster(server_folder / "home", origin=origin, settings=dict(FAST))

    yield make
    make().stop()


def answer(cluster: Cluster) -> int:
    """Returns the major version that the server itself tells."""
    with psycopg.connect(cluster.conninfo()) as conn:
        return conn.info.server_version // 10_000


@pytest.mark.parametrize("origin", ["system", "wheel"])
def test_start_stop_start(make_cluster: MakeCluster, origin: Origin) -> None:
    first = make_cluster(origin)
    first.start()
    with psycopg.connect(first.conninfo(), autocommit=True) as conn:
        conn.execute("create table kept (x integer)")
    port = first.port
    first.stop()
    assert first.pid() is None
    again = make_cluster()
    again.start()
    assert again.port == port
    assert answer(again) == find_binaries(origin=origin).major
    with psycopg.connect(again.conninfo()) as conn:
        assert conn.execute("select count(*) from kept").fetchone() == (0,)


def test_a_folder_whose_name_is_no_text(server_folder: Path) -> None:
    cluster = Cluster(server_folder / os.fsdecode(b"\xff"), settings=dict(FAST))
    try:
        cluster.start()
        assert answer(cluster) >= 15
    finally:
        cluster.stop()


def test_a_running_server_is_found_again(make_cluster: MakeCluster) -> None:
    first, second = make_cluster(), make_cluster()
    first.start()
    second.start()
    assert first.pid() == second.pid()


def test_only_the_password_opens(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.start()
    assert cluster.pgpass.stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"{cluster.conninfo()} password=wrong")
    with psycopg.connect(cluster.conninfo()) as conn:
        rows = conn.execute("select type, auth_method from pg_hba_file_rules").fetchall()
        assert {method for _, method in rows} == {"scram-sha-256"}
        settings = "select setting from pg_settings where name = any(%s) order by name"
        names = ["listen_addresses", "unix_socket_directories"]
        assert conn.execute(settings, [names]).fetchall() == [("127.0.0.1",), ("",)]


def test_killed_server_recovers(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.start()
    with psycopg.connect(cluster.conninfo(), autocommit=True) as conn:
        conn.execute("create table kept (x integer)")
    cluster.kill()
    again = make_cluster()
    again.start()
    with psycopg.connect(again.conninfo()) as conn:
        assert conn.execute("select count(*) from kept").fetchone() == (0,)


def test_left_over_pid_of_another_process(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.start()
    left_over = (cluster.data / "postmaster.pid").read_text().splitlines()
    cluster.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (cluster.data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *left_over[1:]]) + "\n")
        assert cluster.pid() is None
        cluster.start()
        assert answer(cluster) >= 15
        cluster.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_left_over_pid_of_a_process_that_speaks_of_postgres(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.start()
    left_over = (cluster.data / "postmaster.pid").read_text().splitlines()
    cluster.stop()
    owner = account.server_account()
    stranger = subprocess.Popen(  # such as psql, or another server: run by whom PostgreSQL would believe it
        ["sh", "-c", "read line", "postgres", "-D", str(cluster.home)],
        stdin=subprocess.PIPE,
        user=owner.pw_uid if owner else None,
    )
    with stranger:
        (cluster.data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *left_over[1:]]) + "\n")
        cluster.start()
        assert answer(cluster) >= 15
        assert stranger.poll() is None


def test_left_over_pid_of_another_users_process(
    make_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = make_cluster()
    cluster.start()
    left_over = (cluster.data / "postmaster.pid").read_text().splitlines()
    cluster.stop()
    kill = os.kill

    def kill_own(pid: int, sign: int) -> None:
        """What anybody but root is told: process 1 is not his."""
        if pid == 1:
            raise PermissionError
        kill(pid, sign)

    monkeypatch.setattr(os, "kill", kill_own)
    (cluster.data / "postmaster.pid").write_text("\n".join(["1", *left_over[1:]]) + "\n")
    cluster.start()
    assert answer(cluster) >= 15


@pytest.mark.parametrize("content", [b"", b"\0" * 90, b"no number\n"], ids=["empty", "zeros", "text"])
def test_a_pid_file_without_a_number(make_cluster: MakeCluster, content: bytes) -> None:
    cluster = make_cluster()
    cluster.start()
    cluster.stop()
    (cluster.data / "postmaster.pid").write_bytes(content)
    assert cluster.pid() is None
    cluster.start()
    assert answer(cluster) >= 15


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="only /proc tells where a process works")
def test_a_server_that_was_started_by_hand_keeps_its_pid_file(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.start()
    cluster.stop()
    owner = account.server_account()
    by_hand = subprocess.Popen(
        [cluster.binaries.program("postgres"), "-D", ".", "-p", str(cluster.port), "-k", ""],
        cwd=cluster.data,
        user=owner.pw_uid if owner else None,
        group=owner.pw_gid if owner else None,
        extra_groups=[] if owner else None,
        stderr=subprocess.DEVNULL,
    )
    with by_hand:
        try:
            wait_until(lambda: accepts(cluster.port or 0), "the server takes connections")
            with pytest.raises(ClusterError, match="did not start"):
                make_cluster().start()
            noted = (cluster.data / "postmaster.pid").read_text().splitlines()[0]
            assert noted == str(by_hand.pid)
        finally:
            by_hand.send_signal(signal.SIGINT)


def test_a_taken_port_is_left_to_its_owner(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.start()
    port = cluster.port
    cluster.stop()
    with socket.create_server(("127.0.0.1", port or 0)):
        cluster.start()
        assert cluster.port != port
        assert answer(cluster) >= 15


def test_a_start_that_fails_says_why_in_one_line(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.start()
    cluster.stop()
    cluster.settings["shared_buffers"] = "a lot"
    with pytest.raises(
        ClusterError, match=r'did not start: .*FATAL: .*"shared_buffers".*whole log: '
    ) as caught:
        cluster.start()
    assert "\n" not in str(caught.value)
    cluster.settings.pop("shared_buffers")
    cluster.start()
    assert answer(cluster) >= 15


def test_a_half_made_data_directory_is_made_anew(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    (cluster.home / "data.new" / "base").mkdir(parents=True)
    cluster.start()
    assert answer(cluster) >= 15


def test_data_of_another_version_names_it(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.data.mkdir(parents=True)
    (cluster.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(
        ClusterError, match=r"made by PostgreSQL 12 and only .* is here: install postgresql-12"
    ):
        cluster.start()
    (cluster.data / "PG_VERSION").unlink()
    cluster.data.rmdir()


def test_a_damaged_version_is_named(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.data.mkdir(parents=True)
    (cluster.data / "PG_VERSION").write_text("")
    with pytest.raises(ClusterError, match=r"PG_VERSION is damaged: write into it .*, or move "):
        cluster.start()
    (cluster.data / "PG_VERSION").unlink()
    cluster.data.rmdir()


def test_lines_of_pgpass_that_are_not_ours(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.home.mkdir()
    secret = cluster.password("first")
    others = b"# gr\xfcn\n\n"
    cluster.pgpass.write_bytes(others + cluster.pgpass.read_bytes())
    assert cluster.password("first") == secret
    cluster.password("second")
    assert cluster.pgpass.read_bytes().startswith(others)
    cluster.pgpass.write_bytes(others + b"\0" * 90)
    with pytest.raises(ClusterError, match=r"pgpass:3 is not HOST:.*: correct or remove the line"):
        cluster.password("first")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_programs_that_the_account_cannot_reach_are_copied(
    make_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = make_cluster("wheel")
    monkeypatch.setattr(account, "is_reachable", lambda *_: False)
    cluster.start()
    assert cluster.binaries.directory.is_relative_to(cluster.home)
    assert answer(cluster) == find_binaries(origin="wheel").major


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_an_unreachable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PGTICK_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(ClusterError, match=r"cannot reach .*: set PGTICK_DATA_DIR"):
        localdb.home()


USER = """
import sys
from pathlib import Path
from app.cluster import Cluster
from app.localdb import in_use
with in_use(Cluster(Path(sys.argv[1]), settings={"fsync": "off"})):
    print("up", flush=True)
    sys.stdin.read()
"""


def test_the_last_one_out_stops_it(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    command = [sys.executable, "-c", USER, str(cluster.home)]
    users = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        for _ in range(3)
    ]
    for user in users:  # started all at once, they agree on one server
        assert user.stdout is not None
        assert user.stdout.readline() == b"up\n"
    pid = cluster.pid()
    assert pid is not None
    users[0].send_signal(signal.SIGKILL)  # one that dies leaves it to the others
    users[0].communicate()
    users[1].communicate()
    assert cluster.pid() == pid
    users[2].communicate()
    assert cluster.pid() is None
