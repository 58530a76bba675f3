"""A process that asks for admission as fast as it may, and writes down when it was admitted.

`python -m tests.api.limited_process URL PASSWORD NAME RATE:BURST TASKS SECONDS` says `ready`, waits for a
line, asks for that long, and then says for each admission its time by the monotonic clock, which is one for
all processes of a machine, and what decided, as in the metric.
"""

from __future__ import annotations

import asyncio
import sys
import time

from app.api.limit_rules import Class, Limit, Limits
from app.api.limits import Limiter
from app.api.redis_link import RedisLink

GENEROUS = Limit(1e6, 1_000_000)


async def main() -> None:
    """Asks until the time is over."""
    url, password, name, limit, tasks, seconds = sys.argv[1:]
    rate, _, burst = limit.partition(":")
    classes: dict[Class, Limit] = {"read": GENEROUS, "write": GENEROUS}
    limits = Limits(GENEROUS, Limit(float(rate), int(burst)), classes)
    redis = RedisLink(url, password=password)
    limiter = Limiter(limits, redis, node_id=name)
    admitted: list[tuple[float, str]] = []
    await redis.open()
    await limiter.open()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    end = time.monotonic() + float(seconds)

    async def ask(kind: Class) -> None:
        gate = limiter.gate("client", kind)
        while time.monotonic() < end:
            decision = await gate.decide()
            if decision.admitted:
                alone = time.monotonic() < limiter.shared_at
                admitted.append((time.monotonic(), "local_allowed" if alone else "allowed"))
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(min(decision.retry_seconds, 0.005))

    async with asyncio.TaskGroup() as group:
        for number in range(int(tasks)):
            group.create_task(ask("read" if number % 2 else "write"))
    await limiter.close()
    await redis.close()
    for at, decision in admitted:
        print("admitted", at, decision)


if __name__ == "__main__":
    asyncio.run(main())
