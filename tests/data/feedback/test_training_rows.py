import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_feedback import FEEDBACK, all_kinds, choice, swapped, user

from modelwright.data.feedback.read import read_feedback
from modelwright.data.feedback.record import Answer, Choice, Correction, Rating, Thumb
from modelwright.data.feedback.training_rows import (
    corrected_conversations,
    labelled_answers,
    preference_pairs,
)

ASKED = [{"role": "user", "content": "Why?"}]


def said(text: str) -> list[dict]:
    return [{"role": "assistant", "content": text}]


def rated(value: float) -> Rating:
    return Rating(prompt=user(), answer=Answer(text="no"), value=value, low=1, high=5)


def test_pairs_are_choices_and_corrections() -> None:
    made = preference_pairs(all_kinds())
    pair = {"prompt": ASKED, "chosen": said("yes"), "rejected": said("no")}
    assert made.rows == [pair, pair]
    assert made.left_out == {"a rating has no such row": 1, "a thumb has no such row": 1}


def test_the_winner_is_chosen_whichever_it_is() -> None:
    (row,) = preference_pairs([choice(1)]).rows
    assert (row["chosen"], row["rejected"]) == (said("no"), said("yes"))


def test_pairs_that_teach_nothing_are_counted() -> None:
    def between(first: str, second: str) -> Choice:
        answers = [Answer(text=first), Answer(text=second)]
        return Choice(prompt=user(), answers=answers, winner=0)

    same = Correction(prompt=user(), answer=Answer(text="no"), better="no\n")
    made = preference_pairs([choice(None), between("a", "a "), between("", "b"), same])
    assert made.rows == []
    assert made.left_out == {
        "a tie": 1, "an answer is empty": 1, "both answers are the same": 2,
    }  # fmt: skip


def test_labels_are_thumbs_and_ratings() -> None:
    made = labelled_answers([*all_kinds(), rated(1), rated(3)])
    assert [row["label"] for row in made.rows] == [False, True, False]
    assert made.rows[0] == {"prompt": ASKED, "completion": said("no"), "label": False}
    assert made.left_out == {
        "a choice has no such row": 1,
        "a correction has no such row": 1,
        "a rating that lies on the threshold": 1,
    }
    empty = Thumb(prompt=user(), answer=Answer(text=" "), up=False)
    assert labelled_answers([empty]).left_out == {"an answer is empty": 1}


def test_the_threshold_is_a_share_of_the_scale() -> None:
    ratings = [rated(value) for value in (1, 2, 3, 4, 5)]
    labels = [row["label"] for row in labelled_answers(ratings, 0.75).rows]
    assert labels == [False, False, False, True]
    assert [row["label"] for row in labelled_answers(ratings, 0.8).rows] == [False] * 4 + [True]


def test_corrections_are_conversations() -> None:
    made = corrected_conversations(all_kinds())
    assert made.rows == [{"messages": ASKED + said("yes")}]
    assert sum(made.left_out.values()) == 3


@settings(max_examples=40)
@given(st.lists(FEEDBACK, max_size=6), st.floats(0, 1))
def test_everything_becomes_a_row_or_is_counted(feedback: list, threshold: float) -> None:
    for made in (
        preference_pairs(feedback),
        labelled_answers(feedback, threshold),
        corrected_conversations(feedback),
    ):
        assert len(made.rows) + sum(made.left_out.values()) == len(feedback)
        texts = [row[name] for row in made.rows for name in row if name != "label"]
        assert all(message["content"].strip() for text in texts for message in text)


@settings(max_examples=40)
@given(st.lists(FEEDBACK, max_size=6))
def test_the_order_of_two_answers_changes_no_pair(feedback: list) -> None:
    turned = [swapped(one) if isinstance(one, Choice) else one for one in feedback]
    assert preference_pairs(turned) == preference_pairs(feedback)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FEEDBACK, max_size=6))
def test_rows_can_be_imported_elsewhere_with_the_same_meaning(
    tmp_path: Path, feedback: list
) -> None:
    file = tmp_path / "rows.jsonl"
    for rows_of in (preference_pairs, labelled_answers):
        rows = rows_of(feedback).rows
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        if rows:
            assert rows_of(read_feedback(file).feedback).rows == rows


def test_trl_takes_the_rows_for_what_they_are() -> None:
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    for rows in (
        preference_pairs(all_kinds()).rows,
        labelled_answers(all_kinds()).rows,
        corrected_conversations(all_kinds()).rows,
    ):
        assert all(trl.is_conversational(row) for row in datasets.Dataset.from_list(rows))
