"""Handlers for the sample job of type python: `pgtick worker --handlers examples.handlers`."""

from __future__ import annotations

from workers import Context, handler


@handler("examples.greet")
def greet(context: Context) -> str:
    """Greets whom the payload names."""
    payload = context.payload if isinstance(context.payload, dict) else {}
    return f"hello {payload.get('name', 'nobody')}"
