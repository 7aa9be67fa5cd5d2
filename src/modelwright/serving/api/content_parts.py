"""Contents of messages that come in parts, as OpenAI's clients may send them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

OF_ANSWERS = ("annotations", "logprobs")
"""What parts of answers have besides, which clients send back; nothing may be in it."""


def joined_text(kinds: Collection[str]) -> Callable[[Any], Any]:
    """Make a function that joins a list of parts to one text, and leaves anything else as it is.

    Parameters
    ----------
    kinds : collection of str
        The types of parts that are texts; others raise ValueError.
    """

    def join(content: Any) -> Any:
        if not isinstance(content, list):
            return content
        for index, part in enumerate(content):
            if not _is_text(part, kinds):
                kind = next(iter(kinds))
                raise ValueError(f'part {index} is not {{"type": "{kind}", "text": "..."}}')
        return "".join(part["text"] for part in content)

    return join


def _is_text(part: Any, kinds: Collection[str]) -> bool:
    if not (isinstance(part, dict) and part.get("type") in kinds):
        return False
    more = part.keys() - {"type", "text"}
    return isinstance(part.get("text"), str) and all(
        name in OF_ANSWERS and not part[name] for name in more
    )
