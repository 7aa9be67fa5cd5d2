"""Which network addresses may be reached: global ones, looked up once.

Whoever connects must connect to an address that came out of :func:`checked_addresses`, never to the
name again: a second look-up may answer otherwise (DNS rebinding).
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

USUAL_PORTS = frozenset({80, 443})
RESOLVE_SECONDS = 10.0

NOT_GLOBAL = "host whose address is not global"
UNUSUAL_PORT = "unusual port"
NOT_FOUND = "host name not found"
SLOW_NAME = "host name took too long to look up"

IPAddress = IPv4Address | IPv6Address
Resolver = Callable[[str, int, float], Sequence[str]]
"""(host, port, seconds) -> addresses as text; raises OSError or TimeoutError."""

# Not reachable globally: the IANA IPv4 special-purpose registry (RFC 6890 and its updates), with
# what ``ipaddress.is_global`` of some Python versions lets through, multicast, and the address at
# which one large cloud serves its metadata although it looks public.
_CLOSED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "168.63.129.16/32",
        ),
    )
)
_OPEN_6 = IPv6Network("2000::/3")  # all that IANA has given out as global unicast
_CLOSED_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; the local-use 64:ff9b:1::/48 is never global


class AddressError(ValueError):
    """A host that must not be reached; the message is the reason, short and countable."""


@dataclass(frozen=True)
class Allowance:
    """Addresses and ports that are let through although they are not global or not usual.

    For tests on loopback only: it is handed over in code, and no recipe, flag or environment
    variable leads to it.
    """

    addresses: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()


NOTHING = Allowance()


def require_global(address: str) -> IPAddress:
    """Read an address and make sure that it belongs to the public internet.

    IPv4 in IPv6 is looked at as IPv4 (mapped, 6to4, NAT64); what tunnels or is deprecated
    (Teredo, IPv4-compatible, site-local) is refused as a whole.

    Parameters
    ----------
    address : str
        An IP address as text, not a host name.

    Returns
    -------
    IPv4Address or IPv6Address
        What to connect to; a mapped address comes as IPv4.

    Raises
    ------
    AddressError
        If it is not an address, or not a global one.
    """
    try:
        read = ip_address(address)
    except ValueError:
        raise AddressError(NOT_GLOBAL) from None
    if isinstance(read, IPv6Address) and read.ipv4_mapped is not None:
        read = read.ipv4_mapped
    if not (_is_global_4(read) if isinstance(read, IPv4Address) else _is_global_6(read)):
        raise AddressError(NOT_GLOBAL)
    return read


def resolve_host(host: str, port: int, seconds: float) -> list[str]:
    """Ask the system for the addresses of a host, and wait no longer than ``seconds``.

    Raises
    ------
    OSError
        If there is no such host.
    TimeoutError
        If the answer did not come in time. (The look-up itself cannot be cut off; it is left to a
        daemon thread.)
    """
    answer: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            answer.put(error if isinstance(error, OSError) else OSError(str(error)))
        else:
            answer.put([str(address[0]) for *_, address in found])

    threading.Thread(target=look_up, daemon=True, name="look up a host").start()
    try:
        result = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer in {seconds} s") from None
    if isinstance(result, OSError):
        raise result
    return result


def checked_addresses(
    host: str,
    port: int,
    *,
    resolver: Resolver = resolve_host,
    allowance: Allowance = NOTHING,
    seconds: float = RESOLVE_SECONDS,
) -> list[IPAddress]:
    """Look a host up once; give its addresses if every one of them may be reached.

    Parameters
    ----------
    host : str
        A name, or an IP address without brackets.
    port : int
        80 or 443, unless ``allowance`` has it.
    resolver : callable
        What looks names up.
    allowance : Allowance
        Exceptions, for tests.
    seconds : float
        How long the look-up may take.

    Returns
    -------
    list of IPv4Address and IPv6Address
        At least one, in the order of the answer, each once.

    Raises
    ------
    AddressError
        If the port is unusual, the host unknown, or one of its addresses is not global.
    """
    if port not in USUAL_PORTS | allowance.ports:
        raise AddressError(UNUSUAL_PORT)
    try:
        found = [host] if _is_address(host) else list(resolver(host, port, seconds))
    except TimeoutError:
        raise AddressError(SLOW_NAME) from None
    except OSError:
        raise AddressError(NOT_FOUND) from None
    if not found:
        raise AddressError(NOT_FOUND)
    return list(dict.fromkeys(_permitted(address, allowance) for address in found))


def _permitted(address: str, allowance: Allowance) -> IPAddress:
    return ip_address(address) if address in allowance.addresses else require_global(address)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_global_4(address: IPv4Address) -> bool:
    return address.is_global and not any(address in network for network in _CLOSED_4)


def _is_global_6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return _is_global_4(IPv4Address(address.packed[-4:]))
    if address.sixtofour is not None:
        return _is_global_4(address.sixtofour)
    return address in _OPEN_6 and not any(address in network for network in _CLOSED_6)
