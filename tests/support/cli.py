"""Runs `pgtick` as a person would: as a program, by its exit code and what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PGTICK = (sys.executable, "-P", "-m", "app")
"""Like the installed program it does not look for its modules in the current folder."""


def environment(**variables: str) -> dict[str, str]:
    """Returns this process's environment without any setting of pgtick, plus those given."""
    ours = ("PGTICK_", "DB_", "PG", "REDIS_", "NODE_ID", "XDG_DATA")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return kept | {"PYTHONPATH": str(ROOT)} | variables


def pgtick(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end with these environment variables."""
    return subprocess.run(
        [*PGTICK, *args],
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def error_line(done: subprocess.CompletedProcess[str], *, code: int = 1) -> str:
    """Returns the one line that a failed command said, having checked that it is one."""
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def foreign_modules(folder: Path) -> None:
    """Makes packages there that are named like ours and fail."""
    for name in ("app", "examples", "loadtest", "migrations", "workers"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise SystemExit('{name} is not ours')\n")
