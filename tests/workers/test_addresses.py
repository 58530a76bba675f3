"""Which addresses HTTP jobs may reach."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from workers.executors.addresses import AllowList, is_public
from workers.settings import SettingsError

REFUSED = """
    0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8
    192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 224.0.1.1 239.1.1.1
    240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
    64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1::1
    2002:a9fe:a9fe::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 ff0e::1
"""
PUBLIC = """
    1.1.1.1 8.8.8.8 93.184.216.34 172.32.0.1 100.128.0.1
    2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1
"""


@pytest.mark.parametrize("address", REFUSED.split())
def test_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_allow_list_knows_hosts_ports_and_networks() -> None:
    allowed = AllowList(
        ["intra.example", "localhost:8080", "[::1]:81", "10.0.0.0/8", "192.168.1.7", "fd00::/8"]
    )
    assert allowed.has_host("Intra.Example.", 443)
    assert allowed.has_host("localhost", 8080)
    assert not allowed.has_host("localhost", 8081)
    assert allowed.has_host("::1", 81)
    assert not allowed.has_host("example", 443)
    assert allowed.has_address(ip_address("10.9.9.9"))
    assert allowed.has_address(ip_address("::ffff:10.9.9.9"))
    assert allowed.has_address(ip_address("192.168.1.7"))
    assert not allowed.has_address(ip_address("192.168.1.8"))
    assert allowed.has_address(ip_address("fd12::1"))


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "http://example", "10.0.0.1/8"])
def test_wrong_entry_is_refused(entry: str) -> None:
    with pytest.raises(SettingsError, match="PGTICK_HTTP_ALLOW"):
        AllowList([entry])
