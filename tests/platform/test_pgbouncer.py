"""pgbouncer.ini, done as its comments say: the logins get in, and the console can fail over."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.account import server_account
from tests.conftest import Database
from tests.support.pooler import SHIPPED, make_userlist
from tests.support.program import accepts, free_port, wait_until


@pytest.fixture
def port(database: Database, server_folder: Path) -> Iterator[int]:
    """Where a PgBouncer listens that nothing was told but other ports and the name of a database."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists():
        pytest.skip("needs pgbouncer")
    text, port, account = SHIPPED.read_text(), free_port(), server_account()
    (command,) = re.findall(r"^;; +(pgbouncer .*?)  ", text, re.MULTILINE)
    for shipped, ours in (
        ("port = 6432", f"port = {port}"),
        ("port=5432 dbname=pgtick", f"port={database.server.cluster.port} dbname={database.name}"),
    ):
        assert shipped in text
        text = text.replace(shipped, ours)
    (server_folder / "pgbouncer.ini").write_text(text)
    make_userlist(database.server.cluster, server_folder)
    if account is not None:
        for path in (server_folder, *server_folder.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
    subprocess.run(
        command.split(),
        executable=program,
        cwd=server_folder,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        check=True,
        timeout=30,
    )
    pid_file = server_folder / "pgbouncer.pid"
    try:
        wait_until(lambda: accepts(port), "it listens")
        yield port
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        wait_until(lambda: not pid_file.exists(), "it ends")
    assert "process up" in (server_folder / "pgbouncer.log").read_text()


def test_logins_and_console(port: int, database: Database) -> None:
    def conninfo(user: str, dbname: str) -> str:
        password = database.server.cluster.password(user)
        return f"host=127.0.0.1 port={port} dbname={dbname} user={user} password={password}"

    def tell(user: str, command: str) -> psycopg.pq.ExecStatus:
        with psycopg.connect(conninfo(user, "pgbouncer"), autocommit=True) as conn:
            # The console knows the simple protocol only.
            return psycopg.pq.ExecStatus(conn.pgconn.exec_(command.encode()).status)

    for user in ("pgtick_api", "pgtick_worker", "pgtick_sql", "pgtick_admin"):
        with psycopg.connect(conninfo(user, "pgtick")) as conn:
            assert conn.execute("select current_user").fetchone() == (user,)
    done, refused = psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.FATAL_ERROR
    for command in ("RELOAD", "KILL pgtick", "RESUME pgtick"):
        assert tell("pgtick_api", command) == refused
        assert tell("pgtick_admin", command) == done
    assert tell("pgtick_api", "SHOW POOLS") == psycopg.pq.ExecStatus.TUPLES_OK
