"""`python -m app.api`: one of several API processes, started by app.api.processes."""

from __future__ import annotations

import os
import socket

from app.api.config import api_settings
from app.api.server import serve
from app.settings import load_settings


def main() -> None:
    """Serves on the socket that was passed on."""
    number, descriptor, ready = map(int, os.environ.pop("PGTICK_API_CHILD").split(":"))
    settings = load_settings(os.environ)
    serve(
        api_settings(settings, database=os.environ["DB_WRITE_CONNECTION_STRING"]),
        socket.socket(fileno=descriptor),
        log_format=settings.log_format,
        ready_fd=ready,
        number=number,
    )


if __name__ == "__main__":
    main()
