"""Feed-forward layers. Shapes in comments: B batch, T tokens, C width of the residual stream."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from modelwright.models.config import TransformerConfig


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202), or GELU in its tanh form (arXiv:1606.08415)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        width, inner, bias = config.hidden_size, config.intermediate_size, config.feed_forward_bias
        self.is_gated = config.feed_forward == "swiglu"
        if self.is_gated:
            self.gate_proj = nn.Linear(width, inner, bias=bias)
        self.up_proj = nn.Linear(width, inner, bias=bias)
        self.down_proj = nn.Linear(inner, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, C) to (B, T, C)."""
        if self.is_gated:
            inner = F.silu(self.gate_proj(x)) * self.up_proj(x)
        else:
            inner = F.gelu(self.up_proj(x), approximate="tanh")
        out: Tensor = self.down_proj(inner)
        return out
