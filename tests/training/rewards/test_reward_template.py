from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.training.rewards.reward import Sample
from modelwright.training.rewards.template import as_text, fill


@given(st.text(), st.text(), st.text())
def test_what_is_put_in_is_not_looked_at_again(prompt, completion, value):
    sample = Sample(prompt, completion, {"prompt": "another", "value": value})
    filled = fill("{value}|{completion}|{prompt}|{}|{not a name}", sample)
    assert filled == f"{value}|{completion}|{prompt}|{{}}|{{not a name}}"


def test_conversations():
    call = {"role": "assistant", "content": None, "tool_calls": []}
    question = {"role": "user", "content": "Why?"}
    assert as_text([question]) == "Why?"
    assert as_text([question, call, question]) == "user: Why?\n\nassistant: \n\nuser: Why?"
    assert as_text([]) == ""


def test_a_field_that_is_missing_is_named():
    with pytest.raises(InputError, match="'absent' is missing"):
        fill("{absent}", Sample("", "", {"present": ""}))
