"""The API as `pgtick api` runs it: a process that can be killed, frozen and restarted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx

from tests.support.cli import environment
from tests.support.program import Program, free_port, wait_until


class ApiProcess:
    """A running `pgtick api`; it keeps its port."""

    def __init__(self, environ: Mapping[str, str], *, log: Path, arguments: tuple[str, ...] = ()) -> None:
        """Starts it with those variables and waits until it answers."""
        self.port = free_port()
        self._environ = environment(**environ)
        self._log = log
        self._arguments = arguments
        self._program = self._launch()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._program.pid

    @property
    def said(self) -> str:
        """What it has logged."""
        return self._program.said

    def is_running(self) -> bool:
        """Tells whether it has not ended."""
        return self._program.is_running()

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Waits until it has logged something so often."""
        wait_until(lambda: self.said.count(text) >= times, f"{text!r}, {times} times")

    def children(self) -> set[int]:
        """Returns the ids of its processes that run."""
        shown = subprocess.run(
            ["ps", "-o", "pid=,stat=", "--ppid", str(self.pid)], capture_output=True, text=True, check=False
        )
        return {int(pid) for pid in re.findall(r"^ *(\d+) +[^Z\s]\S*$", shown.stdout, re.MULTILINE)}

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._program.send(number)

    def freeze(self) -> None:
        """Stops it in its tracks, connections open, until it is thawed."""
        self._program.freeze()

    def thaw(self) -> None:
        """Lets it go on."""
        self._program.thaw()

    def kill(self) -> None:
        """Ends it the hard way."""
        self._program.kill()

    def stop(self) -> int:
        """Has it drain and end, and returns its exit code."""
        return self._program.stop()

    def restart(self) -> None:
        """Has it drain and end, and starts it again."""
        self.stop()
        self._program = self._launch()

    def __enter__(self) -> Self:
        """Is started already."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stops it."""
        self.stop()

    def _launch(self) -> Program:
        command = [sys.executable, "-m", "app", "api", "--port", str(self.port), *self._arguments]
        program = Program(command, log=self._log, environ=self._environ)
        program.wait_for(self._answers)
        return program

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/v1/jobs").status_code in (200, 401)
        return False
