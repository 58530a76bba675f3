"""Who calls: the address of the peer, or what proxies that are trusted say it is."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from litestar.types import HTTPScope

from app.settings import SettingsError

Network = IPv4Network | IPv6Network
MOST_HOPS = 20


def parse_proxies(text: str | None) -> tuple[Network, ...]:
    """Returns the networks of PGTICK_TRUSTED_PROXIES; raises SettingsError."""
    found = []
    for part in (text or "").split(","):
        if not part.strip():
            continue
        try:
            found.append(ipaddress.ip_network(part.strip(), strict=False))
        except ValueError:
            raise SettingsError(
                f"PGTICK_TRUSTED_PROXIES: {part.strip()!r} is no address or network: write 10.0.0.0/8, ::1"
            ) from None
    return tuple(found)


def peer_of(scope: HTTPScope, trusted: Sequence[Network]) -> str:
    """Returns the address of the caller.

    X-Forwarded-For is read from the right, hop by hop, for as long as the hop before is a trusted proxy: what
    is further left, anybody may have written.
    """
    client = scope.get("client")
    peer = client[0] if client else "unknown"
    if not trusted or not _is_trusted(peer, trusted):
        return peer
    given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    hops = [hop.strip() for line in given for hop in line.split(",")]
    for hop in reversed(hops[-MOST_HOPS:]):
        address = _address(hop)
        if address is None:
            return peer
        peer = address
        if not _is_trusted(peer, trusted):
            return peer
    return peer


def _address(text: str) -> str | None:
    """Returns an address without its port and in its one spelling."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in trusted)
