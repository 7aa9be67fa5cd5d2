"""Modelwright's loop on random tokens."""

from __future__ import annotations

import sys
from contextlib import closing, nullcontext

import torch
from blocks import Blocks
from task import Task

from modelwright.models.config import TransformerConfig
from modelwright.models.quantization.float8 import use_float8
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.budget import Horizon
from modelwright.training.checkpoint import TrainState
from modelwright.training.compiling import compile_blocks
from modelwright.training.heap import kept_heap
from modelwright.training.loop import Loop
from modelwright.training.objectives.next_token import next_token
from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.parallel.forward import forward_alone
from modelwright.training.prefetching import PrefetchedBatches
from modelwright.training.schedule import WarmupStableDecay
from modelwright.training.timing import RandomBatches


def main() -> None:
    """Train as the task on the command line says until the parent has enough."""
    task = Task.from_json(sys.argv[1])
    model = CausalLM(config(task))
    initialise(model, seed=0)
    device = torch.device(task.device)
    model.to(device)
    if task.precision == "float8":
        use_float8(model.model.layers)
    if task.compiled:
        compile_blocks(model, device)
    blocks = Blocks(task, model.config.parameter_count())
    random = RandomBatches(task.vocabulary, task.context, task.rows, task.micro_rows)
    horizon = Horizon(total_steps=1_000_000, seconds_limit=None)
    precision = torch.float32 if task.precision == "float32" else torch.bfloat16
    optimizer = OptimizerSettings(task.optimizer, 1e-3, 1e-3, 0.1, matrix_precision=precision)
    heap = kept_heap() if device.type == "cpu" else nullcontext()
    with heap, closing(PrefetchedBatches(random, device)) as batches:
        Loop(
            model,
            Optimizers(model, optimizer),
            forward_alone(model, next_token),
            batches,
            WarmupStableDecay(0.0, 0.0),
            TrainState(step=0, tokens=0, horizon=horizon),
            precision,
            callbacks=[lambda state: blocks.step_done()],
        ).run()


def config(task: Task) -> TransformerConfig:
    """The task's shape in our terms."""
    return TransformerConfig(
        vocab_size=task.vocabulary,
        hidden_size=task.width,
        intermediate_size=task.feed_forward,
        num_hidden_layers=task.layers,
        num_attention_heads=task.heads,
        num_key_value_heads=task.heads,
        head_dim=task.width // task.heads,
        max_position_embeddings=task.context,
    )


if __name__ == "__main__":
    main()
