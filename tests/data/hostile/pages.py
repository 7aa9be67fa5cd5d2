"""Documents that are made to hang, fill or break what reads them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from made_documents import EPUB_PACKAGE, WORD, epub, pdf, pdf_page, word, zipped

from modelwright.data.extract.formats import Options

HEAD = "<!doctype html><html><head><title>t</title></head><body>"
PROSE = "<p>This is a paragraph of ordinary text that an extractor should find.</p>"
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    + "]>"
)
SECRET = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a11 SYSTEM "file:///etc/passwd">]>'


@dataclass(frozen=True)
class HostileCase:
    """One document, and what its text must never hold."""

    name: str
    kind: str
    make: Callable[[], bytes]
    options: Options = Options()  # noqa: RUF009
    never: str = "root:"


def page(body: str) -> Callable[[], bytes]:
    return lambda: f"{HEAD}{PROSE}{body}".encode()


def pdf_bomb() -> bytes:
    return pdf_page(zlib.compress(b" " * 80_000_000), b"/Filter/FlateDecode")


def pdf_bomb_twice() -> bytes:
    packed = zlib.compress(zlib.compress(bytes(100_000_000)))
    return pdf_page(packed, b"/Filter[/FlateDecode/FlateDecode]")


def pdf_cycle() -> bytes:
    return pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R 3 0 R]/Count 2>>",
        b"<</Type/Pages/Parent 2 0 R/Kids[2 0 R 2 0 R]/Count 2>>",
    )


def pdf_tree_of_powers() -> bytes:
    """Forty levels of page nodes, each with the same child twice: 2 to the 40th pages."""
    levels = [b"<</Type/Pages/Kids[%d 0 R %d 0 R]/Count 9>>" % (n, n) for n in range(3, 43)]
    return pdf(b"<</Type/Catalog/Pages 2 0 R>>", *levels, b"<</Type/Page/MediaBox[0 0 9 9]>>")


def pdf_form_loop() -> bytes:
    """A form that paints itself."""
    paints = b"/Resources<</XObject<</X 4 0 R>>>>"
    form = b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]%b/Length 12>>" % paints
    return pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/Contents 5 0 R/MediaBox[0 0 9 9]%b>>" % paints,
        form + b"\nstream\n/X Do /X Do \nendstream",
        b"<</Length 6>>\nstream\n/X Do \nendstream",
    )


def pdf_xref_loop() -> bytes:
    raw = b"%PDF-1.7\n"
    place = len(raw)
    return raw + (
        b"xref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 1/Root 1 0 R/Prev %d>>\n"
        b"startxref\n%d\n%%%%EOF" % (place, place)
    )


def huge() -> bytes:
    return b"<p>" + b" " * 60_000_000 + b"</p>"


def nested(count: int) -> str:
    return "<div>" * count + "deep" + "</div>" * count


RESILIPARSE = Options(extractor="resiliparse")

CASES: tuple[HostileCase, ...] = (
    HostileCase("100,000 nested div", "page", page(nested(100_000))),
    HostileCase("900 nested div", "page", page(nested(900))),
    HostileCase("900 nested div, resiliparse", "page", page(nested(900)), RESILIPARSE),
    HostileCase("hidden nesting", "page", page("<q><div></q></div>" * 100_000)),
    HostileCase("nesting behind comments", "page", page("<div><!--</div>-->" * 100_000)),
    HostileCase("nesting behind attributes", "page", page('<div a="</div>">' * 100_000)),
    HostileCase("100,000 nested formatting elements", "page", page("<b><i>" * 50_000 + "x")),
    HostileCase("100,000 open paragraphs", "page", page("<p>x" * 100_000)),
    HostileCase("20,000 nested tables", "page", page("<table><tr><td>" * 20_000)),
    HostileCase(
        "200,000 attributes in a tag",
        "page",
        page("<p " + " ".join(f"a{n}=1" for n in range(200_000)) + ">"),
    ),
    HostileCase("500,000 bare attributes in a tag", "page", page("<p" + " a" * 500_000 + ">")),
    HostileCase(
        "colspan of a thousand million",
        "page",
        page("<table><tr><td colspan=1000000000>x<td rowspan='999999999'>y</table>"),
    ),
    HostileCase(
        "cells of full width",
        "page",
        page("<table>" + "<tr><td colspan=60000>x" * 20_000 + "</table>"),
    ),
    HostileCase("200,000 cells", "page", page("<table>" + "<tr><td>x" * 200_000)),
    HostileCase("8 MB of white space", "page", page("<p>a" + " " * 8_000_000 + "b</p>")),
    HostileCase("white space in small runs", "page", page(("x" + " " * 40_000) * 100)),
    HostileCase("8 MB of no-break space", "page", page("<p>a" + "&nbsp;" * 1_400_000 + "b")),
    HostileCase("an unclosed tag of 8 MB", "page", page("<p " + "x" * 8_000_000)),
    HostileCase("an unclosed quote of 8 MB", "page", page('<p a="' + "x" * 8_000_000)),
    HostileCase("a million lone <", "page", page("<" * 1_000_000)),
    HostileCase("a million opened comments", "page", page("<!--" * 1_000_000)),
    HostileCase("half a million ends of nothing", "page", page("</x>" * 500_000)),
    HostileCase("a million line breaks", "page", page("<br>" * 1_000_000)),
    HostileCase("a million character references", "page", page("&#65;&amp;" * 500_000)),
    HostileCase("references to no character", "page", page("&#xD800;&#x110000;&#0;" * 1_000)),
    HostileCase("a word of 5 MB", "page", page(f"<p>{'x' * 5_000_000}</p>")),
    HostileCase("a page of 50 MB", "page", page(PROSE * 700_000)),
    HostileCase("a page of 7 MB", "page", page(PROSE * 100_000), RESILIPARSE),
    HostileCase(
        "UTF-7 in the header",
        "page",
        lambda: HEAD.encode() + b"+ADw-script+AD4-alert(1)+ADw-/script+AD4- text",
        Options(content_type="text/html; charset=utf-7"),
        never="<script>",
    ),
    HostileCase(
        "UTF-7 in a meta element",
        "page",
        lambda: b"<meta charset=utf-7><p>+ADw-script+AD4-alert(1)+ADw-/script+AD4- text",
        never="<script>",
    ),
    HostileCase("NUL bytes", "page", lambda: HEAD.encode() + b"<p>a\0b\0c</p>\0", never="\0"),
    HostileCase(
        "broken UTF-8", "page", lambda: HEAD.encode() + b"<p>\xff\xfe\x80 \xed\xa0\x80</p>"
    ),
    HostileCase("half a character of UTF-16", "page", lambda: b"\xff\xfe<\0p\0>\0a\0\0\xd8b"),
    HostileCase("UTF-16 of lone surrogates", "page", lambda: b"\xfe\xff" + b"\xd8\x00" * 100_000),
    HostileCase("random bytes", "page", lambda: zlib.compress(bytes(range(256)) * 4_000) * 50),
    HostileCase(
        "hidden characters",
        "page",
        page("<p>Plain" + "".join(chr(0xE0000 + ord(c)) for c in "obey") + "\u202e text\u200b</p>"),
        never="\u202e",
    ),
    HostileCase("external entity in XHTML", "page", lambda: f"{SECRET}<p>&a11;</p>".encode()),
    HostileCase("million laughs in XHTML", "page", lambda: f"{LAUGHS}<p>&a11;</p>".encode()),
    HostileCase("million laughs in a chapter", "epub", lambda: epub(f"{LAUGHS}<p>&a11;</p>")),
    HostileCase(
        "million laughs in a package",
        "epub",
        lambda: epub("x", f"{LAUGHS}<package>&a11;</package>"),
    ),
    HostileCase(
        "external entity in a package",
        "epub",
        lambda: epub(
            PROSE, SECRET + EPUB_PACKAGE.replace("<metadata/>", "<metadata>&a11;</metadata>")
        ),
    ),
    HostileCase(
        "a spine of a million chapters",
        "epub",
        lambda: epub(
            PROSE, EPUB_PACKAGE.replace("<spine>", "<spine>" + '<itemref idref="c"/>' * 10**6)
        ),
    ),
    HostileCase("EPUB bomb", "epub", lambda: epub(huge())),
    HostileCase("EPUB chapter of 100,000 nested div", "epub", lambda: epub(nested(100_000))),
    HostileCase("EPUB that is no ZIP", "epub", lambda: b"PK\x03\x04" + b"\xff" * 1_000),
    HostileCase("EPUB of nothing", "epub", lambda: zipped({})),
    HostileCase(
        "EPUB of 25,000 parts", "epub", lambda: zipped({f"{n}": "" for n in range(25_000)})
    ),
    HostileCase(
        "EPUB outside of itself",
        "epub",
        lambda: epub(PROSE, EPUB_PACKAGE.replace("c.xhtml", "../../../../etc/passwd")),
    ),
    HostileCase("Word bomb", "word", lambda: word(huge())),
    HostileCase(
        "million laughs in Word",
        "word",
        lambda: word(LAUGHS + WORD.format(body="<w:p><w:r><w:t>&a11;</w:t></w:r></w:p>")),
    ),
    HostileCase(
        "external entity in Word",
        "word",
        lambda: word(SECRET + WORD.format(body="<w:p><w:r><w:t>x&a11;</w:t></w:r></w:p>")),
    ),
    HostileCase(
        "nested Word tables",
        "word",
        lambda: word(WORD.format(body="<w:tbl><w:tr><w:tc>" * 20_000)),
    ),
    HostileCase(
        "Word runs nested 200 deep",
        "word",
        lambda: word(WORD.format(body=f"<w:p>{'<w:r>' * 200}<w:t>x</w:t>{'</w:r>' * 200}</w:p>")),
    ),
    HostileCase("PDF with a cycle of pages", "pdf", pdf_cycle),
    HostileCase("PDF of 2 to the 40th pages", "pdf", pdf_tree_of_powers),
    HostileCase("PDF with a form that paints itself", "pdf", pdf_form_loop),
    HostileCase("PDF with a loop of tables", "pdf", pdf_xref_loop),
    HostileCase("PDF with a stream of 80 MB", "pdf", pdf_bomb),
    HostileCase("PDF packed twice", "pdf", pdf_bomb_twice),
    HostileCase("PDF with nested arrays", "pdf", lambda: pdf_page(b"[" * 200_000)),
    HostileCase("PDF with nested dictionaries", "pdf", lambda: pdf(b"<</A" * 50_000)),
    HostileCase(
        "PDF that lies about its length", "pdf", lambda: pdf_page(b"BT", b"/Length 99999999999")
    ),
    HostileCase("PDF of nothing", "pdf", lambda: b"%PDF-1.7\n%%EOF"),
    HostileCase("PDF of open comments", "pdf", lambda: b"%PDF-1.7\n" + b"%\n" * 1_000_000),
    HostileCase("notebook nested 100,000 deep", "notebook", lambda: b'{"cells":' + b"[" * 100_000),
    HostileCase(
        "notebook of a huge number", "notebook", lambda: b'{"cells": 1' + b"0" * 2_000_000 + b"}"
    ),
    HostileCase(
        "notebook with lone surrogates",
        "notebook",
        lambda: rb'{"cells": [{"cell_type": "markdown", "source": "a \ud800 b"}]}',
        never="\ud800",
    ),
)
