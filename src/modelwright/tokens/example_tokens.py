"""From rows of examples to token ids, and which of them are the model's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.core.examples import Texts, TrainOn
from modelwright.tokens.chat_template import check_messages
from modelwright.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class EncodedExample:
    """An example as token ids.

    Attributes
    ----------
    ids : list of int
        The whole.
    trained : list of bool
        For each id whether it is learnt.
    """

    ids: list[int]
    trained: list[bool]


def encode_example(
    row: Mapping[str, Any], tokenizer: Tokenizer, train_on: TrainOn = "all_turns"
) -> EncodedExample:
    """Ids of a conversation or of a completion.

    Raises
    ------
    InputError
        If the messages and the chat template do not fit each other.
    """
    if "messages" not in row:
        return encode_answer(row, "completion", tokenizer)
    messages = row["messages"]
    check_messages(messages)
    first = _last_turn(messages) if train_on == "last_turn" else 0
    spans = tokenizer.chat_spans(messages, tools=row.get("tools"), trained_from=first)
    return EncodedExample(*tokenizer.encode_spans(spans))


def encode_answer(row: Mapping[str, Any], name: str, tokenizer: Tokenizer) -> EncodedExample:
    """Ids of a prompt and of the answer in one field: ``completion``, ``chosen`` or ``rejected``.

    Only the answer is learnt. Messages are rendered by the chat template. Texts stand as they are;
    they begin and end with the end-of-text token.

    Raises
    ------
    InputError
        If the messages and the chat template do not fit each other.
    """
    prompt, answer = row["prompt"], row[name]
    if not isinstance(prompt, str):
        messages = [*prompt, *answer]
        spans = tokenizer.chat_spans(messages, tools=row.get("tools"), trained_from=len(prompt))
        return EncodedExample(*tokenizer.encode_spans(spans))
    # Apart, because the model is later given the prompt alone and must find the same ids.
    asked = encode_prompt(row, tokenizer)
    said = [*tokenizer.encode(answer), tokenizer.end_of_text]
    return EncodedExample([*asked, *said], [False] * len(asked) + [True] * len(said))


def encode_pair(
    row: Mapping[str, Any], tokenizer: Tokenizer
) -> tuple[EncodedExample, EncodedExample]:
    """Ids of a preference: prompt with the chosen answer, and with the rejected one."""
    chosen, rejected = (encode_answer(row, name, tokenizer) for name in ("chosen", "rejected"))
    return chosen, rejected


def encode_prompt(row: Mapping[str, Any], tokenizer: Tokenizer) -> list[int]:
    """Ids of the prompt of a row, up to where the model answers."""
    prompt: Texts = row["prompt"]
    if isinstance(prompt, str):
        return [tokenizer.end_of_text, *tokenizer.encode(prompt)]
    return tokenizer.encode_chat(prompt, True, row.get("tools"))


def _last_turn(messages: Sequence[Mapping[str, Any]]) -> int:
    """Number of the message behind the user's last."""
    asked = [number for number, message in enumerate(messages) if message["role"] == "user"]
    return asked[-1] + 1 if asked else 0
