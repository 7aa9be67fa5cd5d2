"""From feedback to rows for training: preference pairs, labelled answers, corrected conversations.

The forms are those that DPO and reward models, KTO, and supervised fine-tuning are given elsewhere
too: ``prompt``, ``chosen``, ``rejected``; ``prompt``, ``completion``, ``label``; ``messages``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from modelwright.data.feedback.record import Choice, Correction, Feedback, Rating, Thumb
from modelwright.data.sources.settings import Take

Row = dict[str, Any]

MIDDLE = 0.5
"""Share of a scale above which a rating means that an answer was good."""


@dataclass(frozen=True)
class TrainingRows:
    """Rows, and what did not become one.

    Attributes
    ----------
    rows : list of dict
        In the order of the feedback.
    left_out : dict of str to int
        How many, by reason; with the rows that is all of the feedback.
    """

    rows: list[Row]
    left_out: dict[str, int]


def rows_as(take: Take, feedback: Iterable[Feedback], threshold: float = MIDDLE) -> TrainingRows:
    """Rows of the kind that is asked for; the threshold is that of :func:`labelled_answers`."""
    match take:
        case "pairs":
            return preference_pairs(feedback)
        case "labels":
            return labelled_answers(feedback, threshold)
        case "corrections":
            return corrected_conversations(feedback)


def preference_pairs(feedback: Iterable[Feedback]) -> TrainingRows:
    """``prompt``, ``chosen`` and ``rejected``, each a list of messages.

    Of choices, and of corrections, where the corrected answer is preferred to the model's.
    """
    return _collect(feedback, _pair)


def labelled_answers(feedback: Iterable[Feedback], threshold: float = MIDDLE) -> TrainingRows:
    """``prompt`` and ``completion``, lists of messages, and ``label``, whether it was good.

    Of thumbs, and of ratings.

    Parameters
    ----------
    feedback : iterable of Feedback
        Any kinds.
    threshold : float
        A share of each rating's scale, 0 to 1: a rating above is good, one below is bad, and one
        that lies on it says neither.
    """
    return _collect(feedback, lambda one: _label(one, threshold))


def corrected_conversations(feedback: Iterable[Feedback]) -> TrainingRows:
    """``messages``, which end with the corrected answer; of corrections."""
    return _collect(feedback, _conversation)


def _collect(feedback: Iterable[Feedback], as_row: Callable[[Feedback], Row | str]) -> TrainingRows:
    """``as_row`` gives a row, or the reason why there is none."""
    rows, left_out = list[Row](), Counter[str]()
    for one in feedback:
        row = as_row(one)
        if isinstance(row, str):
            left_out[row] += 1
        else:
            rows.append(row)
    return TrainingRows(rows, dict(sorted(left_out.items())))


def _pair(feedback: Feedback) -> Row | str:
    match feedback:
        case Choice():
            if feedback.winner is None:
                return "a tie"
            chosen = feedback.answers[feedback.winner].text
            rejected = feedback.answers[1 - feedback.winner].text
        case Correction():
            chosen, rejected = feedback.better, feedback.answer.text
        case _:
            return _no_use(feedback)
    if chosen.strip() == rejected.strip():
        return "both answers are the same"
    if not (chosen.strip() and rejected.strip()):
        return "an answer is empty"
    return {
        "prompt": _prompt(feedback),
        "chosen": [_said(chosen)],
        "rejected": [_said(rejected)],
    }


def _label(feedback: Feedback, threshold: float) -> Row | str:
    match feedback:
        case Thumb():
            is_good = feedback.up
        case Rating():
            if feedback.share == threshold:
                return "a rating that lies on the threshold"
            is_good = feedback.share > threshold
        case _:
            return _no_use(feedback)
    if not feedback.answer.text.strip():
        return "an answer is empty"
    return {
        "prompt": _prompt(feedback),
        "completion": [_said(feedback.answer.text)],
        "label": is_good,
    }


def _conversation(feedback: Feedback) -> Row | str:
    if not isinstance(feedback, Correction):
        return _no_use(feedback)
    return {"messages": [*_prompt(feedback), _said(feedback.better)]}


def _no_use(feedback: Feedback) -> str:
    return f"a {feedback.kind} has no such row"


def _prompt(feedback: Feedback) -> list[Row]:
    return [message.model_dump() for message in feedback.prompt]


def _said(text: str) -> Row:
    return {"role": "assistant", "content": text}
