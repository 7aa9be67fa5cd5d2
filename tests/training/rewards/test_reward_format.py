from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelwright.training.rewards.format import form, is_json, split_tags
from modelwright.training.rewards.reward import Sample
from modelwright.training.rewards.settings import FormatReward

TAGS = ["think", "answer"]
PARTS = st.text(st.characters(exclude_characters="<>"))


def value(completion, is_finished=True, **settings):
    reward = form(FormatReward(**settings))
    return reward([Sample("", completion, is_finished=is_finished)])[0]


@pytest.mark.parametrize(
    ("completion", "with_tags", "only_tags"),
    [
        ("<think>a</think><answer>b</answer>", 1, 1),
        ("<think>a\nb</think>\n<answer>\nb</answer>\n", 1, 1),
        ("<think></think><answer></answer>", 1, 1),
        ("So: <think>a</think><answer>b</answer>", 1, 0),
        ("<think>a</think>so<answer>b</answer>", 1, 0),
        ("<answer>b</answer><think>a</think>", 0, 0),
        ("<think>a<answer>b</answer></think>", 0, 0),
        ("<think>a</think><answer>b", 0, 0),
        ("<think>a</think><think>a</think><answer>b</answer>", 0, 0),
        ("</think>a<think><answer>b</answer>", 0, 0),
        ("<Think>a</Think><answer>b</answer>", 0, 0),
        ("", 0, 0),
    ],
)
def test_tags(completion, with_tags, only_tags):
    assert value(completion, tags=TAGS) == with_tags
    assert value(completion, tags=TAGS, only_tags=True) == only_tags


@given(st.lists(PARTS, min_size=5, max_size=5))
def test_split_gives_back_the_parts(parts):
    before, thought, between, answer, behind = parts
    text = f"{before}<think>{thought}</think>{between}<answer>{answer}</answer>{behind}"
    assert split_tags(text, TAGS) == parts


@given(st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "x"])))
def test_only_one_order_is_right(pieces):
    found = [piece for piece in pieces if piece != "x"]
    is_right = found == ["<think>", "</think>", "<answer>", "</answer>"]
    assert (split_tags("".join(pieces), TAGS) is not None) == is_right


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ('{"a": [1, null]}', True),
        (" 1 ", True),
        ("{'a': 1}", False),
        ('{"a": NaN}', False),
        ('{"a": 1} so', False),
        ("", False),
        ("[" * 100_000, False),
        ("9" * 10_000, False),
    ],
)
def test_json(completion, right):
    assert value(completion, json_text=True) == right


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_what_json_writes_is_json(content):
    assert is_json(json.dumps(content))


def test_json_in_the_last_tag():
    good, bad = '<think>{</think><answer>{"a": 1}</answer>', "<think>1</think><answer>{</answer>"
    assert value(good, tags=TAGS, json_text=True) == 1.0
    assert value(bad, tags=TAGS, json_text=True) == 0.0


def test_an_answer_that_was_cut_off():
    assert value("x", finished=True) == 1.0
    assert value("x", is_finished=False, finished=True) == 0.0
    assert value("[1]", is_finished=False, json_text=True) == 1.0


@pytest.mark.parametrize("settings", [{}, {"tags": ["a b"]}, {"tags": ["a", "a"]}, {"tags": [""]}])
def test_settings_that_cannot_be_meant(settings):
    with pytest.raises(ValidationError):
        FormatReward(**settings)
