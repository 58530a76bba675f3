"""`pgtick api`: the REST API."""

from __future__ import annotations

import os

import click


@click.command()
@click.option("--host", help="Address to listen on (PGTICK_API_HOST, 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (PGTICK_API_PORT, 3000).")
@click.option("--processes", type=int, help="How many processes (PGTICK_API_PROCESSES, 1).")
@click.option("--fd", type=int, help="A listening socket that was passed on, instead of host and port.")
def api(*, host: str | None, port: int | None, processes: int | None, fd: int | None) -> None:
    """Serves the REST API; any number may run."""
    from app.api.config import api_settings
    from app.api.listener import inherit, listen
    from app.api.processes import Processes
    from app.api.server import serve
    from app.cli.processes import process_environment
    from app.settings import load_settings

    # For this process and for those that it starts: what they find in the environment is checked here.
    os.environ.update(process_environment(os.environ, user="pgtick_api"))
    loaded = load_settings(os.environ)
    settings = api_settings(loaded, host=host, port=port, processes=processes)
    listener = listen(settings) if fd is None else inherit(fd)
    if settings.processes == 1:
        log_format, log_level = loaded.log_format, loaded.log_level
        serve(settings, listener, log_format=log_format, log_level=log_level, alone=fd is None)
    else:
        Processes(settings, listener, log_format=loaded.log_format, log_level=loaded.log_level).run()
