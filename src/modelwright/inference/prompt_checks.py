"""What is refused before anything is run: prompts and texts that the model cannot take."""

from __future__ import annotations

from collections.abc import Iterable

from modelwright.core.errors import InputError
from modelwright.inference.sampling import ParameterError, SamplingParams
from modelwright.tokens.tokenizer import Tokenizer


class ContextLengthError(InputError):
    """A prompt or text that does not fit into the model's context.

    Attributes
    ----------
    tokens, context_length : int
        What was asked for, and what the model holds.
    """

    def __init__(self, what: str, tokens: int, context_length: int):
        super().__init__(what, fix="shorten the text")
        self.tokens, self.context_length = tokens, context_length


def check_prompt(
    prompt: list[int], tokenizer: Tokenizer, context_length: int, alone: bool = False
) -> None:
    """Refuse a prompt that cannot be run, followed by something or ``alone``.

    Raises
    ------
    ContextLengthError
        If it is too long for the context, or leaves no room for what follows.
    InputError
        If it is empty, or a token is unknown.
    """
    if not prompt:
        raise InputError("the prompt is empty", fix="give at least one token")
    if alone:
        check_length("the prompt", prompt, context_length)
    elif len(prompt) >= context_length:
        raise ContextLengthError(
            f"the prompt has {len(prompt)} tokens, and the model's context of {context_length} "
            "must hold the prompt and at least one token more",
            len(prompt),
            context_length,
        )
    check_tokens("the prompt", prompt, tokenizer)


def check_tokens(what: str, tokens: Iterable[int], tokenizer: Tokenizer) -> None:
    """Refuse ids that the tokenizer does not have; raises InputError."""
    unknown = _unknown(tokens, tokenizer)
    if unknown is not None:
        raise InputError(f"{what} has token {unknown}, which is unknown", fix=_known(tokenizer))


def check_bias(params: SamplingParams, tokenizer: Tokenizer) -> None:
    """Refuse a bias of ids that the tokenizer does not have; raises ParameterError."""
    unknown = _unknown(params.logit_bias, tokenizer)
    if unknown is not None:
        what = f"logit_bias has token {unknown}, which is unknown"
        raise ParameterError("logit_bias", what, fix=_known(tokenizer))


def check_length(what: str, tokens: list[int], context_length: int) -> None:
    """Refuse a text that is longer than the context; raises ContextLengthError."""
    if len(tokens) > context_length:
        raise ContextLengthError(
            f"{what} has {len(tokens)} tokens; the model's context holds {context_length}",
            len(tokens),
            context_length,
        )


def _unknown(tokens: Iterable[int], tokenizer: Tokenizer) -> int | None:
    return next((id for id in tokens if not 0 <= id < tokenizer.vocabulary_size), None)


def _known(tokenizer: Tokenizer) -> str:
    return f"use ids from 0 to {tokenizer.vocabulary_size - 1}"
