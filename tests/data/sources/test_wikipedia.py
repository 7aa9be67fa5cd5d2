from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import tracemalloc
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.data.drops import Drops
from modelwright.data.sources import wikipedia, wikipedia_dump
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import WikipediaSource
from modelwright.data.sources.streams import ExpansionLimits
from modelwright.data.sources.wikipedia import WikipediaReader, article_address, is_disambiguation
from modelwright.data.sources.wikipedia_dump import DumpError, DumpFile

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
<siteinfo><sitename>Wikipedia</sitename><dbname>dewiki</dbname>
<base>https://de.wikipedia.org/wiki/Wikipedia:Hauptseite</base>
<namespaces><namespace key="-2" case="first-letter">Medium</namespace>
<namespace key="0" /><namespace key="6">Datei</namespace><namespace key="14">Kategorie</namespace>
</namespaces></siteinfo>
"""
END = "</mediawiki>"


def page(title: str, wikitext: str, ns: int = 0, extra: str = "", model: str = "wikitext") -> str:
    return (
        f"<page><title>{escape(title)}</title><ns>{ns}</ns><id>1</id>{extra}<revision><id>2</id>"
        f"<contributor><username>title</username></contributor><model>{model}</model>"
        f'<text bytes="1" xml:space="preserve">{escape(wikitext)}</text></revision></page>\n'
    )


ARTICLES = [
    page(f"Artikel {n}", f"Text von '''Artikel''' {n}, {n * 7} [[Datei:x]]") for n in range(40)
]


@pytest.fixture
def read(tmp_path, notes):
    """Read a dump: ``(documents, counts of what was left out)``."""

    def read_dump(path, **settings):
        drops = Drops(notes.note)
        reading = Reading(notes, drops, sandbox=None, kept=tmp_path / "kept")
        reader = WikipediaReader(WikipediaSource(path=str(path), **settings))
        return list(reader.documents(reading)), drops.counts

    return read_dump


@pytest.fixture
def dump(tmp_path):
    def write(*pages, name="dewiki-20260101-pages-articles.xml", head=HEAD, end=END):
        path = tmp_path / name
        content = (head + "".join(pages) + end).encode()
        packed = {".bz2": bz2.compress, ".gz": gzip.compress}.get(path.suffix)
        path.write_bytes(packed(content) if packed else content)
        return path

    return write


def test_articles_with_all_that_is_known_of_them(dump, read):
    wikitext = "'''Straße''' {{Box}} in [[München|der Stadt]] [[Kategorie:Straße]] &amp; mehr"
    (document,), counts = read(dump(page("Straße & Weg: 100 %?", wikitext)))
    assert document.text == "Straße in der Stadt & mehr"
    assert document.title == "Straße & Weg: 100 %?"
    assert document.url == "https://de.wikipedia.org/wiki/Stra%C3%9Fe_%26_Weg:_100_%25%3F"
    assert document.source == "wikipedia:dewiki"
    assert (document.licence, document.licence_from) == ("CC-BY-SA-4.0", "settings")
    assert document.sha256 == hashlib.sha256(wikitext.encode()).hexdigest()
    assert document.fetched_at == ""
    assert counts == {}


def test_what_is_no_article_is_counted(dump, read, monkeypatch):
    monkeypatch.setattr(wikipedia_dump, "MAX_WIKITEXT", 1000)
    path = dump(
        page("A", "An article."),
        page("Diskussion:A", "talk", ns=1),
        page("Vorlage:B", "{{c}}", ns=10),
        page("D", "#REDIRECT [[A]]", extra='<redirect title="A" />'),
        page("E", "''E'' may mean:\n* [[F]]\n{{Begriffsklärung}}"),
        page("G", "{{Box}}"),
        page("H", "{}", model="json"),
        page("I", "x" * 1001),
        page("J", "The last article."),
    )
    documents, counts = read(path)
    assert [document.title for document in documents] == ["A", "J"]
    assert counts == {
        wikipedia.OTHER_NAMESPACE: 2,
        wikipedia.REDIRECT: 1,
        wikipedia.DISAMBIGUATION: 1,
        wikipedia.EMPTY: 1,
        wikipedia.NOT_WIKITEXT: 1,
        wikipedia.TOO_LARGE: 1,
    }


def test_of_several_revisions_the_last_counts(dump, read):
    twice = page("A", "old").replace("</page>", page("A", "new").partition("<id>1</id>")[2].strip())
    (document,), _ = read(dump(twice))
    assert document.text == "new"


def test_every_packing_gives_the_same_documents(dump, tmp_path, read):
    expected, _ = read(dump(*ARTICLES))
    assert len(expected) == 40
    for suffix in (".bz2", ".gz"):
        assert read(dump(*ARTICLES, name=f"dewiki-2-pages-articles.xml{suffix}"))[0] == expected
    # As Wikipedia makes them: head, groups of pages and end in a stream each.
    streams = [HEAD, *("".join(ARTICLES[start : start + 7]) for start in range(0, 40, 7)), END]
    multistream = tmp_path / "dewiki-3-pages-articles-multistream.xml.bz2"
    multistream.write_bytes(b"".join(bz2.compress(part.encode()) for part in streams))
    assert read(multistream)[0] == expected


def test_a_folder_with_the_parts_of_a_dump(dump, tmp_path, read):
    dump(*ARTICLES[:3], name="dewiki-1-pages-articles1.xml-p1p3.bz2")
    (tmp_path / "dewiki-1-pages-articles1.xml-p1p3.bz2").write_bytes(
        bz2.compress((HEAD + "".join(ARTICLES[:3]) + END).encode())
    )
    dump(*ARTICLES[3:5], name="dewiki-1-pages-articles2.xml.gz")
    (tmp_path / "index.txt").write_text("no dump")
    documents, counts = read(tmp_path)
    assert [document.title for document in documents] == [f"Artikel {n}" for n in range(5)]
    assert counts == {wikipedia.NOT_A_DUMP: 1}


@pytest.mark.parametrize("suffix", ["", ".bz2", ".gz"])
def test_of_a_dump_that_is_cut_off_the_beginning_stays(dump, read, notes, suffix, monkeypatch):
    monkeypatch.setattr(wikipedia_dump, "CHUNK", 512)
    path = dump(*ARTICLES, name=f"dewiki.xml{suffix}")
    whole, _ = read(path)
    if suffix == ".bz2":  # a block gives nothing unless it is whole, so there must be several
        parts = [bz2.compress(text.encode()) for text in (HEAD, *ARTICLES, END)]
        path.write_bytes(b"".join(parts))
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 3 // 4])
    documents, counts = read(path)
    assert 0 < len(documents) < 40
    assert documents == whole[: len(documents)]
    (reason,) = counts
    assert reason.startswith(wikipedia.DAMAGED)
    assert any(
        f"dewiki.xml{suffix}, after {len(documents)} articles" in line for line in notes.lines
    )


def test_flipped_bytes_never_raise_anything_but_the_one_error(tmp_path):
    raw = bz2.compress((HEAD + "".join(ARTICLES[:5]) + END).encode())
    path = tmp_path / "x.xml.bz2"
    for place in range(0, len(raw), 17):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 0xFF]) + raw[place + 1 :])
        with contextlib.suppress(DumpError):
            list(DumpFile(path).pages())


@given(st.binary(max_size=200))
def test_any_bytes_give_pages_or_the_one_error(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "any.xml"
    path.write_bytes(raw)
    with pytest.raises(DumpError):
        list(DumpFile(path).pages())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'<!DOCTYPE m [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><m>&b;</m>', "document type"),
        (b'<!DOCTYPE m SYSTEM "file:///etc/passwd"><m/>', "document type"),
        (b'<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]><m>&x;</m>', "document type"),
        (b"<a>" * 100_000, "too deep"),
        (b"<mediawiki " + b"x" * 3_000_000, "without end"),
        (b"<mediawiki><!--" + b"x" * 3_000_000, "without end"),
        (b"<mediawiki>&unknown;</mediawiki>", "broken"),
        (b"not xml at all", "broken"),
        (b"", "broken"),
        (b"BZh9garbage", "damaged"),
        (b"\x1f\x8bgarbage", "damaged"),
    ],
)
def test_hostile_files_are_refused(tmp_path, content, reason, read):
    path = tmp_path / "x.xml"
    path.write_bytes(content)
    with pytest.raises(DumpError, match=reason):
        list(DumpFile(path).pages())
    with pytest.raises(InputError, match="no article can be read"):
        read(path)


def test_a_bomb_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(wikipedia_dump, "LIMITS", ExpansionLimits(floor=2**20))
    path = tmp_path / "bomb.xml.bz2"
    path.write_bytes(bz2.compress(HEAD.encode() + b" " * 30_000_000))
    with pytest.raises(DumpError, match="far more than its size"):
        list(DumpFile(path).pages())


def test_memory_does_not_grow_with_a_page_or_the_number_of_pages(tmp_path):
    path = tmp_path / "huge.xml"
    with path.open("w") as file:
        file.write(HEAD + "<page><title>T</title><ns>0</ns><revision><text>")
        for _ in range(30):
            file.write("wort " * 200_000)
        file.write("</text></revision></page>" + "".join(ARTICLES) * 100 + END)
    tracemalloc.start()
    try:
        sizes = [len(page.wikitext or "") for page in DumpFile(path).pages()]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(sizes) == 4001
    assert sizes[0] == 0
    assert peak < 12_000_000  # the file has 30 MB


def test_nothing_that_can_be_used_is_an_error_that_says_why(dump, read, tmp_path):
    with pytest.raises(InputError, match="1 x redirect"):
        read(dump(page("D", "#REDIRECT [[A]]", extra='<redirect title="A" />')))
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "missing.xml")


def test_addresses_and_disambiguation():
    assert article_address("http://localhost/w/Main", "A B/C") == "http://localhost/w/A_B/C"
    assert article_address("javascript:alert(1)/x", "A B") == "A_B"
    assert is_disambiguation("x {{ disambiguation |geo}}")
    assert is_disambiguation("{{Неоднозначность}}")
    assert not is_disambiguation("{{disambiguation needed}} {{Dablink}}")


def test_the_fingerprint_follows_the_file(dump):
    path = dump(*ARTICLES[:1])
    reader = WikipediaReader(WikipediaSource(path=str(path)))
    first = reader.fingerprint()
    assert first == reader.fingerprint()
    dump(*ARTICLES[:2])
    assert reader.fingerprint() != first
