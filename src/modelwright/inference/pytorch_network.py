"""The forward pass with plain PyTorch, for every model and device; kernels are tested by it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from modelwright.inference.kv_cache import KVCache
from modelwright.inference.paged_attention import TensorLayout, layers_of
from modelwright.inference.sampler import sample
from modelwright.inference.step_layout import StepLayout
from modelwright.models.adapters.attach import with_adapter
from modelwright.models.transformer import CausalLM


class PyTorchNetwork:
    """A model as it is.

    Parameters
    ----------
    model : CausalLM
        In evaluation mode, on its device.
    cache : KVCache
        Where keys and values go; on the same device, of the same type.
    """

    step_tokens = 512
    sample = staticmethod(sample)

    def __init__(self, model: CausalLM, cache: KVCache):
        self.model, self._cache = model, cache
        layers = range(model.config.num_hidden_layers)
        self._windows = [model.config.window(layer) for layer in layers]

    def add_adapter(self, name: str) -> None:
        """Make an adapter that is on the model known; it can be used as it is there."""

    def hidden_states(self, layout: StepLayout, adapter: str | None = None) -> Tensor:
        """Normalised hidden states (N, C) of a step's tokens."""
        tensors = TensorLayout(layout, self._cache.keys.device)
        caches = layers_of(self._cache, tensors, self._windows)
        positions = tensors.positions[None]
        with _speaking(self.model, adapter):
            return self.model.hidden_states(tensors.tokens[None], positions, caches)[0]

    def hidden_states_of(self, texts: list[list[int]], adapter: str | None = None) -> list[Tensor]:
        """Those of whole texts of similar lengths, (T, C) each, of which nothing is kept."""
        longest = max(len(text) for text in texts)
        # A causal mask keeps padding out of sight of the real tokens.
        rows = [text + [0] * (longest - len(text)) for text in texts]
        with _speaking(self.model, adapter):
            hidden = self.model.hidden_states(torch.tensor(rows, device=self._cache.keys.device))
        return [row[: len(text)] for row, text in zip(hidden, texts, strict=True)]

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (M, vocab_size) of hidden states (M, C)."""
        logits: Tensor = self.model.lm_head(hidden)
        return logits


def _speaking(model: CausalLM, adapter: str | None) -> AbstractContextManager[None]:
    # None leaves on what is on, as an adapter that is being trained.
    return nullcontext() if adapter is None else with_adapter(model, adapter)
