"""The connection of one request: to a checked address, with its bytes and seconds counted."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore2

from modelwright.data.web.addresses import Allowance, Resolver, checked_addresses
from modelwright.data.web.encodings import larger_than

TOO_LONG = "took too long"
NO_CONNECTION = "no connection"

ADDRESSES_TRIED = 3
_OVERHEAD_BYTES = 2**20
"""Bytes on the wire beyond the body that are let pass: headers, and the frames of chunks."""


@dataclass(frozen=True)
class Limits:
    """What one response may cost.

    Attributes
    ----------
    body_bytes : int
        Size of the body, on the wire and after decompression.
    ratio : float
        Bytes after decompression for a byte before it (beyond the first MiB).
    seconds : float
        From the look-up of the name to the last byte.
    silence : float
        Seconds to connect, and between two pieces.
    bytes_per_second : float
        Slowest rate on average, looked at after ``silence`` seconds.
    """

    body_bytes: int = 20 * 2**20
    ratio: float = 100
    seconds: float = 60
    silence: float = 15
    bytes_per_second: float = 1024


class FetchError(Exception):
    """A page that was not fetched; the message is the reason, short and countable.

    Attributes
    ----------
    unreachable : bool
        Whether the host gave no answer at all, as opposed to one that cannot be used.
    """

    def __init__(self, reason: str, *, unreachable: bool = False):
        super().__init__(reason)
        self.unreachable = unreachable


class Network(httpcore2.NetworkBackend):
    """Connects one request to a checked address, and counts its bytes and seconds."""

    def __init__(self, limits: Limits, resolver: Resolver, allowance: Allowance):
        self._limits = limits
        self._resolver = resolver
        self._allowance = allowance
        self._started = time.monotonic()
        self._received = 0
        self.address = ""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = checked_addresses(
            host,
            port,
            resolver=self._resolver,
            allowance=self._allowance,
            seconds=self.patience(timeout),
        )
        for number, address in enumerate(addresses[:ADDRESSES_TRIED], 1):
            try:
                stream = httpcore2.SyncBackend().connect_tcp(
                    str(address), port, timeout=self.patience(timeout)
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == min(len(addresses), ADDRESSES_TRIED):
                    raise
            else:
                self.address = str(address)
                return _BoundedStream(stream, self)
        raise FetchError(NO_CONNECTION, unreachable=True)

    def patience(self, asked: float | None) -> float:
        """Seconds that the next step may wait."""
        left = self._started + self._limits.seconds - time.monotonic()
        if left <= 0:
            raise FetchError(TOO_LONG, unreachable=True)
        return min(left, self._limits.silence if asked is None else asked)

    def count(self, received: int) -> None:
        """Count bytes on the wire, whatever part of the answer they belong to."""
        self._received += received
        if self._received > self._limits.body_bytes + _OVERHEAD_BYTES:
            raise FetchError(larger_than(self._limits.body_bytes))

    def is_slow(self) -> bool:
        """Whether the average rate is below the limit."""
        passed = time.monotonic() - self._started
        slow = self._received < passed * self._limits.bytes_per_second
        return slow and passed > self._limits.silence


class _BoundedStream(httpcore2.NetworkStream):
    """A connection whose every read counts against the limits of its request."""

    def __init__(self, stream: httpcore2.NetworkStream, network: Network):
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        received = self._stream.read(max_bytes, self._network.patience(timeout))
        self._network.count(len(received))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._network.patience(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        patience = self._network.patience(timeout)
        return _BoundedStream(
            self._stream.start_tls(ssl_context, server_hostname, patience), self._network
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
