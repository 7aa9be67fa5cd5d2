"""Addresses of machines: public IP addresses and hardware addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from modelwright.data.personal_data.matching import Detector, Span, has_cue, shape_spans

# Patterns start with the characters themselves: Python's search skips to them, but not to what a
# look-behind in front of them needs.
_IPV4 = re.compile(
    r"[0-9](?<![\w.-][0-9])[0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![\w-])(?!\.[0-9])"
)
_IPV6 = re.compile(
    r"[0-9A-Fa-f](?<![\w:.-].)[0-9A-Fa-f]{0,3}(?:::?[0-9A-Fa-f]{1,4}){1,7}(?:::)?(?![\w:-])(?!\.[0-9])"
)
_IP_CUE = re.compile(r"\b(?:ip|ipv4|address|client|remote)[^\w]", re.IGNORECASE)
_VERSION_CUE = re.compile(
    r"(?:\b(?:version|release|build|ver|v)\.? ?|(?:[=<>~!]=|[~^]) ?)$", re.IGNORECASE
)
# Versions and section numbers are small numbers; one address in 256 has four numbers below 64.
_LARGE_OCTET = 64
# Resolvers that everyone uses, and the address of examples.
_WELL_KNOWN = {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "1.2.3.4"}
_FULL_GROUPS = 8
_LONG_GROUPS = 4

_MAC = re.compile(
    r"[0-9A-Fa-f](?<![\w:-].)[0-9A-Fa-f]([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])"
)


def _ipv4_spans(text: str) -> Iterator[Span]:
    for match in _IPV4.finditer(text):
        large = max(int(octet) for octet in match[0].split(".")) >= _LARGE_OCTET
        version = has_cue(_VERSION_CUE, text, match.start())
        cued = has_cue(_IP_CUE, text, match.start())
        if (large or cued) and not version and _is_public(match[0]):
            yield match.span()


def _ipv6_spans(text: str) -> Iterator[Span]:
    for match in _IPV6.finditer(text):
        if _is_ipv6_shaped(match[0]) and _is_public(match[0]):
            yield match.span()


def _is_public(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_global and not parsed.is_multicast and address not in _WELL_KNOWN


def _is_ipv6_shaped(text: str) -> bool:
    """Tell addresses from times, ``a::b`` of C++ and fingerprints in pairs of hexadecimals."""
    groups = [group for group in text.split(":") if group]
    if "::" in text:  # shortened: must lie in 2000::/3, the only part that is given out
        return len(groups) > 2 and len(groups[0]) == 4 and groups[0][0] in "23"
    return len(groups) == _FULL_GROUPS and sum(len(g) > 2 for g in groups) >= _LONG_GROUPS


def _is_mac(address: str) -> bool:
    """Whether this can be one network card: unicast, not of the documentation block (RFC 7042)."""
    digits = re.sub("[:-]", "", address).lower()
    unicast = int(digits[:2], 16) % 2 == 0
    return unicast and not digits.isdecimal() and not digits.startswith("00005e0053")


DETECTORS = (
    Detector(
        "mac_address",
        r":[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}:"
        r"|-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-",
        shape_spans(_MAC, _is_mac),
    ),
    Detector("ip_address", r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", _ipv4_spans),
    Detector("ip_address", r":[0-9A-Fa-f]{1,4}:", _ipv6_spans),
)
