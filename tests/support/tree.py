"""A copy of the migrations and their SQL that a test may change: another version of pgtick."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.cli import ROOT, environment

RUN = """
import sys
from migrations import runner
try:
    print(*getattr(runner, sys.argv[1])(sys.argv[2]), sep="\\n")
except runner.MigrationError as error:
    sys.exit(str(error))
"""


@dataclass
class Tree:
    """The copy, and what its migrations do."""

    folder: Path

    @classmethod
    def copy(cls, folder: Path) -> Tree:
        """Copies today's."""
        for name in ("migrations", "sql"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        return cls(folder)

    def file(self, name: str) -> Path:
        """Returns the path of one of its files."""
        return self.folder / name

    def start(self, action: str, conninfo: str) -> subprocess.Popen[str]:
        """Starts `migrate` or `pending` in a process of its own."""
        environ = environment(PYTHONPATH=os.pathsep.join([str(self.folder), str(ROOT)]))
        return subprocess.Popen(
            [sys.executable, "-c", RUN, action, conninfo],
            env=environ,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def migrate(self, conninfo: str) -> list[str]:
        """Migrates and returns what was applied; an error is raised as its message."""
        return self._finish("migrate", conninfo)

    def pending(self, conninfo: str) -> list[str]:
        """Returns what is pending."""
        return self._finish("pending", conninfo)

    def _finish(self, action: str, conninfo: str) -> list[str]:
        process = self.start(action, conninfo)
        out, err = process.communicate(timeout=120)
        if process.returncode:
            raise RuntimeError(err.strip())
        return out.split("\n")[:-1] if out.strip() else []
