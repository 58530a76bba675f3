"""Which Redis is meant, and a client for whatever answers there: a single server or a cluster."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from redis import ConnectionError as RedisConnectionError
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, ConnectionPool, RedisSSLContext, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError

from app.settings import SettingsError

Client: TypeAlias = Redis | RedisCluster

PORT = 6379
CONNECT_TIMEOUT_SECONDS = 1.0
PROBE_KEY = "pgtick:probe"
PROBE_TTL_MS = 10_000
CLUSTER = "+cluster"
TLS_OPTIONS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile")
FALSE = ("0", "false", "no", "off")


class Address(msgspec.Struct, frozen=True):
    """Where a server listens."""

    host: str
    port: int


class Target(msgspec.Struct, frozen=True):
    """What REDIS_URL means."""

    addresses: tuple[Address, ...]
    cluster: bool
    username: str | None = None
    password: str | None = None
    db: int = 0
    tls: dict[str, str | bool] | None = None
    """None: not encrypted; else the options of the URL."""


def parse_url(url: str, *, password: str | None = None) -> Target:
    """Returns what a REDIS_URL means; a password in the URL goes before REDIS_PASSWORD."""
    try:
        return _parse(url, password)
    except ValueError:  # its message may hold the password
        raise SettingsError(
            "REDIS_URL is not valid: write redis://[user:password@]host[:port][/db], rediss://… for TLS, "
            "redis+cluster://host:port,host:port for a cluster"
        ) from None


def _parse(url: str, password: str | None) -> Target:
    parts = urlsplit(url)
    scheme = parts.scheme.removesuffix(CLUSTER)
    if scheme not in ("redis", "rediss"):
        raise ValueError
    # urlsplit knows one host; a cluster is best named by several of its nodes.
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, secret = credentials.partition(":")
    options: dict[str, str | bool] = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    if set(options) - set(TLS_OPTIONS if scheme == "rediss" else ()):
        raise ValueError
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"] not in FALSE
    return Target(
        addresses=tuple(_parse_address(host) for host in hosts.split(",")),
        cluster=parts.scheme.endswith(CLUSTER),
        username=unquote(user) or None,
        password=unquote(secret) or password or None,
        db=int(parts.path.strip("/") or 0),
        tls=options if scheme == "rediss" else None,
    )


def _parse_address(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError
    return Address(parts.hostname, parts.port or PORT)


class _TlsConnection(SSLConnection):
    """Shares what it trusts with the others: to read the system's authorities takes 50 ms, each time."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = _trust(
            self.keyfile, self.certfile, self.cert_reqs, self.ca_certs, self.check_hostname
        )


@cache
def _trust(
    keyfile: str | None, certfile: str | None, cert_reqs: ssl.VerifyMode, ca_certs: str | None, names: bool
) -> RedisSSLContext:
    context = RedisSSLContext(keyfile=keyfile, certfile=certfile, ca_certs=ca_certs, check_hostname=names)
    context.cert_reqs = cert_reqs
    return context


async def connect(target: Target, address: Address, *, connections: int) -> Client:
    """Returns a client for the server or the cluster there, having made its connections and written a key.

    All connections are made here, so that no request pays for a handshake. Raises what the client raises;
    the caller limits the time.
    """
    single = Redis.from_pool(_pool(target, address, connections))
    client: Client = single
    try:
        if await _is_cluster(single, target):
            await close(client)
            client = _cluster(target, address, connections)
            await client.initialize()
        async with asyncio.TaskGroup() as pings:  # which, unlike gather, leaves none behind when one fails
            for _ in range(connections):
                pings.create_task(ping(client))
        await client.set(PROBE_KEY, "1", px=PROBE_TTL_MS)
    except BaseException as error:
        await close(client)
        if isinstance(error, ExceptionGroup):
            raise error.exceptions[0] from None
        raise
    return client


async def ping(client: Client) -> None:
    """Returns when the server, or every primary of the cluster, has answered."""
    if isinstance(client, RedisCluster):
        for node in client.get_primaries():
            await client.ping(target_nodes=node)
    else:
        await client.ping()


async def close(client: Client) -> None:
    """Closes all connections."""
    await client.aclose()
    if isinstance(client, RedisCluster):
        # It forgets those of the node that it began with, and all of them while it looks for its nodes anew.
        for node in [*client.startup_nodes, *client.nodes_manager.nodes_cache.values()]:
            await node.disconnect()


def addresses_of(client: Client) -> tuple[Address, ...]:
    """Returns the nodes of a cluster as far as they are known; of a single server none."""
    if not isinstance(client, RedisCluster):
        return ()
    return tuple(Address(node.host, int(node.port)) for node in client.get_primaries())


async def _is_cluster(client: Redis, target: Target) -> bool:
    try:
        info = await client.info("cluster")
    except NoPermissionError:
        return target.cluster
    return bool(info.get("cluster_enabled"))


def _pool(target: Target, address: Address, connections: int) -> ConnectionPool:
    options = _options(target) | {"host": address.host, "port": address.port, "db": target.db}
    kind = Connection if target.tls is None else _TlsConnection
    return ConnectionPool(kind, max_connections=connections, **options)


def _cluster(target: Target, address: Address, connections: int) -> RedisCluster:
    cluster = RedisCluster(
        startup_nodes=[ClusterNode(address.host, address.port)],
        max_connections=connections,
        ssl=target.tls is not None,
        **_options(target),
    )
    if target.tls is not None:  # it takes no class of connections
        cluster.connection_kwargs["connection_class"] = _TlsConnection
        for node in cluster.startup_nodes:
            node.connection_class = _TlsConnection
    return cluster


def _options(target: Target) -> dict[str, Any]:
    return {
        "username": target.username,
        "password": target.password,
        # Whoever calls sets the time for all of it. With a socket_timeout the client would send in a task of
        # its own, by asyncio.wait_for, which in Python 3.11 may lose the cancellation that ends the call.
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        # One, and only for a connection that was lost; the default is ten, with back-off.
        "retry": Retry(NoBackoff(), 1, (RedisConnectionError,)),
        # With 3 and a driver_info, every connection begins with three more round trips.
        "protocol": 2,
        "driver_info": None,
    } | (target.tls or {})
