"""The readable text of a web page."""

from __future__ import annotations

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from modelwright.data.extract.characters import readable
from modelwright.data.extract.charset import decode_page
from modelwright.data.extract.extracted import Extracted, ExtractionError
from modelwright.data.extract.formats import Options
from modelwright.data.extract.page_licence import page_licence
from modelwright.data.extract.prescan import check_markup

MAX_BYTES = 4 * 20_000_000
"""No page of more bytes can pass the scan, whatever its encoding."""


def extract_page(raw: bytes, options: Options) -> Extracted:
    """Extract the main text, the title and the stated licence of an HTML page.

    Menus, footers and the like are left out. Where the chosen extractor finds nothing, the main
    content as resiliparse sees it is taken, and where that is nothing, all visible text.

    Raises
    ------
    ExtractionError
        If it has no text, or is built to keep a parser busy.
    """
    if len(raw) > MAX_BYTES:
        raise ExtractionError("page too large")
    markup, replaced = decode_page(raw, options.content_type)
    check_markup(markup)
    text = _main_text(markup) if options.extractor == "trafilatura" else ""
    tree = HTMLTree.parse(markup)
    text = text or _plain_text(tree, main_content=True) or _plain_text(tree, main_content=False)
    if not text:
        raise ExtractionError("page without text")
    title = " ".join(readable(tree.title or "").split())
    licence, licence_from = page_licence(tree)
    return Extracted(text, title, replaced, licence, licence_from)


def _main_text(markup: str) -> str:
    # Only this way of extraction needs it, and importing it takes half a second.
    from trafilatura import extract

    # fast=True leaves out the comparison with other extractors: equal F in two thirds of the time.
    return readable(extract(markup, fast=True, include_comments=False) or "")


def _plain_text(tree: HTMLTree, main_content: bool) -> str:
    text = extract_plain_text(
        tree, preserve_formatting=True, main_content=main_content, alt_texts=False, comments=False
    )
    return readable(text)
