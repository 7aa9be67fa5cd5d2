from __future__ import annotations

import random
import socket
import time
from itertools import pairwise
from pathlib import Path

import pytest
from servers import Answer, Asked, Server, client_of, reply, serving, silence, site

from modelwright.core.progress import SilentProgress
from modelwright.data.drops import Drops
from modelwright.data.web.archive import ArchiveWriter, Entry, read_index
from modelwright.data.web.crawl import Scope, crawl
from modelwright.data.web.host import Manners

QUICK_MANNERS = Manners(delay=0, busy_delay=0.05, longest_busy_delay=0.1, failures=2)


class Crawled:
    """What a crawl of a server gave."""

    def __init__(self, server: Server, left_out: Drops, index: dict[str, Entry]):
        port = f":{server.port}"
        self.pages = sorted(
            url.replace(port, "").removeprefix("http://")
            for url, entry in index.items()
            if entry.status == 200
        )
        self.left_out = left_out.counts
        self.places = [(why, where.replace(port, "")) for why, where in left_out.places]


def run(
    server: Server,
    folder: Path,
    *start: str,
    manners: Manners = QUICK_MANNERS,
    previous: dict[str, Entry] | None = None,
    **scope: object,
) -> Crawled:
    full = {
        name: tuple(with_port(one, server) for one in value)
        if name in ("sitemaps", "feeds")
        else value
        for name, value in scope.items()
    }
    with ArchiveWriter(folder) as archive:
        left_out = crawl(
            Scope(start=tuple(with_port(one, server) for one in start), **full),
            client_of(server),
            manners,
            archive,
            known=read_index(folder),
            previous=previous or {},
            progress=SilentProgress(),
        )
    return Crawled(server, left_out, read_index(folder))


def with_port(address: str, server: Server) -> str:
    host, slash, path = address.partition("/")
    return f"http://{host}:{server.port}{slash}{path}"


def linking(*hrefs: str) -> bytes:
    return reply("".join(f'<a href="{href}">x</a>' for href in hrefs))


def test_links_are_followed_to_the_depth_and_on_the_hosts(tmp_path: Path) -> None:
    pages = {
        "/": linking("/1", "http://elsewhere.test/", "/missing"),
        "/1": linking("/2", "/"),
        "/2": linking("/3"),
        "/3": reply("too deep"),
    }
    with serving(site(pages)) as server:
        crawled = run(server, tmp_path, "a.test/", depth=2)
    assert crawled.pages == ["a.test/", "a.test/1", "a.test/2"]
    assert crawled.left_out == {"HTTP 404": 1}
    assert crawled.places == [("HTTP 404", "http://a.test/missing")]


def test_robots_and_nofollow_are_obeyed(tmp_path: Path) -> None:
    pages = {
        "/": linking("/private/1", "/meta", "/header"),
        "/meta": reply('<meta name=robots content=nofollow><a href="/x">'),
        "/header": reply('<a href="/x">', X_Robots_Tag="nofollow"),
        "/x": reply("x"),
    }
    robots = reply("User-agent: *\nDisallow: /private", Content_Type="text/plain")
    with serving(site(pages, robots)) as server:
        crawled = run(server, tmp_path, "a.test/")
        assert "a.test/private/1" not in server.urls
    assert crawled.pages == ["a.test/", "a.test/header", "a.test/meta"]
    assert crawled.left_out == {"robots.txt does not allow it": 1}


def test_one_request_at_a_time_to_a_host_and_a_pause_between(tmp_path: Path) -> None:
    pages = {"/": linking("/1", "/2"), "/1": reply("1"), "/2": reply("2")}
    with serving(site(pages)) as server:
        run(server, tmp_path, "a.test/", "b.test/", manners=Manners(delay=0.1))
        for host in ("a.test", "b.test"):
            times = [one.at for one in server.asked if one.host.startswith(host)]
            assert len(times) == 4  # with robots.txt
            assert all(later - earlier >= 0.1 for earlier, later in pairwise(times))
        assert max(one.at for one in server.asked) - min(one.at for one in server.asked) < 0.8


def test_a_crawl_delay_is_kept_up_to_a_limit(tmp_path: Path) -> None:
    robots = reply("User-agent: *\nCrawl-delay: 1000", Content_Type="text/plain")
    pages = {"/": linking("/1"), "/1": reply("1")}
    with serving(site(pages, robots)) as server:
        run(server, tmp_path, "a.test/", manners=Manners(delay=0, longest_delay=0.3))
        first, second = [one.at for one in server.asked if one.target != "/robots.txt"]
    assert 0.3 <= second - first < 5


def test_redirects(tmp_path: Path) -> None:
    pages = {
        "/": linking("/to1", "/too", "/circle", "/out", "/bad", "/far0"),
        "/to1": reply("", "301 Moved", Location="1"),
        "/too": reply("", "302 Found", Location="/1"),
        "/1": reply("one"),
        "/circle": reply("", "307 Temporary", Location="/circle2"),
        "/circle2": reply("", "307 Temporary", Location="/circle"),
        "/out": reply("", "308 Permanent", Location="http://elsewhere.test/"),
        "/bad": reply("", "302 Found", Location="file:///etc/passwd"),
        **{f"/far{n}": reply("", "302 Found", Location=f"/far{n + 1}") for n in range(9)},
    }
    with serving(site(pages)) as server:
        crawled = run(server, tmp_path, "a.test/", depth=1)
        assert server.urls.count("a.test/1") == 1
    assert crawled.pages == ["a.test/", "a.test/1"]
    assert crawled.left_out == {
        "address on another host": 1,
        "redirect: address that is not http or https": 1,
        "redirects in a circle": 1,
        "too many redirects": 1,
    }


def test_a_first_page_may_move_to_another_host(tmp_path: Path) -> None:
    pages = {
        "a.test/": reply("", "301 Moved", Location="http://www.a.test:{port}/"),
        "www.a.test/": linking("/1"),
        "www.a.test/1": reply("1"),
    }

    def answer(connection: socket.socket, asked: Asked) -> None:
        port = asked.host.partition(":")[2].encode()
        site({key: raw.replace(b"{port}", port) for key, raw in pages.items()})(connection, asked)

    with serving(answer) as server:
        assert run(server, tmp_path, "a.test/").pages == ["www.a.test/", "www.a.test/1"]
        kept = run(server, tmp_path / "named", "a.test/", hosts=("a.test",))
    assert kept.left_out == {"address on another host": 1}


def endless(connection: socket.socket, asked: Asked) -> None:
    """Every page links to three that are new; the answers take a random time."""
    time.sleep(random.random() * 0.02)
    links = (f"{asked.target.rstrip('/')}x{n}" for n in range(3))
    connection.sendall(linking(*links, *(f"/d{asked.target}" for _ in range(1))))


def test_an_endless_site_ends_at_the_limit_and_in_the_same_place(tmp_path: Path) -> None:
    with serving(only_pages(endless)) as server:
        first = run(server, tmp_path / "1", "a.test/", "b.test/", pages=30, depth=50)
        second = run(server, tmp_path / "2", "a.test/", "b.test/", pages=30, depth=50)
    assert len(first.pages) == 30
    assert first.pages == second.pages
    assert first.left_out == second.left_out
    by_host = [sum(page.startswith(host) for page in first.pages) for host in ("a", "b")]
    assert by_host == [15, 15]


def only_pages(answer: Answer) -> Answer:
    def with_robots(connection: socket.socket, asked: Asked) -> None:
        if asked.target == "/robots.txt":
            connection.sendall(reply("", "404 Not Found"))
        else:
            answer(connection, asked)

    return with_robots


def test_traps_are_left_out(tmp_path: Path) -> None:
    def deeper(connection: socket.socket, asked: Asked) -> None:
        connection.sendall(linking("a/"))

    with serving(only_pages(deeper)) as server:
        crawled = run(server, tmp_path, "a.test/", depth=50)
    assert crawled.pages == ["a.test/", "a.test/a/", "a.test/a/a/"]
    assert crawled.left_out == {"address that looks like a trap": 1}


def test_busy_and_broken_servers_are_asked_again(tmp_path: Path) -> None:
    counts: dict[str, int] = {}

    def answer(connection: socket.socket, asked: Asked) -> None:
        counts[asked.target] = counts.get(asked.target, 0) + 1
        ready = counts[asked.target] > {"/busy": 2, "/broken": 1, "/always": 99}.get(
            asked.target, 0
        )
        if ready:
            connection.sendall(linking("/busy", "/broken", "/always"))
        elif asked.target == "/busy":
            connection.sendall(reply("", "429 Too Many", Retry_After="1000"))
        else:
            connection.sendall(reply("", "500 Oops"))

    with serving(only_pages(answer)) as server:
        crawled = run(server, tmp_path, "a.test/", depth=1)
    assert crawled.pages == ["a.test/", "a.test/broken", "a.test/busy"]
    assert crawled.left_out == {"HTTP 500": 1}
    assert counts["/always"] == 2


def test_a_host_that_gives_no_answer_is_given_up(tmp_path: Path) -> None:
    def answer(connection: socket.socket, asked: Asked) -> None:
        silence(connection, asked) if asked.target != "/" else connection.sendall(
            linking(*(f"/{n}" for n in range(9)))
        )

    with serving(only_pages(answer)) as server:
        crawled = run(server, tmp_path, "a.test/", depth=1)
    assert crawled.pages == ["a.test/"]
    assert crawled.left_out == {
        "host given up: no answer several times in a row": 7,
        "took too long": 2,
    }


def test_sitemaps_and_feeds_name_pages(tmp_path: Path) -> None:
    def answer(connection: socket.socket, asked: Asked) -> None:
        here = f"http://{asked.host}"
        xml = {
            "/index.xml": f"<sitemapindex><sitemap><loc>{here}/s.xml</loc></sitemap>"
            f"<sitemap><loc>{here}/index.xml</loc></sitemap></sitemapindex>",
            "/s.xml": f"<urlset><url><loc>{here}/1</loc></url>"
            "<url><loc>http://elsewhere.test/</loc></url></urlset>",
            "/moved": f"<rss><item><link>{here}/2</link></item></rss>",
        }
        found = xml.get(asked.target)
        if asked.target == "/feed":
            connection.sendall(reply("", "301 Moved", Location="/moved"))
        elif found:
            connection.sendall(reply(found, Content_Type="application/xml"))
        elif asked.target == "/broken.xml":
            connection.sendall(reply("<a>", Content_Type="text/xml"))
        else:
            connection.sendall(reply("a page"))

    with serving(only_pages(answer)) as server:
        crawled = run(
            server,
            tmp_path,
            sitemaps=["a.test/index.xml", "a.test/broken.xml"],
            feeds=["a.test/feed"],
        )
    assert crawled.pages == ["a.test/1", "a.test/2"]
    assert crawled.left_out == {"address on another host": 1, "broken sitemap or feed": 1}


def test_what_the_archive_holds_is_not_fetched_again(tmp_path: Path) -> None:
    pages = {"/": linking("/1", "/2"), "/1": reply("1"), "/2": reply("2")}
    with serving(site(pages)) as server:
        whole = run(server, tmp_path, "a.test/")
        (torn,) = tmp_path.glob("*.warc.gz")
        torn.write_bytes(torn.read_bytes()[:-700])  # within the records of the last page
        asked = len(server.urls)
        again = run(server, tmp_path, "a.test/")
        assert len(server.urls) - asked == 1
    assert again.pages == whole.pages


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
def test_unchanged_pages_are_copied(tmp_path: Path, validator: str) -> None:
    value = {"ETag": '"v1"', "Last-Modified": "Mon, 02 Mar 2026 10:00:00 GMT"}[validator]
    conditional = {"ETag": "if-none-match", "Last-Modified": "if-modified-since"}[validator]

    def answer(connection: socket.socket, asked: Asked) -> None:
        if asked.headers.get(conditional) == value:
            connection.sendall(
                f"HTTP/1.1 304 Not Modified\r\n{validator}: {value}\r\n\r\n".encode()
            )
        else:
            headers = {validator.replace("-", "_"): value} if asked.target == "/1" else {}
            connection.sendall(reply('<a href="/1">', **headers))

    with serving(only_pages(answer)) as server:
        run(server, tmp_path / "old", "a.test/")
        old = read_index(tmp_path / "old")
        crawled = run(server, tmp_path / "new", "a.test/", previous=old)
    new = read_index(tmp_path / "new")
    (url,) = (url for url in new if url.endswith("/1"))
    assert crawled.pages == ["a.test/", "a.test/1"]
    assert (new[url].read().body, new[url].read().date) == (
        old[url].read().body,
        old[url].read().date,
    )
    assert new[url].path.parent == tmp_path / "new"
