"""`python -m app.api`: one of several API processes, started by app.api.processes."""

from __future__ import annotations

import os
import sys

from app.api.config import api_settings
from app.api.listener import inherit
from app.api.server import serve
from app.settings import SettingsError, load_settings


def main() -> None:
    """Serves on the socket that was passed on."""
    number, descriptor, ready = map(int, os.environ.pop("PGTICK_API_CHILD").split(":"))
    try:
        loaded = load_settings(os.environ)
        settings = api_settings(loaded)
    except SettingsError as error:
        sys.exit(f"pgtick: {error}")
    serve(
        settings,
        inherit(descriptor),
        log_format=loaded.log_format,
        log_level=loaded.log_level,
        ready_fd=ready,
        number=number,
    )


if __name__ == "__main__":
    main()
