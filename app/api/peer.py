"""Who calls: the address of the peer, or what proxies that are trusted say it is."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

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
    peer = _parse(client[0]) if client else None
    if peer is None:
        return "unknown"
    if trusted and _is_trusted(peer, trusted):
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [hop for line in given for hop in line.split(",")]
        for hop in reversed(hops[-MOST_HOPS:]):
            address = _parse(hop.strip())
            if address is None:
                break
            peer = address
            if not _is_trusted(peer, trusted):
                break
    return str(peer)


@lru_cache(4096)
def client_at(peer: str) -> str:
    """Returns the name of the client at an address: with IPv6 a client has not one of those, but 2^64."""
    address = _parse(peer)
    if isinstance(address, IPv6Address):
        return f"peer:{ipaddress.ip_network((address, 64), strict=False)}"
    return f"peer:{peer}"


@lru_cache(4096)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Returns an address, whether a port follows or not."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])  # without the name of an interface
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
