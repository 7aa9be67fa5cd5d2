"""What a system is asked to train: one model shape, batch and precision, the same for all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Task:
    """A model in Qwen3's shape (without the norms of queries and keys: Llama's) and its steps.

    Attributes
    ----------
    width, layers, heads, feed_forward, vocabulary : int
        The shape; every query head has its own key/value head, the output head is tied.
    context, rows, micro_rows : int
        Tokens in a sequence, sequences in an optimizer step, sequences that go through at once.
    precision : str
        Of matrix products; weights and optimizer state are float32. ``float8`` is asked of ours
        only, and means the blocks' linear layers.
    compiled : bool
        Whether ``torch.compile`` is used.
    query_key_norm : bool
        Qwen3's normalised queries and keys.
    optimizer : str
        ``muon`` is asked of ours only.
    device : str
        ``cpu`` or ``cuda``.
    warm_up, steps : int
        Steps before the first block; steps in a block.
    """

    width: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    context: int
    rows: int
    micro_rows: int
    precision: Literal["float32", "bfloat16", "float8"] = "float32"
    compiled: bool = False
    query_key_norm: bool = True
    optimizer: Literal["adamw", "muon"] = "adamw"
    device: Literal["cpu", "cuda"] = "cpu"
    warm_up: int = 3
    steps: int = 3

    @property
    def tokens_per_step(self) -> int:
        """Tokens of an optimizer step."""
        return self.rows * self.context

    @property
    def flops_per_token(self) -> float:
        """Operations of forward and backward pass.

        6 a weight in a matrix product, 12 · layers · width · context for attention (Chowdhery et
        al. 2022, arXiv:2204.02311, appendix B).
        """
        block = 4 * self.width**2 + 3 * self.width * self.feed_forward
        weights = self.layers * block + self.vocabulary * self.width
        return 6.0 * weights + 12.0 * self.layers * self.width * self.context

    def to_json(self) -> str:
        """For a worker's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """What :meth:`to_json` wrote."""
        return cls(**json.loads(text))
