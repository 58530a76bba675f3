"""What a called server needs to trust and to trace a call: Standard Webhooks signatures and W3C trace
context.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

_TRACEPARENT = re.compile(r"(00)-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")


def sign(body: bytes, *, message_id: str, timestamp: int, keys: Sequence[bytes]) -> dict[str, str]:
    """Make the three headers of Standard Webhooks; one signature for each key, so that keys can be replaced.

    The id is the execution's: the same over all attempts, so that a receiver can drop what it has seen.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def child_traceparent(traceparent: str) -> str | None:
    """Continue a trace under a new span; None when the header is not one."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return f"{match[1]}-{match[2]}-{secrets.token_hex(8)}-{match[3]}" if match else None
