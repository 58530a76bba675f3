"""What a called server needs to trust a call: the signatures of Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


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
