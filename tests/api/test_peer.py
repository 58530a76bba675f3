"""Whose request it is, when what the request says of that may be made up."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.types import HTTPScope

from app.api.peer import client_at, parse_proxies, peer_of
from app.settings import SettingsError

PROXIES = parse_proxies("10.0.0.0/8, 192.168.1.7, fd00::/8")


def scope(client: str | None, *forwarded: str) -> HTTPScope:
    """Returns a request from there, with these lines of X-Forwarded-For."""
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    made: dict[str, Any] = {"type": "http", "client": (client, 1234) if client else None, "headers": headers}
    return cast(HTTPScope, made)


@pytest.mark.parametrize(
    ("client", "forwarded", "peer"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        # Whoever is no proxy may say what he likes.
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # What the client wrote stands further left than what the proxy added.
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.9, 198.51.100.1"], "198.51.100.1"),
        # Two proxies in a row, also in two lines.
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 192.168.1.7"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1", "10.2.3.4"], "198.51.100.1"),
        ("192.168.1.8", ["198.51.100.1"], "192.168.1.8"),
        # All of them proxies: the one that is the furthest away.
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        # Garbage ends what can be believed.
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [","], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4.5"], "10.0.0.1"),
        ("10.0.0.1", ["\xff"], "10.0.0.1"),
        # Ports, brackets, one spelling for each address.
        ("10.0.0.1", ["198.51.100.1:55555"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["2001:0DB8:0:0::1"], "2001:db8::1"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["fe80::1%made-up"], "fe80::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        (None, ["198.51.100.1"], "unknown"),
    ],
)
def test_the_rightmost_hop_that_is_no_proxy(client: str | None, forwarded: list[str], peer: str) -> None:
    assert peer_of(scope(client, *forwarded), PROXIES) == peer


def test_without_proxies_nothing_is_believed() -> None:
    assert peer_of(scope("10.0.0.1", "198.51.100.1"), ()) == "10.0.0.1"


def test_a_long_header_is_not_read_to_its_beginning() -> None:
    line = ",".join(["198.51.100.1"] + ["10.0.0.1"] * 5000)
    assert peer_of(scope("10.0.0.1", line), PROXIES) == "10.0.0.1"


@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=3))
def test_any_header_is_borne(lines: list[str]) -> None:
    assert peer_of(scope("203.0.113.9", *lines), PROXIES) == "203.0.113.9"
    peer_of(scope("10.0.0.1", *lines), PROXIES)


def test_a_client_with_ipv6_is_its_network() -> None:
    assert client_at("2001:db8:1:2::1") == client_at("2001:db8:1:2:ffff::2") == "peer:2001:db8:1:2::/64"
    assert client_at("2001:db8:1:3::1") != client_at("2001:db8:1:2::1")
    assert client_at("198.51.100.1") == "peer:198.51.100.1"
    assert client_at("unknown") == "peer:unknown"


def test_settings() -> None:
    assert parse_proxies(None) == parse_proxies("") == parse_proxies(" , ") == ()
    assert [str(network) for network in parse_proxies("10.1.2.3/8,::1")] == ["10.0.0.0/8", "::1/128"]
    with pytest.raises(SettingsError, match=r"PGTICK_TRUSTED_PROXIES.*'proxy'"):
        parse_proxies("10.0.0.0/8, proxy")
