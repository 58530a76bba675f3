"""A client that listens to server-sent events in a thread of its own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple

import httpx

from tests.support.program import wait_until

SILENT_SECONDS = 60.0


class Told(NamedTuple):
    """An event as it came."""

    name: str
    event_id: str | None
    data: Any
    retry: int | None


class Listener:
    """Listens for as long as the block lasts."""

    def __init__(self, url: str, *, key: str, headers: dict[str, str] | None = None, **query: str) -> None:
        """Begins, and waits until there is an answer."""
        self.events: list[Told] = []
        self.comments = 0
        self.error: httpx.HTTPError | None = None
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} | (headers or {}),
            timeout=httpx.Timeout(SILENT_SECONDS),
        )
        request = self._client.build_request("GET", "/v1/events", params=query)
        self.answer = self._client.send(request, stream=True)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def __enter__(self) -> Listener:
        """Is listening already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hangs up."""
        self.close()

    @property
    def has_ended(self) -> bool:
        """Tells whether the other side has ended it."""
        return not self._thread.is_alive()

    @property
    def last_id(self) -> str:
        """The id of the last event that had one."""
        return [event.event_id for event in self.events if event.event_id is not None][-1]

    def close(self) -> None:
        """Hangs up."""
        # Another thread reads from it: it is shut, not only forgotten. It may have ended already.
        stream = self.answer.extensions["network_stream"]
        with suppress(OSError):
            stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.answer.close()
        self._client.close()

    def of(self, *names: str) -> list[Any]:
        """Returns the data of all events with one of these names, so far."""
        return [event.data for event in self.events if event.name in names]

    def wait_for(self, seen: Callable[[list[Told]], bool]) -> None:
        """Waits until what has come is enough."""
        wait_until(lambda: seen(self.events), f"more than {self.events}")

    def wait_for_event(self, name: str, *, times: int = 1) -> Any:
        """Waits until an event has come so often, and returns the data of the last."""
        self.wait_for(lambda _: len(self.of(name)) >= times)
        return self.of(name)[times - 1]

    def wait_for_end(self) -> None:
        """Waits until the other side has ended it."""
        wait_until(lambda: self.has_ended, f"an end after {self.events}")

    def _listen(self) -> None:
        fields: dict[str, str] = {}
        try:
            for line in self.answer.iter_lines():
                name, _, value = line.partition(": ")
                if line == "":
                    self._note(fields)
                    fields = {}
                elif line.startswith(":"):
                    self.comments += 1
                else:
                    assert name not in fields, line
                    fields[name] = value
        except httpx.HTTPError as error:
            self.error = error

    def _note(self, fields: dict[str, str]) -> None:
        if "event" not in fields:
            return  # the end of a comment
        retry = fields.get("retry")
        self.events.append(
            Told(
                fields["event"],
                fields.get("id"),
                json.loads(fields["data"]),
                int(retry) if retry is not None else None,
            )
        )
