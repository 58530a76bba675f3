"""What the real workers run when they are killed and frozen."""

from __future__ import annotations

import asyncio
import random

from workers import Context, handler


@handler("flaky", mode="async")
async def flaky(ctx: Context) -> None:
    await asyncio.sleep(random.uniform(0.0, 0.1) * ctx.attempt)
    if random.random() < 0.1:
        raise RuntimeError("a failure that another attempt makes good")
