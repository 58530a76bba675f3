"""The API that `pgtick up` serves: its socket, its process, and the key that is printed with it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from psycopg import errors

from app import localdb
from app.api.config import ApiSettings, api_settings
from app.api.listener import PortTakenError, listen
from app.cluster import Cluster
from app.db import connect, write_conninfo
from app.localkey import keep_key, key_path
from app.settings import Settings
from app.supervisor import Child

PORTS_TO_TRY = 20
REACHABLE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class LocalApi:
    """What is known of it before and while it runs."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        """Checks the settings, which the process itself would refuse again and again."""
        self._given = settings.database
        self._settings = api_settings(settings)
        self._say = say
        self._descriptor = -1
        self._address = ""

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Holds the port while the block lasts: who calls while the process is started anew only waits."""
        listener, port = _listen(self._settings)
        with listener:
            if port != self._settings.port:
                self._say(f"api        port {self._settings.port} is taken: {port} instead")
            host = REACHABLE.get(self._settings.host, self._settings.host)
            self._address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            self._descriptor = listener.fileno()
            yield

    def child(self, cluster: Cluster | None, environ: Mapping[str, str], log: Path) -> Child:
        """Returns the process, not started yet."""
        own = dict(environ)
        if cluster is not None:
            login = cluster.conninfo(dbname=localdb.DATABASE, user="pgtick_api")
            own["DB_WRITE_CONNECTION_STRING"] = login
        arguments = ["app", "api", "--fd", str(self._descriptor)]
        grace = self._settings.drain_seconds
        return Child("api", arguments, own, log, self._say, (self._descriptor,), grace_seconds=grace)

    def tell(self) -> None:
        """Says where it is, and how to call it."""
        self._say(f"api        {self._address}")
        if not self._settings.auth:
            self._say("           everybody may do everything (PGTICK_API_AUTH)")
            self._say(f"           curl {self._address}/v1/jobs")
            return
        path = key_path(localdb.home(), self._given)
        try:
            with connect(write_conninfo()) as conn:
                key = keep_key(conn, path)
        except errors.InsufficientPrivilege:
            self._say("           this login may not make a key; ask for: pgtick keys create NAME --scope …")
            return
        self._say(f"           key {key} (kept in {path})")
        self._say(f"           curl -H 'Authorization: Bearer {key}' {self._address}/v1/jobs")


def _listen(settings: ApiSettings) -> tuple[socket.socket, int]:
    """Listens on the port that was asked for, or where none was, on the next that is free."""
    try:
        return listen(settings), settings.port
    except PortTakenError:
        if {"PGTICK_API_PORT", "PGTICK_API_PORT_FILE"} & os.environ.keys():
            raise
        for port in range(settings.port + 1, settings.port + PORTS_TO_TRY):
            with contextlib.suppress(PortTakenError):
                return listen(msgspec.structs.replace(settings, port=port)), port
        raise
