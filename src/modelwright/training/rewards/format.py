"""The reward of an answer that has the wanted form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NoReturn

from modelwright.training.rewards.reward import Reward, Sample, each
from modelwright.training.rewards.settings import FormatReward


def form(settings: FormatReward) -> Reward:
    """1 if the answer has all that is asked for, else 0."""

    def judge(sample: Sample) -> float:
        if settings.finished and not sample.is_finished:
            return 0.0
        text = sample.completion
        if settings.tags:
            parts = split_tags(text, settings.tags)
            if parts is None or (settings.only_tags and any(one.strip() for one in parts[::2])):
                return 0.0
            text = parts[-2]
        return float(not settings.json_text or is_json(text))

    return each(judge)


def split_tags(text: str, tags: Sequence[str]) -> list[str] | None:
    """Split a text at tags, of which each is opened and closed once, one after the other.

    Returns
    -------
    list of str or None
        What is before the first tag, in it, between it and the second, and so on to what is behind
        the last; None if the tags are not as they should be.

    Examples
    --------
    >>> split_tags("<think>6 * 7</think> <answer>42</answer>.", ["think", "answer"])
    ['', '6 * 7', ' ', '42', '.']
    """
    marks = [mark for tag in tags for mark in (f"<{tag}>", f"</{tag}>")]
    if any(text.count(mark) != 1 for mark in marks):
        return None
    parts = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found:  # it stands before an earlier one
            return None
        parts.append(before)
    return [*parts, text]


def is_json(text: str) -> bool:
    """Whether a text is one JSON value, as RFC 8259 has it: no NaN, no infinities."""
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
