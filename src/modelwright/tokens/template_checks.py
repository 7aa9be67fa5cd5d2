"""Three things that a chat template must do to be trained with, tried on a short conversation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from modelwright.core.conversation import Message
from modelwright.tokens.tokenizer import Tokenizer

_TRIED: list[Message] = [
    {"role": "user", "content": "What is one and one?"},
    {"role": "assistant", "content": "Two."},
    {"role": "user", "content": "And one more?"},
    {"role": "assistant", "content": "Three."},
]


@dataclass(frozen=True)
class Finding:
    """Something that a template does not do.

    Attributes
    ----------
    property : {"stop", "serve", "prefix"}
        What it should do: have the stop token learnt, be the same in training and serving, or
        leave what stood before as it was when a message is added.
    problem, fix : str
        In words, and what to do.
    is_fatal : bool
        Whether a model that is trained with it cannot be used.
    """

    property: Literal["stop", "serve", "prefix"]
    problem: str
    fix: str
    is_fatal: bool


def check_template(tokenizer: Tokenizer) -> list[Finding]:
    """Try a tokenizer's template on two questions and answers.

    Raises
    ------
    InputError
        If it cannot be rendered at all.
    """
    checks = (_check_stop(tokenizer), _check_serving(tokenizer), _check_turns(tokenizer))
    return [finding for finding in checks if finding is not None]


def _check_stop(tokenizer: Tokenizer) -> Finding | None:
    """An answer ends with the token that stops generation, or a model would never stop."""
    if _learnt_stops(tokenizer, _TRIED[:2]) == 1:
        return None
    stop = tokenizer.decode_special([tokenizer.message_end])
    return Finding(
        "stop",
        f"the chat template does not have {stop} learnt at the end of an answer, "
        "so that the model would not stop",
        "put it between {% generation %} and {% endgeneration %} behind the answer",
        is_fatal=True,
    )


def _check_serving(tokenizer: Tokenizer) -> Finding | None:
    """An answer is learnt behind exactly the ids that a model is given to answer to."""
    for number in range(1, len(_TRIED), 2):
        asked = tokenizer.encode_chat(_TRIED[:number], add_generation_prompt=True)
        ids, trained = tokenizer.encode_spans(tokenizer.chat_spans(_TRIED[: number + 1]))
        border = trained[len(asked) - 1 : len(asked) + 1]
        if ids[: len(asked)] != asked or border != [False, True]:
            return Finding(
                "serve",
                "what the chat template writes before an answer in training is not what it "
                "writes when an answer is asked for",
                "write the same with add_generation_prompt as before an answer, "
                "and begin {% generation %} there",
                is_fatal=True,
            )
    return None


def _check_turns(tokenizer: Tokenizer) -> Finding | None:
    """Messages stay as they are when others follow, as with a cache of keys and values."""
    rendered = [tokenizer.encode_chat(_TRIED[: n + 1], False) for n in range(len(_TRIED))]
    is_kept = all(longer[: len(shorter)] == shorter for shorter, longer in pairwise(rendered))
    if is_kept and _learnt_stops(tokenizer, _TRIED) == 2 * _learnt_stops(tokenizer, _TRIED[:2]):
        return None
    return Finding(
        "prefix",
        "the chat template changes earlier answers when a conversation goes on; in a "
        "conversation of several turns they would be learnt in a form in which the model is "
        "never asked for them",
        "train with --train-on last_turn",
        is_fatal=False,
    )


def _learnt_stops(tokenizer: Tokenizer, messages: list[Message]) -> int:
    """How many of the tokens that end a message are learnt."""
    ids, trained = tokenizer.encode_spans(tokenizer.chat_spans(messages))
    pairs = zip(ids, trained, strict=True)
    return sum(is_trained and id == tokenizer.message_end for id, is_trained in pairs)
