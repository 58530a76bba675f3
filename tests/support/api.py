"""The API as it runs, in a thread of the test: on a port of its own, over a real socket."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx
import structlog
import uvicorn
from structlog.typing import EventDict

from app.api.config import ApiSettings
from app.api.listener import listen
from app.api.logs import add_request
from app.api.main import Api, create_app
from app.api.server import configure
from tests.support.program import wait_until

CALL_SECONDS = 30.0
# Nothing here is encrypted, but each client would read the machine's certificates: 40 ms.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
STOP_SECONDS = 15.0


class RunningApi:
    """An API process without the process: the same server, configured in the same way."""

    def __init__(self, settings: ApiSettings, *, keys: Mapping[str, str] | None = None) -> None:
        """Serves on the settings' port; 0 for any. `keys` are the secrets by the scope that they have."""
        self.settings = settings
        self.keys = dict(keys or {})
        self.app: Api = create_app(settings)
        self._listener = listen(settings)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(configure(self.app, settings))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})
        self._clients: list[httpx.Client] = []
        self.said: list[dict[str, Any]] = []
        """What it has logged."""

    def __enter__(self) -> RunningApi:
        """Starts it."""
        structlog.configure(processors=[add_request, self._note])
        self._thread.start()
        wait_until(lambda: self._server.started or not self._thread.is_alive(), "the API is up")
        assert self._server.started, "the API did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        for client in self._clients:
            client.close()
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._listener.close()
        structlog.reset_defaults()
        assert not self._thread.is_alive(), "the API did not stop"

    def _note(self, _: Any, method: str, event: EventDict) -> EventDict:
        self.said.append({**event, "level": method})
        raise structlog.DropEvent

    def client(self, scope: str | None = "admin", **options: Any) -> httpx.Client:
        """Returns a client with the key of a scope, or with none; closed at the end."""
        headers = {"Authorization": f"Bearer {self.keys[scope]}"} if scope else {}
        client = httpx.Client(
            base_url=self.url,
            timeout=CALL_SECONDS,
            headers=headers | options.pop("headers", {}),
            verify=NO_CERTIFICATES,
            **options,
        )
        self._clients.append(client)
        return client


def unused_api() -> Api:
    """Returns an API that is only looked at: nothing of it is opened."""
    return create_app(ApiSettings(write_conninfo="", direct_conninfo="", node_id="test"))
