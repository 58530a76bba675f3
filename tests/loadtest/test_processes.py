"""What the benchmarks start is ours, knows nothing of the user's own database, and says why it died."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.processes import kept_running, running
from tests.support.cli import foreign_modules


def wait_for(pid: int) -> None:
    """Waits until it has ended, and leaves that for its parent to find."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_the_current_folder_and_the_environment_hide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign_modules(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_WRITE_CONNECTION_STRING_FILE", str(tmp_path / "of the user"))
    with (
        pytest.raises(RuntimeError, match=r"^worker died: .*DB_WRITE_CONNECTION_STRING is not set"),
        running("worker", conninfo="") as (pid,),
    ):
        wait_for(pid)


def test_the_one_that_died_is_told_not_what_failed_for_it() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no login')"]
    with pytest.raises(RuntimeError, match=r"^it died: no login\b"):
        _fail_beside(command)


def test_what_fails_by_itself_is_told() -> None:
    processes: list[subprocess.Popen[bytes]] = []
    with pytest.raises(RuntimeError, match=r"^executions are left$"):
        _fail_beside([sys.executable, "-c", "import time; time.sleep(60)"], processes, wait=False)
    assert [process.returncode for process in processes] == [-15, -15]


def _fail_beside(
    command: list[str], processes: list[subprocess.Popen[bytes]] | None = None, *, wait: bool = True
) -> None:
    with kept_running(command, name="it", environ={}, count=2) as started:
        for process in started:
            if wait:
                wait_for(process.pid)
        if processes is not None:
            processes += started
        raise RuntimeError("executions are left")
