"""What pgtick's workers run here."""

from __future__ import annotations

from loadtest.rivals.programs import protocol
from workers import Context, handler


@handler("noop", mode="async")
async def noop(context: Context) -> None:
    """Ends at once."""
    protocol.noop(context.payload)
