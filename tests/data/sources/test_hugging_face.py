from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.data.drops import Drops
from modelwright.data.sources import hugging_face, hugging_face_folder
from modelwright.data.sources.hugging_face import HuggingFaceReader
from modelwright.data.sources.hugging_face_files import Card, choose_files, parse_card, split_of
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import HuggingFaceSource

ROWS = [{"text": f"text number {n}", "n": n} for n in range(7)]
CARD = "---\nlicense: odc-by\nlanguage: [en]\n---\n# A data set\n"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError("a local data set asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def read(tmp_path, notes):
    """Read a data set: ``(documents, counts of what was left out)``."""

    def read_dataset(dataset, **settings):
        drops = Drops(notes.note)
        reading = Reading(notes, drops, sandbox=None, kept=tmp_path / "kept")
        reader = HuggingFaceReader(HuggingFaceSource(dataset=str(dataset), **settings))
        return list(reader.documents(reading)), drops.counts

    return read_dataset


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "stories"
    folder.mkdir()
    return folder


def write_parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_arrow(path, rows):
    """As ``save_to_disk`` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=3)


def texts(documents):
    return [document.text for document in documents]


def test_parquet_shards_with_a_card(folder, read, no_network):
    (folder / "README.md").write_text(CARD)
    write_parquet(folder / "data" / "train-00000-of-00002.parquet", ROWS[:3])
    write_parquet(folder / "data" / "train-00001-of-00002.parquet", ROWS[3:5])
    write_parquet(folder / "data" / "test-00000-of-00001.parquet", ROWS[5:])
    documents, counts = read(folder)
    assert texts(documents) == [row["text"] for row in ROWS[:5]]
    first = documents[0]
    assert first.url == "stories/data/train-00000-of-00002.parquet#R1"
    assert first.source == "hugging-face:stories"
    assert (first.licence, first.licence_from) == ("ODC-By-1.0", "data set card")
    assert counts == {}
    assert texts(read(folder, split="test")[0]) == [row["text"] for row in ROWS[5:]]
    assert texts(read(folder, maximum=4)[0]) == [row["text"] for row in ROWS[:4]]


def test_every_format_gives_the_same_texts(tmp_path, read, no_network):
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    table = "text,n\n" + "".join(f"{row['text']},{row['n']}\n" for row in ROWS)
    for name in ("parquet", "arrow", "lines", "packed", "json", "csv"):
        (tmp_path / name).mkdir()
    write_parquet(tmp_path / "parquet" / "train.parquet", ROWS)
    write_arrow(tmp_path / "arrow" / "data-00000-of-00001.arrow", ROWS)
    (tmp_path / "arrow" / "state.json").write_text("{}")
    (tmp_path / "arrow" / "dataset_info.json").write_text("{}")
    (tmp_path / "lines" / "train.jsonl").write_text(lines)
    (tmp_path / "packed" / "train.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "json" / "a.json").write_text(lines)
    (tmp_path / "csv" / "train.csv").write_text(table)
    for name in ("parquet", "arrow", "lines", "packed", "json", "csv"):
        documents, counts = read(tmp_path / name)
        assert texts(documents) == [row["text"] for row in ROWS], name
        assert counts == {}, name
        assert len({document.url for document in documents}) == 7, name


def test_what_the_library_itself_saved(folder, read):
    datasets = pytest.importorskip("datasets")
    made = datasets.DatasetDict(
        {
            "train": datasets.Dataset.from_list(ROWS[:4]),
            "extra": datasets.Dataset.from_list(ROWS).select([6, 5]),
        }
    )
    made.save_to_disk(folder)
    assert texts(read(folder)[0]) == [row["text"] for row in ROWS[:4]]
    assert texts(read(folder, split="extra")[0]) == [ROWS[6]["text"], ROWS[5]["text"]]


def test_rows_tell_their_own_address_title_and_licence(folder, read):
    row = {"text": "a", "url": "https://e.org/1", "title": "T", "license": "mit", "id": 5}
    rows = [row, {**row, "url": None, "license": None}]
    (folder / "README.md").write_text(CARD)
    write_arrow(folder / "train" / "data-00000-of-00001.arrow", rows)
    first, second = read(folder)[0]
    assert (first.url, first.title) == ("https://e.org/1", "T")
    assert (first.licence, first.licence_from) == ("MIT", "row")
    assert second.url == "stories/train/data-00000-of-00001.arrow#5"
    assert (second.licence, second.licence_from) == ("ODC-By-1.0", "data set card")
    (folder / "README.md").unlink()
    assert read(folder, licence="CC0-1.0")[0][1].licence_from == "settings"


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "jsonl", "csv"])
def test_a_wrong_field_is_an_error_with_the_nearest(folder, read, suffix):
    rows = [{"texts": "a", "number": 1}]
    path = folder / f"train.{suffix}"
    if suffix == "parquet":
        write_parquet(path, rows)
    elif suffix == "arrow":
        write_arrow(path, rows)
    else:
        path.write_text(json.dumps(rows[0]) + "\n" if suffix == "jsonl" else "texts,number\na,1\n")
    with pytest.raises(InputError, match="no column 'text', but texts, number") as caught:
        read(folder)
    assert "text_field: texts" in caught.value.fix
    assert texts(read(folder, text_field="texts")[0]) == ["a"]


def test_a_column_of_another_type_is_refused(folder, read):
    write_arrow(folder / "train.arrow", [{"text": b"bytes"}])
    with pytest.raises(InputError, match="column 'text' is not text"):
        read(folder)


def test_damaged_files_and_rows_are_counted(folder, read):
    (folder / "train-1.jsonl").write_text('{"text": "good"}\nbroken\n{"text": ""}\n{"no": 1}\n')
    (folder / "train-2.jsonl.gz").write_bytes(gzip.compress(b'{"text": "cut"}\n' * 99)[:-9])
    (folder / "notes.pdf").write_bytes(b"%PDF")
    documents, counts = read(folder)
    assert texts(documents)[0] == "good"
    assert counts[hugging_face.NOT_ROWS] == 1
    assert sum(counts.values()) == 5
    for suffix, write in ((".arrow", write_arrow), (".parquet", write_parquet)):
        for path in folder.iterdir():
            path.unlink()
        write(folder / f"train-1{suffix}", ROWS)
        write(folder / f"train-2{suffix}", ROWS)
        (folder / f"train-1{suffix}").write_bytes(b"garbage" * 20)
        documents, counts = read(folder)
        assert len(documents) == 7
        assert [reason.partition(":")[0] for reason in counts] == ["damaged or cut off"]


def test_links_out_of_the_folder_are_not_followed(folder, tmp_path, read):
    (tmp_path / "secret.jsonl").write_text('{"text": "secret"}\n')
    (folder / "train.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(InputError, match="no file with rows"):
        read(folder)


def test_a_card_cannot_name_addresses_or_files_outside(folder, tmp_path, read, no_network):
    (tmp_path / "secret.jsonl").write_text('{"text": "secret"}\n')
    for path in ("https://127.0.0.1:1/x.jsonl", "../secret.jsonl", str(tmp_path / "secret.jsonl")):
        (folder / "README.md").write_text(
            f"---\nconfigs:\n- config_name: default\n  data_files: ['{path}']\n---\n"
        )
        (folder / "a.jsonl").write_text('{"text": "own"}\n')
        with pytest.raises(InputError, match="no file of the split"):
            read(folder)


def test_of_two_formats_the_one_of_most_files_counts(folder, read):
    write_parquet(folder / "train-1.parquet", ROWS)
    (folder / "train.csv").write_text("text,n\na,1\n")
    documents, counts = read(folder)
    assert len(documents) == 7
    assert counts == {hugging_face.OTHER_FORMAT: 1}


def test_no_code_of_a_data_set_is_run(folder, read):
    (folder / "stories.py").write_text("raise SystemExit('run')")
    (folder / "train.jsonl").write_text('{"text": "a"}\n')
    documents, counts = read(folder)
    assert len(documents) == 1
    assert counts == {hugging_face.NOT_ROWS: 1}


CONFIGS = """---
license: [mit, cc-by-sa-4.0]
configs:
- config_name: small
  data_files:
  - split: train
    path: small/train-*
  - split: test
    path: [small/test.parquet, more/*.parquet]
- config_name: large
  data_files: large/**/*.parquet
---
"""


def test_configurations_of_the_card():
    card = parse_card(CONFIGS.encode())
    assert card.licence == "CC-BY-SA-4.0 AND MIT"
    names = [
        "small/train-1.parquet",
        "small/train-2.parquet",
        "small/test.parquet",
        "more/x.parquet",
        "large/a/b.parquet",
        "other.parquet",
    ]

    def chosen(configuration, split="train"):
        files = choose_files(names, card, configuration, split, "here")
        return [file.name for file in files]

    assert chosen("small") == names[:2]
    assert chosen("small", "test") == ["more/x.parquet", "small/test.parquet"]
    assert chosen("large") == ["large/a/b.parquet"]
    with pytest.raises(InputError, match=r"no configuration 'smal', but large, small") as caught:
        chosen("smal")
    assert "did you mean 'small'" in caught.value.fix
    with pytest.raises(InputError, match="no configuration"):
        chosen(None)
    with pytest.raises(InputError, match="no split 'validation', but test, train"):
        chosen("small", "validation")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00004-abcdef.parquet", "train"),
        ("data/train_sft-00000-of-00004.parquet", "train_sft"),
        ("en/c4-train.00000-of-01024.json.gz", "train"),
        ("data-00000-of-00001.arrow", None),
        ("train/data-00000-of-00001.arrow", "train"),
        ("my_dev.jsonl", "validation"),
        ("valid/x.csv", "validation"),
        ("test1.parquet", "test"),
        ("TRAIN.csv", "train"),
        ("contest.csv", None),
        ("trainee.csv", None),
        ("0001.parquet", None),
    ],
)
def test_splits_by_name(name, split):
    assert split_of(name) == split


def test_files_by_folder_and_by_number():
    names = ["en/train/1.parquet", "en/extra/1.parquet", "de/train/1.parquet"]
    names += ["README.md"]

    def chosen(configuration, split):
        return [f.name for f in choose_files(names, Card(), configuration, split, "here")]

    assert chosen("en", "train") == ["en/train/1.parquet"]
    assert chosen("de", "train") == ["de/train/1.parquet"]
    assert chosen(None, "extra") == ["en/extra/1.parquet"]
    with pytest.raises(InputError, match="no split 'test', but train"):
        chosen(None, "test")
    with pytest.raises(InputError, match="no configuration 'fr', but de, en"):
        chosen("fr", "train")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("no block", ""),
        ("---\nlicense: apache-2.0\n---", "Apache-2.0"),
        ("---\r\nlicense: cc-by-4.0\r\n---\r\n", "CC-BY-4.0"),
        ("---\nlicense: unknown\n---\n", ""),
        ("---\nlicense: other\nlicense_name: llama3\n---\n", "LicenseRef-llama3"),
        ("---\nlicense: {a: b}\n---\n", ""),
        ("---\nlicense:\n---\n", ""),
        ("---\nlicense: [[[\n---\n", None),
        ("---\nnever closed", None),
        ("---\n- a list\n---\n", None),
        ("---\n" + "[" * 50_000 + "\n---\n", None),
    ],
)
def test_licences_of_cards(card, licence):
    parsed = parse_card(card.encode())
    assert (None if parsed is None else parsed.licence) == licence


def test_a_card_that_doubles_itself_is_read_at_once():
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], x{n}: 1}}" for n in range(1, 60)]
    card = "---\n" + "\n".join(lines) + "\nlicense: mit\n---\n"
    assert parse_card(card.encode()).licence == "MIT"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_card_or_none(raw):
    parse_card(raw)
    parse_card(b"---\n" + raw + b"\n---\n")


def test_a_broken_card_is_counted(folder, read):
    (folder / "README.md").write_text("---\n[[[\n---\n")
    (folder / "train.jsonl").write_text('{"text": "a"}\n')
    documents, counts = read(folder)
    assert documents[0].licence == "LicenseRef-unknown"
    assert counts == {hugging_face.BAD_CARD: 1}


def test_what_is_not_there(folder, read, tmp_path):
    with pytest.raises(InputError, match="no file with rows"):
        read(folder)
    with pytest.raises(InputError, match="no such folder"):
        read(tmp_path / "missing" / "folder")
    with pytest.raises(InputError, match="no such folder"):
        read("../missing")
    (tmp_path / "x.jsonl").write_text("{}")
    with pytest.raises(InputError, match="this is a file"):
        read(tmp_path / "x.jsonl")


OFFLINE = """
import sys
from pathlib import Path
from modelwright.core.errors import InputError
from modelwright.core.progress import SilentProgress
from modelwright.data.drops import Drops
from modelwright.data.sources.hugging_face import HuggingFaceReader
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import HuggingFaceSource

reader = HuggingFaceReader(HuggingFaceSource(dataset="some/dataset", **eval(sys.argv[1])))
try:
    for document in reader.documents(Reading(SilentProgress(), Drops(print), None, Path("."))):
        print(document.url, document.licence, document.text)
except InputError as error:
    print("error:", error)
"""


def in_a_process(environment, **settings):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-c", OFFLINE, repr(settings)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_offline_a_name_on_the_hub_is_an_error(tmp_path):
    output = in_a_process({"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})
    assert "HF_HUB_OFFLINE forbids" in output


class Hub(BaseHTTPRequestHandler):
    """Speaks as much of the hub's protocol as is needed to read files at a commit."""

    files: ClassVar[dict[str, bytes]] = {}
    agents: ClassVar[list[str]] = []
    commit = "0123456789abcdef0123456789abcdef01234567"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_json([self.entry(name) for name in self.files])

    def entry(self, name):
        size = len(self.files[name])
        return {"type": "file", "path": name, "size": size, "oid": "0" * 40}

    def send_json(self, value):
        raw = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def answer(self):
        self.agents.append(self.headers.get("User-Agent", ""))
        path = self.path.partition("?")[0]
        if path.startswith("/api/datasets/some/dataset"):
            if "/tree/" in path:
                return self.send_json([self.entry(name) for name in self.files])
            siblings = [{"rfilename": name} for name in self.files]
            return self.send_json({"id": "some/dataset", "sha": self.commit, "siblings": siblings})
        name = path.partition(f"/resolve/{self.commit}/")[2]
        if name not in self.files:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        raw = whole = self.files[name]
        asked = self.headers.get("Range", "").removeprefix("bytes=")
        if asked:
            start, _, end = asked.partition("-")
            raw = whole[int(start) : int(end) + 1 if end else None]
        self.send_response(206 if asked else 200)
        self.send_header("ETag", '"1"')
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)
        return None


@pytest.fixture
def hub(tmp_path):
    """A hub on the loopback with one data set: the environment that leads to it."""
    write_parquet(tmp_path / "x.parquet", ROWS[:3])
    lines = "".join(json.dumps(row) + "\n" for row in ROWS[3:])
    Hub.agents.clear()
    Hub.files.clear()
    Hub.files["README.md"] = CARD.encode()
    Hub.files["data/train-00000-of-00001.parquet"] = (tmp_path / "x.parquet").read_bytes()
    Hub.files["data/test.jsonl.gz"] = gzip.compress(lines.encode())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "HF_HOME": str(tmp_path / "home"),
        "NO_PROXY": "127.0.0.1",
    }
    server.shutdown()
    thread.join()
    server.server_close()


def test_rows_are_streamed_from_the_hub_at_one_commit(hub):
    output = in_a_process(hub).splitlines()
    assert output == [
        f"some/dataset@{Hub.commit}/data/train-00000-of-00001.parquet#R{n + 1} ODC-By-1.0 "
        f"text number {n}"
        for n in range(3)
    ]
    assert all("telemetry" not in agent for agent in Hub.agents)
    output = in_a_process(hub, split="test").splitlines()
    assert len(output) == 4
    assert output[0].endswith("test.jsonl.gz#L1 ODC-By-1.0 text number 3")


def test_a_hub_that_does_not_know_or_does_not_answer(hub, tmp_path):
    Hub.files.pop("data/train-00000-of-00001.parquet")
    assert "no split 'train', but test" in in_a_process(hub)
    closed = {**hub, "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert "the hub cannot be reached" in in_a_process(closed)


def test_without_the_package_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(Exception, match="'huggingface_hub', which is not installed"):
        hugging_face_folder.open_dataset("some/dataset", None, Drops(print))
