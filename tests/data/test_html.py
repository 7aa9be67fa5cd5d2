from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter

import pytest

from modelwright.data.html import extract_page

PAGE = """<!doctype html><html><head><meta charset={charset}><title> A
 title </title><style>p {{ }}</style></head><body><nav><a href=/>Home</a></nav>
<main><h1>Heading</h1><p>Größe eins.</p><p>Second paragraph.</p><script>alert(1)</script></main>
<footer>Imprint</footer></body></html>"""


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("utf-8", "utf-8"), ("iso-8859-1", "latin-1"), ("iso-8859-1", "utf-8"), ("utf-16", "utf-8")],
)
def test_main_text_and_title_whatever_the_encoding(charset, encoding):
    page = extract_page(PAGE.format(charset=charset).encode(encoding))
    assert page.title == "A title"
    assert page.text.splitlines() == ["Heading", "", "Größe eins.", "", "Second paragraph."]
    assert page.replaced == 0


def test_an_unknown_charset_falls_back_to_utf8_and_counts():
    page = extract_page(PAGE.format(charset="klingon").encode("latin-1"))
    assert "Gr\ufffd\ufffde eins." in page.text
    assert page.replaced == 2


def test_a_page_of_menus_only_gives_its_visible_text():
    assert "Home" in extract_page(b"<html><body><nav>Home page</nav></body></html>").text


@pytest.mark.parametrize(
    "raw", [b"", b"<html></html>", b"<!-- only this -->", b"<script>x</script>"]
)
def test_a_page_without_text_gives_none(raw):
    assert extract_page(raw).text == ""


def test_real_pages_give_most_of_the_text_a_person_marked(shared_data):
    path = shared_data / "html_articles" / "pages.jsonl.gz"
    scores = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in list(file)[:40]:
            row = json.loads(line)
            raw = row["html"].encode() if "html" in row else base64.b64decode(row["html_b64"])
            found, wanted = (
                Counter(re.findall(r"\w+", text))
                for text in (extract_page(raw).text, row["expected_text"])
            )
            common = (found & wanted).total()
            scores.append(2 * common / max(1, found.total() + wanted.total()))
    assert sum(scores) / len(scores) > 0.85
