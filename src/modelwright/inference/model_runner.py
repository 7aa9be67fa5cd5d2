"""Runs the model on a batch: tensors in, logits of the next tokens out."""

from __future__ import annotations

import torch
from torch import Tensor

from modelwright.inference.kv_cache import KVCache
from modelwright.inference.log_probabilities import token_log_probabilities
from modelwright.inference.scheduler import Batch
from modelwright.inference.sequence import Sequence
from modelwright.models.transformer import CausalLM

LOGITS_AT_ONCE = 256
"""Places of a prompt whose logits are worked out at once, so that a long one needs no more room."""


class ModelRunner:
    """The model and its cache.

    Parameters
    ----------
    model : CausalLM
        In evaluation mode, on its device.
    slots : int
        Most sequences at once.
    vocabulary_size : int, optional
        Tokens that the tokenizer has; logits of others, with which models are padded, are left
        out.
    """

    def __init__(self, model: CausalLM, slots: int, vocabulary_size: int | None = None):
        self.model = model
        self.vocabulary_size = vocabulary_size or model.config.vocab_size
        weight = model.model.embed_tokens.weight
        self.device = weight.device
        self.cache = KVCache(model.config, slots, weight.device, weight.dtype)

    def run(self, batch: Batch) -> Tensor:
        """Logits (B, vocabulary_size) of the token after each sequence, prefilled ones first."""
        parts = []
        if batch.prefill:
            parts.append(self._prefill(batch.prefill))
        if batch.decode:
            parts.append(self._decode(batch.decode))
        return torch.cat(parts)

    def _prefill(self, sequences: list[Sequence]) -> Tensor:
        """Run whole prompts, padded on the right to one rectangle.

        A causal mask keeps padding out of sight of the real tokens; what padding leaves in the
        cache lies behind its sequence and is overwritten before it is looked at.
        """
        tokens, lengths = pad([sequence.prompt for sequence in sequences], self.device)
        longest = tokens.shape[1]
        slots = self._reserve(sequences, longest)
        positions = torch.arange(longest, device=self.device).expand(len(sequences), -1)
        caches = self.cache.step(slots, positions, longest)
        hidden = self.model.hidden_states(tokens, caches=caches)  # (B, T, C)
        for sequence, row in zip(sequences, hidden, strict=True):
            self._keep_prompt_alternatives(sequence, row)
        return self._logits(hidden[torch.arange(len(sequences)), lengths - 1])

    def _decode(self, sequences: list[Sequence]) -> Tensor:
        """Run the last token of each sequence, each at its own position."""
        lengths = [sequence.length for sequence in sequences]
        longest = max(lengths)
        slots = self._reserve(sequences, longest)
        tokens = torch.tensor([[s.generated[-1]] for s in sequences], device=self.device)
        positions = torch.tensor(lengths, device=self.device)[:, None] - 1  # (B, 1)
        mask = torch.arange(longest, device=self.device) <= positions  # (B, S)
        caches = self.cache.step(slots, positions, longest)
        hidden = self.model.hidden_states(tokens, positions, mask[:, None, None, :], caches)
        return self._logits(hidden[:, -1])

    def _keep_prompt_alternatives(self, sequence: Sequence, hidden: Tensor) -> None:
        """Keep how likely the prompt's tokens were, if that is asked for; ``hidden`` is (T, C)."""
        wanted, tokens = sequence.params.prompt_alternatives, sequence.prompt[1:]
        if wanted is None:
            return
        for start in range(0, len(tokens), LOGITS_AT_ONCE):
            part = torch.tensor(tokens[start : start + LOGITS_AT_ONCE], device=self.device)
            logits = self._logits(hidden[start : start + len(part)])
            sequence.prompt_alternatives += token_log_probabilities(
                logits, part, [wanted] * len(part)
            )

    def _reserve(self, sequences: list[Sequence], length: int) -> list[int]:
        slots = [sequence.slot for sequence in sequences if sequence.slot is not None]
        self.cache.reserve(max(slots) + 1, length)
        return slots

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.model.lm_head(hidden)
        return logits[:, : self.vocabulary_size].float()


def pad(sequences: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids (B, longest), padded on the right with id 0, and lengths (B,)."""
    lengths = [len(sequence) for sequence in sequences]
    longest = max(lengths)
    rows = [sequence + [0] * (longest - len(sequence)) for sequence in sequences]
    return torch.tensor(rows, device=device), torch.tensor(lengths, device=device)
