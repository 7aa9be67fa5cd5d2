from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zipfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelwright.data.sources.archives import ARCHIVE_LIMITS, ArchiveLimits, read_members
from modelwright.data.sources.file_types import file_type
from modelwright.data.sources.streams import Budget, ContentError, ExpansionLimits, decompressed
from modelwright.data.sources.tar import read_tar

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200)
PLAIN = st.from_regex(r"[a-z]{1,80}(/[a-z]{1,80}){0,4}", fullmatch=True)
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def tar_of(members, kind=tarfile.PAX_FORMAT):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zip_of(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def members_of(raw, container, limits=ARCHIVE_LIMITS, budget=2**30):
    refused = []
    read = [
        (member.name, member.file.read())
        for member in read_members(
            io.BytesIO(raw), container, Budget(budget), lambda *what: refused.append(what), limits
        )
    ]
    return read, refused


@example(members=[("/", b"content")], kind=tarfile.GNU_FORMAT)
@given(
    members=st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=5),
    kind=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_tar_members_are_those_that_the_standard_library_finds(members, kind):
    raw = tar_of(members, kind)
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        expected = [
            (info.name.rstrip("/"), archive.extractfile(info).read())
            for info in archive
            if info.isreg()
        ]
    found = [
        (member.name.rstrip("/"), content.read())
        for member, content in read_tar(io.BytesIO(raw))
        if member.kind == "file"
    ]
    assert found == expected


@given(members=st.lists(st.tuples(PLAIN, st.binary(max_size=99)), unique_by=lambda m: m[0]))
@settings(max_examples=30)
@pytest.mark.parametrize("kind", FORMATS)
def test_safe_members_come_back(members, kind):
    members = [(name[-90:].strip("/"), content) for name, content in members]
    members = list(dict(members).items())
    assert members_of(tar_of(members, kind), "tar") == (members, [])
    assert members_of(zip_of(members), "zip") == (members, [])


@example(position=0.87109375, change=b"\x00", container="zip")  # a name that is empty
@given(
    position=st.floats(0, 1, exclude_max=True),
    change=st.binary(min_size=1, max_size=40),
    container=st.sampled_from(["zip", "tar"]),
)
def test_damage_gives_content_errors_and_nothing_else(position, change, container):
    make = {"zip": zip_of, "tar": tar_of}[container]
    raw = bytearray(make([("a.txt", b"some text " * 30), ("b/c.txt", b"more")]))
    start = int(position * len(raw))
    raw[start : start + len(change)] = change
    budget = Budget(10**6)
    try:
        for member in read_members(io.BytesIO(raw), container, budget, lambda *what: None):
            try:
                member.file.read()
            except ContentError:
                continue
    except ContentError:
        pass


@given(st.binary(max_size=3000), st.sampled_from(["zip", "tar"]))
def test_anything_at_all_gives_content_errors_and_nothing_else(raw, container):
    with contextlib.suppress(ContentError):
        members_of(raw, container)


@given(raw=st.binary(max_size=400), kind=st.sampled_from(["gzip", "zstd", "bzip2", "xz"]))
def test_no_compressed_stream_gives_anything_but_content_errors(raw, kind):
    with contextlib.suppress(ContentError):
        decompressed(io.BytesIO(raw), kind, Budget(10**6)).read()


def test_pax_records_win_over_the_header():
    raw = tar_of([("ä" * 150 + ".txt", b"text"), ("b.txt", b"x")], tarfile.PAX_FORMAT)
    assert members_of(raw, "tar")[0] == [("ä" * 150 + ".txt", b"text"), ("b.txt", b"x")]


def test_members_that_are_not_read_are_skipped():
    raw = tar_of([("a.txt", b"a" * 2000), ("b.txt", b"b")])
    names = [
        member.name
        for member in read_members(io.BytesIO(raw), "tar", Budget(0), lambda *what: None)
    ]
    assert names == ["a.txt", "b.txt"]


def test_hidden_members_and_backslashes():
    names = ["a\\b.txt", ".git/config.txt", "x/.hidden.txt", "__MACOSX/._a.txt", "./c.txt"]
    raw = zip_of([(name, b"text") for name in names])
    read, refused = members_of(raw, "zip")
    assert [name for name, _ in read] == ["a/b.txt", "c.txt"]
    assert [reason for reason, _ in refused] == ["hidden file or folder"] * 3


def test_names_cannot_write_to_a_terminal():
    (read, _) = members_of(zip_of([("a\x1b[2J\n.txt", b"text")]), "zip")
    assert read == [("a\\x1b[2J\\n.txt", b"text")]


@pytest.mark.parametrize("container", ["zip", "tar"])
def test_members_over_the_limit_are_left_out_and_said(container):
    make = {"zip": zip_of, "tar": tar_of}[container]
    raw = make([(f"{n}.txt", b"text") for n in range(5)])
    members = read_members(io.BytesIO(raw), container, Budget(999), print, ArchiveLimits(members=3))
    assert [next(members).name for _ in range(3)] == ["0.txt", "1.txt", "2.txt"]
    with pytest.raises(ContentError, match="archive with too many members"):
        next(members)


def test_a_budget_is_shared_by_all_members():
    raw = zip_of([(f"{n}.txt", b"x" * 100) for n in range(5)])
    with pytest.raises(ContentError, match="decompresses to far more"):
        members_of(raw, "zip", budget=250)
    assert len(members_of(raw, "zip", budget=500)[0]) == 5


def test_budgets_grow_with_the_file_between_floor_and_total():
    limits = ExpansionLimits(ratio=10, floor=100, total=1000)
    assert [limits.budget(size).left for size in (0, 5, 50, 10**6)] == [100, 100, 500, 1000]


def test_a_stream_over_its_budget_stops():
    packed = gzip.compress(bytes(10**6))
    assert len(decompressed(io.BytesIO(packed), "gzip", Budget(10**6)).read()) == 10**6
    stream = decompressed(io.BytesIO(packed), "gzip", Budget(10**6 - 1))
    with pytest.raises(ContentError, match="decompresses to far more"):
        stream.read()


@pytest.mark.parametrize(
    ("name", "format_", "container", "compression", "stem"),
    [
        ("a/b.TXT", "text", None, None, "b"),
        ("b.md.gz", "markdown", None, "gzip", "b"),
        ("b.tar", None, "tar", None, "b"),
        ("b.tar.zst", None, "tar", "zstd", "b"),
        ("b.tgz", None, "tar", "gzip", "b"),
        ("b.zip", None, "zip", None, "b"),
        ("b.gz", None, None, "gzip", "b"),
        ("b.txt.gz.gz", None, None, "gzip", "b.txt"),
        ("b.py", "code", None, None, "b"),
        ("Makefile", None, None, None, "Makefile"),
    ],
)
def test_types_of_names(name, format_, container, compression, stem):
    kind = file_type(name)
    found = (kind.format, kind.container, kind.compression, kind.stem)
    assert found == (format_, container, compression, stem)
