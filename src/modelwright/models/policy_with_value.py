"""A language model with a head that values what it has written so far, for PPO."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM

VALUE_HEAD = "value_head.weight"


class PolicyWithValue(CausalLM):
    """Policy and value function on one decoder.

    Parameters
    ----------
    config : TransformerConfig
        Of the language model.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__(config)
        self.value_head = nn.Linear(config.hidden_size, 1, bias=False)

    def values(self, hidden: Tensor) -> Tensor:
        """Values (K,) float32 of hidden states (K, C)."""
        values: Tensor = self.value_head(hidden)
        return values.squeeze(-1).float()


def policy_with_value(model: CausalLM) -> PolicyWithValue:
    """Take over a model's modules, and put a head beside them that says 0."""
    with torch.device("meta"):
        policy = PolicyWithValue(model.config)
    policy.model, policy.lm_head = model.model, model.lm_head
    head = torch.zeros(1, model.config.hidden_size, device=next(model.parameters()).device)
    policy.value_head.weight = nn.Parameter(head)
    return policy.train(model.training)


def without_value_head(policy: PolicyWithValue) -> CausalLM:
    """The language model alone."""
    with torch.device("meta"):
        model = CausalLM(policy.config)
    model.model, model.lm_head = policy.model, policy.lm_head
    return model.train(policy.training)
