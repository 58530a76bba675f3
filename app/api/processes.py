"""`--processes N`: several API processes on one listening socket, started again when they die.

They share the socket, so that a connection that waits to be taken is never lost with one of them. SIGHUP
replaces them one by one, the new before the old; SIGTERM and SIGINT stop all.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from types import FrameType

import structlog

from app.api.config import ApiSettings
from app.api.logs import configure_logs

START_SECONDS = 30.0
CHECK_SECONDS = 0.1
PAUSE_SECONDS = 1.0

_log = structlog.get_logger("api")


@dataclass
class _Child:
    number: int
    popen: subprocess.Popen[bytes]
    started_at: float


class Processes:
    """The parent: it serves nothing itself."""

    def __init__(self, settings: ApiSettings, listener: socket.socket, *, log_format: str) -> None:
        self._settings = settings
        self._listener = listener
        configure_logs(log_format, node_id=settings.node_id)
        self._children: dict[int, _Child] = {}
        self._stop = False
        self._replace = False

    def run(self) -> None:
        """Keeps the processes running until a signal stops them."""
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_replace)
        for number in range(1, self._settings.processes + 1):
            self._children[number] = self._start(number)
        while not self._stop:
            time.sleep(CHECK_SECONDS)
            if self._replace:
                self._replace = False
                self._replace_all()
            self._restart_dead()
        self._end_all()

    def _on_stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._stop:  # asked again: each child takes a second signal as "at once"
            for child in self._children.values():
                child.popen.terminate()
        self._stop = True

    def _on_replace(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._replace = True

    def _start(self, number: int, *, wait: bool = False) -> _Child:
        ready, tell = os.pipe()
        descriptor = self._listener.fileno()
        popen = subprocess.Popen(
            [sys.executable, "-m", "app.child", str(os.getpid()), sys.executable, "-m", "app.api"],
            env=os.environ
            | {
                "PGTICK_API_CHILD": f"{number}:{descriptor}:{tell}",
                "PGTICK_API_PROCESSES": str(self._settings.processes),
                "NODE_ID": self._settings.node_id,
            },
            pass_fds=(descriptor, tell),
        )
        os.close(tell)
        if wait and not (select.select([ready], [], [], START_SECONDS)[0] and os.read(ready, 1)):
            _log.error("a process did not get ready", number=number)
        os.close(ready)
        return _Child(number, popen, time.monotonic())

    def _replace_all(self) -> None:
        for number, old in list(self._children.items()):
            if self._stop:
                return
            self._children[number] = self._start(number, wait=True)
            old.popen.terminate()
            old.popen.wait()
        _log.info("all processes replaced")

    def _restart_dead(self) -> None:
        for number, child in list(self._children.items()):
            code = child.popen.poll()
            if code is None or time.monotonic() - child.started_at < PAUSE_SECONDS:
                continue
            _log.error("a process died, starting another", number=number, exit_code=code)
            self._children[number] = self._start(number)

    def _end_all(self) -> None:
        for child in self._children.values():
            child.popen.terminate()
        for child in self._children.values():
            child.popen.wait()
