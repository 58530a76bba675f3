"""Which Redis is meant, and a client for whatever answers there: a single server or a cluster."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from redis import ConnectionError as RedisConnectionError
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError

from app.settings import SettingsError

Client: TypeAlias = Redis | RedisCluster

PORT = 6379
TIMEOUT_SECONDS = 1.0
PROBE_KEY = "pgtick:probe"
PROBE_TTL_MS = 10_000
CLUSTER = "+cluster"
TLS_OPTIONS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile")


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
    tls: dict[str, str] | None = None
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
    options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    if set(options) - set(TLS_OPTIONS if scheme == "rediss" else ()):
        raise ValueError
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


async def connect(target: Target, address: Address, *, connections: int) -> Client:
    """Returns a client for the server or the cluster there, having made its connections and written a key.

    All connections are made here, so that no request pays for a handshake. Raises what the client raises.
    """
    options = _options(target)
    single = Redis(
        host=address.host,
        port=address.port,
        db=target.db,
        max_connections=connections,
        **options,
    )
    client: Client = single
    try:
        if await _is_cluster(single, target):
            await single.aclose()
            client = RedisCluster(
                startup_nodes=[ClusterNode(address.host, address.port)],
                max_connections=connections,
                **options,
            )
            await client.initialize()
        await asyncio.gather(*(ping(client) for _ in range(connections)))
        await client.set(PROBE_KEY, "1", px=PROBE_TTL_MS)
    except BaseException:
        await client.aclose()
        raise
    return client


async def ping(client: Client) -> None:
    """Returns when the server, or every primary of the cluster, has answered."""
    if isinstance(client, RedisCluster):
        await client.ping(target_nodes=RedisCluster.PRIMARIES)
    else:
        await client.ping()


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


def _options(target: Target) -> dict[str, Any]:
    options: dict[str, Any] = {
        "username": target.username,
        "password": target.password,
        # For what no request waits for: a request's own timeout is shorter and covers all that it does.
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        # One, and only for a connection that was lost; the default is ten, with back-off.
        "retry": Retry(NoBackoff(), 1, (RedisConnectionError,)),
        # With 3 and a driver_info, every connection begins with three more round trips.
        "protocol": 2,
        "driver_info": None,
    }
    if target.tls is not None:
        options |= {"ssl": True} | target.tls
        if "ssl_check_hostname" in target.tls:
            options["ssl_check_hostname"] = target.tls["ssl_check_hostname"].lower() in ("1", "true", "yes")
    return options
