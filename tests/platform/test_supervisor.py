"""Child processes are kept running, and what they say of errors is passed on."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from app import supervisor
from app.cli._up_worker import worker_child
from app.supervisor import Child
from tests.support.cli import environment

PATIENCE_SECONDS = 30.0

NOISY = """
import json, sys, time
def log(**entry):
    print(json.dumps(entry), flush=True)
log(level="info", event="fine")
print("no JSON at all", flush=True)
for _ in range(3):
    log(level="error", event="the database refuses", error="no such\\nfunction")
log(level="error", event="other")
time.sleep(60)
"""

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


BUSY = """
import signal, sys, time
def leave(*_):
    time.sleep(1.5)
    print("done", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(60)
"""


class Family:
    """A child made of a module's text, and what was said of it."""

    def __init__(self, folder: Path, text: str) -> None:
        (folder / "the_module.py").write_text(text)
        self.said: list[str] = []
        self.log = folder / "child.log"
        environ = environment()
        environ["PYTHONPATH"] += f":{folder}"
        self.child = Child("child", ["the_module"], environ, self.log, self.said.append)

    def check_until(self, *, lines: int) -> None:
        """Looks after the child until so much was said of it."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while len(self.said) < lines:
            self.child.check()
            assert time.monotonic() < give_up_at, self.said

    def check_until_ready(self) -> None:
        """Looks after the child until it says so."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not (self.log.exists() and self.log.read_text() == "ready\n"):
            self.child.check()
            assert time.monotonic() < give_up_at


@pytest.fixture
def hurry() -> threading.Event:
    """No time to stop in order."""
    event = threading.Event()
    event.set()
    return event


def test_errors_are_told_once(tmp_path: Path, hurry: threading.Event) -> None:
    family = Family(tmp_path, NOISY)
    family.log.write_text('{"level": "error", "event": "of an earlier run"}\n')
    family.check_until(lines=2)
    assert family.said == [
        "the child says: the database refuses: no such function",
        "the child says: other",
    ]
    family.child.stop(hurry=hurry)


def test_one_that_dies_is_started_again_later_each_time(tmp_path: Path, hurry: threading.Event) -> None:
    family = Family(tmp_path, "import sys; sys.exit('cannot: because')")
    family.check_until(lines=2)
    assert [line.split(" (log:")[0] for line in family.said] == [
        "the child died (exit code 1): cannot: because; starting it again in 1 s",
        "the child died (exit code 1): cannot: because; starting it again in 2 s",
    ]
    family.child.stop(hurry=hurry)


def test_one_that_does_not_stop_is_killed(tmp_path: Path, hurry: threading.Event) -> None:
    family = Family(tmp_path, STUBBORN)
    family.check_until_ready()
    family.child.stop(hurry=hurry)
    assert family.said == ["killing the child"]


def test_one_that_needs_its_grace_is_not_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.1)
    family = Family(tmp_path, BUSY)
    family.child.grace_seconds = 20.0
    family.check_until_ready()
    family.child.stop(hurry=threading.Event())
    assert (family.said, family.log.read_text()) == ([], "ready\ndone\n")


def test_the_worker_has_the_grace_that_is_set(tmp_path: Path) -> None:
    for given, seconds in (({}, 30.0), ({"PGTICK_GRACE_SECONDS": "600"}, 600.0)):
        assert worker_child(None, given, tmp_path / "log", print).grace_seconds == seconds
    refused = {"PGTICK_GRACE_SECONDS": "long", "PGTICK_METRICS_PORT": "http"}
    assert worker_child(None, refused, tmp_path / "log", print).environ == refused
