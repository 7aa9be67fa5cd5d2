"""Visits to many hosts at once, each host asked for one page after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from threading import Event

from modelwright.data.web.client import PAGE_TYPES, Client, Response
from modelwright.data.web.host import Host, Manners, Stopped
from modelwright.data.web.network import FetchError
from modelwright.data.web.urls import Url

HOSTS_AT_ONCE = 8
WAITING = 4
"""Answers that wait to be taken; with the hosts at once, this bounds the memory."""

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Request:
    """A page to be fetched, with the headers of a conditional request."""

    url: Url
    validators: Mapping[str, str] = field(default_factory=dict)
    types: frozenset[str] = PAGE_TYPES


@dataclass(frozen=True)
class Visit:
    """What came of a request: a response, or the reason why there is none."""

    url: Url
    response: Response | None = None
    failure: str = ""


class Visitor:
    """Fetches pages from several hosts in parallel, with good manners to each.

    Use it in a ``with`` statement: leaving it ends every wait and every thread.
    """

    def __init__(self, client: Client, manners: Manners):
        self._client = client
        self._manners = manners
        self._stop = Event()
        self._hosts: dict[str, Host] = {}
        self._threads = ThreadPoolExecutor(HOSTS_AT_ONCE, thread_name_prefix="fetch")

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def visits(self, requests: list[Request]) -> Iterator[Visit]:
        """Yield what comes of the requests, in the order in which the answers arrive."""
        by_host: dict[str, list[Request]] = {}
        for request in requests:
            by_host.setdefault(request.url.host, []).append(request)
        done: Queue[Visit] = Queue(WAITING)
        running = [
            self._threads.submit(self._visit_host, self._host(name), wanted, done)
            for name, wanted in by_host.items()
        ]
        left = len(requests)
        while left:
            try:
                yield done.get(timeout=_POLL_SECONDS)
                left -= 1
            except Empty:
                _raise_failures(running)

    def cut_delays(self) -> dict[str, float]:
        """Hosts that asked for a longer crawl-delay than they were given, with that delay."""
        return {name: host.cut_delay for name, host in self._hosts.items() if host.cut_delay}

    def _visit_host(self, host: Host, requests: list[Request], done: Queue[Visit]) -> None:
        with suppress(Stopped):
            for request in requests:
                try:
                    response = host.visit(request.url, request.validators, request.types)
                    visit = Visit(request.url, response)
                except FetchError as error:
                    visit = Visit(request.url, failure=str(error))
                self._hand_over(visit, done)

    def _hand_over(self, visit: Visit, done: Queue[Visit]) -> None:
        while not self._stop.is_set():
            with suppress(Full):
                done.put(visit, timeout=_POLL_SECONDS)
                return
        raise Stopped

    def _host(self, name: str) -> Host:
        if name not in self._hosts:
            self._hosts[name] = Host(self._client, self._manners, self._stop)
        return self._hosts[name]


def _raise_failures(running: list[Future[None]]) -> None:
    """Raise what a thread raised, which would otherwise be waited for without end."""
    for future in running:
        if future.done():
            future.result()
