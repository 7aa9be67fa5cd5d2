from __future__ import annotations

import errno

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.data.corpus import (
    CorpusWriter,
    Document,
    DroppedDocument,
    new_document,
    read_documents,
    read_dropped,
    read_texts,
    write_dropped,
)

WORDS = {"source": "test", "url": "u", "title": "t", "licence": "MIT"}
ANY_TEXT = st.text(st.characters())  # surrogates too


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("corpus")


def write(folder, documents, **sizes):
    with CorpusWriter(folder, **sizes) as writer:
        for document in documents:
            writer.write(document)
    return writer


@settings(deadline=None)
@given(texts=st.lists(ANY_TEXT), group_bytes=st.integers(1, 50), file_bytes=st.integers(1, 50))
def test_any_text_comes_back_as_it_was_written(folder, texts, group_bytes, file_bytes):
    documents = [new_document(text, **WORDS) for text in texts]
    write(folder, documents, group_bytes=group_bytes, file_bytes=file_bytes)
    assert list(read_documents(folder)) == documents
    assert list(read_texts(folder)) == [document.text for document in documents]


@settings(deadline=None)
@given(text=ANY_TEXT, title=ANY_TEXT)
def test_lone_surrogates_are_replaced_and_counted(text, title):
    document = new_document(text, **{**WORDS, "title": title})
    lone = sum(0xD800 <= ord(character) <= 0xDFFF for character in text)
    assert document.replaced == lone
    assert len(document.text) == len(text)
    (document.text + document.title).encode()


def test_the_writer_refuses_a_lone_surrogate_by_name(tmp_path):
    document = Document("some-id", "a\ud800b", **WORDS, sha256="0")
    with pytest.raises(InputError, match="lone surrogates") as caught, CorpusWriter(tmp_path) as w:
        w.write(document)
    assert "some-id" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_files_are_bounded_and_in_order(tmp_path):
    texts = [f"{number:04d} " * 20 for number in range(40)]
    write(tmp_path, [new_document(text, **WORDS) for text in texts], file_bytes=1000)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [f"documents-{number:05d}.parquet" for number in range(4)]
    assert list(read_texts(tmp_path)) == texts


def test_the_writer_counts(tmp_path):
    writer = write(tmp_path, [new_document("aé", **WORDS), new_document("b", **WORDS)])
    assert (writer.documents, writer.characters, writer.bytes) == (2, 3, 4)


def test_equal_documents_give_equal_bytes(tmp_path):
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, [new_document("text " * 99, **WORDS)])
        contents.append((tmp_path / name / "documents-00000.parquet").read_bytes())
    assert contents[0] == contents[1]


def test_what_a_killed_writer_left_is_removed(tmp_path):
    for name in ("documents-00000.parquet", "documents-00007.parquet", "documents-00003.parquet"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "documents-00009.parquet.partial").write_bytes(b"half")
    write(tmp_path, [new_document("new", **WORDS)])
    assert [path.name for path in tmp_path.iterdir()] == ["documents-00000.parquet"]
    assert list(read_texts(tmp_path)) == ["new"]


def test_an_error_while_writing_leaves_no_file(tmp_path):
    def fail():
        with CorpusWriter(tmp_path, group_bytes=1) as writer:
            writer.write(new_document("first", **WORDS))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_no_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("modelwright.core.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write(tmp_path, [new_document("text", **WORDS)])
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_an_empty_corpus_is_a_corpus(tmp_path):
    write(tmp_path, [])
    assert list(read_documents(tmp_path)) == []


def test_only_the_split_asked_for(tmp_path):
    splits = ["train", "validation", "train"]
    documents = [
        Document(str(place), f"text {place}", **WORDS, sha256="0", split=split)
        for place, split in enumerate(splits)
    ]
    write(tmp_path, documents)
    assert list(read_texts(tmp_path, "validation")) == ["text 1"]
    assert list(read_texts(tmp_path, "train")) == ["text 0", "text 2"]


def test_the_id_depends_on_source_address_and_raw_bytes_alone():
    document = new_document("text", **WORDS, raw=b"raw")
    assert len(document.id) == 16
    assert new_document("other", **{**WORDS, "title": "z"}, raw=b"raw").id == document.id
    assert new_document("text", **{**WORDS, "url": "v"}, raw=b"raw").id != document.id
    assert new_document("text", **{**WORDS, "source": "v"}, raw=b"raw").id != document.id
    assert new_document("text", **WORDS, raw=b"RAW").id != document.id


def test_parquet_of_another_tool_needs_only_text(tmp_path):
    table = pa.table({"text": pa.array(["one", "two"], pa.large_string()), "score": [0.5, 0.6]})
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    first, second = read_documents(tmp_path)
    assert (first.text, first.licence, first.source) == ("one", "LicenseRef-unknown", "import")
    assert second.url == "train-00000-of-00001.parquet#1"
    assert first.id != second.id


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"body": ["x"]}, "no column 'text', but body"),
        ({"text": [3]}, "column 'text' holds int64"),
        ({"text": pa.array([None], pa.string())}, "without 'text'"),
        ({"text": ["x"], "split": ["test"]}, "'split' is 'test'"),
    ],
)
def test_parquet_that_is_no_corpus_is_refused(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=message) as caught:
        list(read_documents(tmp_path))
    assert "x.parquet" in str(caught.value)


@pytest.mark.parametrize("damage", ["empty", "not parquet", "cut off", "zeros inside", "no magic"])
def test_damaged_parquet_is_refused_by_name(tmp_path, damage):
    write(tmp_path, [new_document(f"{n} " * 50, **{**WORDS, "url": str(n)}) for n in range(99)])
    path = tmp_path / "documents-00000.parquet"
    whole = path.read_bytes()
    middle = len(whole) // 3
    path.write_bytes(
        {
            "empty": b"",
            "not parquet": b"just some text, longer than a footer" * 9,
            "cut off": whole[:-9],
            "zeros inside": whole[:4] + bytes(middle) + whole[4 + middle :],
            "no magic": whole[:-4] + b"XXXX",
        }[damage]
    )
    with pytest.raises(InputError, match="cannot read this Parquet file") as caught:
        list(read_documents(tmp_path))
    assert str(path) in str(caught.value)


def test_a_folder_without_parquet_is_refused(tmp_path):
    with pytest.raises(InputError, match="no Parquet file"):
        list(read_documents(tmp_path))


def test_dropped_documents_come_back(tmp_path):
    rows = [DroppedDocument("1", "u", "duplicate", "0"), DroppedDocument("2", "v", "too short")]
    write_dropped(tmp_path / "dropped.parquet", rows)
    assert list(read_dropped(tmp_path / "dropped.parquet")) == rows
    write_dropped(tmp_path / "dropped.parquet", [])
    assert list(read_dropped(tmp_path / "dropped.parquet")) == []
