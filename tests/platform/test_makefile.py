"""`make` where something was missing the first time."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.cli import ROOT

# Makes a virtual environment as Debian's does with python3-venv: one with pip.
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && ln -sf /bin/echo "$3/bin/pip"; fi
"""


def test_a_half_made_environment_is_made_whole(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    # What is left where python3-venv was missing.
    (tmp_path / ".venv/bin/python").symlink_to(python)
    done = subprocess.run(
        ["make", "install", f"PYTHON={python}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},  # without the flags of a make that runs the tests
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / ".venv/.installed").exists()
