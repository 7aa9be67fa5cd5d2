"""Started by torchrun in the tests: train a tiny model with several processes, and save it.

python -m torch.distributed.run --nproc-per-node 2 ranked_training.py HOW OBJECTIVE OUT STEPS ...

All four may come several times, for one run after the other.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from modelwright.models.config import TransformerConfig
from modelwright.models.sharded import whole
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.averaging import AveragingSettings, WeightAverage
from modelwright.training.batches import Batch, supervised_batches
from modelwright.training.budget import Horizon
from modelwright.training.callbacks.averaging import Averaging
from modelwright.training.callbacks.callback import StepReport
from modelwright.training.checkpoint import CheckpointWriter, TrainState, load_checkpoint
from modelwright.training.examples import ExampleBatches, TokenizedExample
from modelwright.training.loop import Loop
from modelwright.training.objectives.distillation import distillation
from modelwright.training.objectives.next_token import next_token
from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.parallel.forward import forward_alone
from modelwright.training.parallel.shares import SharedBatches
from modelwright.training.parallel.spread import forward_together, shard
from modelwright.training.parallel.world import this_world
from modelwright.training.schedule import WarmupStableDecay
from modelwright.training.sequences import Layout

CONFIG = TransformerConfig(
    vocab_size=64,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=32,
)
TOTAL_STEPS = 12


def train(
    folder: Path, shards: bool, objective_name: str, until: int
) -> tuple[list[StepReport], CausalLM]:
    """Train from the checkpoint in ``folder`` (or from the start) to a step; save there.

    The gradients of each step go into a file beside it, see :func:`gradients_file`.
    """
    torch.set_num_threads(1)
    world = this_world()
    model = CausalLM(CONFIG)
    initialise(model, 0)
    objective = next_token
    if objective_name == "distillation":
        teacher = CausalLM(CONFIG)
        initialise(teacher, 1)
        objective = distillation(teacher, 2.0, 0.5)
    if shards:
        shard(model, world)
    forward = (
        forward_alone(model, objective) if world.size == 1 else forward_together(model, objective)
    )
    optimizers = Optimizers(model, OptimizerSettings("muon", 1e-2, 1e-2, 0.1))
    average = WeightAverage(model, AveragingSettings("exponential", 0.3))
    state = load_checkpoint(folder, model, optimizers, {"average": average})
    state = state or TrainState(0, 0, Horizon(TOTAL_STEPS, None))
    reports = list[StepReport]()
    take_step = optimizers.step

    def keep_gradients(*arguments: Any) -> Any:
        gradients = {
            name: whole(parameter.grad).cpu().contiguous()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        if world.is_leader:
            save_file(gradients, gradients_file(folder, state.step + 1))
        return take_step(*arguments)

    optimizers.step = keep_gradients  # type: ignore[method-assign]
    loop = Loop(
        model,
        optimizers,
        forward,
        SharedBatches(batches(), world),
        WarmupStableDecay(0.1, 0.5),
        state,
        torch.float32,
        callbacks=[Averaging(average, state.horizon.progress)],
        listeners=[reports.append],
        world=world,
    )
    now = 0.0
    while state.step < until:
        now = loop.step(now)
        for callback in loop.callbacks:
            callback(state)
    writer = CheckpointWriter(folder, model, optimizers, {"average": average}, world.is_leader)
    with closing(writer):
        writer.save(state)
        writer.finish()
    return reports, model


def gradients_file(folder: Path, step: int) -> Path:
    """Where the gradients of a step are, as they came out of clipping."""
    return folder.with_name(f"{folder.name}-gradients-{step}.safetensors")


def batches() -> ExampleBatches[Batch]:
    """Rows of unequal length and weight, in 3 micro-batches: one process gets filling."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(24):
        length = 6 + 7 * (number % 4)
        ids = torch.randint(0, CONFIG.vocab_size, (length,), generator=generator).tolist()
        trained = [place > length // 3 for place in range(length)]
        made.append(TokenizedExample.of(ids, trained, True))
    return supervised_batches(made, rows=8, micro_rows=3, seed=0, layout=Layout(0))


if __name__ == "__main__":
    dist.init_process_group("gloo")
    given = sys.argv[1:]
    for how, objective, out, steps in zip(*(given[start::4] for start in range(4)), strict=True):
        train(Path(out), how == "shards", objective, int(steps))
        dist.barrier()
    dist.destroy_process_group()
