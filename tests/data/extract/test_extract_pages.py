from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.data.extract.extracted import ExtractionError
from modelwright.data.extract.formats import Options
from modelwright.data.extract.page import extract_page

LONG = "A second paragraph of several sentences, for pages of a few words are all menu. " * 9
BULK = Options(extractor="resiliparse")
PAGE = """<!doctype html><html><head><meta charset={charset}><title> A
 title </title><style>p {{ }}</style></head><body><nav><a href=/>Home</a></nav>
<main><h1>Heading</h1><p>Größe eins.</p><p>{long}</p><script>alert(1)</script></main>
<footer>Imprint</footer></body></html>"""


@pytest.mark.parametrize("options", [Options(), BULK], ids=["trafilatura", "resiliparse"])
@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("utf-8", "utf-8"), ("iso-8859-1", "latin-1"), ("iso-8859-1", "utf-8"), ("utf-16", "utf-8")],
)
def test_main_text_and_title_whatever_the_encoding(charset, encoding, options):
    page = extract_page(PAGE.format(charset=charset, long=LONG).encode(encoding), options)
    assert page.title == "A title"
    lines = [line for line in page.text.splitlines() if line]
    assert lines == ["Heading", "Größe eins.", LONG.strip()]
    assert page.replaced == 0


@pytest.mark.parametrize("options", [Options(), BULK], ids=["trafilatura", "resiliparse"])
def test_a_page_of_menus_only_gives_its_visible_text(options):
    assert "Home" in extract_page(b"<html><body><nav>Home page</nav></body></html>", options).text


@pytest.mark.parametrize("options", [Options(), BULK], ids=["trafilatura", "resiliparse"])
@pytest.mark.parametrize(
    "raw", [b"", b"<html></html>", b"<!-- only this -->", b"<script>x</script>"]
)
def test_a_page_without_text_says_so(raw, options):
    with pytest.raises(ExtractionError, match="page without text"):
        extract_page(raw, options)


def test_comments_of_readers_are_left_out():
    article = "<p>" + "An article has sentences, and a few more of them. " * 20 + "</p>"
    raw = f"<article>{article}</article><div id=comments><p>First! Nice post.</p></div>"
    text = extract_page(f"<html><body>{raw}</body></html>".encode(), Options()).text
    assert "An article has sentences" in text
    assert "First!" not in text


@settings(max_examples=50)
@given(raw=st.binary(max_size=200))
def test_any_bytes_give_text_or_a_reason(raw):
    try:
        page = extract_page(raw, BULK)
    except ExtractionError:
        return
    assert page.text.strip()
    page.text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(("options", "least"), [(Options(), 0.92), (BULK, 0.85)])
def test_real_pages_give_most_of_the_text_a_person_marked(shared_data, options, least):
    path = shared_data / "html_articles" / "pages.jsonl.gz"
    scores = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in list(file)[:40]:
            row = json.loads(line)
            raw = row["html"].encode() if "html" in row else base64.b64decode(row["html_b64"])
            found, wanted = (
                Counter(re.findall(r"\w+", text))
                for text in (extract_page(raw, options).text, row["expected_text"])
            )
            common = (found & wanted).total()
            scores.append(2 * common / max(1, found.total() + wanted.total()))
    assert sum(scores) / len(scores) > least
