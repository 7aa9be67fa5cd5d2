"""Addresses of pages: read once, in one form, so that no two parts read them differently."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

import idna

MAX_LENGTH = 2083
MAX_SEGMENTS = 20
MAX_REPEATS = 3
"""So many equal groups of path segments in a row are a trap, as in Heritrix's rules."""

DEFAULT_PORTS = {"http": 80, "https": 443}

_EDGES = "".join(map(chr, range(0x21)))  # WHATWG URL: C0 controls and space are stripped
_AUTHORITY = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]@]+))(?::(?P<port>\d*))?")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_SAFE = "/%:@!$&'()*+,;="
_QUERY_SAFE = _PATH_SAFE + "?"


class UrlError(ValueError):
    """An address that is not fetched; the message is the reason, short and countable."""


@dataclass(frozen=True, slots=True, order=True)
class Url:
    """One address in normal form.

    Attributes
    ----------
    scheme : str
        "http" or "https".
    host : str
        In ASCII and lower case, without brackets and without a dot at the end.
    port : int
    target : str
        Path and query, percent-encoded; the fragment is gone.
    """

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        return self.origin + self.target

    @property
    def origin(self) -> str:
        """Scheme, host and port, the default port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def segments(self) -> list[str]:
        """The parts of the path that are not empty."""
        return [part for part in self.target.partition("?")[0].split("/") if part]


def parse_url(text: str, base: Url | None = None) -> Url:
    """Read an address, relative to ``base`` if there is one, into its normal form.

    As browsers do (WHATWG URL): edges of white space and line breaks go, a backslash is a slash.
    Scheme and host are put in lower case, the host in punycode, the default port and the fragment
    are taken off, dot segments removed, unreserved characters unescaped, others escaped.

    Raises
    ------
    UrlError
        If it is no address of a page, carries credentials, spells an IP address in an unusual way
        (decimal, octal, hexadecimal, shortened), or is longer than 2,083 characters.
    """
    if len(text) > 2 * MAX_LENGTH:
        raise UrlError("address too long")
    text = text.strip(_EDGES).translate({9: None, 10: None, 13: None})
    text = re.sub(r"^[^?#]*", lambda head: head[0].replace("\\", "/"), text)
    try:
        parts = urlsplit(urljoin(str(base), text) if base else text)
    except ValueError:
        raise UrlError("broken address") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise UrlError("address that is not http or https")
    host, port = _authority(parts.netloc, DEFAULT_PORTS[parts.scheme])
    path = _without_dots(_escaped(parts.path, _PATH_SAFE))
    query = f"?{_escaped(parts.query, _QUERY_SAFE)}" if parts.query else ""
    url = Url(parts.scheme, host, port, path + query)
    if len(str(url)) > MAX_LENGTH:
        raise UrlError("address too long")
    return url


def is_trap(url: Url) -> bool:
    """Whether a path is as deep or as repetitive as those that grow without end.

    True for more than 20 segments, and where a group of one to three segments stands three times
    in a row: ``/a/b/a/b/a/b/``.
    """
    segments = url.segments
    if len(segments) > MAX_SEGMENTS:
        return True
    for size in (1, 2, 3):
        for start in range(len(segments) - size * MAX_REPEATS + 1):
            group = segments[start : start + size]
            if segments[start : start + size * MAX_REPEATS] == group * MAX_REPEATS:
                return True
    return False


def _authority(netloc: str, default_port: int) -> tuple[str, int]:
    if "@" in netloc:
        raise UrlError("credentials in the address")
    match = _AUTHORITY.fullmatch(netloc)
    if not match:
        raise UrlError("broken host in the address")
    port = int(match["port"] or default_port) if len(match["port"] or "") <= 5 else 0
    if not 0 < port < 65536:
        raise UrlError("broken port in the address")
    if match["six"]:
        try:
            return ipaddress.IPv6Address(match["six"]).compressed, port
        except ValueError:
            raise UrlError("broken host in the address") from None
    return _host_name(match["name"]), port


def _host_name(name: str) -> str:
    host = name.lower()
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii").lower()
        except idna.IDNAError:
            raise UrlError("broken host in the address") from None
    host = host.removesuffix(".")
    if not _HOST.fullmatch(host):
        raise UrlError("broken host in the address")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):  # WHATWG: it ends in a number
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise UrlError("unusual spelling of an IP address") from None
    return host


def _escaped(text: str, safe: str) -> str:
    return quote(_ESCAPE.sub(_escape, text), safe=safe, errors="replace")


def _escape(match: re.Match[str]) -> str:
    if match[1] is None:
        return "%25"
    byte = int(match[1], 16)
    return chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"


def _without_dots(path: str) -> str:
    """Remove "." and ".." from an absolute path (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    *folders, name = path.removeprefix("/").split("/")
    for segment in folders:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if name == "..":
        del kept[-1:]
    if name in (".", ".."):
        name = ""
    return "/" + "/".join([*kept, name])
