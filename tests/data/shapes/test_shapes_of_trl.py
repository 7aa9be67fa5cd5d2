"""Where a prompt is not given, ours is TRL's."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelwright.data.shapes.standard import implicit_preference

trl = pytest.importorskip("trl")

TEXT = st.text(st.sampled_from("ab \n"), max_size=6)
ASKED = st.lists(TEXT.map(lambda text: f"Q{text}"), min_size=1, max_size=2)


@given(common=TEXT.map(lambda text: f"x{text}"), one=TEXT, other=TEXT)
def test_texts_are_cut_where_trl_cuts_them(common: str, one: str, other: str) -> None:
    row = {"chosen": f"{common}{one}c", "rejected": f"{common}{other}r"}
    shorter, longer = sorted(row.values(), key=len)
    assume(not longer.startswith(shorter))  # there TRL leaves the last character to the answers
    expected = trl.extract_prompt(row)
    assume(expected["chosen"].strip() and expected["rejected"].strip())
    assert implicit_preference(row) == expected


@given(asked=ASKED, answer=TEXT)
def test_messages_are_cut_where_trl_cuts_them(asked: list[str], answer: str) -> None:
    before = []
    for number, text in enumerate(asked):
        before += [{"role": "assistant", "content": "A"}] if number else []
        before.append({"role": "user", "content": text})
    row = {
        name: [*before, {"role": "assistant", "content": f"{name}{answer}"}]
        for name in ("chosen", "rejected")
    }
    assert implicit_preference(row) == trl.extract_prompt(row)
