"""Pages of the web: crawled into an archive, and read from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelwright.core.errors import InputError, UsageError
from modelwright.data.corpus import Document
from modelwright.data.drops import Drops, in_words
from modelwright.data.licences import normalise
from modelwright.data.sources.captures import Origin, documents_of, kind_of
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import WebSource
from modelwright.data.web.archive import ArchiveWriter, Entry, read_index
from modelwright.data.web.client import USER_AGENT_TOKEN, Client
from modelwright.data.web.crawl import Scope, crawl
from modelwright.data.web.host import Manners
from modelwright.data.web.left_out import is_finished, save_left_out, tell_left_out
from modelwright.data.web.links import scan_page
from modelwright.data.web.urls import UrlError, parse_url
from modelwright.data.web.warc import Capture

CANONICAL = "same page as its canonical address"


class WebReader:
    """Crawls pages into a WARC archive in ``reading.kept`` and reads the documents in it.

    The documents depend on the archive and on nothing else: they come in the order of their
    addresses, however fast the hosts answered. A crawl that was cut off goes on where it was; one
    that is finished is not fetched again.

    Parameters
    ----------
    settings : WebSource
        Where to begin and how far to go.
    client : Client, optional
        For tests: what fetches.

    Raises
    ------
    UsageError
        If there is no address to begin with, or one is broken.
    """

    def __init__(self, settings: WebSource, client: Client | None = None):
        self._settings = settings
        self._client = client
        addresses = [*settings.start, *settings.sitemaps, *settings.feeds]
        if not addresses:
            raise UsageError(
                "a source of kind 'web' without an address",
                fix="give it 'start', 'sitemaps' or 'feeds'",
            )
        self._first = addresses[0]
        hosts = [_host(address) for address in addresses]
        self._hosts = tuple(_host(f"http://{host}/") for host in settings.hosts)
        self.name = f"web:{hosts[0]}"

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Yield the documents in the order of their addresses.

        Raises
        ------
        InputError
            If nothing could be fetched, or there is no text in what was.
        """
        before = reading.drops.counts
        if not is_finished(reading.kept):
            self._crawl(reading)
        tell_left_out(reading.kept, reading.drops)
        index = read_index(reading.kept)
        origin = Origin(self.name, normalise(self._settings.licence), self._settings.extractor)
        found = 0
        with reading.progress.task(f"read {self.name}", None, "documents") as task:
            for document in documents_of(_pages(index, reading.drops), reading, origin):
                found += 1
                task.update(found)
                yield document
        if not found:
            left_out = in_words(reading.drops.since(before)) or "no page was found"
            raise InputError(
                f"no page could be used: {left_out}",
                where=self._first,
                fix="open the address in a browser, and look at its robots.txt",
            )

    def fingerprint(self) -> object:
        """The settings: the network is not asked, so a change of ``as_of`` crawls again."""
        return self._settings.model_dump(mode="json", exclude={"licence", "extractor"})

    def _crawl(self, reading: Reading) -> None:
        settings = self._settings
        scope = Scope(
            start=tuple(settings.start),
            sitemaps=tuple(settings.sitemaps),
            feeds=tuple(settings.feeds),
            hosts=self._hosts,
            depth=settings.depth,
            pages=settings.pages,
        )
        with ArchiveWriter(reading.kept) as archive:
            known = read_index(reading.kept)
            left_out = crawl(
                scope,
                self._client or Client(),
                Manners(delay=settings.delay),
                archive,
                known=known,
                previous=_index_of(reading.previous),
                progress=reading.progress,
            )
        if not known:
            reasons = in_words(left_out.counts) or "no page was found"
            raise InputError(
                f"nothing could be fetched: {reasons}",
                where=self._first,
                fix="check the address and the connection, and look at the host's robots.txt",
            )
        save_left_out(left_out, reading.kept)


def _pages(index: dict[str, Entry], drops: Drops) -> Iterator[Capture]:
    """The pages of an archive by address, without those whose canonical page is there too.

    A page stands in for others only if it does not send them on in turn: of two pages that name
    each other, both stay.
    """
    pages = {url: entry for url, entry in sorted(index.items()) if entry.status == 200}
    canonical = {url: _canonical(entry.read()) for url, entry in pages.items()}
    for url, entry in pages.items():
        target = canonical[url]
        if target != url and canonical.get(target) == target:
            drops.add(CANONICAL, url)
        else:
            yield entry.read()


def _canonical(capture: Capture) -> str:
    """The address that a page gives as its own, if it is on the same host; otherwise its address.

    A page of another host cannot be named: it could put anything in that page's place.
    """
    if kind_of(capture) != "page":
        return capture.url
    url = parse_url(capture.url)
    canonical = scan_page(capture.body, url, USER_AGENT_TOKEN).canonical
    return str(canonical) if canonical is not None and canonical.host == url.host else capture.url


def _index_of(folder: Path | None) -> dict[str, Entry]:
    return read_index(folder) if folder is not None else {}


def _host(address: str) -> str:
    try:
        return parse_url(address).host
    except UrlError as error:
        raise UsageError(
            f"this cannot be crawled: {error}",
            where=address,
            fix="give an address that begins with https:// or http://, and hosts by name",
        ) from None
