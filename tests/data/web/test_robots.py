from __future__ import annotations

import socket
import time

import pytest
from servers import Asked, client_of, reply, serving, silence, site

from modelwright.data.web.network import Limits
from modelwright.data.web.robots import DISALLOWED, MAX_BYTES, fetch_robots, read_robots
from modelwright.data.web.urls import parse_url


def refusal(robots: str, path: str) -> str:
    return read_robots(robots.encode()).refuses(parse_url(f"http://a.test{path}"))


RULES = """\ufeffUser-agent: *
Disallow: /private
Allow: /private/open$
Disallow: /*.cgi
Crawl-delay: 2.5

User-Agent: Modelwright/2.0 # ours
User-agent: another
Disallow: /ours

User-agent: model
Disallow: /
"""


def test_our_own_group_counts_instead_of_the_general_one() -> None:
    assert refusal(RULES, "/ours/x") == DISALLOWED
    assert refusal(RULES, "/private") == ""
    assert read_robots(RULES.encode()).delay == 0


def test_without_one_the_general_group_counts() -> None:
    rules = RULES.replace("Modelwright", "Other")
    assert refusal(rules, "/ours") == ""
    assert refusal(rules, "/private/x") == DISALLOWED
    assert refusal(rules, "/private/open") == ""
    assert refusal(rules, "/a/b.cgi?x") == DISALLOWED
    assert read_robots(rules.encode()).delay == 2.5


@pytest.mark.parametrize("value", ["nan", "-1", "inf", "x", ""])
def test_a_delay_that_is_no_number_is_none(value: str) -> None:
    assert read_robots(f"User-agent: *\nCrawl-delay: {value}\n".encode()).delay == 0


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"user-agent:a{n}\n" for n in range(17_000)) + "disallow:/a\n" * 20_000,
        "user-agent:*\n" + "".join(f"disallow:/{n}\n" for n in range(30_000)),
        "user-agent:*\ndisallow:/" + "*a" * 200_000 + "$\n",
    ],
    ids=["many agents and rules", "many rules", "many wildcards"],
)
def test_hostile_rules_are_read_in_linear_time(text: str) -> None:
    started = time.process_time()
    refusal(text, "/" + "a" * 2000)
    assert time.process_time() - started < 5  # 0.3; the first took minutes with every agent kept


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("404 Not Found", ""),
        ("401 Unauthorized", ""),
        ("403 Forbidden", ""),
        ("429 Too Many Requests", "robots.txt could not be fetched: HTTP 429"),
        ("500 Internal Server Error", "robots.txt could not be fetched: HTTP 500"),
        ("503 Service Unavailable", "robots.txt could not be fetched: HTTP 503"),
    ],
)
def test_status_of_robots(status: str, reason: str) -> None:
    """RFC 9309, section 2.3.1: unavailable means all is allowed, unreachable that nothing is."""
    with serving(site({"/robots.txt": reply("", status)})) as server:
        url = parse_url(f"http://a.test:{server.port}/x")
        assert fetch_robots(client_of(server), url).refuses(url) == reason


def test_a_host_that_does_not_answer_is_left_alone() -> None:
    with serving(silence) as server:
        url = parse_url(f"http://a.test:{server.port}/x")
        robots = fetch_robots(client_of(server), url)
    assert robots.refuses(url) == "robots.txt could not be fetched: took too long"


def test_redirects_are_followed_five_times() -> None:
    def answer(connection: socket.socket, asked: Asked) -> None:
        number = int(asked.target.strip("/r") or 0) if asked.target != "/robots.txt" else 0
        if number == 5:
            connection.sendall(reply("User-agent: *\nDisallow: /x"))
        else:
            connection.sendall(reply("", "301 Moved", Location=f"/r{number + 1}"))

    with serving(answer) as server:
        url = parse_url(f"http://a.test:{server.port}/x")
        assert fetch_robots(client_of(server), url).refuses(url) == DISALLOWED


def test_so_much_of_a_huge_file_is_read() -> None:
    rules = b"User-agent: *\nDisallow: /x\n" + b"# padding\n" * (MAX_BYTES // 5)

    def answer(connection: socket.socket, asked: Asked) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + rules)

    with serving(answer) as server:
        url = parse_url(f"http://a.test:{server.port}/x")
        robots = fetch_robots(client_of(server, Limits()), url)
    assert robots.refuses(url) == DISALLOWED
