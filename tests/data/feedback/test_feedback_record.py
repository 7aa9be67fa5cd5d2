import pytest
from hypothesis import given
from made_feedback import CHOICES, FEEDBACK, all_kinds, choice, swapped, user
from pydantic import ValidationError

from modelwright.core.errors import UsageError
from modelwright.data.feedback.record import (
    Answer,
    Message,
    Rating,
    Thumb,
    checked_name,
    feedback_of,
    id_of,
    subject_of,
)


@given(FEEDBACK)
def test_feedback_survives_being_written_as_fields(one) -> None:
    assert feedback_of(one.model_dump()) == one


@given(CHOICES)
def test_two_answers_are_in_no_order(one) -> None:
    assert id_of(swapped(one)) == id_of(one)
    assert subject_of(swapped(one)) == subject_of(one)


@given(FEEDBACK)
def test_when_where_and_why_do_not_make_other_feedback(one) -> None:
    update = {"created": "2000-01-01T00:00:00.000+00:00", "source": "chat", "comment": "so"}
    assert id_of(one.model_copy(update=update)) == id_of(one)
    assert id_of(one.model_copy(update={"person": "somebody else"})) != id_of(one)
    assert id_of(one.model_copy(update={"prompt": user("another")})) != id_of(one)


def test_what_was_said_makes_other_feedback() -> None:
    verdicts = [id_of(choice(winner)) for winner in (0, 1, None)]
    verdicts += [id_of(one) for one in all_kinds()]
    assert len(set(verdicts)) == 7
    assert len({subject_of(choice(winner)) for winner in (0, 1, None)}) == 1


def test_times_are_kept_in_utc() -> None:
    answer = Answer(text="no")
    made = Thumb(prompt=user(), answer=answer, up=True, created="2026-03-01T01:30:00+02:00")
    assert made.created == "2026-02-28T23:30:00.000+00:00"
    assert Thumb(prompt=user(), answer=answer, up=True).created.endswith("+00:00")


def test_a_rating_is_placed_on_its_scale() -> None:
    answer = Answer(text="no")
    assert Rating(prompt=user(), answer=answer, value=4, low=1, high=5).share == 0.75


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"up": 1}, "up", "boolean"),
        ({"up": None}, "up", "boolean"),
        ({"prompt": []}, "prompt", "at least 1"),
        ({"prompt": [{"role": "robot", "content": "x"}]}, "role", "is 'robot', not one of"),
        ({"prompt": [{"role": "user", "content": " \n"}]}, "content", "is empty"),
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "prompt", "nothing to answer"),
        ({"answer": {"text": "half \ud83d"}}, "text", ""),
        ({"person": "a\nb"}, "person", "one line"),
        ({"person": "x" * 201}, "person", "one line"),
        ({"comment": "a\0b"}, "comment", "NUL"),
        ({"created": "yesterday"}, "created", "ISO 8601"),
        ({"created": "2026-03-01T00:00:00"}, "created", "no time zone"),
        ({"created": "0001-01-01T00:00:00+02:00"}, "created", "between the years"),
        ({"source": "dream"}, "source", "'chat', 'compare' or 'import'"),
        ({"extra": 1}, "extra", "not permitted"),
    ],
)
def test_a_wrong_field_is_named(fields: dict, place: str, said: str) -> None:
    whole = {"kind": "thumb", "prompt": "Why?", "answer": {"text": "no"}, "up": True}
    with pytest.raises(ValidationError) as caught:
        feedback_of({**whole, **fields})
    (error,) = caught.value.errors()
    assert place in error["loc"]
    assert said in error["msg"]


@pytest.mark.parametrize(
    ("value", "low", "high"), [(0, 1, 5), (6, 1, 5), (1, 1, 1), (3, 5, 1), (float("nan"), 1, 5)]
)
def test_a_rating_off_its_scale(value: float, low: float, high: float) -> None:
    with pytest.raises(ValidationError):
        Rating(prompt=user(), answer=Answer(text="no"), value=value, low=low, high=high)


@pytest.mark.parametrize("winner", [True, 2, -1, "0", 0.0])
def test_the_winner_is_one_of_two(winner: object) -> None:
    fields = choice(0).model_dump()
    with pytest.raises(ValidationError):
        feedback_of({**fields, "winner": winner})


def test_a_text_is_a_message_of_the_user() -> None:
    made = feedback_of({"kind": "thumb", "prompt": "Hi", "answer": {"text": "Ho"}, "up": True})
    assert made.prompt == [Message(role="user", content="Hi")]


def test_a_name_is_checked() -> None:
    assert checked_name(" Ana ") == "Ana"
    with pytest.raises(UsageError, match="one line"):
        checked_name("a\nb")
