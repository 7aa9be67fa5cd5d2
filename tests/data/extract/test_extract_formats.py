from __future__ import annotations

import io
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_documents import EPUB_PACKAGE, WORD, epub, pdf_page, word, zipped
from pypdf import PdfWriter

from modelwright.data.extract.epub import extract_epub
from modelwright.data.extract.extracted import Extracted, ExtractionError
from modelwright.data.extract.formats import KINDS, Options
from modelwright.data.extract.notebook import extract_notebook
from modelwright.data.extract.pdf import extract_pdf
from modelwright.data.extract.word import extract_word
from modelwright.data.extract.worker import _load

NO = Options()
PDF = pdf_page(b"BT /F 12 Tf 1 0 0 1 9 90 Tm (Hello reader) Tj ET")


@pytest.mark.parametrize("kind", KINDS)
@given(raw=st.binary(max_size=100))
def test_any_bytes_give_text_or_a_reason(kind, raw):
    with suppress(ExtractionError):
        assert isinstance(_load(KINDS[kind])(raw, Options(extractor="resiliparse")), Extracted)


@pytest.mark.parametrize(
    ("extract", "raw"),
    [(extract_pdf, PDF), (extract_epub, epub("<p>x</p>")), (extract_word, word(WORD))],
)
@given(data=st.data())
def test_a_damaged_file_gives_text_or_a_reason(extract, raw, data):
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ExtractionError):
        assert extract(bytes(damaged[: data.draw(st.integers(0, len(raw)))]), NO).text


def test_pdf_text_and_title():
    writer = PdfWriter(clone_from=io.BytesIO(PDF))
    writer.add_metadata({"/Title": " The\n title "})
    assert extract_pdf(written(writer), NO) == Extracted("Hello reader", title="The title")


def test_a_pdf_that_needs_a_password():
    writer = PdfWriter(clone_from=io.BytesIO(PDF))
    writer.encrypt("", "owner", algorithm="RC4-128")
    assert extract_pdf(written(writer), NO).text == "Hello reader"
    writer = PdfWriter(clone_from=io.BytesIO(PDF))
    writer.encrypt("user", "owner", algorithm="RC4-128")
    with pytest.raises(ExtractionError, match="encrypted PDF"):
        extract_pdf(written(writer), NO)


def test_a_pdf_of_pictures():
    with pytest.raises(ExtractionError, match="PDF without text"):
        extract_pdf(pdf_page(b"0 0 9 9 re f"), NO)


def written(writer: PdfWriter) -> bytes:
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def chapter(text: str) -> str:
    return (
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head>'
        f"<body><h1>{text}</h1><p>caf&eacute;&nbsp;{text}.</p></body></html>"
    )


def book(**extra: str) -> bytes:
    package = """<?xml version="1.0"?>
    <package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
    <metadata><dc:title>A  book</dc:title>
    <dc:rights>http://creativecommons.org/licenses/by-sa/4.0/</dc:rights></metadata>
    <manifest><item id="one" href="text/one%20.xhtml" media-type="application/xhtml+xml"/>
    <item id="two" href="text/two.xhtml" media-type="application/xhtml+xml"/>
    <item id="cover" href="cover.png" media-type="image/png"/></manifest>
    <spine><itemref idref="cover"/><itemref idref="two"/><itemref idref="one"/>
    <itemref idref="two"/><itemref idref="none"/></spine></package>"""
    container = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
    <rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>"""
    return zipped(
        {
            "META-INF/container.xml": container,
            "OEBPS/book.opf": package,
            "OEBPS/text/one .xhtml": chapter("First"),
            "OEBPS/text/two.xhtml": chapter("Second"),
            **extra,
        }
    )


def test_epub_chapters_come_in_reading_order():
    found = extract_epub(book(), NO)
    lines = [line for line in found.text.splitlines() if line]
    assert [line.replace("\xa0", " ") for line in lines] == [
        "Second",
        "café Second.",
        "First",
        "café First.",
    ]
    assert (found.title, found.licence, found.licence_from) == (
        "A book",
        "CC-BY-SA-4.0",
        "dc:rights",
    )


def test_an_epub_with_encrypted_chapters_and_one_with_encrypted_fonts():
    form = (
        '<encryption><EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#"><CipherData>'
        '<CipherReference URI="{}"/></CipherData></EncryptedData></encryption>'
    )
    name = "META-INF/encryption.xml"
    assert extract_epub(book(**{name: form.format("OEBPS/font.otf")}), NO).text
    with pytest.raises(ExtractionError, match="encrypted EPUB"):
        extract_epub(book(**{name: form.format("OEBPS/text/two.xhtml")}), NO)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"no zip", "broken EPUB: no ZIP file"),
        (zipped({"a": "b"}), "broken EPUB: a part is missing"),
        (zipped({"META-INF/container.xml": "<a/>"}), "broken EPUB: no package file"),
        (zipped({"META-INF/container.xml": "<a>"}), "broken EPUB: broken XML"),
        (epub("x", EPUB_PACKAGE.replace("<item ", "<no ")), "EPUB without text"),
        (epub("<p>" + " " * 10_000_000), "EPUB too large when decompressed"),
    ],
)
def test_why_an_epub_gives_nothing(raw, reason):
    with pytest.raises(ExtractionError, match=reason):
        extract_epub(raw, NO)


def test_word_headings_lists_and_tables():
    def paragraph(text: str, properties: str = "") -> str:
        return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"

    item = "<w:numPr><w:ilvl w:val='0'/></w:numPr>"
    cell = f"<w:tc>{paragraph('a')}{paragraph('b')}</w:tc>"
    body = (
        paragraph("Titel", '<w:pStyle w:val="Titel"/>')
        + paragraph("Zwei", '<w:pStyle w:val="berschrift2"/>')
        + "<w:p><w:r><w:t>one</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r>"
        + "<w:ins><w:r><w:t> new</w:t></w:r></w:ins>"
        + "<w:del><w:r><w:delText> old</w:delText></w:r></w:del></w:p><w:p/>"
        + paragraph("first", item)
        + paragraph("second", item)
        + f"<w:tbl><w:tr>{cell}{cell}</w:tr><w:tr>{cell}<w:tc/></w:tr></w:tbl>"
        + f"<w:sdt><w:sdtContent>{paragraph('inside')}</w:sdtContent></w:sdt>"
    )
    styles = (
        '<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        '<w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>'
        '<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style></w:styles>'
    )
    core = '<c xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The title</dc:title></c>'
    raw = zipped(
        {
            "word/document.xml": WORD.format(body=body),
            "word/styles.xml": styles,
            "docProps/core.xml": core,
        }
    )
    found = extract_word(raw, NO)
    assert found.title == "The title"
    assert found.text.split("\n\n") == [
        "# Titel",
        "## Zwei",
        "one\ttwo\nthree new",
        "- first\n- second",
        "a b | a b\na b |",
        "inside",
    ]


def notebook(*cells: tuple[str, str | list[str]], **rest: object) -> bytes:
    return json.dumps(
        {"cells": [{"cell_type": kind, "source": source} for kind, source in cells], **rest}
    ).encode()


def test_notebook_cells():
    raw = notebook(
        ("code", "# no title"),
        ("markdown", ["# The title\n", "text"]),
        ("raw", "left out"),
        ("code", "print('```')"),
        ("code", " \n"),
        metadata={"language_info": {"name": "julia"}},
    )
    found = extract_notebook(raw, NO)
    assert found.text.split("\n\n") == [
        "```julia\n# no title\n```",
        "# The title\ntext",
        "````julia\nprint('```')\n````",
    ]
    assert found.title == "The title"


def test_a_notebook_of_format_3():
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Head"},
        {"cell_type": "code", "input": "x = 1", "outputs": [{"text": "left out"}]},
    ]
    raw = json.dumps({"worksheets": [{"cells": cells}]}).encode()
    assert extract_notebook(raw, NO).text == "## Head\n\n```python\nx = 1\n```"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "broken notebook"),
        (b"[]", "broken notebook"),
        (b"{}", "notebook without text"),
        (b'{"cells": [1, {"cell_type": "code", "source": 3}], "metadata": 1}', "without text"),
    ],
)
def test_why_a_notebook_gives_nothing(raw, reason):
    with pytest.raises(ExtractionError, match=reason):
        extract_notebook(raw, NO)
