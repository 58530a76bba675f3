"""HTTP as uvicorn speaks it, with bounds on what comes before a body; what is no HTTP gets a problem, too."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api import metrics
from app.api.errors import MEDIA_TYPE, Problem
from app.api.observe import new_request_id

MAX_HEAD_BYTES = 65_536
HEAD_SECONDS = 10.0

_log = structlog.get_logger("api")


class Protocol(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0
    """Of the request whose head, or whatever follows its body, is being read."""
    _head_timer: asyncio.TimerHandle | None = None
    """Runs while a head is being read."""
    _is_told = False
    """Whether the parser made something of what came."""
    _refused = False

    def connection_made(self, transport: Any) -> None:
        """Lets a connection on which nothing is said be idle for no longer than one between two requests."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets everything go."""
        self._stop_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what comes, up to what is refused."""
        if self._refused:
            return
        self._is_told = False
        super().data_received(data)
        # The parser gathers a header until its end and tells of it only then.
        if (self._head_timer is not None or not self._is_told) and not self._refused:
            self._count(len(data))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a line of the head. One that follows the body is no part of it, and nobody asked for it."""
        self._is_told = True
        if self._head_timer is not None:
            super().on_header(name, value)
        elif not self._refused:
            self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Its head is read."""
        self._stop_timer()
        self._is_told = True
        self._head_bytes = 0
        self._count(len(self.url) + sum(len(name) + len(value) for name, value in self.headers))
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Passes a piece of its body on."""
        self._is_told = True
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """It has ended."""
        self._is_told = True
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP."""
        self._refuse(Problem(400, "malformed", msg))

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(
                Problem(431, "headers-too-large", f"more than {MAX_HEAD_BYTES} bytes before the body")
            )

    def _give_up(self) -> None:
        self._refuse(Problem(408, "too-slow", f"the headers did not arrive within {HEAD_SECONDS:g} s"))

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, problem: Problem) -> None:
        """Answers, unless an answer is under way, and ends the connection: where it goes on, nobody knows."""
        self._stop_timer()
        if self._refused:
            return
        self._refused = True
        request_id = new_request_id()
        _log.info("no request", request_id=request_id, status=problem.status, detail=problem.detail)
        metrics.request("other", "unmatched", problem.status, 0.0)
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = problem.body(request_id)
            head = (
                STATUS_LINE[problem.status],
                b"content-type: " + MEDIA_TYPE + b"\r\n",
                b"content-length: %d\r\n" % len(body),
                b"x-request-id: " + request_id.encode() + b"\r\n",
                b"connection: close\r\n\r\n",
            )
            self.transport.write(b"".join(head) + body)
        self.transport.close()
