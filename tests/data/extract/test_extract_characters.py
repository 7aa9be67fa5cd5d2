from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.extract.characters import readable


@given(st.text())
def test_readable_text_stays_as_it_is_and_is_nfc(text):
    once = readable(text)
    assert readable(once) == once
    assert unicodedata.is_normalized("NFC", once)


def test_what_nobody_sees_goes_and_what_spells_words_stays():
    hidden = "a\u202eb\u2066c\u200bd\ufeffe\u00adf\0g\x1bh" + "".join(
        chr(0xE0020 + n) for n in range(9)
    )
    assert readable(hidden) == "abcdefgh"
    persian, family = "می\u200cخواهم", "\U0001f468\u200d\U0001f469"
    assert readable(persian) == persian
    assert readable(family) == family


def test_lines():
    assert readable("\n a \r\n\r\n\r\n\r\nb\rc\t\n") == "a\n\nb\nc"
    assert readable("e\u0301") == "\u00e9"
