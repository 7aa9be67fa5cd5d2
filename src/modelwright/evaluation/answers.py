"""Answers to held-out questions: asking, and marking against the reference."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sacrebleu.metrics.chrf import CHRF

from modelwright.core.conversation import Message
from modelwright.core.errors import InputError
from modelwright.core.examples import TO_FINETUNE, form_of, read_examples
from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Question:
    """One held-out example.

    Attributes
    ----------
    id : int
        Its row in the file, from 0.
    row : dict
        The row as it stands there.
    target : str
        The reference answer.
    object : str or None
        Qualified name of what the question is about.
    """

    id: int
    row: dict[str, Any]
    target: str
    object: str | None


@dataclass(frozen=True)
class Marks:
    """How good one answer is.

    Attributes
    ----------
    chrf : float
        Character n-gram F-score against the reference, 0 to 100.
    exact_match : bool
        Whether it equals the reference, white space at the ends aside.
    names_object : bool or None
        Whether it names what the question is about; None if that has no name.
    """

    chrf: float
    exact_match: bool
    names_object: bool | None


def read_questions(path: Path) -> list[Question]:
    """Read held-out examples to be answered: conversations, and prompts with completions.

    Rows for alignment, and those whose last answer is a call without a word, are no questions.

    Raises
    ------
    InputError
        If a line is no example; it says which.
    """
    questions = []
    for number, (where, row) in enumerate(read_examples(path)):
        if form_of(row) not in TO_FINETUNE:
            continue
        try:
            target = _target(row)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(
                f"not an example: {error!r}",
                where=where,
                fix="give 'messages' that end with an answer, or 'prompt' and 'completion'",
            ) from None
        if target:
            questions.append(Question(number, row, target, row.get("object")))
    return questions


def _target(row: dict[str, Any]) -> str:
    if isinstance(row.get("completion"), str):
        return _text(row["completion"])
    last = _messages(row)[-1]
    if last["role"] != "assistant":
        raise ValueError("the last message is not the assistant's")
    return _text(last["content"])


def _messages(row: dict[str, Any]) -> list[Message]:
    """The whole conversation of a row that has messages."""
    messages = row["messages"] if "messages" in row else [*row["prompt"], *row["completion"]]
    return list(messages)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def prompt_tokens(question: Question, tokenizer: Tokenizer) -> list[int]:
    """What the model is given: the conversation up to the answer, or the prompt as it stands."""
    row = question.row
    if isinstance(row.get("prompt"), str):
        return [tokenizer.end_of_text, *tokenizer.encode(row["prompt"])]
    return tokenizer.encode_chat(_messages(row)[:-1], True, row.get("tools"))


def answer(
    engine: Engine,
    questions: Sequence[Question],
    max_tokens: int,
    on_progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Let the model answer, always with its likeliest token.

    Parameters
    ----------
    engine : Engine
        Generates.
    questions : sequence of Question
        Their prompts must leave room for ``max_tokens`` in the context.
    max_tokens : int
        Longest answer.
    on_progress : callable, optional
        Called with the number of answers that are finished.
    """
    prompts = [prompt_tokens(question, engine.tokenizer) for question in questions]
    params = SamplingParams(max_tokens=max_tokens, temperature=0.0)
    completions = engine.generate(prompts, params, on_progress)
    return [completion.text.strip() for completion in completions]


def mark(answers: Sequence[str], questions: Sequence[Question]) -> list[Marks]:
    """Mark each answer against its question's reference."""
    chrf = CHRF()
    return [
        Marks(
            chrf=chrf.sentence_score(text, [question.target]).score,
            exact_match=text.strip() == question.target.strip(),
            names_object=names_object(text, question.object) if question.object else None,
        )
        for text, question in zip(answers, questions, strict=True)
    ]


def summarise(
    answers: Sequence[str], questions: Sequence[Question], marks: Sequence[Marks]
) -> dict[str, float]:
    """Figures over all answers.

    Returns
    -------
    dict
        ``chrf`` of the answers as one corpus, ``exact_match`` as a share, and, if any question
        is about something with a name, ``names_object`` as a share of those.
    """
    figures = {
        "chrf": CHRF().corpus_score(answers, [[question.target for question in questions]]).score,
        "exact_match": sum(item.exact_match for item in marks) / len(marks),
    }
    named = [item.names_object for item in marks if item.names_object is not None]
    if named:
        figures["names_object"] = sum(named) / len(named)
    return figures


def names_object(text: str, name: str) -> bool:
    """Whether ``text`` holds the qualified name, or its last two parts, as a whole word.

    ``os.path.join`` is named by ``os.path.join(a, b)`` and by ``path.join``, and not by
    ``posix.path.join``, ``os.path.joined`` or ``join``.
    """
    parts = name.split(".")
    names = {name, ".".join(parts[-2:])} if len(parts) > 2 else {name}
    return any(
        re.search(rf"(?<![\w.]){re.escape(candidate)}(?!\w|\.\w)", text) for candidate in names
    )
