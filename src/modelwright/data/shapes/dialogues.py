r"""Dialogues written into one text, as Anthropic's HH-RLHF has them.

``"\n\nHuman: ...\n\nAssistant: ..."`` (Bai et al. 2022, https://arxiv.org/abs/2204.05862).
"""

from __future__ import annotations

import re

from modelwright.core.conversation import Message, Role
from modelwright.data.shapes.fields import EMPTY, BadRowError

_SPEAKER = re.compile(r"\n\n(Human|Assistant):")


def is_dialogue(text: str) -> bool:
    """Whether a text begins as such a dialogue does."""
    return text.startswith("\n\nHuman:")


def read_dialogue(text: str, name: str) -> list[Message]:
    """The messages of a dialogue, white space around them taken off.

    Raises
    ------
    BadRowError
        If somebody says nothing; ``name`` is the field that it names.
    """
    _, *parts = _SPEAKER.split(text)
    messages: list[Message] = []
    for speaker, said in zip(parts[::2], parts[1::2], strict=True):
        content = said.strip()
        if not content:
            raise BadRowError(
                EMPTY, f"{name}[{len(messages)}]", f"is empty: {speaker} says nothing"
            )
        role: Role = "user" if speaker == "Human" else "assistant"
        messages.append({"role": role, "content": content})
    return messages
