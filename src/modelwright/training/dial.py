"""The dial: from a budget and a few seconds of timing to sizes, rates and shares of the time."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from modelwright.core.errors import UsageError
from modelwright.core.files import write_json
from modelwright.core.job import Job, Outcome
from modelwright.models.config import TransformerConfig
from modelwright.models.device import pick_device, pick_precision, use_all_cores
from modelwright.models.pretrained import load_config
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.base_choice import LEAST_ROWS, choose_for_base
from modelwright.training.budget import Budget
from modelwright.training.choice import FILE
from modelwright.training.optimizers import OptimizerSettings
from modelwright.training.settings import DialSettings
from modelwright.training.timing import RandomBatches, seconds_per_step

SHAPES = (
    (128, 3),
    (128, 4),
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
"""(width, layers) of the models to choose from, small to large."""

TOKENS_PER_PARAMETER = 1.25
"""Least number of training tokens for each parameter in the blocks."""

SEQUENCE_LENGTH = 256
"""Tokens in a training window, and so the context of the model."""

STEPS_WANTED = 1000
"""Optimizer steps that a run should have at least, where the batch can be made small enough."""

BYTES_PER_TOKEN = 3.3
"""About what a vocabulary of a few thousand reaches on English text."""

SECONDS_PER_TIMING = 1.2
EVALUATION_SECONDS = 12.0
TOKENIZER_BYTES_PER_SECOND = 3e6
FINETUNE_SHARE = 0.35
"""Part of the training time that goes to fine-tuning, if there are examples."""


@dataclass(frozen=True)
class Shape:
    """A candidate and how fast it trains here."""

    hidden_size: int
    layers: int
    block_parameters: int
    flops_per_token: float
    tokens_per_second: float


def dial(job: Job[DialSettings]) -> Outcome:
    """Choose for the corpus (input ``corpus``) and, if there are any, the ``examples``.

    With an input ``base`` training goes on from that model, which has its shape; it and an input
    ``teacher`` have their vocabulary.

    Raises
    ------
    UsageError
        If the time that is left is too short to train anything.
    """
    budget = Budget.parse(job.settings.budget)
    text_bytes = job.input("corpus").manifest.counts.get("bytes_train", 0)
    examples = job.inputs.get("examples")
    has_examples = bool(examples and examples.manifest.counts.get("examples_train"))
    if "base" in job.inputs:
        return _outcome(job, plan_for_base(job, budget, text_bytes, has_examples), [])
    teacher = job.inputs.get("teacher")
    vocabulary = (
        choose_vocabulary(budget, text_bytes)
        if teacher is None
        else load_config(teacher.path).vocab_size
    )
    if budget.unit == "seconds":
        shapes = time_shapes(job, vocabulary)
        spent = time.monotonic() - job.started
        seconds = training_seconds(budget.amount, spent, text_bytes)
        plan = choose_for_time(shapes, seconds, has_examples, text_bytes)
    else:
        shapes = []
        plan = choose_for_amount(budget, text_bytes)
    choice, reasons, _ = plan
    why = "the teacher's"
    if teacher is None:
        choice["tokenizer"] = {"vocabulary_size": vocabulary}
        why = f"{text_bytes / 1e6:,.1f} MB of text to learn from"
    reasons.insert(0, f"vocabulary {vocabulary:,}: {why}")
    return _outcome(job, plan, shapes)


def _outcome(job: Job[DialSettings], plan: Plan, shapes: list[Shape]) -> Outcome:
    """Write the choice and say why."""
    choice, reasons, expected = plan
    write_json(
        job.folder / FILE,
        {
            "choice": choice,
            "reasons": reasons,
            "expected": expected,
            "timing": [asdict(shape) for shape in shapes],
        },
    )
    for reason in reasons:
        job.progress.note(f"  {reason}")
    return Outcome(metrics={name: float(value) for name, value in expected.items()})


Plan = tuple[dict[str, dict[str, Any]], list[str], dict[str, float]]
"""Choice by stage, reasons, expectations."""


def plan_for_base(
    job: Job[DialSettings], budget: Budget, text_bytes: int, has_examples: bool
) -> Plan:
    """The choice where training goes on from the input ``base``: its speed is timed, if need be.

    Raises
    ------
    InputError
        If its shape or its tokenizer cannot be read.
    UsageError
        If the time that is left is too short to train anything.
    """
    base = job.input("base")
    config = load_config(base.path)
    Tokenizer.load(base.path).end_of_text  # noqa: B018 - refused now rather than by 'shards'
    length = min(SEQUENCE_LENGTH, config.max_position_embeddings)
    text_tokens = text_bytes / BYTES_PER_TOKEN
    if budget.unit != "seconds":
        return choose_for_base(config, length, budget, text_tokens, 0.0, 0.0)
    use_all_cores()
    device = pick_device("auto")
    with job.progress.task("timing this machine", 1, "shapes"):
        batches = RandomBatches(config.vocab_size, length, LEAST_ROWS, LEAST_ROWS)
        optimizer = OptimizerSettings("muon", 1e-3, 1e-3, 0.1)
        precision = pick_precision("auto", device)
        seconds = seconds_per_step(
            config, batches, optimizer, device, precision, SECONDS_PER_TIMING
        )
    speed = batches.tokens_per_step / seconds
    left = training_seconds(budget.amount, time.monotonic() - job.started, text_bytes)
    finetune = FINETUNE_SHARE * left if has_examples else 0.0
    pretrain = Budget(left - finetune, "seconds")
    return choose_for_base(config, length, pretrain, text_tokens, speed, finetune)


def choose_vocabulary(budget: Budget, text_bytes: int) -> int:
    """A small vocabulary for little time or text: each token must be seen often to be learnt."""
    by_text = 256 * 2 ** round(math.log2(max(1.0, text_bytes / 40_000)) / 2 + 1)
    by_time = 4096 if budget.unit != "seconds" or budget.amount < 3600 else 16_384
    return int(min(max(by_text, 512), by_time))


def time_shapes(job: Job[DialSettings], vocabulary: int) -> list[Shape]:
    """Time a few shapes; the others' speed lies between (FLOP/s against FLOPs, both in log)."""
    use_all_cores()
    device = pick_device("auto")
    precision = pick_precision("auto", device)
    optimizer = OptimizerSettings("muon", 1e-3, 1e-3, 0.1)
    batches = RandomBatches(vocabulary, SEQUENCE_LENGTH, rows=8, micro_rows=8)
    probes = (1, 3, 6) if device.type == "cpu" else (4, 8, 11)
    measured = list[tuple[float, float]]()
    with job.progress.task("timing this machine", len(probes), "shapes") as task:
        for done, index in enumerate(probes):
            config = shape_config(*SHAPES[index], vocabulary)
            seconds = seconds_per_step(
                config, batches, optimizer, device, precision, SECONDS_PER_TIMING
            )
            flops = config.flops_per_token(SEQUENCE_LENGTH)
            measured.append((math.log(flops), math.log(flops * batches.tokens_per_step / seconds)))
            task.update(done + 1)
    shapes = []
    for width, layers in SHAPES:
        config = shape_config(width, layers, vocabulary)
        flops = config.flops_per_token(SEQUENCE_LENGTH)
        speed = math.exp(interpolate(measured, math.log(flops))) / flops
        shapes.append(Shape(width, layers, config.block_parameter_count(), flops, speed))
    return shapes


def interpolate(points: list[tuple[float, float]], x: float) -> float:
    """Piecewise-linear interpolation; constant outside the points."""
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]


def shape_config(width: int, layers: int, vocabulary: int) -> TransformerConfig:
    """The model that a candidate stands for."""
    heads = max(1, width // 64)
    return TransformerConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else heads,
    )


def training_seconds(budget: float, spent: float, text_bytes: int) -> float:
    """What is left for training after what was done and what else is to come.

    Raises
    ------
    UsageError
        If nothing is left.
    """
    tokenizing = min(text_bytes, 16e6) / TOKENIZER_BYTES_PER_SECOND + text_bytes / 8e6
    left = budget - spent - tokenizing - EVALUATION_SECONDS
    if left < 10:
        enough = math.ceil((budget - left + 30) / 60)
        raise UsageError(
            f"the budget of {budget:.0f} s leaves {left:.0f} s for training",
            fix=f'give a larger one, for example --budget "{enough} minutes"',
        )
    return left


def choose_for_time(
    shapes: list[Shape], seconds: float, has_examples: bool, text_bytes: int
) -> Plan:
    """The largest model that still sees enough tokens in the time."""
    finetune_seconds = FINETUNE_SHARE * seconds if has_examples else 0.0
    pretrain_seconds = seconds - finetune_seconds
    fitting = [
        shape
        for shape in shapes
        if shape.tokens_per_second * pretrain_seconds
        >= TOKENS_PER_PARAMETER * shape.block_parameters
    ]
    shape = fitting[-1] if fitting else shapes[0]
    tokens = shape.tokens_per_second * pretrain_seconds
    epochs = tokens * BYTES_PER_TOKEN / max(1, text_bytes)
    choice = choice_for(shape.hidden_size, shape.layers, tokens, f"{pretrain_seconds:.1f} seconds")
    choice["finetune"]["budget"] = f"{max(finetune_seconds, 1.0):.1f} seconds"
    reasons = [
        f"{shape.layers} layers, {shape.hidden_size} wide: the largest model that sees "
        f"{TOKENS_PER_PARAMETER:g} tokens for each of its "
        f"{shape.block_parameters / 1e6:.2f}M block parameters",
        f"pretraining {pretrain_seconds:.0f} s at {shape.tokens_per_second:,.0f} tokens/s: about "
        f"{tokens / 1e6:.2f}M tokens, {epochs:.1f} times the text",
    ]
    if has_examples:
        reasons.append(f"fine-tuning {finetune_seconds:.0f} s")
    expected = {
        "tokens": round(tokens),
        "tokens_per_second": round(shape.tokens_per_second),
        "pretrain_seconds": round(pretrain_seconds, 1),
        "finetune_seconds": round(finetune_seconds, 1),
    }
    return choice, reasons, expected


def choose_for_amount(budget: Budget, text_bytes: int) -> Plan:
    """Sizes for a fixed amount of pretraining; no timing, so the result is always the same."""
    text_tokens = text_bytes / BYTES_PER_TOKEN
    smallest_step = 16 * SEQUENCE_LENGTH
    tokens = {
        "steps": budget.amount * smallest_step,
        "tokens": budget.amount,
        "epochs": budget.amount * text_tokens,
        "FLOPs": _tokens_of_flops(budget.amount),
    }[budget.unit]
    fitting = [
        (width, layers)
        for width, layers in SHAPES
        if tokens >= TOKENS_PER_PARAMETER * shape_config(width, layers, 512).block_parameter_count()
    ]
    width, layers = fitting[-1] if fitting else SHAPES[0]
    choice = choice_for(width, layers, tokens, str(budget))
    if budget.unit == "steps":
        choice["pretrain"]["batch_rows"] = 16
    choice["finetune"]["budget"] = str(Budget(max(1.0, budget.amount / 2), budget.unit))
    reasons = [f"{layers} layers, {width} wide: the budget is {budget}, about {tokens:,.0f} tokens"]
    return choice, reasons, {"tokens": round(tokens)}


def _tokens_of_flops(flops: float) -> float:
    """Tokens that the largest fitting model sees for so many operations."""
    counts = list[float]()
    for width, layers in SHAPES:
        config = shape_config(width, layers, 4096)
        tokens = flops / config.flops_per_token(SEQUENCE_LENGTH)
        if not counts or tokens >= TOKENS_PER_PARAMETER * config.block_parameter_count():
            counts.append(tokens)
    return counts[-1]


def choice_for(width: int, layers: int, tokens: float, budget: str) -> dict[str, dict[str, Any]]:
    """Settings of the training stages for a shape and a number of tokens."""
    rows = 2 ** round(math.log2(max(1.0, tokens / (STEPS_WANTED * SEQUENCE_LENGTH))))
    rows = min(max(rows, 8), 512)
    return {
        "pretrain": {
            "hidden_size": width,
            "layers": layers,
            "sequence_length": SEQUENCE_LENGTH,
            "batch_rows": rows,
            "learning_rate": 1e-2,
            "matrix_learning_rate": 2e-2,
            "budget": budget,
        },
        "finetune": {
            "batch_rows": 32,
            "learning_rate": 3e-3,
            "matrix_learning_rate": 6e-3,
        },
    }
