"""Hostile archives and compressed files, each made small and by code."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import zstandard

from modelwright.core.errors import InputError
from modelwright.core.progress import SilentProgress
from modelwright.data.drops import Drops
from modelwright.data.sandbox import Sandbox
from modelwright.data.sources.files import FilesReader
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import FilesSource
from modelwright.data.sources.streams import ExpansionLimits

LIMITS = ExpansionLimits(floor=100 * 2**20)
"""A lower floor than users have lets the bombs be small, and so quick to make."""

GOOD = "good.txt"
"""A harmless member that a case may hold; where it can be reached, it must be read."""


@dataclass(frozen=True)
class HostileArchive:
    """A file that must be contained.

    Attributes
    ----------
    name : str
        File name, with the suffix by which it is read.
    write : callable
        Writes it to a path.
    reasons : frozenset of str
        What must be counted, beginnings of reasons.
    keeps : frozenset of str
        Members that must come out, and no others.
    """

    name: str
    write: Callable[[Path], object]
    reasons: frozenset[str]
    keeps: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Read:
    """What came out of a file, and what was counted."""

    members: frozenset[str]
    drops: Mapping[str, int]
    failed: bool

    def contains(self, case: HostileArchive) -> bool:
        """Whether everything that can be read came out, nothing else, and why is counted."""
        counted = all(any(one.startswith(why) for one in self.drops) for why in case.reasons)
        right = self.members == {f"{case.name}!/{member}" for member in case.keeps}
        return right and counted and self.failed == (not self.members)


def read(path: Path, kept: Path) -> Read:
    """Read a file as the collector does."""
    drops, members, failed = Drops(lambda text: None), frozenset[str](), False
    reader = FilesReader(FilesSource(path=str(path)), expansion=LIMITS)
    with Sandbox(1) as sandbox:
        try:
            reading = Reading(SilentProgress(), drops, sandbox, kept)
            members = frozenset(document.url for document in reader.documents(reading))
        except InputError:
            failed = True
    return Read(members, drops.counts, failed)


def zip_bytes(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def zip_with(*infos: zipfile.ZipInfo) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(GOOD, "a harmless text")
        for info in infos:
            archive.writestr(info, "content")
    return stream.getvalue()


def overlapping_zip(members: int = 100, size: int = 5_000_000) -> bytes:
    """Members that share one compressed kernel (Fifield 2019, full overlap)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    kernel = compressor.compress(b"a" * size) + compressor.flush()
    check = zlib.crc32(b"a" * size)
    fields = (20, 0, 8, 0, 0x21, check, len(kernel), size, 5, 0)
    local = b"PK\3\4" + struct.pack("<HHHHHIIIHH", *fields) + b"a.txt" + kernel
    directory = b""
    for number in range(members):
        name = f"{number:05d}.txt".encode()
        directory += b"PK\1\2" + struct.pack("<H", 20)
        directory += struct.pack("<HHHHHIIIHH", *fields[:-2], len(name), 0)
        directory += struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = struct.pack("<HHHHIIH", 0, 0, members, members, len(directory), len(local), 0)
    return local + directory + b"PK\5\6" + end


def zip_quine_like() -> bytes:
    """An archive with an archive with an archive, as far as one likes."""
    inner = zip_bytes((GOOD, b"deepest text"))
    for _ in range(5):
        inner = zip_bytes((GOOD, b"a harmless text"), ("inner.zip", inner))
    return inner


def zip_with_lying_size(stated: int, name: str = "lying.txt") -> bytes:
    content = b"0123456789" * 10
    raw = zip_bytes((GOOD, b"a harmless text"), (name, content))
    return raw.replace(struct.pack("<I", len(content)), struct.pack("<I", stated))


def zip_with_huge_directory() -> bytes:
    raw = zip_bytes((GOOD, b"a harmless text"))
    return raw[:-22] + b"PK\1\2" + b"\0" * 17_000_000 + _end_of_directory(17_000_100)


def _end_of_directory(size: int) -> bytes:
    return b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, size, 0, 0)


def tar_bytes(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return stream.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tar_with_header(kind: bytes, stated: int) -> bytes:
    """A header of a special kind that states a size, with nothing behind it."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, stated
    return tar_bytes((GOOD, b"a harmless text"))[:1024] + info.tobuf(tarfile.GNU_FORMAT)


def zeros(compress: Callable[[bytes], bytes], size: int = 10**9) -> Callable[[], bytes]:
    """Compressed zeros, in many streams one after the other: every decoder joins them."""
    piece = 2**24
    return lambda: compress(bytes(piece)) * (size // piece + 1)


def xz_with_dictionary() -> bytes:
    """Text that states a dictionary of 1.5 GiB, in a header whose check sum is right."""
    raw = bytearray(lzma.compress(TEXT))
    start, end = 12, 12 + 4 * (raw[12] + 1)
    raw[start + 4] = 37
    raw[end - 4 : end] = struct.pack("<I", zlib.crc32(raw[start : end - 4]))
    return bytes(raw)


def zstd_with_window() -> bytes:
    """A frame that states a window of 1 GiB."""
    parameters = zstandard.ZstdCompressionParameters(window_log=30)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(TEXT) + compressor.flush()


def _bytes(raw: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(raw())


def _member(name: str, mode: int = 0, flags: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.flag_bits = mode << 16, flags
    return info


def encrypted_zip() -> bytes:
    """Sets the flag of encryption on the second member, in both of its headers."""
    raw = bytearray(zip_with(_member("secret.txt")))
    raw[raw.rindex(b"PK\3\4") + 6] |= 1
    raw[raw.rindex(b"PK\1\2") + 8] |= 1
    return bytes(raw)


TEXT = b"a line of text that is compressed\n" * 1000
BOMB = "decompresses to far more"
DAMAGED = "damaged or cut off"
OUTSIDE = "archive member named outside"
LARGE = "larger than 64 MiB"
_KEPT = frozenset({GOOD})

CASES: tuple[HostileArchive, ...] = (
    HostileArchive("bomb.txt.gz", _bytes(zeros(gzip.compress)), frozenset({LARGE})),
    HostileArchive("bomb.jsonl.gz", _bytes(zeros(gzip.compress)), frozenset({BOMB})),
    HostileArchive("bomb.jsonl.zst", _bytes(zeros(zstandard.compress)), frozenset({BOMB})),
    HostileArchive("bomb.jsonl.bz2", _bytes(zeros(bz2.compress)), frozenset({BOMB})),
    HostileArchive("bomb.jsonl.xz", _bytes(zeros(lzma.compress)), frozenset({BOMB})),
    HostileArchive("bomb.csv.zst", _bytes(zeros(zstandard.compress)), frozenset({LARGE})),
    HostileArchive("zeros.tar.zst", _bytes(zeros(zstandard.compress)), frozenset()),
    HostileArchive("dictionary.txt.xz", _bytes(xz_with_dictionary), frozenset({DAMAGED})),
    HostileArchive("window.txt.zst", _bytes(zstd_with_window), frozenset({DAMAGED})),
    HostileArchive(
        "bomb.zip",
        _bytes(lambda: zip_bytes(
            (GOOD, b"a harmless text"), *((f"{n}.txt", bytes(60_000_000)) for n in range(3))
        )),
        frozenset({BOMB, "binary content"}),
        _KEPT,
    ),
    HostileArchive("overlap.zip", _bytes(overlapping_zip), frozenset({"archive whose members"})),
    HostileArchive(
        "quine.zip", _bytes(zip_quine_like), frozenset({"archive in an archive in an"}),
        frozenset({GOOD, f"inner.zip!/{GOOD}"}),
    ),
    HostileArchive(
        "short.zip", _bytes(lambda: zip_with_lying_size(5)), frozenset({DAMAGED}), _KEPT
    ),
    HostileArchive(
        "long.zip", _bytes(lambda: zip_with_lying_size(2**31 - 1)), frozenset(),
        frozenset({GOOD, "lying.txt"}),
    ),
    HostileArchive(
        "directory.zip", _bytes(zip_with_huge_directory), frozenset({"archive with too many"})
    ),
    HostileArchive(
        "cut.zip", _bytes(lambda: zip_bytes((GOOD, TEXT))[:-30]), frozenset({DAMAGED})
    ),
    HostileArchive("no.zip", _bytes(lambda: b"no archive at all"), frozenset({DAMAGED})),
    HostileArchive(
        "names.zip",
        _bytes(lambda: zip_bytes(*(
            (name, b"x" * 40)
            for name in (
                GOOD, "../up.txt", "/root.txt", "C:\\drive.txt", "a\\..\\..\\up.txt", "a/../b.txt",
                "..", "./", "good.txt/", "n\0ul.txt",
            )
        ))),
        frozenset({OUTSIDE}),
        _KEPT,
    ),
    HostileArchive(
        "twice.zip", _bytes(lambda: zip_bytes((GOOD, b"first text"), (f"./{GOOD}", b"second"),
            ("e\u0301.txt", b"one form"), ("\u00e9.txt", b"the other"))),
        frozenset({"archive member whose name"}), frozenset({GOOD, "e\u0301.txt"}),
    ),
    HostileArchive(
        "link.zip", _bytes(lambda: zip_with(_member("l.txt", 0o120777))),
        frozenset({"link in an archive"}), _KEPT,
    ),
    HostileArchive(
        "device.zip", _bytes(lambda: zip_with(_member("d.txt", 0o060666))),
        frozenset({"device in an archive"}), _KEPT,
    ),
    HostileArchive(
        "secret.zip", _bytes(encrypted_zip), frozenset({"encrypted archive member"}), _KEPT
    ),
    HostileArchive(
        "method.zip",
        _bytes(lambda: zip_bytes(("a.txt", b"a" * 10**7), method=zipfile.ZIP_BZIP2)),
        frozenset({"archive member in an unsupported"}),
    ),
    HostileArchive(
        "links.tar",
        _bytes(lambda: tar_bytes(
            (GOOD, b"a harmless text"),
            special("symbolic.txt", tarfile.SYMTYPE, "/etc/passwd"),
            special("hard.txt", tarfile.LNKTYPE, GOOD),
            special("device.txt", tarfile.CHRTYPE),
            special("block.txt", tarfile.BLKTYPE),
            special("pipe.txt", tarfile.FIFOTYPE),
            special("sparse.txt", tarfile.GNUTYPE_SPARSE),
        )),
        frozenset({"link in an archive", "device in an archive", "archive member of a special"}),
        _KEPT,
    ),
    HostileArchive(
        "names.tar",
        _bytes(lambda: tar_bytes(*(
            (name, b"x" * 40)
            for name in (GOOD, "../up.txt", "/root.txt", "a/../../up.txt", "x" * 5000 + ".txt")
        ))),
        frozenset({OUTSIDE}),
        _KEPT,
    ),
    HostileArchive(
        "longname.tar", _bytes(lambda: tar_with_header(b"L", 8 * 2**30)), frozenset({DAMAGED}),
        _KEPT,
    ),
    HostileArchive(
        "pax.tar", _bytes(lambda: tar_with_header(b"x", 8 * 2**30)), frozenset({DAMAGED}), _KEPT
    ),
    HostileArchive(
        "size.tar", _bytes(lambda: tar_with_header(b"0", 2**62)), frozenset({DAMAGED}), _KEPT
    ),
    HostileArchive(
        "cut.tar", _bytes(lambda: tar_bytes((GOOD, b"a text"), ("b.txt", TEXT))[:3000]),
        frozenset({DAMAGED}), _KEPT,
    ),
    HostileArchive(
        "cut.tar.gz", _bytes(lambda: gzip.compress(tar_bytes(("b.txt", TEXT)))[:-30]),
        frozenset({DAMAGED}),
    ),
    HostileArchive(
        "cut.txt.zst", _bytes(lambda: zstandard.compress(TEXT)[:-5]), frozenset({DAMAGED})
    ),
    HostileArchive("cut.txt.gz", _bytes(lambda: gzip.compress(TEXT)[:-5]), frozenset({DAMAGED})),
    HostileArchive("cut.txt.bz2", _bytes(lambda: bz2.compress(TEXT)[:-5]), frozenset({DAMAGED})),
    HostileArchive("cut.txt.xz", _bytes(lambda: lzma.compress(TEXT)[:-5]), frozenset({DAMAGED})),
    HostileArchive("no.txt.gz", _bytes(lambda: b"plain text"), frozenset({DAMAGED})),
)  # fmt: skip
"""One compressed or archived file each, with what must come of it."""
