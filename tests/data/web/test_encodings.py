from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.web.encodings import EncodingError, decompress

PACKERS = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
}


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def undone(raw: bytes, encoding: str, size: int = 1000, most: int = 10**7, ratio: float = 100):
    pieces = (raw[start : start + size] for start in range(0, len(raw), size))
    return b"".join(decompress(pieces, encoding, most, ratio))


@given(st.binary(max_size=3000), st.integers(1, 50), st.sampled_from(sorted(PACKERS)))
def test_round_trip_in_pieces_of_any_size(data: bytes, size: int, encoding: str) -> None:
    assert undone(PACKERS[encoding](data), encoding, size) == data


@given(st.binary(max_size=3000), st.integers(2, 50))
def test_deflate_without_its_header_is_read_too(data: bytes, size: int) -> None:
    assert undone(raw_deflate(data), "deflate", size) == data


def test_gzip_of_two_members_is_joined_and_what_follows_is_ignored() -> None:
    raw = gzip.compress(b"one ") + gzip.compress(b"two") + b"\0\0garbage"
    assert undone(raw, "GZIP", 3) == b"one two"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_body_that_is_cut_off_is_damaged(encoding: str, cut: int) -> None:
    raw = PACKERS[encoding](b"some text, some more text, and other words" * 9)
    with pytest.raises(EncodingError, match="damaged"):
        undone(raw[:-cut], encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_bomb_ends_at_the_limit(encoding: str) -> None:
    raw = PACKERS[encoding](bytes(5_000_000))
    with pytest.raises(EncodingError, match="larger than"):
        undone(raw, encoding, most=500_000)
    with pytest.raises(EncodingError, match="expands too much"):
        undone(raw, encoding, ratio=100)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(EncodingError, match="unknown"):
        undone(b"x", "gzip, gzip")
