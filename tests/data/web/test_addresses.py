from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.web import addresses
from modelwright.data.web.addresses import (
    AddressError,
    Allowance,
    checked_addresses,
    require_global,
    resolve_host,
)

OPEN = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001:82a::200e"]


@pytest.mark.parametrize("address", OPEN)
def test_global_addresses_pass(address: str) -> None:
    assert require_global(address) == ip_address(address)


def test_what_is_connected_to_is_the_inner_address_of_a_mapped_one() -> None:
    assert require_global("::ffff:8.8.8.8") == IPv4Address("8.8.8.8")


def test_a_network_with_only_ipv6_reaches_global_ipv4_hosts() -> None:
    assert require_global("64:ff9b::8.8.8.8") == IPv6Address("64:ff9b::808:808")


@given(st.ip_addresses(v=4))
def test_no_wrapping_makes_a_closed_ipv4_address_pass(inner: IPv4Address) -> None:
    """Whatever is said of an IPv4 address is said of it inside IPv6 too."""
    number = int(inner)
    wrapped = {
        "mapped": IPv6Address((0xFFFF << 32) | number),
        "6to4": IPv6Address((0x2002 << 112) | (number << 80) | 1),
        "NAT64": IPv6Address((0x64FF9B << 96) | number),
    }
    for name, address in wrapped.items():
        assert passes(str(address)) == passes(str(inner)), name
    assert not passes(str(IPv6Address(number)))  # IPv4-compatible


@given(st.ip_addresses())
def test_what_python_calls_closed_never_passes(address: IPv4Address | IPv6Address) -> None:
    nat64 = isinstance(address, IPv6Address) and address in addresses._NAT64
    if not address.is_global and not nat64:
        assert not passes(str(address)) or getattr(address, "ipv4_mapped", None)


def test_every_address_of_a_name_must_be_global() -> None:
    with pytest.raises(AddressError, match="not global"):
        checked_addresses("x.test", 80, resolver=lambda *_: ["8.8.8.8", "10.0.0.1"])


def test_a_name_is_looked_up_once() -> None:
    asked: list[str] = []

    def resolve(host: str, port: int, seconds: float) -> list[str]:
        asked.append(host)
        return ["8.8.8.8", "8.8.4.4", "8.8.8.8"]

    found = checked_addresses("x.test", 443, resolver=resolve)
    assert found == [IPv4Address("8.8.8.8"), IPv4Address("8.8.4.4")]
    assert asked == ["x.test"]


@pytest.mark.parametrize("port", [0, 22, 25, 6379, 8080, 65535])
def test_only_the_usual_ports_are_open(port: int) -> None:
    with pytest.raises(AddressError, match="unusual port"):
        checked_addresses("8.8.8.8", port)


def test_an_allowance_lets_through_what_it_names_and_nothing_else() -> None:
    allowance = Allowance(frozenset({"127.0.0.1"}), frozenset({8000}))
    assert checked_addresses("127.0.0.1", 8000, allowance=allowance) == [IPv4Address("127.0.0.1")]
    for host, port in (("127.0.0.2", 8000), ("127.0.0.1", 8001)):
        with pytest.raises(AddressError):
            checked_addresses(host, port, allowance=allowance)


def test_a_slow_look_up_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_, **__: time.sleep(1) or [])
    with pytest.raises(TimeoutError):
        resolve_host("slow.test", 80, 0.05)
    with pytest.raises(AddressError, match="too long to look up"):
        checked_addresses("slow.test", 80, seconds=0.05)


@pytest.mark.parametrize("error", [OSError, UnicodeError])
def test_a_name_that_does_not_exist_is_not_found(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(addresses.socket, "getaddrinfo", fail)
    with pytest.raises(AddressError, match="not found"):
        checked_addresses("no.such.host.invalid", 80)


def passes(address: str) -> bool:
    try:
        require_global(address)
    except AddressError:
        return False
    return True
