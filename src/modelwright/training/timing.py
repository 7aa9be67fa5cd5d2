"""Timing real training steps on this machine, for the dial and for benchmarks."""

from __future__ import annotations

import time
from contextlib import nullcontext
from statistics import median

import torch

from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.batches import Batch
from modelwright.training.budget import Horizon
from modelwright.training.checkpoint import TrainState
from modelwright.training.compiling import compile_blocks
from modelwright.training.heap import kept_heap
from modelwright.training.loop import Loop
from modelwright.training.objectives.next_token import next_token
from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.parallel.forward import forward_alone
from modelwright.training.schedule import WarmupStableDecay


class RandomBatches:
    """Random tokens in the shape of real batches."""

    can_be_made_ahead = True

    def __init__(self, vocabulary_size: int, length: int, rows: int, micro_rows: int):
        self.vocabulary_size, self.length = vocabulary_size, length
        self.rows, self.micro_rows = rows, micro_rows
        self.steps_per_epoch, self.tokens_per_step = 1, rows * length
        self.has_one_shape, self.micro_batches = True, -(-rows // micro_rows)

    def at(self, step: int) -> list[Batch]:
        """Micro-batches of random tokens; the same for the same step."""
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(self.vocabulary_size, (self.rows, self.length + 1), generator=generator)
        return [
            Batch(part[:, :-1], part[:, 1:], torch.ones(part.shape[0], self.length))
            for part in torch.split(ids, self.micro_rows)
        ]

    def largest(self) -> Batch:
        """The first of the first step."""
        return self.at(0)[0]


def seconds_per_step(
    config: TransformerConfig,
    batches: RandomBatches,
    optimizer: OptimizerSettings,
    device: torch.device,
    precision: torch.dtype,
    seconds: float,
    compiles: bool = False,
) -> float:
    """Median time of an optimizer step, everything included, measured for about ``seconds``."""
    model = CausalLM(config)
    initialise(model, seed=0)
    model.to(device)
    if compiles:
        compile_blocks(model, device)
    state = TrainState(step=0, tokens=0, horizon=Horizon(total_steps=1_000, seconds_limit=None))
    loop = Loop(
        model,
        Optimizers(model, optimizer),
        forward_alone(model, next_token),
        batches,
        WarmupStableDecay(0.0, 0.0),
        state,
        precision,
    )
    loop.model.train()
    times = list[float]()
    with kept_heap() if device.type == "cpu" else nullcontext():
        for _ in range(2 if compiles else 1):  # what is allocated and built there is not repeated
            loop.step(time.monotonic())
        started = time.monotonic()
        while len(times) < 3 or (time.monotonic() - started < seconds and len(times) < 100):
            before = time.monotonic()
            loop.step(before)
            times.append(time.monotonic() - before)
    return median(times)
