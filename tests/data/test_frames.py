from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.data.corpus import DOCUMENT_COLUMNS, corpus_file, new_document, read_documents
from modelwright.data.frames import (
    FrameWriter,
    corpus_columns,
    corpus_groups,
    document_frames,
    with_columns,
)
from modelwright.data.parquet import TableWriter, row_groups

COLUMNS = {**DOCUMENT_COLUMNS, "score": "number"}
DOCUMENTS = pl.DataFrame(
    {
        "id": [f"{number:016x}" for number in range(60)],
        "text": ["é" * random.Random(number).randrange(1, 60) for number in range(60)],
        "score": [number / 7 for number in range(60)],
    }
)


def write(folder: Path, *frames: pl.DataFrame, file_bytes: int = 1500) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    with FrameWriter(folder, COLUMNS, file_bytes=file_bytes, group_bytes=200) as writer:
        for frame in frames:
            writer.write(frame)
    assert writer.documents == sum(frame.height for frame in frames)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return write(tmp_path_factory.mktemp("whole"), DOCUMENTS)


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 60), max_size=8).map(sorted))
def test_where_frames_are_cut_does_not_show(tmp_path_factory, whole, cuts):
    ends = [*cuts, 60]
    pieces = [
        DOCUMENTS.slice(start, end - start) for start, end in zip([0, *cuts], ends, strict=True)
    ]
    assert write(tmp_path_factory.mktemp("pieces"), *pieces) == whole


def test_row_groups_and_files_end_with_the_row_that_fills_them(tmp_path, whole):
    write(tmp_path / "c", DOCUMENTS)
    groups = corpus_groups(tmp_path / "c")
    assert len(whole) > 1
    assert sum(group.rows for group in groups) == 60
    sizes = DOCUMENTS["text"].str.len_bytes().to_list()
    for group in groups[:-1]:
        texts, sizes = sizes[: group.rows], sizes[group.rows :]
        assert sum(texts[:-1]) < 200 <= sum(texts)
    for name in list(whole)[:-1]:
        assert row_groups(tmp_path / "c" / name)[-1].rows


def test_a_row_group_has_no_more_than_4096_rows(tmp_path):
    frame = pl.DataFrame({"id": map(str, range(5000)), "text": ["a"] * 5000})
    with FrameWriter(tmp_path, COLUMNS) as writer:
        writer.write(frame)
    assert [group.rows for group in corpus_groups(tmp_path)] == [4096, 904]
    assert (writer.documents, writer.characters, writer.bytes) == (5000, 5000, 5000)


def test_what_comes_out_is_what_went_in(tmp_path):
    write(tmp_path / "c", DOCUMENTS)
    read = pl.concat(
        frame for group in corpus_groups(tmp_path / "c") for frame in document_frames(group)
    )
    assert read["id"].to_list() == DOCUMENTS["id"].to_list()
    assert read["text"].to_list() == DOCUMENTS["text"].to_list()
    assert corpus_columns(tmp_path / "c") == list(COLUMNS)


def test_nothing_written_is_a_corpus_without_documents(tmp_path):
    assert list(write(tmp_path / "c")) == [corpus_file(0)]
    assert list(read_documents(tmp_path / "c")) == []


def test_what_a_cut_off_writer_left_is_removed(tmp_path):
    write(tmp_path, DOCUMENTS)
    (tmp_path / f"{corpus_file(9)}.partial").write_bytes(b"half")
    assert list(write(tmp_path, DOCUMENTS.head(1))) == [corpus_file(0)]


def test_an_error_leaves_no_half_of_a_file(tmp_path):
    def attempt():
        with FrameWriter(tmp_path, COLUMNS, group_bytes=200) as writer:
            writer.write(DOCUMENTS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("group_bytes", [200, 10**6], ids=["in the body", "at the end"])
def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(tmp_path, monkeypatch, group_bytes):
    def full(self, frame):
        self._file.write(b"some")
        raise OSError(28, "No space left on device")

    def attempt():
        with FrameWriter(tmp_path, COLUMNS, group_bytes=group_bytes) as writer:
            writer.write(DOCUMENTS)

    monkeypatch.setattr(TableWriter, "write_frame", full)
    with pytest.raises(OSError, match="No space left") as caught:
        attempt()
    assert Path(caught.value.filename) == tmp_path / corpus_file(0)
    assert list(tmp_path.iterdir()) == []


def test_columns_come_in_their_order_and_type():
    frame = with_columns(
        pl.DataFrame({"b": [1, 2], "other": [0, 0]}), {"a": "text", "b": "number", "c": "bytes"}
    )
    assert frame.schema == {"a": pl.String, "b": pl.Float64, "c": pl.Binary}
    assert frame.rows() == [(None, 1.0, None), (None, 2.0, None)]


def foreign(folder: Path, frame: pl.DataFrame) -> list[dict[str, object]]:
    """What is read of a table that another tool wrote."""
    frame.write_parquet(folder / "x.parquet")
    (group,) = corpus_groups(folder)
    return pl.concat(document_frames(group)).to_dicts()


def test_what_another_tool_left_out_is_filled_in(tmp_path):
    frame = pl.DataFrame(
        {"text": ["one", "two"], "url": [None, "https://a.org"], "licence": [None, "MIT"]}
    )
    first, second = foreign(tmp_path, frame)
    assert (first["url"], first["licence"]) == ("x.parquet#0-0", "LicenseRef-unknown")
    assert (second["url"], second["licence"]) == ("https://a.org", "MIT")
    expected = new_document("two", source="import", url="https://a.org", title="", licence="MIT")
    assert (second["id"], second["sha256"]) == (expected.id, expected.sha256)


def test_every_missing_value_of_a_document_is_filled_in(tmp_path):
    row = {
        name: 0 if kind == "integer" else name
        for name, kind in DOCUMENT_COLUMNS.items()
        if name != "split"
    }
    gaps = [{**row, name: None} for name in row if name != "text"]
    frame = pl.DataFrame([row, *gaps], schema={**pl.DataFrame([row]).schema, "split": pl.String})
    found = foreign(tmp_path, frame)
    assert found[0] == {**row, "split": None}
    for gap, filled in zip(gaps, found[1:], strict=True):
        assert None not in [value for name, value in filled.items() if name != "split"]
        kept = {name: value for name, value in gap.items() if value is not None}
        assert filled == {**filled, **kept}


@pytest.mark.parametrize(
    "frame",
    [pl.DataFrame({"text": ["a", None]}), pl.DataFrame({"body": ["a"]})],
    ids=["null", "no column"],
)
def test_a_document_without_text_is_refused(tmp_path, frame):
    with pytest.raises(InputError, match="a document without 'text'"):
        foreign(tmp_path, frame)
