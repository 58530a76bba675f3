"""Programs that a test runs: on a port of their own, waited for, frozen, killed and ended for sure."""

from __future__ import annotations

import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path

from tests.support.guard import guard

START_SECONDS = 30.0
STOP_SECONDS = 15.0
# Below the ports that the system gives to outgoing connections: one of those could otherwise take the port of
# a server that a test has stopped for a moment.
PORTS = range(20_000, 32_000)
# Each test process has ports of its own, and gives out each once in a round: one of a server that is about to
# start, or that a test has stopped for a moment, looks free to others.
PROCESSES = 4
_number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
_ports = cycle(random.sample(PORTS[_number::PROCESSES], len(PORTS) // PROCESSES))


def free_port() -> int:
    """Returns a port of 127.0.0.1 on which nobody listens."""
    while True:
        port = next(_ports)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def accepts(port: int) -> bool:
    """Tells whether somebody takes connections on a port."""
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = START_SECONDS) -> None:
    """Waits until it holds; fails with what was waited for."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.02)


class Program:
    """A running program that leads a process group of its own."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environ: Mapping[str, str] | None = None,
        account: pwd.struct_passwd | None = None,
    ) -> None:
        """Starts it, as another account if one is given; what it says goes to the log."""
        self.log = log
        self._name = Path(command[0]).name
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environ,
                cwd=None if account is None else "/",
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                start_new_session=True,
            )
        guard().add_program(self.pid)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self.log.read_text(errors="replace")

    def is_running(self) -> bool:
        """Tells whether it has not ended."""
        return self._process.poll() is None

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Waits until it is ready; one that ends, or takes too long, is told with what it said."""
        give_up_at = time.monotonic() + START_SECONDS
        while not ready():
            if not self.is_running() or time.monotonic() > give_up_at:
                self.kill()
                raise RuntimeError(f"{self._name} did not start: {self.said[-2000:].strip()}")
            time.sleep(0.01)

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Stops it in its tracks, connections open, until it is thawed."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it and all of its group the hard way."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._reap()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to end, kills it if it does not in time, and returns how it ended."""
        if self.is_running():
            self.send(number)
            self.thaw()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._reap()

    def _reap(self) -> int:
        code = self._process.wait()
        guard().remove_program(self.pid)
        return code
