from __future__ import annotations

from pathlib import Path

import pytest

from modelwright.core.errors import InputError, UsageError
from modelwright.data.corpus import CorpusWriter, new_document
from modelwright.data.look import look, score_columns
from modelwright.data.parquet import TableWriter

TEXTS = {
    "https://a.org/one": "The LAMP is out. (a+b)*",
    "https://a.org/two": "Ein Fluß im Wald",
    "https://b.org/three": "a letter, 100% horse_hair",
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    with CorpusWriter(tmp_path, group_bytes=30) as writer:
        for number, (url, text) in enumerate(TEXTS.items()):
            title = f"Title {number}"
            writer.write(new_document(text, source="s", url=url, title=title, licence="MIT"))
    return tmp_path


def found(corpus: Path, query: str = "", where: str | None = None) -> list[str]:
    return [str(row["url"]).rpartition("/")[2] for row in look(corpus, query, where)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["one", "two", "three"]),
        ("lamp", ["one"]),
        ("FLUß", ["two"]),
        ("(a+b)*", ["one"]),
        ("100%", ["three"]),
        ("title 1", ["two"]),
        ("A.ORG", ["one", "two"]),
        ("nowhere", []),
    ],
)
def test_a_query_is_part_of_text_title_or_address_in_any_case(corpus, query, expected):
    assert found(corpus, query) == expected


def test_a_whole_id_finds_its_document_and_a_part_none(corpus):
    (row,) = look(corpus, "lamp")
    assert [one["url"] for one in look(corpus, row["id"])] == [row["url"]]
    assert found(corpus, row["id"][:12]) == []


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("length(text) > 20", ["one", "three"]),
        ("url LIKE '%b.org%' AND licence = 'MIT'", ["three"]),
        ("replaced > 0 OR title = 'Title 0'", ["one"]),
        ("split IS NOT NULL", []),
    ],
)
def test_a_condition_is_sql(corpus, where, expected):
    assert found(corpus, where=where) == expected


def test_both_must_fit(corpus):
    assert found(corpus, "a.org", "title = 'Title 1'") == ["two"]


@pytest.mark.parametrize(
    "where",
    ["'", "((((", "a;b", "SELECT 1", "*", "unknown(text)", "nothing > 1", "title > 3", "replaced"],
)
def test_a_condition_that_cannot_be_meant_is_refused(corpus, where):
    with pytest.raises(UsageError, match=r"cannot (read|apply) the condition") as caught:
        found(corpus, where=where)
    assert caught.value.where == where


def test_missing_titles_and_other_columns_are_no_trouble(tmp_path):
    columns = {"id": "text", "text": "text", "title": "text", "url": "text", "score": "number"}
    with TableWriter(tmp_path / "documents-00000.parquet", columns) as table:
        table.write(
            [
                {"id": "1", "text": "lamp", "title": None, "url": None, "score": 1.5},
                {"id": "2", "text": "horse", "title": None, "url": None, "score": None},
            ]
        )
    assert [row["id"] for row in look(tmp_path, "lamp")] == ["1"]
    assert [row["id"] for row in look(tmp_path, where="score > 1")] == ["1"]
    assert score_columns(tmp_path) == ["id", "title", "url", "score"]


def test_a_damaged_corpus_is_named(corpus):
    path = next(corpus.glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="cannot read this Parquet file"):
        found(corpus, "lamp")
