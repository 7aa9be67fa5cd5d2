"""Started by torchrun in the tests: train a tiny model with several processes, and save it.

python -m torch.distributed.run --nproc-per-node 2 ranked_training.py OUT SHARDS OBJECTIVE STEPS
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import torch
import torch.distributed as dist

from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.averaging import AveragingSettings, WeightAverage
from modelwright.training.batches import ExampleBatches, TokenizedExample
from modelwright.training.budget import Horizon
from modelwright.training.callbacks.averaging import Averaging
from modelwright.training.callbacks.callback import StepReport
from modelwright.training.checkpoint import CheckpointWriter, TrainState, load_checkpoint
from modelwright.training.loop import Loop
from modelwright.training.objectives.distillation import distillation
from modelwright.training.objectives.next_token import next_token
from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.parallel.forward import forward_alone
from modelwright.training.parallel.shares import SharedBatches
from modelwright.training.parallel.spread import forward_together, shard
from modelwright.training.parallel.world import this_world
from modelwright.training.schedule import WarmupStableDecay

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
    """Train from the checkpoint in ``folder`` (or from the start) to a step; save there."""
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


def batches() -> ExampleBatches:
    """Rows of unequal length and weight, in 3 micro-batches: one process gets filling."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(24):
        length = 6 + 7 * (number % 4)
        ids = torch.randint(0, CONFIG.vocab_size, (length,), generator=generator).tolist()
        trained = [place > length // 3 for place in range(length)]
        made.append(TokenizedExample.of(ids, trained, True))
    return ExampleBatches(made, rows=8, micro_rows=3, pad=0, seed=0)


if __name__ == "__main__":
    dist.init_process_group("gloo")
    out, how, objective, steps = sys.argv[1:]
    train(Path(out), how == "shards", objective, int(steps))
    dist.barrier()
    dist.destroy_process_group()
