"""Keeps child processes running: one that dies is started again, later each time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_AFTER_SECONDS = 60.0
STOP_SECONDS = 20.0  # beyond the grace that a process gives what it is at
LOG_LIMIT_BYTES = 10_000_000


@dataclass
class Child:
    """A process that is to run for as long as we do."""

    name: str
    arguments: list[str]
    environ: Mapping[str, str]
    log: Path
    say: Callable[[str], None]
    descriptors: tuple[int, ...] = ()
    """What is passed on to it, such as a listening socket: it stays open while the child is started again."""
    grace_seconds: float = 0.0
    """How long what it is at may take to end when it stops, as its own settings say."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _read_to: int = field(default=0, init=False)
    _told: str = field(default="", init=False)
    _started_at: float = field(default=0.0, init=False)
    _start_again_at: float = field(default=0.0, init=False)
    _pause_seconds: float = field(default=FIRST_PAUSE_SECONDS, init=False)

    def start(self) -> None:
        """Starts it, in a session of its own: a Ctrl-C is for us, who stop things in order."""
        self._bound_log()
        self._read_to = self.log.stat().st_size if self.log.exists() else 0
        # -P: a folder that has an `app.py` or `workers/` of its own must not have them run instead of ours.
        python = (sys.executable, "-P", "-m")
        own = [*python, "app.child", str(os.getpid()), *python, *self.arguments]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                own,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environ,
                pass_fds=self.descriptors,
                start_new_session=True,
            )
        self._started_at = time.monotonic()

    def check(self) -> None:
        """Looks whether it still runs; says so when not, and starts it again when its pause is over."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._start_again_at:
                self.start()
            return
        self._tell_errors()
        self._bound_log()
        code = self._process.poll()
        if code is None:
            return
        if now - self._started_at > HEALTHY_AFTER_SECONDS:
            self._pause_seconds = FIRST_PAUSE_SECONDS
        self._process = None
        self._start_again_at = now + self._pause_seconds
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self.say(
            f"the {self.name} died ({how}): {self._last_words()}; "
            f"starting it again in {self._pause_seconds:g} s (log: {self.log})"
        )
        self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def stop(self, *, hurry: threading.Event) -> None:
        """Asks it to stop and waits; one that does not, or for which there is no time, is killed."""
        if self._process is None:
            return
        self._process.terminate()
        give_up_at = time.monotonic() + self.grace_seconds + STOP_SECONDS
        while self._process.poll() is None:
            if hurry.wait(0.05) or time.monotonic() > give_up_at:
                self.say(f"killing the {self.name}")
                self._process.kill()
                self._process.wait()
        self._process = None

    def _bound_log(self) -> None:
        """Empties a log that has grown too large: the child appends, so that it goes on at the beginning."""
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            os.truncate(self.log, 0)
            self._read_to = 0

    def _tell_errors(self) -> None:
        """Says what the child logs as an error; one that is repeated only once."""
        if not self.log.exists() or self.log.stat().st_size == self._read_to:
            return
        with self.log.open("rb") as log:
            log.seek(self._read_to)
            for line in log:
                if not line.endswith(b"\n"):
                    break  # half written: for the next look
                self._read_to += len(line)
                if text := _error_of(line):
                    if text != self._told:
                        self.say(f"the {self.name} says: {text}")
                    self._told = text

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return next(
            (" ".join(line.split())[:200] for line in reversed(lines) if line.strip()), "it said nothing"
        )


def _error_of(line: bytes) -> str:
    """Returns the error that a line of a log in JSON tells, or nothing."""
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(entry, dict) or entry.get("level") not in ("error", "critical"):
        return ""
    text = ": ".join(str(entry[key]) for key in ("event", "error") if entry.get(key))
    return " ".join(text.split())[:300]
