"""The shapes of models that the dial chooses from, and how fast each of them trains here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from modelwright.core.progress import Progress
from modelwright.models.config import TransformerConfig
from modelwright.models.device import pick_device, pick_precision, use_all_cores
from modelwright.training.optimizers import OptimizerSettings
from modelwright.training.settings import LoopSettings
from modelwright.training.timing import RandomBatches, seconds_per_step

SIZES = (
    (128, 3),
    (128, 4),
    (192, 3),
    (192, 4),
    (256, 4),
    (256, 6),
    (320, 6),
    (384, 6),
    (384, 8),
    (512, 8),
    (640, 10),
    (768, 12),
    (1024, 16),
)
"""(width, layers), small to large."""

SEQUENCE_LENGTH = 256
"""Tokens in a training window, and so the context of the model."""

TIMED_ROWS = {"cpu": 8, "cuda": 128, "mps": 32}
"""Windows in a step that is timed; fewer would leave a GPU idle between its kernels."""

SECONDS_PER_TIMING = 1.2

MOST_GAIN = {"cpu": 1.5, "cuda": 8.0, "mps": 8.0}
"""How many times the FLOP/s of a shape that was timed a larger one may reach. Guesses: on two cores
with AVX2 it is about 1.1, more where products of narrow matrices are far from the peak. If it is
more than this, a shape may be chosen that is too small."""


@dataclass(frozen=True)
class Shape:
    """A model that could be trained.

    Attributes
    ----------
    hidden_size, layers : int
        Width and depth.
    vocabulary : int
        Tokens that it knows.
    weights : int
        In matrix products, the output head included.
    flops_per_token : float
        Operations of forward and backward pass.
    tokens_per_second : float
        How fast it trains here, timed or as shapes near it suggest; 0 if none was timed.
    """

    hidden_size: int
    layers: int
    vocabulary: int
    weights: int
    flops_per_token: float
    tokens_per_second: float = 0.0

    def faster(self, gain: float) -> Shape:
        """The same, so many times as fast."""
        return replace(self, tokens_per_second=gain * self.tokens_per_second)


def shapes_for(vocabulary: int) -> list[Shape]:
    """All shapes, small to large."""
    made = []
    for width, layers in SIZES:
        config = shape_config(width, layers, vocabulary)
        flops = config.flops_per_token(SEQUENCE_LENGTH)
        made.append(Shape(width, layers, vocabulary, config.matrix_weights(), flops))
    return made


def shape_config(width: int, layers: int, vocabulary: int) -> TransformerConfig:
    """The model that a shape stands for."""
    heads = max(1, width // 64)
    return TransformerConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else heads,
        max_position_embeddings=SEQUENCE_LENGTH,
        tie_word_embeddings=False,
    )


def time_shapes(
    vocabulary: int, progress: Progress, choose: Callable[[list[Shape]], Shape]
) -> list[Shape]:
    """Time a few shapes, small to large, until no larger one would be chosen.

    The others' speed lies between; beyond the last one FLOP/s are taken to stay the same.

    Parameters
    ----------
    vocabulary : int
        Of the models.
    progress : Progress
        Told of each.
    choose : callable
        The shape that would be trained, of all with their speeds.
    """
    shapes = shapes_for(vocabulary)
    device = pick_device("auto").type
    probes = (1, 4, 7) if device == "cpu" else (5, 9, 12)
    measured = list[tuple[float, float]]()
    with progress.task("timing this machine", len(probes), "shapes") as task:
        for done, index in enumerate(probes):
            flops, config = shapes[index].flops_per_token, shape_config(*SIZES[index], vocabulary)
            speed = tokens_per_second(config, SEQUENCE_LENGTH, TIMED_ROWS[device])
            measured.append((math.log(flops), math.log(flops * speed)))
            task.update(done + 1)
            shapes = _with_speeds(shapes, measured)
            larger = [one.faster(MOST_GAIN[device]) for one in shapes[index + 1 :]]
            if choose([*shapes[: index + 1], *larger]) not in larger:
                task.update(len(probes))  # the rest is not needed
                break
    return shapes


def _with_speeds(shapes: list[Shape], measured: list[tuple[float, float]]) -> list[Shape]:
    """Speeds by interpolation of FLOP/s against FLOPs a token, both in log."""
    return [
        replace(
            shape,
            tokens_per_second=math.exp(interpolate(measured, math.log(shape.flops_per_token)))
            / shape.flops_per_token,
        )
        for shape in shapes
    ]


def tokens_per_second(
    config: TransformerConfig, length: int, rows: int, compiles: bool = False
) -> float:
    """How fast a model trains here in windows of ``length`` tokens, ``rows`` of them in a step."""
    use_all_cores()
    device = pick_device("auto")
    precision = pick_precision("auto", device)
    micro_rows = min(rows, LoopSettings().micro_batch_rows)
    batches = RandomBatches(config.vocab_size, length, rows, micro_rows)
    optimizer = OptimizerSettings("muon", 1e-3, 1e-3, 0.1, matrix_precision=precision)
    seconds = seconds_per_step(
        config, batches, optimizer, device, precision, SECONDS_PER_TIMING, compiles
    )
    return batches.tokens_per_step / seconds


def interpolate(points: list[tuple[float, float]], x: float) -> float:
    """Piecewise-linear interpolation; constant outside the points."""
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]
