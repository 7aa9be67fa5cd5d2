"""The crawl: level by level from the start addresses, in an order that no answer's speed changes.

The pages of a level are fetched in parallel; what comes next is worked out from all of them, in the
order in which they were found. A redirect is a page of the same level that has to pass every check
itself. What the archive already holds is not fetched again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest

from modelwright.core.progress import Progress, Task
from modelwright.data.drops import Drops
from modelwright.data.web.archive import ArchiveWriter, Entry
from modelwright.data.web.client import USER_AGENT_TOKEN, Client, Response
from modelwright.data.web.host import Manners
from modelwright.data.web.links import scan_page
from modelwright.data.web.listings import OTHER_HOST, listed_pages, read_addresses
from modelwright.data.web.permissions import directives_of, may_follow
from modelwright.data.web.redirects import MAX_REDIRECTS, TOO_MANY_REDIRECTS, redirect_of
from modelwright.data.web.urls import Url, is_trap
from modelwright.data.web.visits import Request, Visit, Visitor
from modelwright.data.web.warc import Capture

TRAP = "address that looks like a trap"
REDIRECT_LOOP = "redirects in a circle"
LOST_COPY = "earlier copy of an unchanged page cannot be read"


@dataclass(frozen=True)
class Scope:
    """What is to be crawled.

    Attributes
    ----------
    start, sitemaps, feeds : tuple of str
        Addresses of pages, sitemaps and feeds.
    hosts : tuple of str
        Hosts to stay on; none means those of the addresses, and those that ``start`` redirects to.
    depth : int
        Links to follow from a first page, whether it was named or listed.
    pages : int
        Most pages to ask for; what they redirect to is not counted.
    """

    start: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    depth: int = 2
    pages: int = 1000


def crawl(
    scope: Scope,
    client: Client,
    manners: Manners,
    archive: ArchiveWriter,
    *,
    known: dict[str, Entry],
    previous: Mapping[str, Entry],
    progress: Progress,
) -> Drops:
    """Fetch what is in the scope into the archive.

    Parameters
    ----------
    known : dict
        The index of the archive; what is in it is not fetched again, and what is added to the
        archive is added here.
    previous : mapping
        The index of an earlier archive, whose pages are asked for only if they have changed.

    Returns
    -------
    Drops
        What was not fetched, and why.
    """
    with Visitor(client, manners) as visitor, progress.task("crawl", None, "pages") as task:
        one = _Crawl(scope, visitor, archive, known, previous, task)
        one.run()
    for host, delay in visitor.cut_delays().items():
        progress.note(
            f"{host} asks for {delay:g} s between requests; it got {manners.longest_delay:g} s"
        )
    return one.left_out


@dataclass(frozen=True)
class _Found:
    """What a page led to, and why it was left out, if it was."""

    links: tuple[Url, ...] = ()
    redirect: Url | None = None
    problem: str = ""


class _Crawl:
    """The state of one crawl."""

    def __init__(
        self,
        scope: Scope,
        visitor: Visitor,
        archive: ArchiveWriter,
        known: dict[str, Entry],
        previous: Mapping[str, Entry],
        task: Task,
    ):
        self.left_out = Drops(lambda line: None)
        self._scope = scope
        self._visitor = visitor
        self._archive = archive
        self._known = known
        self._previous = previous
        self._task = task
        self._hosts = {host.lower() for host in scope.hosts}
        self._hosts_are_final = bool(scope.hosts)
        self._seen: set[Url] = set()
        self._budget = scope.pages
        self._done = self._failed = 0

    def run(self) -> None:
        start = read_addresses(self._scope.start, self.left_out)
        listings = read_addresses((*self._scope.sitemaps, *self._scope.feeds), self.left_out)
        if not self._hosts_are_final:
            self._hosts = {url.host for url in (*start, *listings)}
        listed = listed_pages(listings, frozenset(self._hosts), self._visitor, self.left_out)
        level = self._chosen([*start, *listed])
        for depth in range(self._scope.depth + 1):
            links = self._visit_level(level, widening=frozenset() if depth else frozenset(start))
            self._hosts_are_final = True
            if depth < self._scope.depth:
                level = self._chosen(links)

    def _chosen(self, urls: Iterable[Url]) -> list[Url]:
        """Those that are new, on our hosts and within the budget, the hosts taking turns."""
        by_host: dict[str, list[Url]] = {}
        for url in urls:
            if url in self._seen or url.host not in self._hosts:
                continue
            self._seen.add(url)
            if is_trap(url):
                self.left_out.add(TRAP, str(url))
            else:
                by_host.setdefault(url.host, []).append(url)
        turns = chain.from_iterable(zip_longest(*by_host.values()))
        ordered = [url for url in turns if url is not None]
        for _ in ordered[self._budget :]:
            self.left_out.add(f"beyond the limit of {self._scope.pages} pages")
        chosen = ordered[: self._budget]
        self._budget -= len(chosen)
        return chosen

    def _visit_level(self, level: list[Url], widening: frozenset[Url]) -> list[Url]:
        """Visit the pages of a level and what they redirect to; give all their links in order.

        What a page in ``widening`` redirects to is on our hosts from then on, unless the user named
        the hosts.
        """
        links: list[Url] = []
        chains: dict[Url, tuple[Url, ...]] = {url: (url,) for url in level}
        while chains:
            found = self._visit(list(chains))
            following: dict[Url, tuple[Url, ...]] = {}
            for url, passed in chains.items():
                links += found[url].links
                if found[url].problem:
                    self.left_out.add(found[url].problem, str(url))
                target = found[url].redirect
                if target is None:
                    continue
                if passed[0] in widening and not self._hosts_are_final:
                    self._hosts.add(target.host)
                if self._may_go(target, passed):
                    self._seen.add(target)
                    following[target] = (*passed, target)
            chains = following
        return links

    def _may_go(self, target: Url, passed: tuple[Url, ...]) -> bool:
        if target in passed:
            self.left_out.add(REDIRECT_LOOP, str(passed[0]))
        elif len(passed) > MAX_REDIRECTS:
            self.left_out.add(TOO_MANY_REDIRECTS, str(passed[0]))
        elif target.host not in self._hosts:
            self.left_out.add(OTHER_HOST, str(target))
        else:
            return target not in self._seen  # another page led there already
        return False

    def _visit(self, urls: list[Url]) -> dict[Url, _Found]:
        """What each address leads to, from the archive or fetched into it."""
        found: dict[Url, _Found] = {}
        missing: list[Request] = []
        for url in urls:
            entry = self._known.get(str(url))
            if entry is None:
                missing.append(Request(url, self._validators(url)))
            else:
                found[url] = self._tell(self._found(url, entry.read()))
        for visit in self._visitor.visits(missing):
            found[visit.url] = self._tell(self._kept(visit))
        return found

    def _validators(self, url: Url) -> Mapping[str, str]:
        before = self._previous.get(str(url))
        return before.validators if before is not None and before.status == 200 else {}

    def _kept(self, visit: Visit) -> _Found:
        """Put an answer into the archive, and say where it leads."""
        response = visit.response
        if response is None:
            return _Found(problem=visit.failure)
        url = str(visit.url)
        before = self._previous.get(url)
        if response.status == 304 and before is not None:
            try:
                capture = before.read()
            except OSError:
                return _Found(problem=LOST_COPY)
            self._known[url] = self._archive.add_unchanged(capture, response)
            return self._found(visit.url, capture)
        found = self._found(visit.url, response)
        if response.status == 200 or found.redirect is not None:
            self._known[url] = self._archive.add(response)
        return found

    def _found(self, url: Url, answer: Response | Capture) -> _Found:
        if answer.status != 200:
            led = redirect_of(url, answer)
            nothing = "" if led.target else led.problem or f"HTTP {answer.status}"
            return _Found(redirect=led.target, problem=nothing)
        kind = answer.header("content-type").lower()
        if kind and "html" not in kind:
            return _Found()
        page = scan_page(answer.body, url, USER_AGENT_TOKEN)
        if not may_follow(directives_of(answer.headers, page)):
            return _Found()
        if not self._hosts_are_final:
            return _Found(page.links)
        return _Found(tuple(link for link in page.links if link.host in self._hosts))

    def _tell(self, found: _Found) -> _Found:
        self._done += 1
        self._failed += bool(found.problem)
        self._task.update(self._done, failed=f"{self._failed:,}")
        return found
