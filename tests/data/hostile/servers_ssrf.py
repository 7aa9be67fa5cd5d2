"""Attempts to make a crawl reach an address that is not global, each against a real listener.

A victim listens on 127.0.0.1, an accomplice that may be reached on 127.0.0.2, on one port, which is
allowed: nothing but the check of the address keeps the victim apart.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import QUICK, Asked, reply, serving

from modelwright.core.progress import SilentProgress
from modelwright.data.web.addresses import Allowance
from modelwright.data.web.archive import ArchiveWriter
from modelwright.data.web.client import Client
from modelwright.data.web.crawl import Scope, crawl
from modelwright.data.web.host import Manners

ACCOMPLICE = "127.0.0.2"
VICTIM = "127.0.0.1"
IS_SUPPORTED = sys.platform == "linux"
"""Other systems have no 127.0.0.2."""


@dataclass(frozen=True)
class Attempt:
    """One attempt: an address to begin with, what names lead to, where the accomplice redirects.

    ``{port}`` stands for the port of victim and accomplice. A name whose answers are used up gives
    the last one again.
    """

    name: str
    url: str
    answers: Sequence[Sequence[str]] = ()
    redirect: str = ""


def _direct(name: str, host: str) -> Attempt:
    return Attempt(name, f"http://{host}:{{port}}/")


def _resolving(name: str, *addresses: str) -> Attempt:
    return Attempt(f"name that leads to {name}", "http://bad.test:{port}/", [addresses])


def _redirecting(name: str, target: str) -> Attempt:
    return Attempt(f"redirect to {name}", "http://good.test:{port}/", [[ACCOMPLICE]], target)


ATTEMPTS = (
    _direct("loopback", "127.0.0.1"),
    _direct("another loopback", "127.255.255.254"),
    _direct("unspecified", "0.0.0.0"),
    _direct("loopback of IPv6", "[::1]"),
    _direct("unspecified of IPv6", "[::]"),
    _direct("decimal", "2130706433"),
    _direct("octal", "0177.0.0.1"),
    _direct("octal in one number", "017700000001"),
    _direct("hexadecimal", "0x7f000001"),
    _direct("hexadecimal parts", "0x7f.0.0.0x1"),
    _direct("shortened", "127.1"),
    _direct("dot at the end", "127.0.0.1."),
    _direct("full-width digits", "１２７.0.0.1"),
    _direct("circled digits", "①②⑦.0.0.1"),
    _direct("ideographic dots", "127。0。0。1"),
    _direct("percent-encoded", "%31%32%37.0.0.1"),
    _direct("mapped", "[::ffff:127.0.0.1]"),
    _direct("mapped, in hexadecimal", "[::ffff:7f00:1]"),
    _direct("IPv4-compatible", "[::127.0.0.1]"),
    _direct("6to4", "[2002:7f00:1::1]"),
    _direct("Teredo", "[2001:0:7f00:1::80ff:fffe]"),
    _direct("NAT64", "[64:ff9b::127.0.0.1]"),
    _direct("NAT64 of local use", "[64:ff9b:1::127.0.0.1]"),
    _direct("zone", "[fe80::1%25lo]"),
    _direct("localhost", "localhost"),
    _direct("credentials", "good.test:secret@127.0.0.1"),
    _direct("credentials before a backslash", "good.test\\@127.0.0.1"),
    Attempt("backslash host", "http:\\\\127.0.0.1:{port}\\"),
    Attempt("tab in the host", "http://127.0.\t0.1:{port}/"),
    Attempt("metadata of clouds", "http://169.254.169.254/latest/meta-data/"),
    Attempt("metadata at a global-looking address", "http://168.63.129.16/"),
    Attempt("metadata of IPv6", "http://[fd00:ec2::254]/"),
    Attempt("file", "file:///etc/passwd"),
    Attempt("data", "data:text/html,hello"),
    Attempt("gopher", "gopher://127.0.0.1:{port}/"),
    Attempt("unusual port", "http://good.test:22/", [[ACCOMPLICE]]),
    _resolving("loopback", VICTIM),
    _resolving("loopback of IPv6", "::1"),
    _resolving("mapped loopback", "::ffff:127.0.0.1"),
    _resolving("a private network", "10.0.0.1"),
    _resolving("another private network", "172.31.255.255"),
    _resolving("a home network", "192.168.1.1"),
    _resolving("a link-local address", "169.254.1.1"),
    _resolving("shared address space", "100.64.0.1"),
    _resolving("multicast", "224.0.0.1"),
    _resolving("a documentation network", "203.0.113.7"),
    _resolving("a benchmark network", "198.18.0.1"),
    _resolving("broadcast", "255.255.255.255"),
    _resolving("6to4 relays", "192.88.99.1"),
    _resolving("a unique local address", "fd12:3456::1"),
    _resolving("a site-local address", "fec0::1"),
    _resolving("multicast of IPv6", "ff02::1"),
    _resolving("documentation of IPv6", "2001:db8::1"),
    _resolving("segment routing", "5f00::1"),
    _resolving("NAT64 of a private address", "64:ff9b::10.0.0.1"),
    _resolving("two addresses, one private", ACCOMPLICE, VICTIM),
    _resolving("two addresses, the private one first", VICTIM, ACCOMPLICE),
    _resolving("no address", "not an address"),
    Attempt("rebinding after robots.txt", "http://bad.test:{port}/", [[ACCOMPLICE], [VICTIM]]),
    _redirecting("loopback", "http://127.0.0.1:{port}/"),
    _redirecting("loopback without a scheme", "//127.0.0.1:{port}/"),
    _redirecting("loopback of IPv6", "http://[::1]:{port}/"),
    _redirecting("a decimal host", "http://2130706433:{port}/"),
    _redirecting("a file", "file:///etc/passwd"),
    _redirecting("the metadata address", "http://169.254.169.254/"),
    _redirecting("credentials", "http://a:b@127.0.0.1:{port}/"),
    _redirecting("another port", "http://good.test:6379/"),
)


def attempt(one: Attempt) -> tuple[bool, str]:
    """Crawl from the address of an attempt; give whether it was refused, and the reasons."""
    accomplice_port = _free_port()
    answers = list(one.answers)

    def answer(connection: socket.socket, asked: Asked) -> None:
        if asked.target == "/robots.txt":
            connection.sendall(reply("", "404 Not Found"))
        elif one.redirect:
            location = one.redirect.format(port=accomplice_port)
            connection.sendall(reply("", "302 Found", Location=location))
        else:
            connection.sendall(reply("<p>secret</p>"))

    def resolve(host: str, port: int, seconds: float) -> Sequence[str]:
        if host == "localhost":
            return [VICTIM]
        if not answers:
            raise OSError("no such host")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    allowance = Allowance(frozenset({ACCOMPLICE}), frozenset({accomplice_port}))
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(answer, VICTIM, accomplice_port) as victim,
        serving(answer, ACCOMPLICE, accomplice_port) as accomplice,
        ArchiveWriter(Path(folder)) as archive,
    ):
        left_out = crawl(
            Scope(start=(one.url.format(port=accomplice_port),), depth=0),
            Client(QUICK, resolver=resolve, allowance=allowance),
            Manners(delay=0),
            archive,
            known={},
            previous={},
            progress=SilentProgress(),
        )
    given = [asked for asked in accomplice.asked if asked.target != "/robots.txt"]
    is_kept_apart = victim.connections == 0 and (bool(one.redirect) or not given)
    return is_kept_apart and bool(left_out.counts), ", ".join(left_out.counts)


def _free_port() -> int:
    with socket.create_server((VICTIM, 0)) as probe:
        return int(probe.getsockname()[1])
