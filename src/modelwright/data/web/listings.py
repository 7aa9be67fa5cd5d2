"""The pages that sitemaps and feeds name, fetched with the same care as pages."""

from __future__ import annotations

from collections.abc import Iterable

from modelwright.data.drops import Drops
from modelwright.data.web.client import Response
from modelwright.data.web.redirects import MAX_REDIRECTS, TOO_MANY_REDIRECTS, Redirect, redirect_of
from modelwright.data.web.sitemaps import TYPES, Listing, SitemapError, read_listing
from modelwright.data.web.urls import Url, UrlError, parse_url
from modelwright.data.web.visits import Request, Visitor

MAX_LISTINGS = 500
LEVELS = 3
"""An index may name indexes, so deep."""

OTHER_HOST = "address on another host"


def listed_pages(
    addresses: Iterable[Url], hosts: frozenset[str], visitor: Visitor, left_out: Drops
) -> list[Url]:
    """Fetch sitemaps and feeds; give the pages on ``hosts`` that they name, in order.

    What cannot be fetched or read, and what lies on other hosts, is counted in ``left_out``.
    """
    pages: dict[Url, None] = {}
    asked: set[Url] = set()
    wanted = list(addresses)
    for _ in range(LEVELS):
        new = [url for url in dict.fromkeys(wanted) if url not in asked]
        new = new[: MAX_LISTINGS - len(asked)]
        asked |= set(new)
        wanted = []
        for listing in _listings(new, visitor, left_out):
            pages |= dict.fromkeys(_on_hosts(listing.pages, hosts, left_out))
            wanted += _on_hosts(listing.sitemaps, hosts, left_out)
    return list(pages)


def read_addresses(addresses: Iterable[str], left_out: Drops) -> list[Url]:
    """Addresses in normal form; those that are none are counted."""
    urls: list[Url] = []
    for address in addresses:
        try:
            urls.append(parse_url(address))
        except UrlError as error:
            left_out.add(str(error), address)
    return urls


def _listings(urls: list[Url], visitor: Visitor, left_out: Drops) -> list[Listing]:
    listings: list[Listing] = []
    for url, response in _responses(urls, visitor, left_out):
        try:
            listings.append(read_listing(response.body))
        except SitemapError as error:
            left_out.add(str(error), str(url))
    return listings


def _responses(urls: list[Url], visitor: Visitor, left_out: Drops) -> list[tuple[Url, Response]]:
    """Each listing with its answer, in order; redirects are followed."""
    answers: dict[Url, Response] = {}
    targets = {url: url for url in urls}  # where each one is to be fetched by now
    for hop in range(MAX_REDIRECTS + 1):
        requests = [Request(target, types=TYPES) for target in dict.fromkeys(targets.values())]
        visits = {visit.url: visit for visit in visitor.visits(requests)}
        following: dict[Url, Url] = {}
        for url, target in targets.items():
            visit = visits[target]
            led = redirect_of(target, visit.response) if visit.response else Redirect()
            if led.target is not None and hop == MAX_REDIRECTS:
                left_out.add(TOO_MANY_REDIRECTS, str(url))
            elif led.target is not None:
                following[url] = led.target
            elif visit.response is not None and visit.response.status == 200:
                answers[url] = visit.response
            else:
                status = f"HTTP {visit.response.status}" if visit.response else visit.failure
                left_out.add(led.problem or status, str(url))
        targets = following
    return [(url, answers[url]) for url in urls if url in answers]


def _on_hosts(addresses: Iterable[str], hosts: frozenset[str], left_out: Drops) -> list[Url]:
    found: list[Url] = []
    for url in read_addresses(addresses, left_out):
        if url.host in hosts:
            found.append(url)
        else:
            left_out.add(OTHER_HOST)
    return found
