"""Sequences go on: the model's logits become tokens and text, and what is complete ends."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor

from modelwright.inference.next_tokens import Sample, next_tokens
from modelwright.inference.sampler import are_finite
from modelwright.inference.scheduler import Part, Scheduler
from modelwright.inference.sequence import FinishReason, Sequence
from modelwright.tokens.tokenizer import Tokenizer

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepOutput:
    """One sequence's part of a step.

    Attributes
    ----------
    sequence : Sequence
        The sequence, with the new tokens already in it.
    text : str
        Its new text, often empty while characters or stop strings are incomplete.
    tokens : int
        How many tokens are new: more than one where guesses came true, none where it was given up.
    """

    sequence: Sequence
    text: str
    tokens: int


class Continuation:
    """Adds to sequences what the model says next.

    Parameters
    ----------
    scheduler : Scheduler
        Gets back the room of those that end.
    tokenizer : Tokenizer
        The model's own.
    context_length : int
        Longest sequence.
    sample : callable
        Chooses tokens from logits.

    Attributes
    ----------
    sample : callable
        As given.
    draft_tokens, accepted_tokens : int
        Tokens guessed so far, and those of them that came true.
    end_tokens : set of int
        Those that end a text.
    """

    def __init__(
        self, scheduler: Scheduler, tokenizer: Tokenizer, context_length: int, sample: Sample
    ):
        self.draft_tokens = self.accepted_tokens = 0
        self._scheduler, self._tokenizer = scheduler, tokenizer
        self._context_length, self.sample = context_length, sample
        self.end_tokens = {tokenizer.end_of_text, tokenizer.message_end}

    def go_on(self, parts: list[Part], said: Tensor) -> list[StepOutput]:
        """Draw the next tokens of parts that are their sequences' last.

        ``said`` (rows, V) are the logits behind each part's last token and, before them, within
        its draft.
        """
        if not parts:
            return []
        outputs = {part.sequence: StepOutput(part.sequence, "", 0) for part in parts}
        first_rows = accumulate((1 + len(part.draft) for part in parts), initial=0)
        going = list(zip(parts, first_rows, strict=False))
        is_finite = are_finite(said)
        number = 0  # of the token in this step
        while going:
            sound = [(part, row + number) for part, row in going if is_finite[row + number]]
            lost = [part for part, row in going if not is_finite[row + number]]
            for part in lost:
                self._note(outputs, part.sequence, self._give_up(part.sequence), 0)
            going = self._draw(sound, said, number, outputs)
            number += 1
        for output in outputs.values():
            output.sequence.timing.said(output.tokens)
        self.draft_tokens += sum(len(part.draft) for part in parts)
        return list(outputs.values())

    def take(self, parts: list[Part], tokens: list[int | None]) -> list[StepOutput]:
        """Go on with tokens that were drawn already; None where the output was not finite."""
        outputs = []
        for part, token in zip(parts, tokens, strict=True):
            sequence = part.sequence
            text = self._give_up(sequence) if token is None else self._advance(sequence, token)
            outputs.append(StepOutput(sequence, text, int(token is not None)))
            sequence.timing.said(outputs[-1].tokens)
        return outputs

    def _give_up(self, sequence: Sequence) -> str:
        LOGGER.warning("the model's output is not finite; the text ends here")
        return self._finish(sequence, "abort")

    def _draw(
        self,
        going: list[tuple[Part, int]],
        said: Tensor,
        number: int,
        outputs: dict[Sequence, StepOutput],
    ) -> list[tuple[Part, int]]:
        """Draw a token for each part from its row; gives those whose guess it was."""
        if not going:
            return []
        rows = [row for _, row in going]
        own = said if rows == list(range(len(said))) else said[rows]
        drawn = next_tokens([part.sequence for part, _ in going], own, self.end_tokens, self.sample)
        still = []
        for (part, row), token in zip(going, drawn, strict=True):
            sequence = part.sequence
            sequence.computed += number > 0  # the guess before this token has been run
            self._note(outputs, sequence, self._advance(sequence, token), 1)
            is_guessed = number < len(part.draft) and token == part.draft[number]
            self.accepted_tokens += is_guessed
            if is_guessed and not sequence.is_finished:
                still.append((part, row - number))
        return still

    @staticmethod
    def _note(
        outputs: dict[Sequence, StepOutput], sequence: Sequence, text: str, tokens: int
    ) -> None:
        before = outputs[sequence]
        outputs[sequence] = StepOutput(sequence, before.text + text, before.tokens + tokens)

    def _advance(self, sequence: Sequence, token: int) -> str:
        """Add a token to a sequence, and end it where it must end; gives the new text."""
        text = sequence.append(token, self._tokenizer.token_bytes(token))
        reason = self._reason_to_finish(sequence, token)
        return text if reason is None else text + self._finish(sequence, reason)

    def _finish(self, sequence: Sequence, reason: FinishReason) -> str:
        self._scheduler.remove(sequence)
        return sequence.finish(reason)

    def _reason_to_finish(self, sequence: Sequence, token: int) -> FinishReason | None:
        if sequence.matcher is not None and sequence.matcher.has_failed:
            return "abort"
        is_end = token in self.end_tokens and not sequence.params.ignores_end
        is_complete = sequence.matcher is not None and sequence.matcher.is_complete
        if is_end or is_complete or sequence.detokenizer.is_stopped:
            return "stop"
        is_full = sequence.length >= self._context_length
        if is_full or len(sequence.generated) >= sequence.params.max_tokens:
            return "length"
        return None
