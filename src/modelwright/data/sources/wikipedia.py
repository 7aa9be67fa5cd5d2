"""Articles of a Wikipedia dump as documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from modelwright.core.errors import InputError
from modelwright.core.progress import Progress
from modelwright.data.corpus import Document, new_document
from modelwright.data.drops import Drops, in_words
from modelwright.data.folder import find_files, fingerprint_files, relative_name
from modelwright.data.licences import FROM_SETTINGS, normalise
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import WikipediaSource
from modelwright.data.sources.wikipedia_dump import MAX_WIKITEXT, DumpError, DumpFile, Page, Site
from modelwright.data.sources.wikitext import plain_text

NOT_A_DUMP = "not a file of a Wikipedia dump"
OTHER_NAMESPACE = "page outside the articles' namespace"
REDIRECT = "redirect"
NOT_WIKITEXT = "page that is not wikitext"
TOO_LARGE = f"article with more than {MAX_WIKITEXT // 2**20} MiB of wikitext"
DISAMBIGUATION = "disambiguation page"
EMPTY = "article without text"
DAMAGED = "damaged dump"

UPDATE_EVERY = 100
"""Pages between two reports of progress."""

_DUMP_NAME = re.compile(r"\.xml(-p\d+p\d+)?(\.bz2|\.gz)?$", re.IGNORECASE)
_DISAMBIGUATION_TEMPLATE = re.compile(
    r"\{\{\s{0,4}(?:"
    # English, with the short forms that other wikis took over
    r"disambig|disambiguation|disambiguation cleanup|dab|hndis|geodis|"
    r"human name disambiguation|place name disambiguation|"
    # German, French, Spanish, Italian, Portuguese, Dutch, Polish, Swedish
    r"begriffsklärung|homonymie|desambiguación|disambigua|desambiguação|dp|ujednoznacznienie|"
    r"förgrening|"
    # Russian, Japanese, Chinese
    r"неоднозначность|многозначность|aimai|曖昧さ回避|消歧义|消歧義"
    r")\s{0,4}[|}]",
    re.IGNORECASE,
)


class WikipediaReader:
    """Reads the articles of a dump: one file, or a folder with its parts.

    Parameters
    ----------
    settings : WikipediaSource
        Where, and under which licence.
    """

    def __init__(self, settings: WikipediaSource):
        self._root = Path(settings.path)
        self._licence = normalise(settings.licence)
        # The wiki and not the date of the dump: an article that did not change keeps its id.
        self.name = f"wikipedia:{self._root.name.partition('-')[0]}"

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Yield the articles in the order of the dump.

        What was read of a damaged file before the damage stays; the damage is counted.

        Raises
        ------
        InputError
            If there is no dump, or no article in it that can be used.
        """
        before = reading.drops.counts
        found = 0
        for path in self._files(reading.drops):
            for document in self._articles(path, reading.progress, reading.drops):
                found += 1
                yield document
        if not found:
            left_out = in_words(reading.drops.since(before)) or "no page"
            raise InputError(
                f"no article can be read here: {left_out}",
                where=self._root,
                fix="give a file *-pages-articles.xml.bz2 of dumps.wikimedia.org",
            )

    def fingerprint(self) -> object:
        """Names, sizes and times of the files, cheap to get and different after any change."""
        return fingerprint_files(self._files(Drops(lambda text: None)), self._root)

    def _files(self, drops: Drops) -> list[Path]:
        paths = find_files(self._root, drops)
        if paths == [self._root]:
            return paths
        for path in paths:
            if not _DUMP_NAME.search(path.name):
                drops.add(NOT_A_DUMP, relative_name(path, self._root))
        return [path for path in paths if _DUMP_NAME.search(path.name)]

    def _articles(self, path: Path, progress: Progress, drops: Drops) -> Iterator[Document]:
        dump = DumpFile(path)
        found = 0
        with progress.task(f"read {path.name}", path.stat().st_size, "bytes") as task:
            try:
                for number, page in enumerate(dump.pages(), 1):
                    if document := self._document(page, dump.site, drops):
                        found += 1
                        yield document
                    if number % UPDATE_EVERY == 0:
                        task.update(dump.position, articles=f"{found:,}")
            except DumpError as error:
                name = relative_name(path, self._root)
                drops.add(f"{DAMAGED}: {error}", f"{name}, after {found:,} articles")

    def _document(self, page: Page, site: Site, drops: Drops) -> Document | None:
        """The page as a document, or None if it is left out."""
        if page.namespace != "0":
            drops.add(OTHER_NAMESPACE)
        elif page.is_redirect:
            drops.add(REDIRECT)
        elif page.model != "wikitext":
            drops.add(NOT_WIKITEXT, page.title)
        elif page.wikitext is None:
            drops.add(TOO_LARGE, page.title)
        elif is_disambiguation(page.wikitext):
            drops.add(DISAMBIGUATION)
        elif not (text := plain_text(page.wikitext, frozenset(site.file_prefixes))):
            drops.add(EMPTY, page.title)
        else:
            return new_document(
                text,
                source=self.name,
                url=article_address(site.base, page.title),
                title=page.title,
                licence=self._licence,
                licence_from=FROM_SETTINGS,
                raw=page.wikitext.encode(),
            )
        return None


def is_disambiguation(wikitext: str) -> bool:
    """Whether a page holds a template that marks a list of like-named articles."""
    return _DISAMBIGUATION_TEMPLATE.search(wikitext) is not None


def article_address(base: str, title: str) -> str:
    """Address of an article, beside the main page whose address is ``base``.

    Without a usable base the title itself is the address.
    """
    name = quote(title.replace(" ", "_"), safe="/:@!$*(),;'~-._")
    if not base.startswith(("https://", "http://")):
        return name
    return f"{base.rpartition('/')[0]}/{name}"
