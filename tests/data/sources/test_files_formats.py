from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.progress import SilentProgress
from modelwright.data.drops import Drops
from modelwright.data.extract.extracted import Extracted
from modelwright.data.sandbox import Failure, Sandbox
from modelwright.data.sources import contents
from modelwright.data.sources.file_types import FORMATS, file_type, is_wanted
from modelwright.data.sources.files import FilesReader
from modelwright.data.sources.plain_text import decode_text, title_of
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import FilesSource

COMPRESS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


class MadeUpSandbox:
    """Extracts a file by reading it as text; what begins with "bad" fails."""

    def __init__(self):
        self.taken_ahead = 0

    def map(self, tasks):
        waiting = []
        for key, task in tasks:
            waiting.append((key, task))
            if len(waiting) == 3:
                yield self.result(waiting.pop(0))
        while waiting:
            yield self.result(waiting.pop(0))

    @staticmethod
    def result(waiting):
        key, task = waiting
        text = task.raw.decode()
        if text.startswith("bad"):
            return key, Failure(f"broken {task.kind}")
        licence = "CC-BY-4.0" if "licensed" in text else ""
        return key, Extracted(f"{task.kind}: {text}", "Title", 0, licence, "rel=license link")


def read(path, sandbox=None, **source):
    """Read a file or folder: ``(documents, counts of what was dropped)``."""
    drops = Drops(lambda text: None)
    reader = FilesReader(FilesSource(path=str(path), **source))
    reading = Reading(SilentProgress(), drops, sandbox or MadeUpSandbox(), path / "kept")
    return list(reader.documents(reading)), drops.counts


def write_parquet(path, rows, **options):
    pq.write_table(pa.Table.from_pylist(rows), path, **options)


@pytest.mark.parametrize("ending", COMPRESS)
def test_compressed_files_are_read_as_what_they_hold(folder, ending):
    compress = COMPRESS[ending]
    (folder / f"a.md.{ending}").write_bytes(compress(b"# Heading\n\ntext"))
    (folder / f"b.JSONL.{ending.upper()}").write_bytes(compress(b'{"text": "row"}\n' * 3))
    (folder / f"c.html.{ending}").write_bytes(compress(b"a page"))
    (folder / f"d.{ending}").write_bytes(compress(b"what?"))
    (folder / f"e.txt.{ending}").write_bytes(compress(b"first ") + compress(b"second"))
    documents, dropped = read(folder)
    assert [(d.url, d.title, d.text) for d in documents] == [
        (f"a.md.{ending}", "Heading", "# Heading\n\ntext"),
        *((f"b.JSONL.{ending.upper()}#L{n}", "", "row") for n in (1, 2, 3)),
        (f"c.html.{ending}", "Title", "page: a page"),
        (f"e.txt.{ending}", "e", "first second"),
    ]
    assert dropped == {f"unknown file type: .{ending}": 1}


def test_rows_before_damage_are_kept_and_the_rest_goes_on(folder):
    rows = "".join(json.dumps({"text": f"{n} {os.urandom(99).hex()}"}) + "\n" for n in range(999))
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(rows.encode())[:-2000])
    (folder / "b.txt").write_text("the rest")
    documents, dropped = read(folder)
    assert 900 < len(documents) < 1000
    assert documents[-1].text == "the rest"
    assert dropped == {"damaged or cut off: gzip data": 1}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_in_text_form(folder, delimiter):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(["id", "text", "title", "licence", "other"])
    writer.writerow(["7", 'one, "two"; \t\n\nthree', "T", "cc-by-4.0", "x"])
    writer.writerow(["", "no id", "", "", ""])
    writer.writerow(["9", " ", "", "", ""])
    writer.writerow(["9", "too short"])
    (folder / "a.csv").write_text(stream.getvalue(), newline="")
    documents, dropped = read(folder, licence="MIT")
    assert [(d.url, d.title, d.text, d.licence, d.licence_from) for d in documents] == [
        ("a.csv#7", "T", 'one, "two"; \t\n\nthree', "CC-BY-4.0", "row"),
        ("a.csv#R2", "", "no id", "MIT", "settings"),
    ]
    assert dropped == {
        "CSV row with another number of fields than the header": 1,
        "field 'text' is empty": 1,
    }


def test_long_fields_marks_and_legacy_encodings_in_tables(folder):
    long = "word " * 100_000
    (folder / "a.csv").write_bytes(f"\ufefftext\r\n{long}\r\n".encode())
    (folder / "b.tsv").write_text("text\tid\ngröße\t1\n", encoding="utf-16")
    text = "Der größte Bär läuft über die Straße, müßte aber eigentlich längst schlafen. " * 3
    (folder / "c.csv").write_bytes(f"text;id\n{text};1\n".encode("cp1252"))
    documents, _ = read(folder)
    assert [document.text for document in documents] == [long, "größe", text]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"body,id\nx,1\n", "no column 'text'"),
        ("a.csv", b"", "no text in it"),
        ("a.csv", b"text,id\n", "no text in it"),
        ("a.json", b"", "no text in it"),
        ("a.json", b'{"text": "x"}', "JSON that is no list of objects"),
        ("a.json", b'[{"text": ', "broken JSON"),
        ("a.json", b"[" * 100_000, "broken JSON"),
        ("a.json", b"[1, 2]", "not a JSON object"),
        ("a.parquet", b"PAR1 nothing PAR1", "damaged or cut off: Parquet file"),
        ("a.pdf", b"bad bytes", "broken pdf"),
    ],
)
def test_what_is_unusable_is_counted_and_the_rest_goes_on(folder, name, content, reason):
    (folder / name).write_bytes(content)
    (folder / "z.txt").write_text("the rest")
    documents, dropped = read(folder)
    assert [document.text for document in documents] == ["the rest"]
    assert set(dropped) == {reason}


def test_a_json_list_is_read_object_by_object(folder):
    (folder / "a.json").write_text('\n[ {"text": "one", "id": 3} , {"text": "two"},\n{"text": 5} ]')
    documents, dropped = read(folder)
    assert [(d.url, d.text) for d in documents] == [("a.json#3", "one"), ("a.json#R2", "two")]
    assert dropped == {"field 'text' is not text": 1}


rows_of_json = st.lists(st.fixed_dictionaries({"text": st.text(st.characters(codec="utf-8"))}))


@settings(max_examples=40)
@given(rows=rows_of_json, indent=st.sampled_from([None, 0, 2]))
def test_json_lists_give_what_the_standard_library_gives(tmp_path_factory, rows, indent):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps([{"text": "x"}, *rows], indent=indent))
    documents, dropped = read(path)
    texts = [row["text"] for row in rows]
    line_ends = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    kept = [text for text in line_ends if text.strip() and text in {d.text for d in documents}]
    assert [document.text for document in documents] == ["x", *kept]
    assert len(documents) + sum(dropped.values()) == len(rows) + 1


def test_parquet_files_of_any_type_of_text(folder):
    rows = [{"text": f"text {n}", "id": n, "title": 1.5, "other": [n]} for n in range(300)]
    write_parquet(folder / "a.parquet", rows, row_group_size=100)
    table = pa.table({"body": pa.array(["a", None, "a"]).dictionary_encode()})
    pq.write_table(table, folder / "b.parquet")
    documents, dropped = read(folder)
    assert [(d.url, d.text, d.title) for d in documents] == [
        (f"a.parquet#{n}", f"text {n}", "") for n in range(300)
    ]
    assert dropped == {"no column 'text'": 1}
    documents, dropped = read(folder / "b.parquet", text_field="body")
    assert [d.url for d in documents] == ["b.parquet#R1", "b.parquet#R3"]
    assert dropped == {"no field 'body'": 1}


def test_a_damaged_parquet_file_keeps_what_was_read_before(folder):
    rows = [{"text": f"{n} " + os.urandom(2000).hex()} for n in range(200)]
    write_parquet(folder / "a.parquet", rows, row_group_size=100, compression="zstd")
    raw = bytearray((folder / "a.parquet").read_bytes())
    middle = len(raw) * 3 // 4
    raw[middle : middle + 5000] = bytes(5000)
    (folder / "a.parquet").write_bytes(raw)
    documents, dropped = read(folder)
    assert [document.text for document in documents[:100]] == [row["text"] for row in rows[:100]]
    assert len(documents) < 200
    assert dropped == {"damaged or cut off: Parquet file": 1}


def test_source_code_only_if_asked_for(folder):
    (folder / "a.py").write_text("# SPDX-License-Identifier: MIT\nprint(1)\n")
    (folder / "b.txt").write_text("text")
    (folder / "Makefile").write_text("all:\n\ttrue\n")
    documents, dropped = read(folder)
    assert [document.url for document in documents] == ["b.txt"]
    assert dropped == {"source code, not asked for": 1, "unknown file type: no extension": 1}
    documents, _ = read(folder, code=True)
    assert [(d.url, d.licence, d.licence_from) for d in documents] == [
        ("a.py", "MIT", "SPDX tag"),
        ("b.txt", "LicenseRef-unknown", ""),
    ]
    documents, dropped = read(folder, include=["*.py", "Makefile"])
    assert [document.url for document in documents] == ["Makefile", "a.py"]
    assert dropped == {"left out by 'include' or 'exclude'": 1}


@pytest.mark.parametrize(
    ("name", "include", "exclude", "wanted"),
    [
        ("a/b.txt", [], [], True),
        ("a/b.txt", ["*.txt"], [], True),
        ("a/b.txt", ["b.*"], [], True),
        ("a/b.txt", ["a/*"], [], True),
        ("x/a/b.txt", ["a/*"], [], False),
        ("a/c/b.txt", ["a/*"], [], True),
        ("a/b.txt", ["*.md"], [], False),
        ("a/b.txt", ["*.txt"], ["a/*"], False),
        ("A.TXT", ["*.txt"], [], False),
        ("x.zip!/a/b.txt", ["*.txt"], ["x.zip!/a/*"], False),
    ],
)
def test_patterns_of_names(name, include, exclude, wanted):
    assert is_wanted(name, include, exclude) is wanted


def test_documents_come_in_the_order_of_names_however_long_extraction_takes(folder):
    for number in range(40):
        name = f"{number:02d}." + ("pdf" if number % 3 else "txt")
        (folder / name).write_text(f"{'bad' if number == 4 else 'text'} {number}")
    documents, dropped = read(folder)
    assert [document.url[:2] for document in documents] == [
        f"{number:02d}" for number in range(40) if number != 4
    ]
    assert documents[1].text == "pdf: text 1"
    assert dropped == {"broken pdf": 1}


def test_few_ready_documents_wait_for_an_extraction(folder, monkeypatch):
    monkeypatch.setattr(contents, "AHEAD_BYTES", 5000)
    rows = "".join(json.dumps({"text": f"row {n}"}) + "\n" for n in range(100))
    (folder / "a.pdf").write_text("a")
    (folder / "b.jsonl").write_text(rows)
    (folder / "c.pdf").write_text("c")
    taken = []
    original = contents.row_documents

    def watched(*arguments):
        for document in original(*arguments):
            taken.append(document)
            yield document

    monkeypatch.setattr(contents, "row_documents", watched)
    reading = Reading(SilentProgress(), Drops(print), MadeUpSandbox(), folder / "kept")
    documents = FilesReader(FilesSource(path=str(folder))).documents(reading)
    assert next(documents).text == "pdf: a"
    assert len(taken) < 10
    assert [document.url for document in documents] == [f"b.jsonl#L{n + 1}" for n in range(100)] + [
        "c.pdf"
    ]


def test_real_extraction_of_pages_and_notebooks_in_folders_and_archives(folder):
    page = "<title>T</title><article>" + "<p>Some words of a page that is read.</p>" * 5
    notebook = {"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "markdown", "source": "hi"}]}
    (folder / "a.html").write_text(page)
    with zipfile.ZipFile(folder / "b.zip", "w") as archive:
        archive.writestr("x.html", page)
        archive.writestr("y.ipynb", json.dumps(notebook))
        archive.writestr("z.pdf", "no pdf")
    with Sandbox(2) as sandbox:
        documents, dropped = read(folder, sandbox, extractor="resiliparse")
    assert [document.url for document in documents] == ["a.html", "b.zip!/x.html", "b.zip!/y.ipynb"]
    assert documents[0].text == documents[1].text != documents[2].text
    assert sum(dropped.values()) == 1


def test_licences_from_the_nearest_place(folder):
    (folder / "LICENSE").write_text("Apache License\nVersion 2.0, January 2004\n")
    (folder / "a.txt").write_text("text")
    (folder / "b.txt").write_text("SPDX-License-Identifier: ISC\ntext")
    (folder / "c.html").write_text("a licensed page")
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "sub" / "COPYING.txt").write_text("Nobody may do anything with this.")
    (folder / "sub" / "deep" / "d.txt").write_text("text")
    documents, dropped = read(folder, licence="CC0-1.0")
    assert {d.url: (d.licence, d.licence_from) for d in documents} == {
        "a.txt": ("Apache-2.0", "LICENSE file"),
        "b.txt": ("ISC", "SPDX tag"),
        "c.html": ("CC-BY-4.0", "rel=license link"),
        "sub/COPYING.txt": ("CC0-1.0", "settings"),
        "sub/deep/d.txt": ("CC0-1.0", "settings"),
    }
    assert dropped == {"unknown file type: no extension": 1}


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Dès Noël où un zéphyr haï me vêt de glaçons würmiens, je dîne d’exquis rôtis"),
        ("cp1252", "The café was “quite” naïve — it’s a déjà vu, really."),
        (
            "cp1250",
            "Pchnąć w tę łódź jeża lub ośm skrzyń fig. Zażółć gęślą jaźń, a potem śpij. Źdźbło.",
        ),
        ("koi8-r", "Съешь же ещё этих мягких французских булок, да выпей чаю."),
        ("cp1251", "Съешь же ещё этих мягких французских булок, да выпей чаю."),
        ("cp932", "いろはにほへと ちりぬるを わかよたれそ つねならむ。日本語の文章です。"),
        ("gb18030", "我能吞下玻璃而不伤身体。中文文本在这里，我们希望能够正确检测编码。"),
        ("utf-8", "größe"),
        ("utf-8-sig", "größe"),
        ("utf-16", "größe"),
    ],
)
def test_texts_in_old_encodings(encoding, text):
    assert decode_text(text.encode(encoding)) == (text, 0)


def test_damaged_utf8_is_not_taken_for_another_encoding():
    raw = "größe und länge ".encode() * 5 + b"\xff\xfe"
    assert decode_text(raw) == ("größe und länge " * 5 + "\ufffd\ufffd", 2)
    assert decode_text(b"plain text, then \xff\xfe and more")[1] == 2


@given(st.binary())
def test_decoding_never_fails(raw):
    text, replaced = decode_text(raw)
    assert 0 <= replaced <= len(text)
    text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("kind", "text", "title"),
    [
        ("markdown", "\n## A *title* ##\ntext", "A *title*"),
        ("markdown", "text\n# not first", "stem"),
        ("restructured", "Title\n=====\n\ntext", "Title"),
        ("restructured", "=====\nTitle\n=====\ntext", "Title"),
        ("restructured", "text\n\nTitle\n=====", "stem"),
        ("text", "# no heading", "stem"),
    ],
)
def test_titles(kind, text, title):
    assert title_of(text, kind, "stem") == title


def test_a_file_that_changes_while_it_is_read_is_not_taken_further(folder):
    (folder / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (folder / "b.txt").write_text("text")
    drops = Drops(lambda text: None)
    reading = Reading(SilentProgress(), drops, MadeUpSandbox(), folder / "kept")
    reader = FilesReader(FilesSource(path=str(folder)))
    items = reader._items(sorted(folder.iterdir()), reading.drops, SilentTask())
    assert next(items).text == "one"
    os.utime(folder / "a.jsonl", ns=(1, 1))
    assert [item.url for item in items] == ["b.txt"]
    assert drops.counts == {"changed while it was read": 1}


class SilentTask:
    def update(self, done, **figures):
        return


def test_a_file_that_is_gone_or_swapped_for_a_pipe_or_link_is_counted(folder, monkeypatch):
    for name in ("gone.txt", "link.txt", "pipe.txt", "stays.txt"):
        (folder / name).write_text("text")
    found = sorted(folder.iterdir())
    monkeypatch.setattr("modelwright.data.sources.files.find_files", lambda root, drops: found)
    (folder / "gone.txt").unlink()
    (folder / "link.txt").unlink()
    (folder / "link.txt").symlink_to(folder / "stays.txt")
    (folder / "pipe.txt").unlink()
    os.mkfifo(folder / "pipe.txt")
    documents, dropped = read(folder)
    assert [document.url for document in documents] == ["stays.txt"]
    assert dropped == {"gone before it was read": 1, "not a regular file": 2}


def test_odd_names_are_shown_escaped_and_stay_apart(folder):
    for name in (b"a\xff.txt", b"a\xfe.txt", b"b\x1b[2J\n.txt", "größe.txt".encode()):
        with open(os.fsencode(folder) + b"/" + name, "w") as file:
            file.write("text")
    documents, _ = read(folder)
    assert [document.url for document in documents] == [
        "a\\udcfe.txt",
        "a\\udcff.txt",
        "b\\x1b[2J\\n.txt",
        "größe.txt",
    ]
    assert len({document.id for document in documents}) == 4


def test_a_root_that_is_a_link_or_a_very_deep_folder_is_read(tmp_path, folder):
    deep = folder
    for _ in range(300):
        deep = deep / "dd"
    deep.mkdir(parents=True)
    (deep / "a.txt").write_text("deep text")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file.txt").symlink_to(deep / "a.txt")
    for root in ("link", "file.txt"):
        documents, _ = read(tmp_path / root)
        assert [document.text for document in documents] == ["deep text"]


def test_an_unreadable_table_in_the_folder_is_counted(folder):
    (folder / "good.txt").write_text("good")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("a.jsonl", "{broken\n")
    documents, dropped = read(folder)
    assert len(documents) == 1
    assert dropped == {"broken JSON": 1}
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(b"\n{broken\n"))
    documents, dropped = read(folder)
    assert len(documents) == 1
    assert dropped == {"broken JSON": 2}


@given(st.text(max_size=40))
def test_every_name_has_a_type(name):
    kind = file_type(name)
    assert kind.format is None or kind.format in {*FORMATS.values(), "code"}
    assert name.lower().endswith(kind.suffix)
