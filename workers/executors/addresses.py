"""Which addresses an HTTP job may reach: public ones, and those that the operator lists.

A job's URL is written by whoever may create jobs, while the worker stands inside the operator's network. So
the check is made on the very socket address that is about to be connected to: names that resolve differently
the second time, odd spellings of an address and IPv6 disguises of an IPv4 address all end there.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from workers.settings import SettingsError

Address = IPv4Address | IPv6Address

_REFUSED_V4 = tuple(ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24"))
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(ip_network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")


class RefusedAddressError(OSError):
    """The address is not public and not on the list of those allowed."""


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet, whichever IPv4 address it carries inside."""
    if isinstance(address, IPv4Address):
        return (
            address.is_global and not address.is_multicast and not any(address in net for net in _REFUSED_V4)
        )
    if address in _MAPPED or address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if address in _6TO4:
        return is_public(IPv4Address(int(address) >> 80 & 0xFFFFFFFF))
    return address in _GLOBAL_V6 and not any(address in net for net in _REFUSED_V6)


class AllowList:
    """Hosts, host:port pairs and networks that may be reached although they are not public."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._networks = []
        self._hosts: set[tuple[str, int | None]] = set()
        for entry in entries:
            try:
                self._networks.append(ip_network(entry))
            except ValueError:
                self._hosts.add(_host_and_port(entry))

    def has_host(self, host: str, port: int) -> bool:
        """Whether the host is listed, alone or with this port."""
        host = normal_host(host)
        return (host, None) in self._hosts or (host, port) in self._hosts

    def has_address(self, address: Address) -> bool:
        """Whether the address lies in a listed network; an IPv4 address also when it comes as IPv6."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks if network.version == address.version)


class Guard(AbstractResolver):
    """Resolves and connects for one request, refusing what is neither public nor allowed."""

    def __init__(self, allowed: AllowList, *, host: str, port: int, resolver: AbstractResolver) -> None:
        self._allowed = allowed
        self._host_allowed = allowed.has_host(host, port)
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name; one bad answer among good ones condemns all, or an attacker could wait for his
        turn.
        """
        answers = await self._resolver.resolve(host, port, family)
        for answer in answers:
            self.check(answer["host"])
        return answers

    async def close(self) -> None:
        """Nothing to let go of: the resolver serves other requests too."""

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for an address that is about to be connected to, literal or resolved."""
        family, kind, protocol, _, address = info
        self.check(address[0])
        return socket.socket(family=family, type=kind, proto=protocol)

    def check(self, text: str) -> None:
        """Raise RefusedAddressError unless the address may be reached."""
        address = ip_address(text.partition("%")[0])
        if not (self._host_allowed or is_public(address) or self._allowed.has_address(address)):
            raise RefusedAddressError(
                f"{address} is not public; list it in the worker's PGTICK_HTTP_ALLOW if it may be called"
            )


def normal_host(host: str) -> str:
    """Bring a host name into the form in which names are compared."""
    return host.strip("[]").rstrip(".").lower()


def _host_and_port(entry: str) -> tuple[str, int | None]:
    host, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.startswith("[")):
        return normal_host(host), int(port)
    if "/" in entry or not entry.strip("[]"):
        raise SettingsError(
            f"PGTICK_HTTP_ALLOW: {entry!r} is not a host, host:port or network such as 10.0.0.0/8"
        )
    return normal_host(entry), None
