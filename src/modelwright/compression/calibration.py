"""What the linear layers of a model get as inputs, block after block.

A block is looked at with inputs that came through the blocks before it as they are by then, rounded
or pruned; and within a block, each layer with those that came through the layers before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from modelwright.models.transformer import Block, CausalLM

WINDOWS_AT_ONCE = 8

_SHARED = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
"""The linear layers of a block in the order in which they run; those that get the same input
together."""


@dataclass
class InputStatistics:
    """What came into a layer, over all tokens.

    Attributes
    ----------
    gram : Tensor
        Mean of x · xᵀ, (in, in), float64: with it the squared error of the outputs of any change
        of the weight can be worked out.
    magnitude : Tensor
        Mean of |x|, (in,), float64.
    tokens : int
        How many inputs were seen.
    """

    gram: Tensor
    magnitude: Tensor
    tokens: int = 0

    def output_error(self, change: Tensor) -> float:
        """Mean squared length of ``change`` · x for a change (out, in) of the weight."""
        wide = change.to(self.gram)
        return float((wide @ self.gram * wide).sum())


class Rewriter(Protocol):
    """What is done to the layers of a block."""

    def rewrite(self, block: Block, names: tuple[str, ...], seen: InputStatistics) -> None:
        """Change or replace the layers of those names, which all got the inputs ``seen``."""

    def finish(self, block: Block) -> None:
        """Change what is left, after all layers of the block were looked at."""


@torch.no_grad()
def rewrite_blocks(
    model: CausalLM,
    windows: Tensor,
    rewriter: Rewriter,
    on_progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Go through the blocks in order, and rewrite each by the inputs that its layers get.

    Parameters
    ----------
    model : CausalLM
        Changed in place; in evaluation mode.
    windows : Tensor
        Token ids (N, T), int64, on the model's device.
    rewriter : Rewriter
        What is done.
    on_progress : callable
        Called with the number of blocks that are done.
    """
    stream = _Stream(model, windows)
    for index, block in enumerate(model.model.layers):
        assert isinstance(block, Block)
        for names in shared_inputs(block):
            rewriter.rewrite(block, names, stream.inputs_of(index, names[0]))
        rewriter.finish(block)
        stream.advance(index)
        on_progress(index + 1)


def shared_inputs(block: Block) -> list[tuple[str, ...]]:
    """Names of a block's linear layers, those with the same input together, as they run."""
    present = dict(block.named_modules())
    return [tuple(name for name in names if name in present) for names in _SHARED]


class _Stream:
    """The residual stream of all windows before the block that is looked at."""

    def __init__(self, model: CausalLM, windows: Tensor):
        parts = [model.model.before_blocks(part) for part in torch.split(windows, WINDOWS_AT_ONCE)]
        self._blocks = model.model.layers
        self._states = [x for x, _, _ in parts]
        _, self._angles, self._masks = parts[0]  # as long as the others

    def inputs_of(self, index: int, name: str) -> InputStatistics:
        """What the layer of that name in a block gets."""
        counter = _Counter()
        layer = self._blocks[index].get_submodule(name)
        handle = layer.register_forward_pre_hook(counter)
        try:
            for state in self._states:
                self._through(index, state)
        finally:
            handle.remove()
        return counter.statistics()

    def advance(self, index: int) -> None:
        """Go through a block."""
        self._states = [self._through(index, state) for state in self._states]

    def _through(self, index: int, state: Tensor) -> Tensor:
        out: Tensor = self._blocks[index](state, self._angles, self._masks[index], None)
        return out


@dataclass
class _Counter:
    """Sums up what a layer gets, as a hook before it."""

    gram: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.float64))
    magnitude: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.float64))
    tokens: int = 0

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].flatten(0, -2).float()  # (tokens, in)
        # Products of a few windows in float32, their sum in float64: some devices have no other.
        self.gram = self.gram + (x.T @ x).cpu().double()
        self.magnitude = self.magnitude + x.abs().sum(0).cpu().double()
        self.tokens += len(x)

    def statistics(self) -> InputStatistics:
        return InputStatistics(self.gram / self.tokens, self.magnitude / self.tokens, self.tokens)
