from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Asked, Server, client_of, endless_body, reply, serving, silence, site

from modelwright.core.errors import InputError, UsageError
from modelwright.core.progress import SilentProgress
from modelwright.data.corpus import Document
from modelwright.data.drops import Drops
from modelwright.data.sandbox import Sandbox
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import WebSource
from modelwright.data.sources.web import WebReader

HOSTILE = Path(__file__).parents[1] / "hostile"
PROSE = "This is a paragraph of ordinary text that an extractor should find and keep. " * 5


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as one:
        yield one


def page(*links: str, head: str = "") -> bytes:
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    return reply(f"<head><title>T</title>{head}</head><body><p>{PROSE}</p>{anchors}</body>")


def read(
    server: Server,
    sandbox: Sandbox,
    kept: Path,
    previous: Path | None = None,
    **settings: object,
) -> tuple[list[Document], dict[str, int]]:
    source = WebSource(
        start=[f"http://a.test:{server.port}/"], delay=0, extractor="resiliparse", **settings
    )
    drops = Drops(lambda line: None)
    reading = Reading(SilentProgress(), drops, sandbox, kept, previous)
    documents = list(WebReader(source, client_of(server)).documents(reading))
    return documents, drops.counts


PAGES = {
    "/": page("/z", "/b", "/copy", "/noai", "/plain", "/private"),
    "/z": page(head='<link rel="license" href="https://creativecommons.org/licenses/by/4.0/">'),
    "/b": page(),
    "/copy": page(head='<link rel="canonical" href="/b">'),
    "/noai": page(head='<meta name="robots" content="noai">'),
    "/plain": reply("Just text.\n", Content_Type="text/plain"),
}
ROBOTS = reply("User-agent: *\nDisallow: /private", Content_Type="text/plain")


def test_documents_come_by_address_with_where_they_are_from(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    with serving(site(PAGES, ROBOTS)) as server:
        documents, dropped = read(server, sandbox, tmp_path / "kept", licence="MIT")
    by_path = {one.url.partition(f":{server.port}")[2]: one for one in documents}
    assert list(by_path) == ["/", "/b", "/plain", "/z"]
    assert by_path["/plain"].text == "Just text.\n"
    assert by_path["/b"].title == "T"
    assert by_path["/b"].source == "web:a.test"
    assert by_path["/b"].fetched_at.endswith("Z")
    assert (by_path["/b"].licence, by_path["/b"].licence_from) == ("MIT", "settings")
    assert by_path["/z"].licence == "CC-BY-4.0"
    assert by_path["/z"].licence_from != "settings"
    assert dropped == {
        "page says noai": 1,
        "robots.txt does not allow it": 1,
        "same page as its canonical address": 1,
    }


def test_a_finished_crawl_is_read_from_its_archive(sandbox: Sandbox, tmp_path: Path) -> None:
    with serving(site(PAGES, ROBOTS)) as server:
        first = read(server, sandbox, tmp_path / "kept")
        asked = len(server.asked)
        assert read(server, sandbox, tmp_path / "kept") == first
        assert len(server.asked) == asked


def test_two_pages_that_name_each_other_both_stay(sandbox: Sandbox, tmp_path: Path) -> None:
    pages = {
        "/": page("/b", head='<link rel=canonical href="/b">'),
        "/b": page(head='<link rel=canonical href="/">'),
    }
    with serving(site(pages)) as server:
        assert len(read(server, sandbox, tmp_path / "kept")[0]) == 2


def test_a_page_that_hangs_costs_only_itself(sandbox: Sandbox, tmp_path: Path) -> None:
    def answer(connection: socket.socket, asked: Asked) -> None:
        match asked.target:
            case "/hangs":
                silence(connection, asked)
            case "/endless":
                endless_body(connection, asked)
            case "/":
                connection.sendall(page("/hangs", "/endless", "/good"))
            case "/good":
                connection.sendall(page())
            case _:
                connection.sendall(reply("", "404 Not Found"))

    with serving(answer) as server:
        documents, dropped = read(server, sandbox, tmp_path / "kept")
    assert len(documents) == 2
    assert dropped == {"larger than 0.190735 MiB": 1, "took too long": 1}


def test_the_next_crawl_asks_only_for_what_changed(sandbox: Sandbox, tmp_path: Path) -> None:
    def answer(connection: socket.socket, asked: Asked) -> None:
        if asked.target == "/robots.txt":
            connection.sendall(reply("", "404 Not Found"))
        elif asked.headers.get("if-none-match") == '"1"':
            connection.sendall(b"HTTP/1.1 304 Not Modified\r\n\r\n")
        else:
            connection.sendall(page().replace(b"\r\n\r\n", b'\r\nETag: "1"\r\n\r\n', 1))

    with serving(answer) as server:
        first, _ = read(server, sandbox, tmp_path / "1", as_of="1")
        second, _ = read(server, sandbox, tmp_path / "2", previous=tmp_path / "1", as_of="2")
    assert second == first


def test_nothing_fetched_is_an_error_with_the_reasons(sandbox: Sandbox, tmp_path: Path) -> None:
    robots = reply("User-agent: *\nDisallow: /", Content_Type="text/plain")
    with serving(site(PAGES, robots)) as server:
        with pytest.raises(InputError, match=r"nothing could be fetched: 1 x robots\.txt does not"):
            read(server, sandbox, tmp_path / "kept")
        assert server.urls == []


@pytest.mark.parametrize(
    "settings",
    [{}, {"start": ["example.org"]}, {"start": ["http://a.test/"], "hosts": ["a b"]}],
    ids=str,
)
def test_settings_that_cannot_be_meant(settings: dict[str, list[str]]) -> None:
    with pytest.raises(UsageError):
        WebReader(WebSource(**settings))


def test_the_fingerprint_asks_nothing_and_follows_as_of() -> None:
    start = ["http://no.such.host.invalid/"]
    first, again, later = (
        WebReader(WebSource(start=start, as_of=label)).fingerprint() for label in ("1", "1", "2")
    )
    assert first == again != later


CRAWL = """
import sys
sys.path.append({hostile!r})
from pathlib import Path
from servers import Server, client_of
from modelwright.core.progress import SilentProgress
from modelwright.data.drops import Drops
from modelwright.data.sandbox import Sandbox
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import WebSource
from modelwright.data.sources.web import WebReader
server = Server({port})
source = WebSource(start=[f"http://a.test:{port}/"], delay=0.02, extractor="resiliparse")
with Sandbox(1) as sandbox:
    reading = Reading(SilentProgress(), Drops(print), sandbox, Path({kept!r}))
    for document in WebReader(source, client_of(server)).documents(reading):
        print(document.url)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_crawl_goes_on(sandbox: Sandbox, tmp_path: Path) -> None:
    pages = {"/": page(*(f"/{n}" for n in range(12))), **{f"/{n}": page() for n in range(12)}}
    with serving(site(pages)) as server:
        code = CRAWL.format(hostile=str(HOSTILE), port=server.port, kept=str(tmp_path / "kept"))
        killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(server.urls) < 6 and time.monotonic() < deadline:
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        asked = len(server.urls)
        resumed, dropped = read(server, sandbox, tmp_path / "kept")
        assert asked < 13
        assert len(server.urls) - asked <= 13 - asked + 2  # at most those that were under way
        whole, _ = read(server, sandbox, tmp_path / "whole")
    assert [(one.id, one.text) for one in resumed] == [(one.id, one.text) for one in whole]
    assert dropped == {}
