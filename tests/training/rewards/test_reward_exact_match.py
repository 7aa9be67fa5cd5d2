from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.training.rewards.exact_match import exact_match
from modelwright.training.rewards.reward import Sample
from modelwright.training.rewards.settings import ExactMatchReward


def value(completion, answer, **settings):
    sample = Sample("question", completion, {"answer": answer})
    (found,) = exact_match(ExactMatchReward(**settings))([sample])
    return found


@pytest.mark.parametrize(
    ("completion", "answer", "settings", "reward"),
    [
        (" 8\n", "8", {}, 1),
        ("8.", "8", {}, 0),
        ("", "8", {}, 0),
        ("} ]", "}  ]", {}, 1),
        ("} ]", "}  ]", {"ignore": []}, 0),
        ("Paris", "paris", {}, 0),
        ("Paris", "paris", {"ignore": ["case"]}, 1),
        ("STRASSE", "straße", {"ignore": ["case"]}, 1),
        ("1,234", "1234", {"ignore": ["commas"]}, 1),
        ("1,2", "12", {"ignore": ["commas"]}, 0),
        ("It is 1,234.0.", "1234", {"number": True}, 1),
        ("It is 1,235.", "1234", {"number": True}, 0),
        ("none", "1234", {"number": True}, 0),
        ("5", 5, {}, 1),
        ("5", 5.0, {"number": True}, 1),
        ("1 + 1\n#### 2", "so\n#### 2", {"mark": "####"}, 1),
        ("1 + 1 = 2", "so\n#### 2", {"mark": "####"}, 0),
        ("#### 3 #### 2", "2", {"mark": "####"}, 1),
        ("#### 2 apples", "#### 2", {"mark": "####", "number": True}, 1),
        ("<answer>b</answer>", "b", {"pattern": "<answer>(.*?)</answer>"}, 1),
        ("A or B", "B", {"pattern": "[A-D]"}, 1),
        ("neither", "B", {"pattern": "[A-D]"}, 0),
        ("(x)", "x", {"pattern": r"\((y)?"}, 0),
        ("no", ["yes", "no"], {}, 1),
        ("maybe", ["yes", "no"], {}, 0),
    ],
)
def test_values(completion, answer, settings, reward):
    assert value(completion, answer, **settings) == reward


@pytest.mark.parametrize(
    ("answer", "settings", "problem"),
    [
        (None, {}, "'answer' is missing"),
        ("", {}, "'answer' is empty"),
        (" ", {}, "'answer' is empty"),
        (True, {}, "'answer' is True"),
        ({"text": "x"}, {}, "'answer' is {'text': 'x'}"),
        ([], {}, "'answer' is no list of texts"),
        ([1], {}, "'answer' is no list of texts"),
        ("none", {"number": True}, "'answer' has no number"),
    ],
)
def test_a_row_without_an_answer_is_an_error_and_names_the_sample(answer, settings, problem):
    error = value("x", answer, **settings)
    assert isinstance(error, InputError)
    assert problem in error.what
    assert "prompt 'question', answer 'x'" in str(error.where)


def test_one_bad_row_is_the_error_of_its_sample_only():
    reward = exact_match(ExactMatchReward(field="target"))
    values = reward([Sample("a", "x", {"target": "x"}), Sample("b", "x", {"answer": "x"})])
    assert values[0] == 1.0
    assert isinstance(values[1], InputError)


@given(st.text(min_size=1).filter(str.strip))
def test_the_answer_itself_is_always_right(text):
    assert value(text, text) == 1.0
    assert value(f"\n {text}\t", text, ignore=["space", "case", "commas"]) == 1.0


@given(st.text(), st.text(min_size=1).filter(str.strip))
@example("", "#")
def test_values_are_nothing_but_one_and_zero(completion, answer):
    found = value(completion, answer, mark="#", ignore=[])
    if answer.rpartition("#")[2]:
        assert found in (0.0, 1.0)
    else:  # a row in which nothing stands behind the mark
        assert isinstance(found, InputError)
