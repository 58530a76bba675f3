"""A real PgBouncer, configured by the pgbouncer.ini that we ship, in front of the test server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from configparser import ConfigParser
from pathlib import Path

import psycopg

from app.account import server_account
from app.cluster import Cluster

SHIPPED = Path(__file__).resolve().parents[2] / "pgbouncer.ini"
ADMIN = "postgres"
POOL_SIZE = 2
START_SECONDS = 10.0


class Pooler:
    """A running PgBouncer in transaction mode, with pools of two."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """Starts it in that folder."""
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        self._cluster = cluster
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        # As pgbouncer.ini says it: the secrets as the server keeps them.
        users = (
            'select format(\'"%s" "%s"\', rolname, rolpassword) from pg_authid where rolpassword is not null'
        )
        with psycopg.connect(cluster.conninfo()) as conn:
            lines = [row[0] for row in conn.execute(users).fetchall()]
        userlist, ini = folder / "userlist.txt", folder / "pgbouncer.ini"
        userlist.write_text("\n".join(lines) + "\n")
        # Everything that is not about this machine stays as shipped.
        config = ConfigParser(interpolation=None)
        config.read(SHIPPED)
        config["databases"] = {"*": f"host=127.0.0.1 port={cluster.port}"}
        config["pgbouncer"].update(
            {
                "listen_port": str(self.port),
                "auth_file": str(userlist),
                "admin_users": ADMIN,
                "default_pool_size": str(POOL_SIZE),
                "min_pool_size": "0",
                "reserve_pool_size": "0",
                "max_db_connections": "0",
            }
        )
        with ini.open("w") as file:
            config.write(file)
        account = server_account()
        if account is not None:
            for path in (folder, userlist, ini):
                os.chown(path, account.pw_uid, account.pw_gid)
        self._log = (folder / "pgbouncer.log").open("wb")
        self._process = subprocess.Popen(
            [program, str(ini)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
        self._wait()

    def conninfo(self, dbname: str, *, user: str) -> str:
        """Returns a connection string through the pooler."""
        password = self._cluster.password(user)
        return f"host=127.0.0.1 port={self.port} dbname={dbname} user={user} password={password}"

    def reconnect(self, dbname: str) -> None:
        """Has every pooled connection of that database made anew, so that it sees new settings."""
        with psycopg.connect(self.conninfo("pgbouncer", user=ADMIN), autocommit=True) as conn:
            # The console knows the simple protocol only, and no parameters.
            conn.pgconn.exec_(f"RECONNECT {dbname}".encode())

    def stop(self) -> None:
        """Stops it."""
        self._process.terminate()
        self._process.wait(10)
        self._log.close()

    def _wait(self) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > give_up_at:
                    self.stop()
                    raise RuntimeError(f"pgbouncer did not start: see {self._log.name}") from None
                time.sleep(0.02)
            else:
                return
