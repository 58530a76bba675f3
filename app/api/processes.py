"""`--processes N`: several API processes on one listening socket, started again when they die.

They share the socket, so that a connection that waits to be taken is never lost with one of them. SIGHUP
replaces them one by one, the new before the old; SIGTERM and SIGINT stop all, and asked again, at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType
from typing import Literal

import structlog

from app.api.config import ApiSettings
from app.api.logs import configure_logs
from app.api.metrics_folder import VARIABLE, MetricsFolder

START_SECONDS = 30.0
"""A process that takes longer to get ready is taken for one that never will."""
CHECK_SECONDS = 0.05
PAUSE_SECONDS = 1.0
"""Between the starts of a process that dies at once."""
STOP_SECONDS = 5.0
"""What a leaving process may take beyond its time to drain, before it is killed."""

State = Literal["starting", "ready", "dead"]

_log = structlog.get_logger("api")


class Child:
    """One process, from its start to its end."""

    def __init__(
        self, number: int, settings: ApiSettings, listener: socket.socket, metrics: MetricsFolder
    ) -> None:
        """Starts it, out of reach of a Ctrl-C in the terminal: the parent tells it to leave, once."""
        self.number = number
        self.started_at = time.monotonic()
        self._ready, tell = os.pipe()
        os.set_blocking(self._ready, False)
        descriptor = listener.fileno()
        environ = os.environ | {
            "PGTICK_API_CHILD": f"{number}:{descriptor}:{tell}",
            "PGTICK_API_PROCESSES": str(settings.processes),
            "NODE_ID": settings.node_id,
            VARIABLE: str(metrics.path),
        }
        if "PGTICK_RATE_LIMIT_INSTANCES_FILE" not in environ:
            environ.setdefault("PGTICK_RATE_LIMIT_INSTANCES", str(settings.processes))
        python = (sys.executable, "-P", "-m")  # -P: ours, whatever the current folder has
        self._popen = subprocess.Popen(
            [*python, "app.child", str(os.getpid()), *python, "app.api"],
            env=environ,
            pass_fds=(descriptor, tell),
            start_new_session=True,
        )
        os.close(tell)
        self._metrics = metrics
        self._drain_seconds = settings.drain_seconds
        self._is_ready = False
        self._kill_at: float | None = None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it has not."""
        return self._popen.returncode

    def look(self) -> State:
        """Tells how it is; kills it where it was to leave and does not."""
        if self._popen.poll() is not None:
            return "dead"
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            _log.error("a process does not leave, killing it", number=self.number)
            self._popen.kill()
            self._kill_at = None
        if not self._is_ready:
            with contextlib.suppress(BlockingIOError):
                self._is_ready = os.read(self._ready, 1) == b"1"
        return "ready" if self._is_ready else "starting"

    def end(self) -> None:
        """Asks it to leave; a second time, to leave at once."""
        self._kill_at = time.monotonic() + self._drain_seconds + STOP_SECONDS
        self._popen.terminate()

    def close(self) -> None:
        """Forgets it, dead, but not what it counted."""
        os.close(self._ready)
        self._metrics.bury(self._popen.pid)


class Processes:
    """The parent: it serves nothing itself."""

    def __init__(
        self, settings: ApiSettings, listener: socket.socket, *, log_format: str, log_level: str
    ) -> None:
        self._settings = settings
        self._listener = listener
        configure_logs(log_format, log_level, node_id=settings.node_id)
        self._metrics = MetricsFolder()
        self._children: dict[int, Child] = {}
        self._leaving: list[Child] = []
        self._to_replace: list[int] = []
        self._successor: Child | None = None
        self._times_stopped = 0
        self._replace_asked = False

    def run(self) -> None:
        """Keeps the processes running until a signal stops them."""
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_replace)
        with contextlib.closing(self._metrics):
            for number in range(1, self._settings.processes + 1):
                self._children[number] = self._start(number)
            while not self._times_stopped:
                if self._replace_asked:
                    self._replace_asked = False
                    self._to_replace = sorted(self._children)
                self._restart_dead()
                self._forget_dead()
                self._replace()
                time.sleep(CHECK_SECONDS)
            self._end_all()

    def _on_stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._times_stopped += 1

    def _on_replace(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._replace_asked = True

    def _start(self, number: int) -> Child:
        return Child(number, self._settings, self._listener, self._metrics)

    def _restart_dead(self) -> None:
        for number, child in self._children.items():
            if child.look() != "dead" or time.monotonic() - child.started_at < PAUSE_SECONDS:
                continue
            _log.error("a process died, starting another", number=number, exit_code=child.exit_code)
            child.close()
            self._children[number] = self._start(number)

    def _forget_dead(self) -> None:
        for child in [each for each in self._leaving if each.look() == "dead"]:
            child.close()
            self._leaving.remove(child)

    def _replace(self) -> None:
        """Goes on with the replacement of all processes, one at a time, the old one by a ready new one."""
        if self._successor is None:
            if self._to_replace and not self._leaving:
                self._successor = self._start(self._to_replace.pop(0))
            return
        new = self._successor
        state = new.look()
        if state == "ready":
            old, self._children[new.number] = self._children[new.number], new
            self._leave(old)
            self._successor = None
            _log.info("replaced a process", number=new.number, left=len(self._to_replace))
        elif state == "dead" or time.monotonic() - new.started_at > START_SECONDS:
            _log.error("a new process does not get ready, the old ones stay", number=new.number)
            self._leave(new)
            self._successor = None
            self._to_replace.clear()

    def _leave(self, child: Child) -> None:
        child.end()
        self._leaving.append(child)

    def _end_all(self) -> None:
        # Now only they have it: once they take no more connections, it refuses them instead of keeping them.
        self._listener.close()
        for child in (*self._children.values(), *([self._successor] if self._successor else [])):
            self._leave(child)
        told = 1
        while self._leaving:
            if self._times_stopped > told:
                told = self._times_stopped
                for child in self._leaving:
                    child.end()
            self._forget_dead()
            time.sleep(CHECK_SECONDS)
