"""Feedback from .jsonl files: what we export, and the usual shapes of pairs, labels and ratings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from modelwright.core.errors import InputError
from modelwright.data.feedback.files import FileRow, check, rows_in
from modelwright.data.feedback.record import (
    Answer,
    Choice,
    Comment,
    Correction,
    Feedback,
    FilledText,
    Name,
    Prompt,
    Rating,
    Record,
    Thumb,
    Time,
    feedback_of,
)

FORMS = (
    'one JSON object to a line: "prompt" (a text or messages) with "chosen" and "rejected"; or '
    'with "completion" and one of "label" (true or false), "rating" with "scale" ([lowest, '
    'highest]), "correction"; or what "feedback export --as all" writes'
)


def _as_text(answer: Any) -> Any:
    """An answer may be written as a list with one message of the assistant."""
    if not isinstance(answer, list):
        return answer
    if len(answer) != 1 or not isinstance(answer[0], dict) or answer[0].get("role") != "assistant":
        raise ValueError("is neither a text nor a list with one message of the assistant")
    return answer[0].get("content")


AnswerText = Annotated[FilledText, BeforeValidator(_as_text)]


class _Row(Record):
    """What rows of all shapes have; fields of other programs are counted, not refused."""

    model_config = ConfigDict(extra="ignore")

    prompt: Prompt
    person: Name = ""
    created: Time | None = None
    comment: Comment = ""

    def about(self) -> dict[str, Any]:
        """The fields that every record has."""
        about = {"prompt": self.prompt, "person": self.person, "comment": self.comment}
        return about if self.created is None else {**about, "created": self.created}


class _PairRow(_Row):
    chosen: AnswerText
    rejected: AnswerText
    chosen_model: Name = ""
    rejected_model: Name = ""

    def feedback(self) -> Feedback:
        answers = [
            Answer(text=self.chosen, model=self.chosen_model),
            Answer(text=self.rejected, model=self.rejected_model),
        ]
        return Choice(**self.about(), answers=answers, winner=0)


class _AnswerRow(_Row):
    completion: AnswerText
    model: Name = ""

    @property
    def answer(self) -> Answer:
        return Answer(text=self.completion, model=self.model)


class _LabelRow(_AnswerRow):
    label: bool

    def feedback(self) -> Feedback:
        return Thumb(**self.about(), answer=self.answer, up=self.label)


class _RatingRow(_AnswerRow):
    rating: float
    scale: Annotated[list[float], Field(min_length=2, max_length=2)]

    def feedback(self) -> Feedback:
        low, high = self.scale
        return Rating(**self.about(), answer=self.answer, value=self.rating, low=low, high=high)


class _CorrectionRow(_AnswerRow):
    correction: FilledText

    def feedback(self) -> Feedback:
        return Correction(**self.about(), answer=self.answer, better=self.correction)


_Shape = type[_PairRow | _LabelRow | _RatingRow | _CorrectionRow]

_SHAPES: dict[str, _Shape] = {
    "chosen": _PairRow,
    "rejected": _PairRow,
    "label": _LabelRow,
    "rating": _RatingRow,
    "correction": _CorrectionRow,
}
"""The shape of a row that has this field."""


@dataclass(frozen=True)
class FeedbackFile:
    """What a file holds.

    Attributes
    ----------
    feedback : list of Feedback
        One for each row.
    unused : dict of str to int
        Fields that mean nothing here, and in how many rows they are.
    """

    feedback: list[Feedback]
    unused: dict[str, int]


def read_feedback(path: Path, person: str = "") -> FeedbackFile:
    """Read a whole file, so that nothing of one with a bad row is kept.

    Parameters
    ----------
    path : Path
        A .jsonl file; its rows may be of several shapes.
    person : str
        Who gave the feedback, for rows that do not say so.

    Raises
    ------
    InputError
        If a row is not as it should be; names file, line and field.
    """
    feedback, unused = list[Feedback](), Counter[str]()
    for row in rows_in(path, FORMS):
        shape = None if "kind" in row.fields else _shape_of(row)
        as_record = feedback_of if shape is None else partial(_read_as, shape)
        if not row.fields.get("person"):
            row.fields["person"] = person
        feedback.append(check(row, as_record, FORMS))
        unused.update(row.fields.keys() - shape.model_fields.keys() if shape else ())
    return FeedbackFile(feedback, dict(sorted(unused.items())))


def _read_as(shape: _Shape, fields: dict[str, Any]) -> Feedback:
    return shape.model_validate(fields).feedback()


def _shape_of(row: FileRow) -> _Shape:
    shapes = {shape: name for name, shape in _SHAPES.items() if name in row.fields}
    if len(shapes) == 1:
        return next(iter(shapes))
    names = ", ".join(f"'{name}'" for name in (shapes.values() if shapes else row.fields))
    if shapes:
        what = f"more than one kind of feedback in a row: {names}"
    elif {"messages", "completion"} & row.fields.keys():
        what = f"an example to learn from, but no feedback: only {names}"
    else:
        what = f"no feedback: only {names or 'nothing'}"
    raise InputError(what, where=row.where, fix=f"write {FORMS}")
