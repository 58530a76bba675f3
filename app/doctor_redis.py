"""What `pgtick doctor` finds out about Redis."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import AuthenticationError, RedisError

from app.api.redis_client import Address, Target, connect, parse_url, ping
from app.doctor import Finding
from app.settings import SettingsError

CHECK = "Redis"
OLDEST_MAJOR = 6
SLOW_ROUND_TRIP_SECONDS = 0.01
"""The API waits 50 ms for an answer at most, and then does without."""

finding = partial(Finding, CHECK)


def look_at_redis(url: str, password: str | None) -> Finding:
    """Returns how the Redis that REDIS_URL names does."""
    try:
        target = parse_url(url, password=password)
    except SettingsError as error:
        detail, _, fix = str(error).partition(": ")
        return finding("fail", detail, fix)
    where = ", ".join(f"{address.host}:{address.port}" for address in target.addresses)
    try:
        return asyncio.run(_look(target))
    except AuthenticationError as error:
        return finding("fail", f"{where} refused: {error}", "correct REDIS_PASSWORD")
    except (RedisError, OSError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return finding("fail", f"no answer from {where}: {reason}", "start it, or correct REDIS_URL")


async def _look(target: Target) -> Finding:
    *others, last = target.addresses
    for address in others:
        try:
            return await _look_at(target, address)
        except (RedisError, OSError, TimeoutError):
            continue  # any node of a cluster knows the rest
    return await _look_at(target, last)


async def _look_at(target: Target, address: Address) -> Finding:
    client = await connect(target, address, connections=1)
    try:
        began = time.perf_counter()
        await ping(client)
        seconds = time.perf_counter() - began
        where = f"{address.host}:{address.port}"
        if isinstance(client, RedisCluster):
            where += f", a cluster of {len(client.get_primaries())}"
            info = await client.info(target_nodes=client.get_primaries()[0])
        else:
            info = await client.info()
    finally:
        await client.aclose()
    return judge(info, where=where, seconds=seconds)


def judge(info: dict[str, Any], *, where: str, seconds: float) -> Finding:
    """Returns what a server's INFO says to somebody who wants a cache."""
    server = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    policy = info["maxmemory_policy"]
    detail = f"{server} {version} at {where}, {policy}, {seconds * 1000:.1f} ms"
    if int(version.split(".")[0]) < OLDEST_MAJOR:
        return finding("fail", detail, "upgrade to Redis 6 or newer, or to Valkey")
    if not info["maxmemory"]:
        return finding("warn", f"{detail}, no maxmemory", "set maxmemory: it takes all that there is")
    if policy == "noeviction":
        return finding("warn", detail, "set maxmemory-policy allkeys-lru: once full it takes nothing more")
    if seconds > SLOW_ROUND_TRIP_SECONDS:
        return finding("warn", detail, "run the API nearer to it")
    return finding("ok", detail)
