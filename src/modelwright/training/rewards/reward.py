"""What a reward is: a function from samples to numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelwright.core.errors import InputError, ModelwrightError

EXCERPT = 60
"""Most characters of a text that a message shows."""

Prompt = str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Sample:
    """One answer of a model, to be judged.

    Attributes
    ----------
    prompt : str or sequence of messages
        What the model was given; messages have ``role`` and ``content``.
    completion : str
        What it answered.
    row : mapping of str to value
        The other fields of the prompt's row, as ``answer`` or ``tests``.
    is_finished : bool
        Whether the answer ended by itself, and was not cut off.
    tokens : int or None
        How many tokens the model generated, where that is known.
    """

    prompt: Prompt
    completion: str
    row: Mapping[str, Any] = field(default_factory=dict)
    is_finished: bool = True
    tokens: int | None = None


Value = float | None | ModelwrightError
"""A finite reward; None if the reward does not apply to the sample, which is then left out of its
group's baseline; or the error that kept the sample from being judged."""

Reward = Callable[[Sequence[Sample]], Sequence[Value]]
"""Gives as many values as samples, in their order."""


class RewardError(ModelwrightError):
    """A reward that could not be worked out."""


def each(judge: Callable[[Sample], float | None]) -> Reward:
    """A reward that judges every sample alone; an error is the value of its sample only."""

    def reward(samples: Sequence[Sample]) -> list[Value]:
        return [attempt(judge, sample) for sample in samples]

    return reward


def attempt(judge: Callable[[Sample], float | None], sample: Sample) -> Value:
    """Judge one sample; the value is the error if it raises one of ours."""
    try:
        return judge(sample)
    except ModelwrightError as error:
        return error


def checked(values: object, samples: Sequence[Sample], where: str) -> list[Value]:
    """Take over what a reward gave, if it is one finite number or None for each sample.

    Parameters
    ----------
    values : object
        What it gave. Numbers of other libraries are taken as well.
    samples : sequence of Sample
        What it was given.
    where : str
        The function, for messages.

    Returns
    -------
    list of Value
        An error stands where a value was none.

    Raises
    ------
    RewardError
        If it did not give as many values as there are samples.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise RewardError(
            f"the reward gave {_shown(values)} instead of {len(samples)} values",
            where=where,
            fix="return a list with a number or None for each sample",
        )
    found = list(values)
    if len(found) != len(samples):
        raise RewardError(
            f"the reward gave {len(found)} values for {len(samples)} samples",
            where=where,
            fix="return a list with a number or None for each sample",
        )
    return [
        _checked_value(value, f"{where}, {named(samples, number)}")
        for number, value in enumerate(found)
    ]


def named(samples: Sequence[Sample], number: int) -> str:
    """Name one of several samples in a message, with its number from 1."""
    return f"sample {number + 1} of {len(samples)}: {described(samples[number])}"


def described(sample: Sample) -> str:
    """Name a sample in a message: its row's id, and how prompt and answer begin."""
    identity = f"id {_shown(sample.row['id'])}, " if "id" in sample.row else ""
    prompt, answer = _shown(last_message(sample.prompt)), _shown(sample.completion)
    return f"{identity}prompt {prompt}, answer {answer}"


def last_message(prompt: Prompt) -> str:
    """The text of a prompt, or of its last message."""
    if isinstance(prompt, str):
        return prompt
    return content_of(prompt[-1]) if prompt else ""


def content_of(message: Mapping[str, Any]) -> str:
    """The text of a message; a call of a tool has none."""
    content = message.get("content")
    return content if isinstance(content, str) else ""


def text_field(sample: Sample, name: str) -> str:
    """A field of the sample's row that is text, or a number as text.

    Raises
    ------
    InputError
        If it is missing or something else.
    """
    value = sample.row.get(name)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise field_error(sample, name, "is missing" if value is None else f"is {_shown(value)}")


def field_error(sample: Sample, name: str, problem: str) -> InputError:
    """What is wrong with a field of the sample's row."""
    return InputError(
        f"the row's field '{name}' {problem}",
        where=described(sample),
        fix=f"give every row a text '{name}', or name another field in the reward's settings",
    )


def _checked_value(value: Any, where: str) -> Value:
    if value is None or isinstance(value, ModelwrightError):
        return value
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    if math.isfinite(number):
        return number
    return RewardError(
        f"the reward gave {_shown(value)}, which is no finite number",
        where=where,
        fix="return a finite number, or None if the reward does not apply to a sample",
    )


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  (a __repr__ of the user's own)
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}…"
