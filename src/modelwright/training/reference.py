"""What the model before training thinks of answers, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from modelwright.models.transformer import CausalLM
from modelwright.training.examples import TokenizedExample
from modelwright.training.micro_batch import moved
from modelwright.training.objectives.scoring import scored_log_probabilities
from modelwright.training.parallel.world import ALONE, World
from modelwright.training.sequences import Layout, lay_out


def log_probability_sums(
    model: CausalLM,
    examples: Sequence[TokenizedExample],
    rows: int,
    pad: int,
    precision: torch.dtype,
    on_progress: Callable[[int], None] = lambda done: None,
    world: World = ALONE,
) -> Tensor:
    """Log-probability of the trained ids of each example, summed, (N,) float32 on the CPU.

    Parameters
    ----------
    model : CausalLM
        On its device; it is left in the mode in which it was.
    examples : sequence of TokenizedExample
        In any order.
    rows : int
        Examples that go through the model at once.
    pad : int
        Id for padding.
    precision : torch.dtype
        Of the matrix products, as in training: a policy that has not moved then has a log-ratio
        of zero.
    on_progress : callable
        Told how many examples are done.
    world : World
        Each process takes its share, and all get the whole.
    """
    device = next(model.parameters()).device
    was_training, sums = model.training, torch.zeros(len(examples), device=device)
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].ids))
    starts = range(world.rank * rows, len(order), rows * world.size)
    model.eval()
    eager = torch.compiler.set_stance("force_eager")
    autocast = torch.autocast(device.type, precision, enabled=precision != torch.float32)
    with eager, torch.no_grad(), autocast:
        for start in starts:
            members = order[start : start + rows]
            sequences = moved(lay_out([examples[one] for one in members], Layout(pad)), device)
            values = scored_log_probabilities(model, sequences)
            sums[torch.tensor(members, device=device)] = sequences.sums(values)
            on_progress(min(len(order), start + rows))
    model.train(was_training)
    return world.add(sums).cpu()
