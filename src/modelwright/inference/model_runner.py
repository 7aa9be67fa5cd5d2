"""Runs a network on a step's tokens: parts of sequences in, logits of their next tokens out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Generator, Tensor

from modelwright.inference.log_probabilities import token_log_probabilities
from modelwright.inference.sampler import SamplingRows
from modelwright.inference.scheduler import Part
from modelwright.inference.step_layout import StepLayout

LOGITS_AT_ONCE = 256
"""Places of a prompt whose logits are worked out at once, so that a long one needs no more room."""


class Network(Protocol):
    """A model and its cache, in the form that a kind of machine runs best.

    Attributes
    ----------
    step_tokens : int
        Tokens of a step from which on more are no faster each; what waits for it waits longer.
    """

    step_tokens: int

    def add_adapter(self, name: str) -> None:
        """Make known an adapter that was put on the model."""

    def hidden_states(self, layout: StepLayout, adapter: str | None = None) -> Tensor:
        """Normalised hidden states (N, C) of a step's tokens, whose keys and values are kept."""

    def hidden_states_of(self, texts: list[list[int]], adapter: str | None = None) -> list[Tensor]:
        """Those of whole texts of similar lengths, (T, C) each, of which nothing is kept."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (M, at least the vocabulary's size) of hidden states (M, C)."""

    def sample(self, logits: Tensor, rows: SamplingRows, generators: Sequence[Generator]) -> Tensor:
        """Tokens (B,) int64 chosen from logits (B, V), as :func:`sampler.sample` has it."""


class ModelRunner:
    """What a step of the engine asks of a network.

    Parameters
    ----------
    network : Network
        The model.
    vocabulary_size : int
        Tokens that the tokenizer has; logits of others, with which models are padded, are left
        out.
    """

    def __init__(self, network: Network, vocabulary_size: int):
        self.network, self.vocabulary_size = network, vocabulary_size

    def run(self, parts: list[Part]) -> Tensor:
        """Run the parts of a step, those of one token first.

        Returns
        -------
        Tensor
            Logits (B, vocabulary_size), float32, of the token after each part that is its
            sequence's last, and before that of each token of its draft.
        """
        hidden = self._hidden_states(parts)
        for part, states in zip(parts, hidden, strict=True):
            self._keep_prompt_alternatives(part, states)
        last = [
            states[-1 - len(part.draft) :]
            for part, states in zip(parts, hidden, strict=True)
            if part.is_last
        ]
        return self._logits(torch.cat(last)) if last else hidden[0].new_zeros(0, 0)

    def _hidden_states(self, parts: list[Part]) -> list[Tensor]:
        """Those of each part (T, C); sequences with the same adapter are run together."""
        adapters = dict.fromkeys(part.sequence.adapter for part in parts)
        if len(parts) == 1:
            return [self.network.hidden_states(StepLayout(parts), *adapters)]
        found = dict[Part, Tensor]()
        for adapter in adapters:
            own = [part for part in parts if part.sequence.adapter == adapter]
            hidden = self.network.hidden_states(StepLayout(own), adapter)
            found |= zip(own, torch.split(hidden, [part.count for part in own]), strict=True)
        return [found[part] for part in parts]

    def _keep_prompt_alternatives(self, part: Part, hidden: Tensor) -> None:
        """Keep how likely the prompt's tokens were, if that is asked for; ``hidden`` is (T, C)."""
        sequence = part.sequence
        wanted = sequence.params.prompt_alternatives
        if wanted is None:
            return
        # Number i is of the token behind position i; after a preemption some are known.
        start = max(part.start, len(sequence.prompt_alternatives))
        tokens = sequence.prompt[start + 1 : part.end + 1]
        hidden = hidden[start - part.start :]
        for begin in range(0, len(tokens), LOGITS_AT_ONCE):
            some = torch.tensor(tokens[begin : begin + LOGITS_AT_ONCE], device=hidden.device)
            logits = self._logits(hidden[begin : begin + len(some)])
            sequence.prompt_alternatives += token_log_probabilities(
                logits, some, [wanted] * len(some)
            )

    def _logits(self, hidden: Tensor) -> Tensor:
        return self.network.logits(hidden)[:, : self.vocabulary_size].float()
