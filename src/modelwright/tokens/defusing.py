"""Control tokens in what people write, taken out before a template is rendered.

A template puts texts of strangers between control tokens. Were the result simply searched for
control tokens, a text could forge them. So each one that stands in a text is replaced by a
stand-in, a character that occurs nowhere else, and put back, as plain text, after the template's
own control tokens were found. Texts that begin or end with a part of one get a character between
them and their neighbours. (A template that itself writes the beginning and the end of a control
token around a text is not guarded against.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelwright.core.errors import InputError

_PRIVATE_USE = ((0xE000, 0xF900), (0xF0000, 0xFFFFE), (0x100000, 0x10FFFE))


@dataclass(frozen=True)
class ControlTokens:
    """The control tokens of a tokenizer, to be found in texts.

    Attributes
    ----------
    pattern : re.Pattern
        Finds them, the longest first; one group around the whole.
    beginnings, ends : tuple of str
        Of each, all proper parts that it begins or ends with: two texts that meet could make a
        whole of them.
    """

    pattern: re.Pattern[str]
    beginnings: tuple[str, ...]
    ends: tuple[str, ...]

    @classmethod
    def of(cls, tokens: Sequence[str]) -> ControlTokens:
        """From their texts."""
        longest_first = sorted(filter(None, tokens), key=len, reverse=True)
        alternatives = "|".join(map(re.escape, longest_first)) or r"(?!)"
        cuts = [(token, place) for token in longest_first for place in range(1, len(token))]
        return cls(
            re.compile(f"({alternatives})"),
            tuple({token[:place] for token, place in cuts}),
            tuple({token[place:] for token, place in cuts}),
        )


@dataclass
class Defused:
    """Texts without control tokens, and how to put these back.

    Parameters
    ----------
    control : ControlTokens
        What must not stand in the texts.
    unused : iterator of str
        Characters that stand in no text at all.
    """

    control: ControlTokens
    unused: Iterator[str]
    stand_ins: dict[str, str] = field(default_factory=dict)
    """What each character stands for."""

    def defuse(self, value: Any) -> Any:
        """The same value with stand-ins in all texts in it, keys too."""
        if isinstance(value, str):
            return self._defuse_text(value)
        if isinstance(value, dict):
            return {self.defuse(key): self.defuse(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.defuse(one) for one in value]
        return value

    def mend(self, text: str) -> str:
        """A text as it was before."""
        for character, token in self.stand_ins.items():
            text = text.replace(character, token)
        return text

    def _defuse_text(self, text: str) -> str:
        safe = self.control.pattern.sub(lambda found: self._stand_in(found.group()), text)
        if safe.startswith(self.control.ends):
            safe = self._stand_in("") + safe
        if safe.endswith(self.control.beginnings):
            safe += self._stand_in("")
        return safe

    def _stand_in(self, token: str) -> str:
        known = next((one for one, other in self.stand_ins.items() if other == token), None)
        if known is None:
            known = next(self.unused)
            self.stand_ins[known] = token
        return known


def unused_characters(*values: Any) -> Iterator[str]:
    """Characters for private use that stand nowhere in the texts of these values.

    Raises
    ------
    InputError
        When all 137,000 are used up.
    """
    texts: list[str] = []
    for value in values:
        _collect_texts(value, texts)
    for start, end in _PRIVATE_USE:
        for character in map(chr, range(start, end)):
            if not any(character in text for text in texts):
                yield character
    raise InputError("the messages hold every character for private use", fix="take some out")


def _collect_texts(value: Any, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, dict):
        for key, one in value.items():
            _collect_texts(key, texts)
            _collect_texts(one, texts)
    elif isinstance(value, list | tuple):
        for one in value:
            _collect_texts(one, texts)
