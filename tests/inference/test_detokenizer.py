from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from modelwright.inference.detokenizer import Detokenizer

WORLD = "naïve 世界 नमस्ते 👩‍👩‍👧‍👦 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 e\u0301"


def pieces_of(data: bytes, cuts: list[int], stop: tuple[str, ...] = ()) -> list[str]:
    detokenizer = Detokenizer(stop)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [detokenizer.push(data[start:end]) for start, end in pairwise(edges)]
    return [*pieces, detokenizer.finish()]


@given(st.text(), st.lists(st.integers(0, 1000)))
@example(WORLD, list(range(len(WORLD.encode()))))
def test_pieces_are_whole_characters_and_make_the_text(text: str, cuts: list[int]) -> None:
    pieces = pieces_of(text.encode(), cuts)
    assert "".join(pieces) == text
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


@given(st.binary(), st.lists(st.integers(0, 1000)))
def test_broken_bytes_are_replaced_as_python_does_but_for_an_unfinished_end(
    data: bytes, cuts: list[int]
) -> None:
    got = "".join(pieces_of(data, cuts))
    expected = data.decode("utf-8", errors="replace")
    assert expected in (got, got + "\ufffd")


def test_nothing_shows_before_a_character_is_whole() -> None:
    detokenizer = Detokenizer()
    assert [detokenizer.push(bytes([byte])) for byte in "世👍".encode()] == [
        *["", "", "世"],
        *["", "", "", "👍"],
    ]


def test_an_unfinished_character_at_the_end_is_left_out() -> None:
    detokenizer = Detokenizer()
    assert detokenizer.push("ok 👍".encode()[:-1]) + detokenizer.finish() == "ok "


@given(
    st.text("ab<>|"),
    st.lists(st.text("ab<>|", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 50)),
)
def test_stop_strings_do_not_depend_on_the_cuts(
    text: str, stop: list[str], cuts: list[int]
) -> None:
    whole = "".join(pieces_of(text.encode(), [], tuple(stop)))
    assert "".join(pieces_of(text.encode(), cuts, tuple(stop))) == whole
    assert not any(string in whole for string in stop)
    assert text.startswith(whole)
    if not any(string in text for string in stop):
        assert whole == text


def test_text_before_a_stop_string_comes_at_once_and_the_rest_never() -> None:
    detokenizer = Detokenizer(("END", "###"))
    assert detokenizer.push(b"one E") == "one "
    assert detokenizer.push(b"N") == ""
    assert detokenizer.push(b"T") == "ENT"
    assert not detokenizer.is_stopped
    assert detokenizer.push(b" two EN") == " two "
    assert detokenizer.push(b"D three") == ""
    assert detokenizer.is_stopped
    assert detokenizer.push(b"more") == ""
    assert detokenizer.finish() == ""
