"""A real PgBouncer, configured by the pgbouncer.ini that we ship, in front of a test's server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from configparser import ConfigParser
from pathlib import Path

import psycopg
import pytest

from app.account import server_account
from app.cli.psql import find_psql
from app.cluster import Cluster
from tests.support.program import Program, accepts, free_port

SHIPPED = Path(__file__).resolve().parents[2] / "pgbouncer.ini"
ADMIN = "postgres"


def make_userlist(cluster: Cluster, folder: Path) -> Path:
    """Writes the server's logins into userlist.txt, by the command that a comment of pgbouncer.ini tells."""
    found = re.search(r"^;; +(psql (?:.*\\\n;;)*.*userlist\.txt)$", SHIPPED.read_text(), re.MULTILINE)
    assert found
    environ = {
        "PATH": f"{Path(find_psql()).parent}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(cluster.port),
        "PGUSER": ADMIN,
        "PGPASSWORD": cluster.password(ADMIN),
    }
    command = found[1].replace("\n;;", "\n")
    subprocess.run(["sh", "-ec", command], cwd=folder, env=environ, check=True)
    return folder / "userlist.txt"


class Pooler:
    """A running PgBouncer in transaction mode; the logins of the server are those that there are now."""

    def __init__(self, cluster: Cluster, folder: Path, *, pool_size: int | None = None) -> None:
        """Starts it in that folder; without a size its pools are as large as shipped."""
        self._cluster = cluster
        self._ini = folder / "pgbouncer.ini"
        self.port = free_port()
        userlist = make_userlist(cluster, folder)
        # Everything that is not about this machine stays as shipped.
        self._config = ConfigParser(interpolation=None)
        self._config.read(SHIPPED)
        own = {
            "listen_port": str(self.port),
            "auth_file": str(userlist),
            "pidfile": "",
            "logfile": "",
            "admin_users": ADMIN,
            "min_pool_size": "0",
            "max_db_connections": "0",
        }
        if pool_size is not None:
            own |= {"default_pool_size": str(pool_size), "reserve_pool_size": "0"}
        self._config["pgbouncer"].update(own)
        self._write_config()
        account = server_account()
        if account is not None:
            for path in (folder, userlist, self._ini):
                os.chown(path, account.pw_uid, account.pw_gid)
        self._log = folder / "pgbouncer.log"
        self._program = self._launch()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._program.pid

    def conninfo(self, dbname: str, *, user: str) -> str:
        """Returns a connection string through the pooler."""
        password = self._cluster.password(user)
        return f"host=127.0.0.1 port={self.port} dbname={dbname} user={user} password={password}"

    def reconnect(self, dbname: str) -> None:
        """Has every pooled connection of that database made anew, so that it sees new settings."""
        self._tell(f"RECONNECT {dbname}")

    def waiting(self, dbname: str) -> int:
        """Returns how many clients wait there for a connection of that database."""
        with psycopg.connect(self.conninfo("pgbouncer", user=ADMIN), autocommit=True) as conn:
            result = conn.pgconn.exec_(b"SHOW POOLS")
            names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
            rows = [
                {name: (result.get_value(row, column) or b"").decode() for column, name in enumerate(names)}
                for row in range(result.ntuples)
            ]
        return sum(int(row["cl_waiting"]) for row in rows if row["database"] == dbname)

    def point_to(self, cluster: Cluster, dbname: str) -> None:
        """Leads to another server from now on, as after a failover; who waits on the old one is freed."""
        self._cluster = cluster
        self._write_config()
        self._tell("RELOAD")
        self._tell(f"KILL {dbname}")
        self._tell(f"RESUME {dbname}")

    def kill(self) -> None:
        """Ends it the hard way."""
        self._program.kill()

    def restart(self) -> None:
        """Starts it again, on the same port."""
        self._program.stop()
        self._program = self._launch()

    def stop(self) -> None:
        """Stops it at once."""
        self._program.stop(signal.SIGTERM)

    def _tell(self, command: str) -> None:
        with psycopg.connect(self.conninfo("pgbouncer", user=ADMIN), autocommit=True) as conn:
            # The console knows the simple protocol only, and no parameters.
            result = conn.pgconn.exec_(command.encode())
            assert result.status == psycopg.pq.ExecStatus.COMMAND_OK, result.error_message.decode()

    def _write_config(self) -> None:
        self._config["databases"] = {"*": f"host=127.0.0.1 port={self._cluster.port}"}
        with self._ini.open("w") as file:
            self._config.write(file)

    def _launch(self) -> Program:
        path = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        if not Path(path).exists():
            pytest.skip("needs pgbouncer")
        program = Program([path, str(self._ini)], log=self._log, account=server_account())
        program.wait_for(lambda: accepts(self.port))
        return program
