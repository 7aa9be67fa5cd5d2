"""Guesses by a smaller model, which follows all texts that the large one runs.

It has a cache of its own with the same blocks, so that where a text's tokens lie, which texts share
a beginning and whose room was taken is decided once, for both.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.inference.model_runner import Network
from modelwright.inference.next_tokens import next_tokens
from modelwright.inference.sampler import are_finite
from modelwright.inference.scheduler import Part
from modelwright.inference.sequence import Sequence
from modelwright.inference.step_layout import StepLayout
from modelwright.tokens.tokenizer import Tokenizer


class DraftModel:
    """A :data:`speculation.Drafter` that lets a small model go on with the texts.

    Each guess is drawn as the large model will draw its token, with the same random number: models
    that agree about the probabilities draw the same one.

    Parameters
    ----------
    network : Network
        The small model, with a cache that has as many blocks as the large one's.
    vocabulary_size : int
        Tokens that the tokenizer has.
    context_length : int
        The small model's; behind it nothing is guessed.
    end_tokens : collection of int
        Tokens that end a text.
    """

    def __init__(
        self,
        network: Network,
        vocabulary_size: int,
        context_length: int,
        end_tokens: Collection[int],
    ):
        self.network = network
        self._vocabulary_size, self._context_length = vocabulary_size, context_length
        self._end_tokens = end_tokens

    def __call__(self, parts: list[Part], most: list[int]) -> list[list[int]]:
        """Run what the large model is about to run, and go on where guesses are wanted."""
        last = self._follow(parts)
        ahead = {
            part: _Ahead(part.sequence.fork(), len(part.sequence.generated), tokens)
            for part, tokens in zip(parts, most, strict=True)
            if tokens and part in last
        }
        going = self._draw(list(ahead.values()), [last[part] for part in ahead])
        while going:
            newest = [Part(one.copy, one.copy.length - 1, 1) for one in going]
            going = self._draw(going, [states[-1] for states in self._run(newest)])
        guesses = [ahead[part].guesses if part in ahead else [] for part in parts]
        for part, guessed in zip(parts, guesses, strict=True):
            # The last guess has not been run.
            part.sequence.drafted = self._within(part.end) + max(0, len(guessed) - 1)
        return guesses

    def _follow(self, parts: list[Part]) -> dict[Part, Tensor]:
        """Run what is missing up to the end of each part; gives the hidden states (C,) there."""
        missing = list[tuple[Part, Part]]()
        for part in parts:
            # Guesses that did not come true lie in the cache behind what is computed.
            start, end = min(part.sequence.drafted, part.start), self._within(part.end)
            if start < end:
                missing.append((part, Part(part.sequence, start, end - start)))
        missing.sort(key=lambda pair: pair[1].count > 1)
        hidden = self._run([own for _, own in missing])
        return {
            part: states[-1]
            for (part, own), states in zip(missing, hidden, strict=True)
            if own.end == part.end
        }

    def _draw(self, going: list[_Ahead], hidden: list[Tensor]) -> list[_Ahead]:
        """Draw a guess for each; gives those that go on behind it."""
        if not going:
            return []
        logits = self.network.logits(torch.stack(hidden))[:, : self._vocabulary_size].float()
        is_finite = are_finite(logits)
        rows = [row for row in range(len(going)) if is_finite[row]]
        going = [going[row] for row in rows]
        copies = [one.copy for one in going]
        drawn = (
            next_tokens(copies, logits[rows], self._end_tokens, self.network.sample) if rows else []
        )
        for copy, token in zip(copies, drawn, strict=True):
            copy.append(token, b"")
        return [one for one in going if self._goes_on(one)]

    def _goes_on(self, ahead: _Ahead) -> bool:
        copy = ahead.copy
        matcher = copy.matcher
        is_complete = matcher is not None and (matcher.is_complete or matcher.has_failed)
        is_end = copy.tokens[-1] in self._end_tokens or is_complete
        is_enough = len(ahead.guesses) >= ahead.wanted or copy.length > self._context_length
        return not (is_end or is_enough)

    def _run(self, parts: list[Part]) -> list[Tensor]:
        """Hidden states (T, C) of each part, without any adapter."""
        if not parts:
            return []
        hidden = self.network.hidden_states(StepLayout(parts))
        return list(torch.split(hidden, [part.count for part in parts]))

    def _within(self, end: int) -> int:
        return min(end, self._context_length)


@dataclass
class _Ahead:
    """A copy of a text that is ahead of it.

    Attributes
    ----------
    copy : Sequence
        The text with the guesses.
    start : int
        How many tokens had been generated before them.
    wanted : int
        Most guesses.
    """

    copy: Sequence
    start: int
    wanted: int

    @property
    def guesses(self) -> list[int]:
        """Those so far."""
        return self.copy.generated[self.start :]


def check_vocabulary(draft: Path, tokenizer: Tokenizer) -> None:
    """Refuse a draft model's folder whose token ids mean something else.

    Raises
    ------
    InputError
        If they do, or the folder has no usable tokenizer.
    """
    own = Tokenizer.load(draft)
    most = max(own.vocabulary_size, tokenizer.vocabulary_size)
    what = None if own.special_tokens == tokenizer.special_tokens else "other control tokens"
    for id in range(most):
        here, there = tokenizer.token_bytes(id), own.token_bytes(id)
        if here != there:
            what = f"token {id} is {there!r} there and {here!r} in the model"
            break
    if what is None:
        return
    raise InputError(
        f"the draft model has another vocabulary: {what}",
        where=draft,
        fix="give a draft model that was trained with the same tokenizer",
    )
