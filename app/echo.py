"""A small HTTP endpoint on loopback that the sample job of type http has something to call."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

LONGEST_BODY_BYTES = 65_536


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answers with what came."""
        length = min(int(self.headers.get("Content-Length") or 0), LONGEST_BODY_BYTES)
        said = self.rfile.read(length).decode(errors="replace")
        answer = json.dumps({"you_said": said}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing: the execution's result tells."""


class Echo:
    """The endpoint, while the `with` block lasts."""

    def __init__(self, port: int) -> None:
        """Takes the port, or any other that is free."""
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        except OSError:
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Echo:
        threading.Thread(target=self._server.serve_forever, name="echo", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
