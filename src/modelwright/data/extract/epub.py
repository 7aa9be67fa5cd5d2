"""The text of an EPUB book (EPUB 2 and 3)."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

from lxml import etree
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from modelwright.data.extract.characters import readable
from modelwright.data.extract.charset import decode_page
from modelwright.data.extract.extracted import Extracted, ExtractionError
from modelwright.data.extract.formats import Options
from modelwright.data.extract.page_licence import creative_commons
from modelwright.data.extract.prescan import check_markup
from modelwright.data.extract.zip_container import ZipContainer

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
RIGHTS = "dc:rights"

_SPACES = {
    "container": "urn:oasis:names:tc:opendocument:xmlns:container",
    "dc": "http://purl.org/dc/elements/1.1/",
    "encryption": "http://www.w3.org/2001/04/xmlenc#",
    "opf": "http://www.idpf.org/2007/opf",
}
_PAGE_TYPES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
# XHTML may close these in the same tag; HTML would take all that follows for their content.
_EMPTY_RAW = re.compile(r"<(title|script|style|textarea|iframe)((?:\s[^<>]*)?)/>", re.IGNORECASE)


def extract_epub(raw: bytes, options: Options) -> Extracted:
    """Give the text of the chapters in the reading order that the book states.

    Raises
    ------
    ExtractionError
        If it is broken, protected against copying, explodes, or holds no text.
    """
    book = ZipContainer(raw, "EPUB")
    package_path = _package_path(book)
    package = book.read_xml(package_path)
    protected = _protected(book)
    chapters, replaced = [], 0
    for path in _reading_order(package, posixpath.dirname(package_path)):
        if path in protected:
            raise ExtractionError("encrypted EPUB")
        text, broken = _chapter(book.read(path))
        chapters.append(text)
        replaced += broken
    text = readable("\n\n".join(chapter for chapter in chapters if chapter))
    if not text:
        raise ExtractionError("EPUB without text")
    licence = creative_commons(_first(package, "//dc:rights"))
    title = " ".join(readable(_first(package, "//dc:title")).split())
    return Extracted(text, title, replaced, licence, RIGHTS if licence else "")


def _package_path(book: ZipContainer) -> str:
    found = _all(book.read_xml(CONTAINER), "//container:rootfile/@full-path")
    if not found:
        raise ExtractionError("broken EPUB: no package file")
    return found[0]


def _reading_order(package: etree._Element, folder: str) -> list[str]:
    """Paths of the chapters; each once, as a book may name one a million times."""
    paths = {}
    for item in package.iterfind(".//opf:manifest/opf:item", _SPACES):
        if item.get("media-type") in _PAGE_TYPES:
            paths[item.get("id")] = posixpath.normpath(
                posixpath.join(folder, unquote(item.get("href", "")))
            )
    order = _all(package, "//opf:spine/opf:itemref/@idref")
    return list(dict.fromkeys(paths[name] for name in order if name in paths))


def _protected(book: ZipContainer) -> set[str]:
    """Paths of the parts that are encrypted; often these are only fonts."""
    if ENCRYPTION not in book:
        return set()
    return {
        unquote(uri) for uri in _all(book.read_xml(ENCRYPTION), "//encryption:CipherReference/@URI")
    }


def _chapter(raw: bytes) -> tuple[str, int]:
    markup, replaced = decode_page(raw)
    markup = _EMPTY_RAW.sub(r"<\1\2></\1>", markup)
    check_markup(markup)
    tree = HTMLTree.parse(markup)
    text = extract_plain_text(tree, preserve_formatting=True, main_content=False, alt_texts=False)
    return text.strip(), replaced


def _first(root: etree._Element, path: str) -> str:
    found = root.xpath(f"string({path})", namespaces=_SPACES)
    return str(found)


def _all(root: etree._Element, path: str) -> list[str]:
    found = root.xpath(path, namespaces=_SPACES)
    return [str(value) for value in found] if isinstance(found, list) else []
