"""The text of a Word document (.docx: Office Open XML, ECMA-376 part 1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from modelwright.data.extract.characters import readable
from modelwright.data.extract.extracted import Extracted, ExtractionError
from modelwright.data.extract.formats import Options
from modelwright.data.extract.zip_container import ZipContainer

DOCUMENT = "word/document.xml"
STYLES = "word/styles.xml"
PROPERTIES = "docProps/core.xml"

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT_W = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING = re.compile(r"heading ([1-6])", re.IGNORECASE)
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011"}


def extract_word(raw: bytes, options: Options) -> Extracted:
    """Give paragraphs, headings (``#``), list items (``-``) and tables (``a | b``) as text.

    Headers, footers, notes, comments and deleted text are left out.

    Raises
    ------
    ExtractionError
        If it is broken, explodes, or holds no text.
    """
    archive = ZipContainer(raw, "Word document")
    levels = _heading_levels(archive)
    body = archive.read_xml(DOCUMENT).find("{*}body")
    blocks = [] if body is None else list(_blocks(body, levels))
    text = readable(_joined(blocks))
    if not text:
        raise ExtractionError("Word document without text")
    return Extracted(text, title=_title(archive))


def _blocks(parent: etree._Element, levels: dict[str, int]) -> Iterator[str]:
    """Text of what stands in a body or a cell, block by block."""
    for element in parent:
        match _name(element):
            case "p":
                yield _paragraph(element, levels)
            case "tbl":
                yield "\n".join(_rows(element, levels))
            case "sdt" | "sdtContent" | "customXml" | "ins":
                yield from _blocks(element, levels)


def _rows(table: etree._Element, levels: dict[str, int]) -> Iterator[str]:
    for row in table.iterchildren("{*}tr"):
        cells = (" ".join(_blocks(cell, levels)) for cell in row.iterchildren("{*}tc"))
        yield " | ".join(" ".join(cell.split()) for cell in cells)


def _paragraph(element: etree._Element, levels: dict[str, int]) -> str:
    text = "".join(_runs(element)).strip()
    if not text:
        return ""
    style = element.find("{*}pPr/{*}pStyle")
    level = levels.get(_value(style), 0) if style is not None else 0
    if level:
        return f"{'#' * level} {text}"
    return f"- {text}" if element.find("{*}pPr/{*}numPr") is not None else text


def _runs(paragraph: etree._Element) -> Iterator[str]:
    """Pieces of text; what an old program would show instead of a new feature is left out."""
    for element in paragraph:
        name = _name(element)
        if name == "t":
            yield element.text or ""
        elif name in _CHARACTERS:
            yield _CHARACTERS[name]
        elif name not in ("pPr", "rPr", "moveFrom") and element.tag != _FALLBACK:
            yield from _runs(element)


def _joined(blocks: list[str]) -> str:
    """Put a blank line between blocks, and none between the items of a list."""
    lines: list[str] = []
    for before, block in zip(["", *blocks], blocks, strict=False):
        together = before.startswith("- ") and block.startswith("- ")
        lines.append(f"{'' if together else chr(10)}{block}")
    return "\n".join(lines)


def _heading_levels(archive: ZipContainer) -> dict[str, int]:
    """Levels of headings by style id. Ids are translated, the names of these styles are not."""
    if STYLES not in archive:
        return {}
    levels = {}
    for style in archive.read_xml(STYLES).iterchildren("{*}style"):
        name = style.find("{*}name")
        written = _value(name) if name is not None else ""
        if match := _HEADING.fullmatch(written):
            levels[_attribute(style, "styleId")] = int(match.group(1))
        elif written.lower() == "title":
            levels[_attribute(style, "styleId")] = 1
    return levels


def _title(archive: ZipContainer) -> str:
    if PROPERTIES not in archive:
        return ""
    found = archive.read_xml(PROPERTIES).findtext(_TITLE) or ""
    return " ".join(readable(found).split())


def _name(element: etree._Element) -> str:
    """Name of an element of the word-processing vocabulary without its namespace.

    Others keep theirs, so that no drawing's text is taken for the document's.
    """
    if not isinstance(element.tag, str):  # an entity, which is never resolved
        return ""
    return element.tag.removeprefix(_W).removeprefix(_STRICT_W)


def _value(element: etree._Element) -> str:
    return _attribute(element, "val")


def _attribute(element: etree._Element, name: str) -> str:
    return element.get(f"{_W}{name}") or element.get(f"{_STRICT_W}{name}") or ""
