"""One API process: uvicorn, run by us so that it can be drained.

SIGTERM or SIGINT: the readiness check says 503, streams end, each answer closes its connection so that a
proxy goes elsewhere; a moment later no more connections are taken, and what is under way may end. A second
signal cuts it short.
"""

from __future__ import annotations

import asyncio
import os
import socket
from types import FrameType

import structlog
import uvicorn

from app.api.config import ApiSettings, process_settings
from app.api.logs import configure_logs
from app.api.main import Api, create_app
from app.settings import SettingsError

KEEP_ALIVE_SECONDS = 90
"""Longer than a proxy keeps its idle connections (60 s), so that it is never we who close one in its face."""
DRAIN_SECONDS = 1.0
"""For so long a leaving process still takes connections, and closes each after its answer."""
BACKLOG = 2048

_log = structlog.get_logger("api")


class Server(uvicorn.Server):
    """A server that drains before it leaves."""

    def __init__(self, config: uvicorn.Config, api: Api, *, ready_fd: int | None) -> None:
        super().__init__(config)
        self._api = api
        self._ready_fd = ready_fd
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says so to whoever waits for it."""
        self._loop = asyncio.get_running_loop()
        self._api.clients = self.server_state.connections
        await super().startup(sockets)
        if self._ready_fd is not None and self.started:
            os.write(self._ready_fd, b"1")
            os.close(self._ready_fd)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to drain; asked again, leaves at once."""
        if self._loop is None or self._api.draining.is_set():
            super().handle_exit(sig, frame)
            return
        _log.info("draining")
        self._loop.call_soon_threadsafe(self._api.draining.set)
        self._loop.call_soon_threadsafe(self._loop.call_later, DRAIN_SECONDS, super().handle_exit, sig, frame)


def listen(settings: ApiSettings) -> socket.socket:
    """Returns the listening socket; raises SettingsError when the address is not to be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
            "stop what does, or give another --port (PGTICK_API_PORT)"
        ) from None
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def configure(api: Api, settings: ApiSettings) -> uvicorn.Config:
    """Returns how uvicorn runs an API."""
    return uvicorn.Config(
        api,
        http="httptools",
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.drain_seconds),
    )


def serve(
    settings: ApiSettings,
    listener: socket.socket,
    *,
    log_format: str,
    ready_fd: int | None = None,
    number: int | None = None,
) -> None:
    """Serves until a signal ends it."""
    if number is not None:
        settings = process_settings(settings, number)
    configure_logs(log_format, node_id=settings.node_id)
    api = create_app(settings)
    config = configure(api, settings)
    host, port = listener.getsockname()[:2]
    _log.info("serving", host=host, port=port, replicas=len(settings.replicas), auth=settings.auth)
    Server(config, api, ready_fd=ready_fd).run(sockets=[listener])
    _log.info("left")
