"""Manners: how one host is asked for its pages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event

from modelwright.data.web.client import PAGE_TYPES, Client, Response
from modelwright.data.web.network import FetchError
from modelwright.data.web.robots import Robots, fetch_robots
from modelwright.data.web.urls import Url

GIVEN_UP = "host given up: no answer several times in a row"
TOO_MUCH = "host has given more than its share of bytes"
BUSY = (429, 503)


@dataclass(frozen=True)
class Manners:
    """How a host is treated.

    Attributes
    ----------
    delay : float
        Seconds between the end of one request and the next; robots.txt may ask for more.
    longest_delay : float
        Most that robots.txt may ask for; a longer crawl-delay is cut to this.
    busy_delay, longest_busy_delay : float
        Seconds to wait after 429 or 503: when the host does not say, and at most.
    busy_retries : int
        How often a page is asked for again after 429 or 503; after another 5xx it is once.
    failures : int
        A host that gave no answer so many times in a row is left alone.
    host_bytes : int
        Most bytes of bodies taken from one host.
    """

    delay: float = 1.0
    longest_delay: float = 60.0
    busy_delay: float = 10.0
    longest_busy_delay: float = 120.0
    busy_retries: int = 2
    failures: int = 5
    host_bytes: int = 4 * 2**30


class Stopped(Exception):  # noqa: N818  (nothing is wrong)
    """The crawl is being ended while a host is waited for."""


class Host:
    """One host, asked for one thing at a time.

    Parameters
    ----------
    client : Client
    manners : Manners
    stop : Event
        Ends every wait.
    """

    def __init__(self, client: Client, manners: Manners, stop: Event):
        self._client = client
        self._manners = manners
        self._stop = stop
        self._robots: dict[str, Robots] = {}
        self._free_at = time.monotonic()
        self._failures = 0
        self._bytes = 0

    def visit(
        self,
        url: Url,
        validators: Mapping[str, str] | None = None,
        types: frozenset[str] = PAGE_TYPES,
    ) -> Response:
        """Fetch one page, if robots.txt lets us, when the host has had its rest.

        Raises
        ------
        FetchError
            If it may not be fetched, or there is no usable answer.
        Stopped
            If the crawl is ended meanwhile.
        """
        if self._failures >= self._manners.failures:
            raise FetchError(GIVEN_UP)
        if self._bytes >= self._manners.host_bytes:
            raise FetchError(TOO_MUCH)
        robots = self._robots_of(url)
        if refusal := robots.refuses(url):
            raise FetchError(refusal)
        delay = max(self._manners.delay, min(robots.delay, self._manners.longest_delay))
        tries = 0
        while True:
            response = self._ask(url, validators, types, delay)
            tries += 1
            busy = response.status in BUSY
            retries = self._manners.busy_retries if busy else 1
            if (not busy and response.status < 500) or tries > retries:
                return response
            if busy:
                self._free_at = time.monotonic() + self._asked_wait(response)

    @property
    def cut_delay(self) -> float:
        """The crawl-delay that was asked for, if it was more than is given; otherwise 0."""
        longest = max((robots.delay for robots in self._robots.values()), default=0.0)
        return longest if longest > self._manners.longest_delay else 0.0

    def _ask(
        self,
        url: Url,
        validators: Mapping[str, str] | None,
        types: frozenset[str],
        delay: float,
    ) -> Response:
        self._rest()
        try:
            response = self._client.fetch(url, validators=validators, types=types)
        except FetchError as error:
            self._failures = self._failures + 1 if error.unreachable else 0
            raise
        finally:
            self._free_at = time.monotonic() + delay
        self._failures = 0
        self._bytes += len(response.body)
        return response

    def _robots_of(self, url: Url) -> Robots:
        if url.origin not in self._robots:
            self._rest()
            self._robots[url.origin] = fetch_robots(self._client, url)
            self._free_at = time.monotonic() + self._manners.delay
        return self._robots[url.origin]

    def _rest(self) -> None:
        if self._stop.wait(max(0.0, self._free_at - time.monotonic())):
            raise Stopped

    def _asked_wait(self, response: Response) -> float:
        """Seconds of ``Retry-After`` (RFC 9110, section 10.2.3), within bounds."""
        value = response.header("retry-after").strip()
        seconds = self._manners.busy_delay
        if value.isdecimal():
            seconds = float(value[:9])
        elif value:
            with suppress(ValueError, TypeError):  # broken, or a date without a zone
                seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        return min(max(seconds, self._manners.delay), self._manners.longest_busy_delay)
