from __future__ import annotations

import codecs
import gzip
import json
import os

import pytest

from modelwright.core.errors import InputError
from modelwright.data import jsonl
from modelwright.data.collect import collect, fingerprint
from modelwright.data.corpus import DROPPED, read_documents, read_dropped
from modelwright.data.settings import CollectSettings


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def jsonl_rows(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_every_kind_of_file_in_the_order_of_paths(folder, run_collect):
    (folder / "sub").mkdir()
    (folder / "sub" / "a.TXT").write_text("text in a subfolder")
    (folder / "b.md").write_text("# The heading\n\nmarkdown text")
    (folder / "c.html").write_text("<title>Page</title><main><p>page text</p></main>")
    (folder / "d.jsonl").write_text(
        jsonl_rows(
            {"text": "row one", "id": 7, "title": "T", "licence": "CC0-1.0"},
            {"text": "row two", "url": "https://example.org/2"},
            {"text": "row three", "extra": [1]},
        )
    )
    outcome, out = run_collect(folder, licence="MIT")
    documents = list(read_documents(out))
    assert [(d.url, d.title, d.licence, d.text) for d in documents] == [
        ("b.md", "The heading", "MIT", "# The heading\n\nmarkdown text"),
        ("c.html", "Page", "MIT", "page text"),
        ("d.jsonl#7", "T", "CC0-1.0", "row one"),
        ("https://example.org/2", "", "MIT", "row two"),
        ("d.jsonl#L3", "", "MIT", "row three"),
        ("sub/a.TXT", "a", "MIT", "text in a subfolder"),
    ]
    assert {document.source for document in documents} == {"files:notes"}
    assert outcome.counts["documents"] == 6
    assert outcome.counts["characters"] == sum(len(d.text) for d in documents)
    assert outcome.licences == ["CC0-1.0", "MIT"]
    assert outcome.dropped == {}


def test_a_single_file(tmp_path, run_collect):
    path = tmp_path / "book.txt"
    path.write_text("once upon a time")
    (document,) = read_documents(run_collect(path)[1])
    assert (document.url, document.title, document.licence) == (
        "book.txt",
        "book",
        "LicenseRef-unknown",
    )


def test_two_runs_give_the_same_bytes_wherever_the_folder_lies(tmp_path, run_collect):
    contents = []
    for place in ("here", "there"):
        folder = tmp_path / place / "notes"
        folder.mkdir(parents=True)
        names = [f"{number}.txt" for number in range(20)]
        for name in names if place == "here" else reversed(names):
            (folder / name).write_text(f"text of {name}")
        _, out = run_collect(folder)
        contents.append((out / "documents-00000.parquet").read_bytes())
    assert contents[0] == contents[1]


def test_what_is_left_out_is_counted_by_reason(folder, run_collect, tmp_path, monkeypatch):
    monkeypatch.setattr("modelwright.data.sources.contents.MAX_BYTES", 1000)
    (tmp_path / "outside.txt").write_text("outside")
    (folder / ".git").mkdir()
    (folder / ".git" / "config.txt").write_text("hidden")
    (folder / ".hidden.txt").write_text("hidden")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.txt")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "Makefile").write_text("all:")
    (folder / "program.txt").write_bytes(b"\x7fELF\0\0\0")
    (folder / "koi8.txt").write_bytes("привет мир".encode("koi8-r"))
    (folder / "empty.md").write_text(" \n")
    (folder / "empty.jsonl").write_text("\n")
    (folder / "long.txt").write_text("x" * 1001)
    (folder / "fits.txt").write_text("y" * 1000)
    outcome, out = run_collect(folder)
    assert [document.url for document in read_documents(out)] == ["fits.txt"]
    assert outcome.dropped == {
        "binary content": 2,
        "hidden file or folder": 2,
        "larger than 64 MiB": 1,
        "no text in it": 2,
        "not a regular file": 1,
        "symbolic link, not followed": 2,
        "unknown file type: .png": 1,
        "unknown file type: no extension": 1,
    }


def test_a_workspace_among_the_documents_is_not_read(folder, run_collect):
    (folder / "modelwright.yaml").write_text("name: x")
    (folder / "modelwright.db").write_text("")
    (folder / "report.html").write_text("<p>loss</p>")
    (folder / "artifacts" / "examples").mkdir(parents=True)
    (folder / "artifacts" / "examples" / "train.jsonl").write_text(jsonl_rows({"text": "x"}))
    (folder / "artifacts.md").write_text("the user's own text")
    outcome, out = run_collect(folder)
    assert [document.url for document in read_documents(out)] == ["artifacts.md"]
    assert outcome.dropped == {"made by the workspace itself": 4}


def test_broken_utf8_is_kept_and_counted(folder, run_collect):
    (folder / "a.txt").write_bytes(b"good text " * 9 + b"\xff\xfe and more")
    (folder / "b.jsonl").write_bytes(b'{"text": "good text \xff"}\n{"text": "lone \\ud800"}\n')
    documents = list(read_documents(run_collect(folder)[1]))
    assert [document.replaced for document in documents] == [2, 1, 1]
    assert documents[0].text.count("\ufffd") == 2


def test_marked_encodings_are_read(folder, run_collect):
    (folder / "a.txt").write_bytes(codecs.BOM_UTF8 + "größe".encode())
    (folder / "b.txt").write_text("größe", encoding="utf-16")
    (folder / "c.jsonl").write_text('{"text": "größe"}', encoding="utf-16")
    texts = [document.text for document in read_documents(run_collect(folder)[1])]
    assert texts == ["größe"] * 3


def test_broken_rows_are_dropped_and_the_first_three_places_told(folder, run_collect, notes):
    lines = [json.dumps({"text": f"row {number}"}) for number in range(1, 11)]
    for number in (2, 4, 6, 8):
        lines[number - 1] = '{"text": "cut'
    lines[8] = "[1, 2]"
    lines[9] = json.dumps({"text": 5})
    (folder / "rows.jsonl").write_text("\n".join(lines))
    outcome, out = run_collect(folder)
    assert [document.text for document in read_documents(out)] == [
        "row 1",
        "row 3",
        "row 5",
        "row 7",
    ]
    assert outcome.dropped == {
        "broken JSON": 4,
        "field 'text' is not text": 1,
        "not a JSON object": 1,
    }
    told = [line for line in notes.lines if "broken JSON" in line]
    assert told == [f"dropped: broken JSON: rows.jsonl, line {number}" for number in (2, 4, 6)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"body": "x"}, "no field 'text'"),
        ({"text": None}, "no field 'text'"),
        ({"text": " "}, "field 'text' is empty"),
        ({"text": "x", "title": 5}, "field 'title' is not text"),
        ({"text": "x", "licence": ["MIT"]}, "field 'licence' is not text"),
        ({"text": "\x00\x01\x02"}, "binary content"),
    ],
)
def test_a_row_that_is_no_document_says_why(folder, run_collect, row, reason):
    (folder / "x.jsonl").write_text(jsonl_rows({"text": "good"}, row))
    assert run_collect(folder)[0].dropped == {reason: 1}


def test_deeply_nested_json_is_broken_json(folder, run_collect):
    (folder / "x.jsonl").write_text('{"text": "good"}\n' + "[" * 100_000 + "\n")
    assert run_collect(folder)[0].dropped == {"broken JSON": 1}


def test_a_file_of_broken_rows_only_is_refused_by_file_and_line(folder, run_collect):
    (folder / "rows.jsonl").write_text("\n{broken\n{broken\n")
    with pytest.raises(InputError, match="broken JSON") as caught:
        run_collect(folder / "rows.jsonl")
    assert f"{folder / 'rows.jsonl'}, line 2" in str(caught.value)


def test_among_other_files_broken_rows_are_counted_and_named(folder, run_collect):
    (folder / "good.txt").write_text("good text")
    (folder / "rows.jsonl").write_text("\n{broken\n{broken\n")
    outcome, out = run_collect(folder)
    assert outcome.dropped == {"broken JSON": 2}
    places = [(one.url, one.reason) for one in read_dropped(out / DROPPED)]
    assert places == [(f"rows.jsonl, line {n}", "broken JSON") for n in (2, 3)]


def test_a_line_over_the_limit_is_dropped_and_the_rest_is_read(folder, run_collect, monkeypatch):
    monkeypatch.setattr(
        "modelwright.data.sources.tables.lines_of", lambda file: jsonl.lines_of(file, 100)
    )
    (folder / "x.jsonl").write_text(jsonl_rows({"text": "a" * 500}, {"text": "b"}))
    outcome, out = run_collect(folder)
    assert [document.text for document in read_documents(out)] == ["b"]
    assert outcome.dropped == {"larger than 64 MiB": 1}


def test_a_line_of_200_mb_is_refused_without_filling_the_memory(folder, run_collect):
    tracemalloc = pytest.importorskip("tracemalloc")
    for name, head in (("a.txt", b""), ("b.jsonl", b'{"text": "')):
        with open(folder / name, "wb") as file:
            file.write(head)
            for _ in range(200):
                file.write(b"x" * 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="larger than 64 MiB"):
            run_collect(folder / "a.txt")
        with pytest.raises(InputError, match="larger than 64 MiB"):
            run_collect(folder / "b.jsonl")
        assert tracemalloc.get_traced_memory()[1] < 150 * 2**20
    finally:
        tracemalloc.stop()


def test_an_empty_folder_says_what_to_put_there(folder, run_collect):
    with pytest.raises(InputError, match="found no files") as caught:
        run_collect(folder)
    assert ".jsonl" in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_folder_of_other_files_says_what_was_found(folder, run_collect):
    for name in ("a.png", "b.png", "c.pdf", "d.txt"):
        (folder / name).write_bytes(b"\0")
    with pytest.raises(InputError, match=r"found 2 x \.png, 1 x \.pdf, 1 x \.txt") as caught:
        run_collect(folder)
    assert "1 x binary content" in str(caught.value)


def test_a_path_that_is_not_there(tmp_path, run_collect):
    with pytest.raises(InputError, match="no such file or folder"):
        run_collect(tmp_path / "missing")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_counted(folder, run_collect):
    (folder / "a.txt").write_text("secret")
    (folder / "a.txt").chmod(0)
    (folder / "b.txt").write_text("open")
    assert run_collect(folder)[0].dropped == {"no permission to read it": 1}


def test_sources_follow_each_other(tmp_path, run):
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(f"text {name}")
    sources = [str(tmp_path / "b.txt"), str(tmp_path / "a.txt")]
    _, out = run(collect, CollectSettings(sources=sources))
    assert [document.text for document in read_documents(out)] == ["text b", "text a"]


def test_the_fingerprint_follows_names_sizes_and_times(folder):
    path = folder / "a.txt"
    path.write_text("one")
    os.utime(path, ns=(1, 1))
    settings = CollectSettings(sources=[str(folder), "python-docs"])
    seen = {fingerprint(settings)}
    assert {fingerprint(settings)} == seen
    (folder / ".hidden").write_text("x")
    assert {fingerprint(settings)} == seen
    for change in (
        lambda: os.utime(path, ns=(2, 2)),
        lambda: (path.write_text("four"), os.utime(path, ns=(2, 2))),
        lambda: path.rename(folder / "b.txt"),
        lambda: (folder / "c.txt").write_text(""),
    ):
        change()
        assert fingerprint(settings) not in seen
        seen.add(fingerprint(settings))


def test_the_fingerprint_refuses_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        fingerprint(CollectSettings(sources=[str(tmp_path / "missing")]))


def test_real_documents(shared_data, folder, run_collect):
    with gzip.open(shared_data / "python_peps" / "peps.jsonl.gz") as file:
        rows = file.read().splitlines()[:60]
    (folder / "peps.jsonl").write_bytes(b"\n".join(rows))
    outcome, out = run_collect(folder)
    documents = list(read_documents(out))
    expected = [json.loads(row) for row in rows]
    assert [document.text for document in documents] == [row["text"] for row in expected]
    assert {row["licence"] for row in expected} == {"public domain or CC0-1.0"}
    assert {document.licence for document in documents} == {"LicenseRef-public-domain OR CC0-1.0"}
    assert {document.licence_from for document in documents} == {"row"}
    assert outcome.dropped == {}
    assert outcome.licences == ["LicenseRef-public-domain OR CC0-1.0"]
