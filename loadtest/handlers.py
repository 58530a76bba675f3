"""What the workers of a benchmark run: nothing."""

from __future__ import annotations

from workers import Context, handler


@handler("noop", mode="async")
async def noop(context: Context) -> None:
    """Ends at once."""
    del context
