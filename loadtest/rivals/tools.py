"""The rivals' own programs, installed on demand beside this file; pgtick depends on none of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
NODE = HERE / "node"
PYTHON = HERE / ".venv" / "bin" / "python"

_INSTALL_SECONDS = 300


class MissingError(Exception):
    """A contestant cannot take part; the message is the reason, in one line."""


@cache
def node() -> str:
    """Returns the program that runs the rivals from npm, which are installed by then."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        raise MissingError("node and npm are not installed")
    _install(NODE / "node_modules" / ".installed", NODE / "package-lock.json", [npm, "ci", "--no-audit"])
    return program


@cache
def python() -> str:
    """Returns the interpreter of the environment that the rivals from PyPI are installed in by then."""
    requirements = HERE / "requirements.txt"
    if not PYTHON.with_name("pip").exists():  # comes last: without it the environment is half made
        _run([sys.executable, "-m", "venv", str(PYTHON.parent.parent)])
    install = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _install(PYTHON.parent.parent / ".installed", requirements, [*install, "-r", str(requirements)])
    return str(PYTHON)


def versions() -> dict[str, str]:
    """Returns what is pinned, and which node runs it."""
    pins = dict(json.loads((NODE / "package.json").read_text())["dependencies"])
    lines = (HERE / "requirements.txt").read_text().splitlines()
    pins |= dict(line.split("==") for line in lines if "==" in line)
    if program := shutil.which("node"):
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        pins["node"] = said.stdout.strip().removeprefix("v")
    return pins


def _install(stamp: Path, pins: Path, command: list[str]) -> None:
    """Installs, unless exactly this has been installed."""
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        _run(command)
        stamp.write_text(digest)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=NODE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"`{' '.join(command[:3])}` took more than {_INSTALL_SECONDS} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        # The first that says so: npm ends with where its log is.
        why = next((line for line in said if "error" in line.lower()), said[-1])
        raise MissingError(f"`{' '.join(command[:3])}` failed: {why[:200]}")
