"""One API process: uvicorn, run by us so that it can be drained.

SIGTERM or SIGINT: the readiness check says 503, streams end, each answer closes its connection so that a
proxy goes elsewhere; a moment later no more connections are taken, and what is under way may end. A second
signal cuts it short.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
from collections.abc import Iterator
from types import FrameType

import structlog
import uvicorn

from app.api.config import ApiSettings, process_settings
from app.api.listener import BACKLOG, refuse_new
from app.api.logs import configure_logs
from app.api.main import Api, create_app
from app.api.protocol import Protocol

KEEP_ALIVE_SECONDS = 90
"""Longer than a proxy keeps its idle connections (60 s), so that it is never we who close one in its face."""
DRAIN_SECONDS = 1.0
"""For so long a leaving process still takes connections, and closes each after its answer."""
HURRY_SECONDS = 1.0
"""For so long a process that leaves at once says so to those whom it leaves without an answer."""
LINGER_SECONDS = 2.0
"""For so long a connection may be silent after that before it is closed: a request may be on its way."""
SHORT_SECONDS = 0.02

_log = structlog.get_logger("api")


class Server(uvicorn.Server):
    """A server that drains before it leaves."""

    def __init__(
        self, config: uvicorn.Config, api: Api, *, ready_fd: int | None, alone: bool = False
    ) -> None:
        super().__init__(config)
        self._api = api
        self._alone = alone
        self._ready_fd = ready_fd
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says so to whoever waits for it."""
        self._loop = asyncio.get_running_loop()
        self._api.clients = self.server_state.connections
        await super().startup(sockets)
        if self._ready_fd is not None and self.started:
            os.write(self._ready_fd, b"1")
            os.close(self._ready_fd)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begins to drain; asked again, leaves at once. To leave when asked to is no failure: exit code 0."""
        if self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._hurry if self._asked else self._drain, self._loop)
        self._asked = True

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        _log.info("draining")
        self._api.draining.set()
        loop.call_later(DRAIN_SECONDS, self._leave)

    def _leave(self) -> None:
        self.should_exit = True

    def _hurry(self, loop: asyncio.AbstractEventLoop) -> None:
        _log.info("leaving at once")
        self.should_exit = True
        for task in self.server_state.tasks:
            task.cancel()
        loop.call_later(HURRY_SECONDS, self._force)

    def _force(self) -> None:
        self.force_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more connections; what was sent on those that were taken is answered."""
        # Closed with its socket, a connection that still waits to be taken would be reset: on a busy machine
        # the loop may not have come to that. Where others have the socket, they take it.
        if self._alone:
            for each in sockets or []:
                refuse_new(each)
            await asyncio.sleep(SHORT_SECONDS)  # for those who knocked before, a round trip away
        waiting = [taken for each in sockets or [] for taken in _take_all(each)]
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        loop = asyncio.get_running_loop()
        for taken in waiting:
            await loop.connect_accepted_socket(self._make_protocol, taken)
        await self._linger()
        await super().shutdown(sockets)

    def _make_protocol(self) -> Protocol:
        return Protocol(self.config, self.server_state, self.lifespan.state)

    async def _linger(self) -> None:
        """Waits for one more request on each connection, whose answer closes it; else it might be lost."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + LINGER_SECONDS
        await asyncio.sleep(SHORT_SECONDS)  # for what has come on other connections and is not read yet
        while self.server_state.connections and not self.force_exit:
            if loop.time() > give_up_at:
                return
            await asyncio.sleep(SHORT_SECONDS)


def _take_all(listener: socket.socket) -> Iterator[socket.socket]:
    """Takes the connections that wait on a listening socket."""
    with contextlib.suppress(OSError):  # such as that there are no more
        while True:
            taken, _ = listener.accept()
            taken.setblocking(False)
            yield taken


def configure(api: Api, settings: ApiSettings) -> uvicorn.Config:
    """Returns how uvicorn runs an API."""
    return uvicorn.Config(
        api,
        http=Protocol,
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
    )


def serve(
    settings: ApiSettings,
    listener: socket.socket,
    *,
    log_format: str,
    log_level: str,
    ready_fd: int | None = None,
    number: int | None = None,
    alone: bool = False,
) -> None:
    """Serves until a signal ends it; `alone` where no other process has the socket."""
    if number is not None:
        settings = process_settings(settings, number)
    configure_logs(log_format, log_level, node_id=settings.node_id)
    api = create_app(settings)
    config = configure(api, settings)
    host, port = listener.getsockname()[:2]
    _log.info("serving", host=host, port=port, replicas=len(settings.replicas), auth=settings.auth)
    if settings.redis_url is None:
        _log.info("no REDIS_URL: each process caches and limits by itself")
    Server(config, api, ready_fd=ready_fd, alone=alone).run(sockets=[listener])
    _log.info("left")
