"""Texts with places for a sample's fields."""

from __future__ import annotations

import re

from modelwright.training.rewards.reward import Prompt, Sample, content_of, text_field

_PLACE = re.compile(r"\{(\w+)\}")


def fill(template: str, sample: Sample) -> str:
    """Put prompt, answer and fields of the row in for ``{prompt}``, ``{completion}``, ``{name}``.

    What is put in is not looked at again: an answer may hold braces.

    Raises
    ------
    InputError
        If the row has no such text.
    """

    def value(match: re.Match[str]) -> str:
        match match[1]:
            case "prompt":
                return as_text(sample.prompt)
            case "completion":
                return sample.completion
            case name:
                return text_field(sample, name)

    return _PLACE.sub(value, template)


def as_text(prompt: Prompt) -> str:
    """A prompt as a reader sees it: messages with who says them, if there are several."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return content_of(prompt[0])
    return "\n\n".join(f"{message['role']}: {content_of(message)}" for message in prompt)
