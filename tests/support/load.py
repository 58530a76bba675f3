"""A load on the API that notes every request that goes wrong."""

from __future__ import annotations

import threading
from types import TracebackType

import httpx

from tests.support.program import wait_until

CALL_SECONDS = 30.0


class Load:
    """Clients that call a path for as long as the block lasts: half of them on a new connection each time."""

    def __init__(
        self, url: str, path: str, *, key: str, clients: int = 4, may_be_refused: bool = False
    ) -> None:
        """Once it is refused a connection, which may be meant, a client stops."""
        self.answered = 0
        self.failed: list[str] = []
        self._url, self._path, self._key = url, path, key
        self._may_be_refused = may_be_refused
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, kwargs={"keep": number % 2 == 0}) for number in range(clients)
        ]

    def __enter__(self) -> Load:
        """Begins."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it."""
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Waits until each client has stopped."""
        for thread in self._threads:
            thread.join()

    def wait_for(self, answers: int) -> None:
        """Waits for so many more answers."""
        goal = self.answered + answers
        wait_until(lambda: self.answered >= goal or bool(self.failed), f"{answers} answers")

    def _call(self, *, keep: bool) -> None:
        headers = {"Authorization": f"Bearer {self._key}"} | ({} if keep else {"Connection": "close"})
        with httpx.Client(base_url=self._url, headers=headers, timeout=CALL_SECONDS) as client:
            while not self._stop.is_set():
                try:
                    answer = client.get(self._path)
                except httpx.ConnectError as error:
                    if not self._may_be_refused:
                        self.failed.append(repr(error))
                    return
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                else:
                    self.answered += 1
                    if answer.status_code != 200:
                        self.failed.append(f"{answer.status_code} {answer.text}")
