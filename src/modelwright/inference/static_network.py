"""Steps of one token a sequence, in shapes that do not depend on the sequences.

A GPU can be told all of such a step at once (a CUDA graph) instead of kernel by kernel. The number
of sequences is rounded up; rows of padding write into a block that is nobody's. Without
CUDA the same steps run kernel by kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor

from modelwright.inference.decode_attention import DecodeLayer, DecodeStep, has_triton
from modelwright.inference.kv_cache import KVCache, blocks_for
from modelwright.inference.pytorch_network import PyTorchNetwork
from modelwright.inference.sampler import sample
from modelwright.inference.scheduler import Part
from modelwright.inference.step_layout import StepLayout
from modelwright.inference.transfer import to_device
from modelwright.models.transformer import CausalLM

WARM_UPS = 2
"""Runs before a step is captured, in which libraries and kernels get ready."""


def padded_sizes(most: int) -> list[int]:
    """Numbers of rows that steps are made for, ascending, the last at least ``most``."""
    ladder = [1, 2, 4, 8, *range(16, most + 16, 16)]
    return [size for size, before in zip(ladder, [0, *ladder], strict=False) if before < most]


class StaticInputs:
    """What such a step is told, in memory that stays where it is.

    Parameters
    ----------
    rows, width : int
        Most sequences, and most blocks of one.
    scratch : int
        The block into which padding writes.
    device : torch.device
        The model's.

    Attributes
    ----------
    tokens, positions : Tensor
        Ids and places in their sequences (rows,), int64.
    table : Tensor
        Block tables (rows, width), int32.
    """

    def __init__(self, rows: int, width: int, scratch: int, device: torch.device):
        self.tokens = torch.zeros(rows, dtype=torch.int64, device=device)
        self.positions = torch.zeros_like(self.tokens)
        self._scratch = scratch
        # A copy on the host, in which only what changes is written.
        self._table = np.full((rows, width), scratch, np.int32)
        self.table = torch.tensor(self._table, device=device)
        self._held: list[list[int] | None] = [None] * rows
        self._filled = [0] * rows

    def fill(self, parts: list[Part], size: int, tokens: Tensor | None = None) -> None:
        """Put in a step of ``size`` rows, the first of them real.

        ``tokens`` (len(parts),) may be on the device already, and not yet known here.
        """
        device = self.tokens.device
        if tokens is None:
            ids = [part.sequence.tokens[part.start] for part in parts]
            tokens = to_device(ids, torch.int64, device)
        self.tokens[: len(parts)].copy_(tokens)
        places = [part.start for part in parts] + [0] * (size - len(parts))
        self.positions[:size].copy_(to_device(places, torch.int64, device))
        blocks = [part.sequence.blocks for part in parts]
        padding = [None] * (size - len(parts))
        changes = [self._put(row, own) for row, own in enumerate([*blocks, *padding])]
        if any(changes):
            changed = torch.from_numpy(self._table[:size])
            self.table[:size].copy_(to_device(changed, torch.int32, device))

    def _put(self, row: int, blocks: list[int] | None) -> bool:
        """Write a row of the table; whether that changed anything."""
        if blocks is not self._held[row]:
            # A sequence that loses its blocks gets a new list, others only grow.
            self._held[row], self._filled[row] = blocks, 0
            if blocks is None:
                self._table[row] = self._scratch
                return True
        known = self._filled[row]
        if blocks is None or known == len(blocks):
            return False
        self._table[row, known : len(blocks)] = blocks[known:]
        self._filled[row] = len(blocks)
        return True


class StaticNetwork:
    """A model as it is, with such steps; all others are run by plain PyTorch.

    Parameters
    ----------
    model : CausalLM
        In evaluation mode, on its device. An adapter that is on stays so in these steps.
    cache : KVCache
        Where keys and values go; on the same device, of the same type.
    max_sequences : int
        Most sequences of a step.
    captures : bool, optional
        Whether steps become CUDA graphs; by default on CUDA.
    """

    step_tokens = 2048
    sample = staticmethod(sample)

    def __init__(
        self, model: CausalLM, cache: KVCache, max_sequences: int, captures: bool | None = None
    ):
        self._model, self._cache = model, cache
        self._plain = PyTorchNetwork(model, cache)
        device = cache.keys.device
        self.captures = device.type == "cuda" if captures is None else captures
        self.sizes = padded_sizes(max_sequences)
        self._width = blocks_for(model.config.max_position_embeddings)
        self._inputs = StaticInputs(self.sizes[-1], self._width, cache.scratch, device)
        layers = range(model.config.num_hidden_layers)
        self._windows = [model.config.window(layer) for layer in layers]
        self._steps = dict[tuple[int, int], Callable[[], Tensor]]()
        self._pool = torch.cuda.graph_pool_handle() if self.captures else None

    def add_adapter(self, name: str) -> None:
        """Make an adapter that is on the model known."""
        self._plain.add_adapter(name)

    def hidden_states_of(self, texts: list[list[int]], adapter: str | None = None) -> list[Tensor]:
        """Those of whole texts of similar lengths, (T, C) each, of which nothing is kept."""
        return self._plain.hidden_states_of(texts, adapter)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (M, vocab_size) of hidden states (M, C)."""
        return self._plain.logits(hidden)

    def hidden_states(self, layout: StepLayout, adapter: str | None = None) -> Tensor:
        """Normalised hidden states (N, C) of a step's tokens."""
        if adapter is not None:
            return self._plain.hidden_states(layout, adapter)
        # Those that join may look at what the others are about to write.
        early = list(takewhile(lambda part: part.count == 1 and not part.joins, layout.parts))
        late = layout.parts[len(early) :]
        if not early:
            return self._plain.hidden_states(layout)
        first = self.decode(early)
        return torch.cat([first, self._plain.hidden_states(StepLayout(late))]) if late else first

    def decode(self, parts: list[Part], tokens: Tensor | None = None) -> Tensor:
        """Hidden states (B, C) of parts of one token each, good until the next step.

        ``tokens`` (B,) are taken from the device if they are given.
        """
        size = next(size for size in self.sizes if size >= len(parts))
        self._inputs.fill(parts, size, tokens)
        longest = max(len(part.sequence.blocks) for part in parts)
        return self._step(size, self._columns(longest))()[: len(parts)]

    def warm_up(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Make all steps ready, the largest first, as smaller ones then use its memory.

        Without it, each is made when it is first needed. ``on_progress`` gets how many are ready,
        and how many there are.
        """
        self._inputs.fill([], self.sizes[-1])
        for number, size in enumerate(reversed(self.sizes), start=1):
            self._step(size, self._width)
            if on_progress is not None:
                on_progress(number, len(self.sizes))

    def _columns(self, longest: int) -> int:
        """How many columns of the table a step is made for."""
        if has_triton(self._cache.keys.device):
            return self._width  # the kernels read no more than there is
        return min(self._width, 1 << (longest - 1).bit_length())

    def _step(self, size: int, columns: int) -> Callable[[], Tensor]:
        key = (size, columns)
        if key not in self._steps:
            make = self._captured if self.captures else self._uncaptured
            self._steps[key] = make(size, columns)
        return self._steps[key]

    def _uncaptured(self, size: int, columns: int) -> Callable[[], Tensor]:
        return lambda: self._forward(size, columns)

    def _captured(self, size: int, columns: int) -> Callable[[], Tensor]:
        """A step as a CUDA graph, which gives its output always in the same place."""
        # Capturing needs a stream of its own; what runs before it only repeats the step.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._forward(size, columns)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile, as engines beside this one do.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            hidden = self._forward(size, columns)

        def replay() -> Tensor:
            graph.replay()
            return hidden

        return replay

    def _forward(self, size: int, columns: int) -> Tensor:
        """Hidden states (size, C) of what the inputs hold."""
        inputs = self._inputs
        positions = inputs.positions[:size]
        step = DecodeStep.at(positions, inputs.table[:size, :columns])
        layers = zip(self._cache.keys, self._cache.values, self._windows, strict=True)
        caches = [DecodeLayer(keys, values, step, window) for keys, values, window in layers]
        return self._model.hidden_states(inputs.tokens[None, :size], positions[None], caches)[0]
