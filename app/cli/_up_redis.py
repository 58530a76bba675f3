"""The Redis of `pgtick up`: the one that REDIS_URL names, else one of its own."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from app.settings import Settings, mask
from app.supervisor import Child
from app.valkey import NoValkeyError, find_server, server_version


def redis_children(
    settings: Settings, environ: dict[str, str], log: Path, say: Callable[[str], None]
) -> list[Child]:
    """Tells which Redis is used; returns the server as a child if it is one of ours, named in `environ`."""
    if settings.redis_url is not None:
        say(f"redis      {mask(settings.redis_url)}")
        return []
    try:
        server = find_server()
        version = server_version(server)
    except NoValkeyError as error:
        say(f"redis      none, so that each process of the API caches and limits by itself: {error}")
        return []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environ["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
    environ["REDIS_PASSWORD"] = secrets.token_urlsafe(24)
    say(f"redis      Valkey {version} (wheel) at 127.0.0.1:{port}, in memory only")
    return [Child("Valkey", ["app.valkey"], environ, log, say)]
