"""The reward of an answer that is the one in the row."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Hashable

from modelwright.training.rewards.numbers import last_number, without_commas
from modelwright.training.rewards.reward import Reward, Sample, each, field_error, text_field
from modelwright.training.rewards.settings import ExactMatchReward


def exact_match(settings: ExactMatchReward) -> Reward:
    """1 if what is found in the answer equals what is found in the row's field, else 0.

    The mark, the regular expression and the number are looked for one in the other, in this order.
    In the row's field, the mark may be missing, and the regular expression is not looked for.
    """

    def judge(sample: Sample) -> float:
        accepted = {_reference(settings, sample, one) for one in _references(settings, sample)}
        found = _found(settings, sample.completion)
        return float(found is not None and _comparable(settings, found) in accepted)

    return each(judge)


def _found(settings: ExactMatchReward, completion: str) -> str | None:
    """The part of an answer that is compared, or None if it is not there."""
    text = completion
    if settings.mark is not None:
        _, mark, text = text.rpartition(settings.mark)
        if not mark:
            return None
    if settings.pattern is not None:
        matches = deque(re.finditer(settings.pattern, text), maxlen=1)
        if not matches:
            return None
        match = matches[0]
        text = match[1] if match.re.groups else match[0]
    return text


def _references(settings: ExactMatchReward, sample: Sample) -> list[str]:
    value = sample.row.get(settings.field)
    if not isinstance(value, list | tuple):
        return [text_field(sample, settings.field)]
    if not value or not all(isinstance(one, str) for one in value):
        raise field_error(sample, settings.field, "is no list of texts")
    return list(value)


def _reference(settings: ExactMatchReward, sample: Sample, text: str) -> Hashable:
    if settings.mark is not None:
        text = text.rpartition(settings.mark)[2]
    comparable = _comparable(settings, text)
    if comparable is None:
        raise field_error(sample, settings.field, "has no number")
    if comparable == "":
        raise field_error(sample, settings.field, "is empty")
    return comparable


def _comparable(settings: ExactMatchReward, text: str) -> Hashable:
    """The text without the differences that do not count; as a number, None if there is none."""
    if settings.number:
        return last_number(text)
    if "space" in settings.ignore:
        text = " ".join(text.split())
    if "commas" in settings.ignore:
        text = without_commas(text)
    if "case" in settings.ignore:
        text = text.casefold()
    return text
