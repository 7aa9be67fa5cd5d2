"""Runs the model on a step's tokens with plain PyTorch: the reference for all other runners."""

from __future__ import annotations

import torch
from torch import Tensor

from modelwright.inference.kv_cache import KVCache
from modelwright.inference.log_probabilities import token_log_probabilities
from modelwright.inference.paged_attention import StepLayout, layers_of
from modelwright.inference.scheduler import Part
from modelwright.models.transformer import CausalLM

LOGITS_AT_ONCE = 256
"""Places of a prompt whose logits are worked out at once, so that a long one needs no more room."""


class ModelRunner:
    """The model and its cache.

    Parameters
    ----------
    model : CausalLM
        In evaluation mode, on its device.
    blocks : int
        Room in the cache (``kv_cache.py``).
    vocabulary_size : int, optional
        Tokens that the tokenizer has; logits of others, with which models are padded, are left
        out.
    """

    def __init__(self, model: CausalLM, blocks: int, vocabulary_size: int | None = None):
        self.model = model
        self.vocabulary_size = vocabulary_size or model.config.vocab_size
        weight = model.model.embed_tokens.weight
        self.device = weight.device
        self.cache = KVCache(model.config, blocks, weight.device, weight.dtype)
        layers = range(model.config.num_hidden_layers)
        self._windows = [model.config.window(layer) for layer in layers]

    def run(self, parts: list[Part]) -> Tensor:
        """Run the parts of a step, those of one token first.

        Returns
        -------
        Tensor
            Logits (B, vocabulary_size), float32, of the token after each part that is its
            sequence's last.
        """
        layout = StepLayout(parts, self.device)
        hidden = self._hidden_states(layout)  # (N, C)
        row = 0
        for part in parts:
            self._keep_prompt_alternatives(part, hidden[row : row + part.count])
            row += part.count
        return self._logits(hidden[layout.last])

    def _hidden_states(self, layout: StepLayout) -> Tensor:
        caches = layers_of(self.cache, layout, self._windows)
        return self.model.hidden_states(layout.tokens[None], layout.positions[None], caches)[0]

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
            some = torch.tensor(tokens[begin : begin + LOGITS_AT_ONCE], device=self.device)
            logits = self._logits(hidden[begin : begin + len(some)])
            sequence.prompt_alternatives += token_log_probabilities(
                logits, some, [wanted] * len(some)
            )

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.model.lm_head(hidden)
        return logits[:, : self.vocabulary_size].float()
