"""One request: the address is checked, and everything that the server may do is bounded."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpcore2

from modelwright import __version__
from modelwright.data.web.addresses import (
    NOTHING,
    AddressError,
    Allowance,
    Resolver,
    resolve_host,
)
from modelwright.data.web.encodings import EncodingError, decompress, larger_than
from modelwright.data.web.network import NO_CONNECTION, TOO_LONG, FetchError, Limits, Network
from modelwright.data.web.urls import Url

USER_AGENT_TOKEN = "modelwright"
USER_AGENT = f"{USER_AGENT_TOKEN}/{__version__} (collects text for language models)"

PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml", "text/plain", "application/pdf"})

TOO_SLOW = "too slow"
BROKEN = "broken HTTP"
BAD_CERTIFICATE = "TLS certificate that is not valid"
BAD_TLS = "TLS failed"
OTHER_TYPE = "content of another type"


@dataclass(frozen=True)
class Response:
    """What a server answered to one request.

    Attributes
    ----------
    url : Url
    status : int
    reason : str
        The words after the status.
    headers : tuple of (str, str)
        As they came.
    body : bytes
        Without transfer and content encoding; empty unless the status is 200.
    address : str
        The IP address that answered.
    date : datetime
        When the request was sent (UTC).
    request_headers : tuple of (str, str)
    """

    url: Url
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    address: str = ""
    date: datetime = field(default_factory=lambda: datetime.now(UTC))
    request_headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str:
        """The values of a header, joined by commas; "" if it is not there."""
        return header_of(self.headers, name)


class Client:
    """Fetches pages over HTTP/1.1, each on a connection of its own.

    There are no cookies, no proxies, no credentials, and redirects are not followed: whoever
    follows one asks again, and every check is made again.

    Parameters
    ----------
    limits : Limits
        What a response may cost.
    resolver, allowance : callable, Allowance
        For tests: how names are looked up, and which addresses pass although they are not global.
    tls : ssl.SSLContext, optional
        What certificates are checked with; by default what the system trusts.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        resolver: Resolver = resolve_host,
        allowance: Allowance = NOTHING,
        tls: ssl.SSLContext | None = None,
    ):
        self._limits = limits or Limits()
        self._resolver = resolver
        self._allowance = allowance
        self._tls = tls or httpcore2.default_ssl_context()

    def fetch(
        self,
        url: Url,
        *,
        types: frozenset[str] | None = PAGE_TYPES,
        validators: Mapping[str, str] | None = None,
        cut_at: int | None = None,
    ) -> Response:
        """Send one GET request and read its answer.

        Parameters
        ----------
        url : Url
            What to fetch.
        types : frozenset of str, optional
            Content types that are read; None reads all.
        validators : mapping, optional
            Headers that make the request conditional (``If-None-Match``, ``If-Modified-Since``).
        cut_at : int, optional
            Read so many bytes of the body and leave the rest, instead of refusing a larger one.

        Raises
        ------
        FetchError
            If the host must not be reached or does not answer, or the answer is too large, too
            slow, broken, or of another type.
        """
        network = Network(self._limits, self._resolver, self._allowance)
        headers = _request_headers(url, validators or {})
        date = datetime.now(UTC)
        try:
            with (
                httpcore2.HTTPConnection(
                    httpcore2.Origin(url.scheme.encode(), url.host.encode(), url.port),
                    ssl_context=self._tls,
                    network_backend=network,
                ) as connection,
                connection.stream(
                    "GET",
                    httpcore2.URL(
                        scheme=url.scheme, host=url.host, port=url.port, target=url.target
                    ),
                    headers=list(headers),
                    extensions={
                        "timeout": dict.fromkeys(("connect", "read", "write"), self._limits.silence)
                    },
                ) as answer,
            ):
                fields = tuple(
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in answer.headers
                )
                body = b""
                if answer.status == 200:
                    self._require_type(fields, types)
                    body = self._body(answer.iter_stream(), fields, network, cut_at)
                reason = answer.extensions.get("reason_phrase", b"").decode("latin-1")
                return Response(
                    url, answer.status, reason, fields, body, network.address, date, headers
                )
        except (AddressError, EncodingError) as error:
            raise FetchError(str(error)) from None
        except httpcore2.TimeoutException:
            raise FetchError(TOO_LONG, unreachable=True) from None
        except httpcore2.ProtocolError:
            raise FetchError(BROKEN) from None
        except httpcore2.NetworkError as error:
            raise FetchError(_network_reason(error), unreachable=True) from None

    def _require_type(
        self, headers: Iterable[tuple[str, str]], types: frozenset[str] | None
    ) -> None:
        given = header_of(headers, "content-type").partition(";")[0].strip().lower()
        if types is not None and given and given not in types:
            raise FetchError(OTHER_TYPE)

    def _body(
        self,
        pieces: Iterator[bytes],
        headers: Iterable[tuple[str, str]],
        network: Network,
        cut_at: int | None,
    ) -> bytes:
        declared = header_of(headers, "content-length")
        most = self._limits.body_bytes
        if cut_at is None and declared.isdecimal() and int(declared[:20]) > most:
            raise FetchError(larger_than(most))
        body = bytearray()
        encoding = header_of(headers, "content-encoding")
        for piece in decompress(_paced(pieces, network), encoding, most, self._limits.ratio):
            body += piece
            if cut_at is not None and len(body) >= cut_at:
                del body[cut_at:]
                break
        return bytes(body)


def _paced(pieces: Iterator[bytes], network: Network) -> Iterator[bytes]:
    """The pieces of a body, as long as they come fast enough."""
    for piece in pieces:
        network.patience(None)
        if network.is_slow():
            raise FetchError(TOO_SLOW)
        yield piece


def header_of(headers: Iterable[tuple[str, str]], name: str) -> str:
    """The values of a header, joined by commas; "" if it is not there."""
    return ", ".join(value for key, value in headers if key.lower() == name)


def _request_headers(url: Url, validators: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return (
        ("Host", url.origin.partition("//")[2]),
        ("User-Agent", USER_AGENT),
        ("Accept", "text/html,application/xhtml+xml,text/plain;q=0.9,*/*;q=0.5"),
        ("Accept-Encoding", "gzip, deflate"),
        ("Connection", "close"),
        *validators.items(),
    )


def _network_reason(error: httpcore2.NetworkError) -> str:
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return BAD_CERTIFICATE
    return BAD_TLS if isinstance(error.__cause__, ssl.SSLError) else NO_CONNECTION
