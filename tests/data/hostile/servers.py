"""Web servers on loopback, well-behaved and hostile, and a client that may reach them."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache

from modelwright.data.web.addresses import Allowance
from modelwright.data.web.client import Client
from modelwright.data.web.network import Limits

QUICK = Limits(body_bytes=200_000, seconds=1.5, silence=0.4, bytes_per_second=1000)
MEGABYTE = 2**20


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it."""

    host: str
    target: str
    headers: dict[str, str]
    at: float

    @property
    def url(self) -> str:
        return f"{self.host}{self.target}"


Answer = Callable[[socket.socket, Asked], None]


@dataclass
class Server:
    """What a running server has seen."""

    port: int
    connections: int = 0
    asked: list[Asked] = field(default_factory=list)

    @property
    def urls(self) -> list[str]:
        """Host and path of all requests but those for robots.txt."""
        return [
            one.url.replace(f":{self.port}", "")
            for one in self.asked
            if one.target != "/robots.txt"
        ]


@contextmanager
def serving(
    answer: Answer, address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """Run a server whose every connection is given to ``answer``, in a thread of its own."""
    listener = socket.create_server((address, port))
    server = Server(listener.getsockname()[1])
    stopped = threading.Event()

    def accept() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection:
            connection.settimeout(5)
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            with connection:
                asked = _read_request(connection)
                server.asked.append(asked)
                answer(connection, asked)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        stopped.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def client_of(
    server: Server, limits: Limits = QUICK, tls: ssl.SSLContext | None = None, **options: object
) -> Client:
    """A client for which every name leads to this server, the only one that it may reach."""
    return Client(
        limits,
        resolver=lambda host, port, seconds: ["127.0.0.1"],
        allowance=Allowance(frozenset({"127.0.0.1"}), frozenset({server.port})),
        tls=tls,
    )


def reply(body: bytes | str = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A whole response; HTML unless another type is given."""
    raw = body.encode() if isinstance(body, str) else body
    fields = {"Content-Type": "text/html", "Content-Length": str(len(raw))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + raw


def site(pages: dict[str, bytes], robots: bytes = b"") -> Answer:
    """Answers by path, or by host and path; what is not there is 404, as is robots.txt if empty."""

    def answer(connection: socket.socket, asked: Asked) -> None:
        known = {**pages, "/robots.txt": robots} if robots else pages
        host = asked.host.partition(":")[0]
        found = known.get(host + asked.target) or known.get(asked.target)
        connection.sendall(found or reply("nothing here", "404 Not Found"))

    return answer


def _read_request(connection: socket.socket) -> Asked:
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = connection.recv(4096)
        if not piece:
            raise ValueError("no request")
        raw += piece
        if not raw.startswith(b"GET "):  # TLS, to a server that speaks none
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            raise ValueError("no GET")
    first, *lines = raw.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines if line)
    headers = {name.lower(): value for name, _, value in pairs}
    return Asked(headers.get("host", ""), first.split()[1], headers, time.monotonic())


# Hostile answers: what each sends, without end where it can.

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


def slow_drip(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def slow_headers(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD)
    while True:
        connection.sendall(b"X-A: b\r\n")
        time.sleep(0.05)


def silence(connection: socket.socket, asked: Asked) -> None:
    time.sleep(5)


def endless_body(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b"<p>more</p>" * 1000)


def endless_headers(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD)
    while True:
        connection.sendall(b"X-Header: value\r\n" * 1000)


def endless_interim(connection: socket.socket, asked: Asked) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: %b\r\n\r\n" % (b"a" * 8000) * 10)


def endless_chunk_extension(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;")
    while True:
        connection.sendall(b"a" * 10_000)


def gzip_bomb(connection: socket.socket, asked: Asked) -> None:
    body = bomb()
    connection.sendall(
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )


@cache
def bomb(megabytes: int = 50) -> bytes:
    """Zeros as gzip."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(megabytes)) + packer.flush()


def many_members(connection: socket.socket, asked: Asked) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = (packer.compress(b"x") + packer.flush()) * 5000
    connection.sendall(
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )


def too_long_a_length(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nonly this")


def huge_length(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nx")


def two_lengths(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD + b"Content-Length: 3\r\nContent-Length: 9\r\n\r\nabcdefghi")


def broken_chunks(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n")


def broken_gzip(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd")


def unknown_encoding(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(HEAD + b"Content-Encoding: secret\r\nContent-Length: 4\r\n\r\nabcd")


def no_http(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(b"220 mail.test ESMTP ready\r\n")


def hang_up(connection: socket.socket, asked: Asked) -> None:
    return


def another_type(connection: socket.socket, asked: Asked) -> None:
    connection.sendall(reply(b"\x89PNG", Content_Type="image/png"))


bomb()  # while no client waits for it

HOSTILE: dict[str, tuple[Answer, str]] = {
    "body that drips": (slow_drip, "too slow|took too long"),
    "headers that drip": (slow_headers, "took too long"),
    "no answer": (silence, "took too long"),
    "endless body": (endless_body, "larger than 0.19"),
    "endless headers": (endless_headers, "broken HTTP|larger than"),
    "endless interim responses": (endless_interim, "larger than"),
    "endless chunk extension": (endless_chunk_extension, "broken HTTP|larger than"),
    "gzip bomb": (gzip_bomb, "larger than 0.19"),
    "gzip of many members": (many_members, "expands too much"),
    "length longer than the body": (too_long_a_length, "broken HTTP"),
    "huge length": (huge_length, "larger than|broken HTTP"),
    "two lengths": (two_lengths, "broken HTTP"),
    "broken chunks": (broken_chunks, "broken HTTP"),
    "broken gzip": (broken_gzip, "damaged compression"),
    "unknown encoding": (unknown_encoding, "unknown content encoding"),
    "no HTTP": (no_http, "broken HTTP"),
    "closed at once": (hang_up, "broken HTTP"),
    "an image": (another_type, "content of another type"),
}
"""What a server does, by name, and a pattern of the reason that is given for it."""
