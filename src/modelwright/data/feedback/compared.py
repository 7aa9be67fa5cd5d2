"""Files of prompts to compare models on, and of answers that are compared already written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict

from modelwright.core.errors import InputError
from modelwright.data.feedback.files import check, rows_in
from modelwright.data.feedback.record import Message, Name, Prompt, Record, Text

PROMPT_FORMS = (
    'one JSON object to a line with "prompt" (a text or messages), or with "messages" of which the '
    "last answer is left away"
)
ANSWER_FORMS = (
    'one JSON object to a line with "prompt" (a text or messages), "answer_a" and "answer_b"; '
    '"model_a" and "model_b" may name who wrote them'
)
NAMES = ("A", "B")
"""Of models that a file of answers does not name."""


@dataclass(frozen=True)
class AnswerPair:
    """A prompt with two answers, the first of model A and the second of model B."""

    prompt: list[Message]
    answers: tuple[str, str]


@dataclass(frozen=True)
class AnsweredPrompts:
    """A file of answers.

    Attributes
    ----------
    models : tuple of str
        Who wrote the first and the second of all answers.
    pairs : list of AnswerPair
        In the order of the file.
    """

    models: tuple[str, str]
    pairs: list[AnswerPair]


class _PromptRow(Record):
    model_config = ConfigDict(extra="ignore")

    prompt: Prompt


def _without_answer(messages: Any) -> Any:
    """A conversation up to what the last answer replies to."""
    is_answered = (
        isinstance(messages, list)
        and messages
        and isinstance(messages[-1], dict)
        and messages[-1].get("role") == "assistant"
    )
    return messages[:-1] if is_answered else messages


class _ConversationRow(Record):
    model_config = ConfigDict(extra="ignore")

    messages: Annotated[Prompt, BeforeValidator(_without_answer)]


class _AnswersRow(_PromptRow):
    answer_a: Text
    answer_b: Text
    model_a: Name = NAMES[0]
    model_b: Name = NAMES[1]


def read_prompts(path: Path) -> list[list[Message]]:
    """The prompts of a file, also of examples of conversations.

    Raises
    ------
    InputError
        If a row is not as it should be; names file, line and field.
    """
    return [
        check(row, lambda fields: _ConversationRow.model_validate(fields).messages, PROMPT_FORMS)
        if "messages" in row.fields
        else check(row, lambda fields: _PromptRow.model_validate(fields).prompt, PROMPT_FORMS)
        for row in rows_in(path, PROMPT_FORMS)
    ]


def read_answers(path: Path) -> AnsweredPrompts:
    """The prompts of a file with two answers each.

    Raises
    ------
    InputError
        If a row is not as it should be, or not all are by the same two models; names file, line
        and field.
    """
    pairs, models = list[AnswerPair](), None
    for row in rows_in(path, ANSWER_FORMS):
        checked = check(row, _AnswersRow.model_validate, ANSWER_FORMS)
        own = (checked.model_a, checked.model_b)
        models = models or own
        if own != models:
            raise InputError(
                f"answers of '{own[0]}' and '{own[1]}', not of '{models[0]}' and '{models[1]}'",
                where=row.where,
                fix="put answers of the same two models into one file",
            )
        if own[0] == own[1]:
            raise InputError(
                f"both answers are said to be of '{own[0]}'",
                where=row.where,
                fix="give the models two names",
            )
        pairs.append(AnswerPair(checked.prompt, (checked.answer_a, checked.answer_b)))
    return AnsweredPrompts(models or NAMES, pairs)
