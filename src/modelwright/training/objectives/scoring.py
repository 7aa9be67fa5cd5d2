"""What a language model thinks of the scored ids of sequences."""

from __future__ import annotations

from torch import Tensor

from modelwright.models.transformer import CausalLM
from modelwright.training.losses.log_probabilities import log_probabilities
from modelwright.training.sequences import Sequences


def scored_states(model: CausalLM, sequences: Sequences) -> Tensor:
    """Hidden states (K, C) from which the scored ids are predicted."""
    hidden = model.hidden_states(sequences.tokens, documents=sequences.documents)
    return hidden.flatten(0, 1)[sequences.scored]


def scored_log_probabilities(model: CausalLM, sequences: Sequences) -> Tensor:
    """Log-probabilities (K,) of the scored ids, float32, in nats."""
    hidden = scored_states(model, sequences)
    return log_probabilities(hidden, model.lm_head.weight, sequences.targets)
