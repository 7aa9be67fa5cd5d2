"""The dial: from a budget and a few seconds of timing to sizes, rates and shares of the time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from modelwright.core.artifact import Artifact
from modelwright.core.errors import UsageError
from modelwright.core.examples import PLURALS, TO_FINETUNE
from modelwright.core.files import write_json
from modelwright.core.job import Job, Outcome
from modelwright.models.device import pick_device
from modelwright.models.pretrained import load_config
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.base_choice import LEAST_ROWS, choose_for_base
from modelwright.training.budget import Budget
from modelwright.training.choice import FILE
from modelwright.training.compiling import should_compile
from modelwright.training.forecast import Text
from modelwright.training.names import StartName
from modelwright.training.prospects import (
    FEW_TOKENS,
    MOST_START,
    Prospect,
    best_for_flops,
    best_in_time,
    in_time,
    largest_worthwhile,
    on_tokens,
    start_share,
)
from modelwright.training.rates import rates_for
from modelwright.training.settings import DialSettings
from modelwright.training.shapes import (
    SEQUENCE_LENGTH,
    Shape,
    shape_config,
    shapes_for,
    time_shapes,
    tokens_per_second,
)
from modelwright.training.text_estimate import estimate_text
from modelwright.training.tokenized import ALL_FOR_ALIGNMENT

STEP_ROWS = 16
"""Windows in a step where the budget is a number of steps."""

OFTEN = 4.0
"""Readings of a text from which on it is said that it may be learnt by heart."""

COMPILED_GAIN = 1.25
"""How many times as fast a CPU trains with compiled blocks, until the chosen shape is timed."""

STARTS = {
    "bigrams": "first weights from the text's bigrams",
    "random": "random first weights",
}
"""In words."""

EVALUATION_SECONDS = 12.0
TOKENIZER_BYTES_PER_SECOND = 3e6
FINETUNE_SHARE = 0.35
"""Part of the training time that goes to fine-tuning, if there are examples."""


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
    corpus = job.input("corpus")
    text_bytes = corpus.manifest.counts.get("bytes_train", 0)
    has_examples = has_answers(job.inputs.get("examples"), job.progress.note)
    if "base" in job.inputs:
        return _outcome(job, plan_for_base(job, budget, text_bytes, has_examples), [])
    teacher = job.inputs.get("teacher")
    vocabulary = (
        choose_vocabulary(budget, text_bytes)
        if teacher is None
        else load_config(teacher.path).vocab_size
    )
    text = estimate_text(corpus, vocabulary if teacher is None else Tokenizer.load(teacher.path))
    shapes = list[Shape]()
    if budget.unit == "seconds":

        def seconds_left() -> float:
            return training_seconds(budget.amount, time.monotonic() - job.started, text_bytes)

        def choose(candidates: list[Shape]) -> Shape:
            seconds = pretrain_seconds(seconds_left(), has_examples)
            return best_in_time(candidates, seconds, text, job.settings.start).shape

        shapes = time_shapes(vocabulary, job.progress, choose)
        compiled = _as_compiled(job, shapes, vocabulary, seconds_left(), has_examples, text)
        plan = choose_for_time(
            compiled or shapes, seconds_left(), has_examples, text, job.settings.start
        )
        if compiled:
            plan[0]["pretrain"]["compile"] = True
    else:
        plan = choose_for_amount(budget, vocabulary, text, job.settings.start)
    choice, reasons, _ = plan
    whose = ", the teacher's"
    if teacher is None:
        choice["tokenizer"] = {"vocabulary_size": vocabulary}
        whose = ""
    reasons.insert(
        0,
        f"vocabulary {vocabulary:,}{whose}: {text_bytes:,} bytes to learn from are about "
        f"{text.tokens:,.0f} tokens",
    )
    return _outcome(job, plan, shapes)


def has_answers(examples: Artifact | None, note: Callable[[str], None]) -> bool:
    """Whether there are examples to fine-tune on; those that are for alignment take no time.

    Parameters
    ----------
    examples : Artifact, optional
        Some, or none.
    note : callable
        Told if all are for alignment.
    """
    counts = examples.manifest.counts if examples else {}
    if not counts.get("examples_train"):
        return False
    has_some = any(counts.get(PLURALS[form]) for form in TO_FINETUNE)
    if not has_some:
        note(f"  no time for fine-tuning: {ALL_FOR_ALIGNMENT}")
    return has_some


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
    tokenizer = Tokenizer.load(base.path)
    tokenizer.end_of_text  # noqa: B018 - refused now rather than by 'shards'
    length = min(SEQUENCE_LENGTH, config.max_position_embeddings)
    text_tokens = 0.0
    if budget.unit == "epochs":
        text_tokens = estimate_text(job.input("corpus"), tokenizer).tokens
    if budget.unit != "seconds":
        return choose_for_base(config, length, budget, text_tokens, 0.0, 0.0)
    with job.progress.task("timing this machine", 1, "shapes"):
        speed = tokens_per_second(config, length, LEAST_ROWS)
    left = training_seconds(budget.amount, time.monotonic() - job.started, text_bytes)
    pretrain = Budget(pretrain_seconds(left, has_examples), "seconds")
    finetune = left - pretrain.amount
    return choose_for_base(config, length, pretrain, text_tokens, speed, finetune)


def choose_vocabulary(budget: Budget, text_bytes: int) -> int:
    """A small vocabulary for little time or text: each token must be seen often to be learnt."""
    by_text = 256 * 2 ** round(math.log2(max(1.0, text_bytes / 40_000)) / 2 + 1)
    by_time = 4096 if budget.unit != "seconds" or budget.amount < 3600 else 16_384
    return int(min(max(by_text, 512), by_time))


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


def _as_compiled(
    job: Job[DialSettings],
    shapes: list[Shape],
    vocabulary: int,
    seconds: float,
    has_examples: bool,
    text: Text,
) -> list[Shape]:
    """The shapes with the speed that they have compiled; none if compiling is not worth it.

    Only the one that would be chosen is compiled and timed: pretraining needs that build anyway and
    finds it. The others are taken to gain as much.
    """
    guessed = [shape.faster(COMPILED_GAIN) for shape in shapes]
    start = job.settings.start
    choice = choose_for_time(guessed, seconds, has_examples, text, start)[0]["pretrain"]
    budget = Budget.parse(choice["budget"])
    if not should_compile(None, pick_device("auto"), budget, has_one_shape=True):
        return []
    index = [(one.hidden_size, one.layers) for one in shapes].index(
        (choice["hidden_size"], choice["layers"])
    )
    config = shape_config(choice["hidden_size"], choice["layers"], vocabulary)
    with job.progress.task("timing the compiled model", 1, "shapes"):
        speed = tokens_per_second(config, SEQUENCE_LENGTH, choice["batch_rows"], compiles=True)
    gain = speed / shapes[index].tokens_per_second
    return [shape.faster(gain) for shape in shapes]


def pretrain_seconds(seconds: float, has_examples: bool) -> float:
    """The part of the training time that is not for fine-tuning."""
    return (1.0 - FINETUNE_SHARE) * seconds if has_examples else seconds


def choose_for_time(
    shapes: list[Shape],
    seconds: float,
    has_examples: bool,
    text: Text,
    start: StartName | None = None,
) -> Plan:
    """The shape that is expected to get furthest in the time."""
    for_pretraining = pretrain_seconds(seconds, has_examples)
    finetune_seconds = seconds - for_pretraining
    prospect = best_in_time(shapes, for_pretraining, text, start)
    shape, tokens = prospect.shape, prospect.tokens
    choice = choice_for(prospect, f"{for_pretraining:.1f} seconds")
    choice["finetune"]["budget"] = f"{max(finetune_seconds, 1.0):.1f} seconds"
    reasons = [
        f"{shape.layers} layers, {shape.hidden_size} wide: of {len(shapes)} shapes the one that "
        "should get furthest in the time",
        f"pretraining {for_pretraining:.0f} s at {shape.tokens_per_second:,.0f} tokens/s: about "
        f"{tokens / 1e6:.2f}M tokens, {tokens / text.tokens:.1f} times the text",
        why_start(
            prospect, in_time(shape, for_pretraining, text, "random")[0], text, start is not None
        ),
        expectation(prospect, text),
        *by_heart(tokens, text),
    ]
    if has_examples:
        reasons.append(f"fine-tuning {finetune_seconds:.0f} s")
    expected = {
        "tokens": round(tokens),
        "tokens_per_second": round(shape.tokens_per_second),
        "pretrain_seconds": round(for_pretraining, 1),
        "finetune_seconds": round(finetune_seconds, 1),
        "bits_per_byte": round(prospect.bits_per_byte(text), 4),
    }
    return choice, reasons, expected


def choose_for_amount(
    budget: Budget, vocabulary: int, text: Text, start: StartName | None = None
) -> Plan:
    """Sizes for a fixed amount of pretraining; no timing, so the result is always the same."""
    shapes = shapes_for(vocabulary)
    if budget.unit == "FLOPs":
        prospect = best_for_flops(shapes, budget.amount, text, start)
    else:
        tokens = {
            "steps": budget.amount * STEP_ROWS * SEQUENCE_LENGTH,
            "tokens": budget.amount,
            "epochs": budget.amount * text.tokens,
        }[budget.unit]
        shape = largest_worthwhile(shapes, tokens, text, start)
        prospect = on_tokens(shape, tokens, text, start)
    shape, tokens = prospect.shape, prospect.tokens
    rows = STEP_ROWS if budget.unit == "steps" else None
    choice = choice_for(prospect, str(budget), rows)
    choice["finetune"]["budget"] = str(Budget(max(1.0, budget.amount / 2), budget.unit))
    reasons = [
        f"{shape.layers} layers, {shape.hidden_size} wide: the budget is {budget}, about "
        f"{tokens:,.0f} tokens",
        why_start(prospect, on_tokens(shape, tokens, text, "random"), text, start is not None),
        expectation(prospect, text),
        *by_heart(tokens, text),
    ]
    bits = round(prospect.bits_per_byte(text), 4)
    return choice, reasons, {"tokens": round(tokens), "bits_per_byte": bits}


def why_start(prospect: Prospect, at_random: Prospect, text: Text, is_given: bool) -> str:
    """The first weights, in words, and why; ``at_random`` is the same training without bigrams."""
    words = STARTS[prospect.start]
    if is_given:
        return f"{words}, as the settings have it"
    if prospect.start == "bigrams":
        if at_random.tokens <= FEW_TOKENS:
            return f"{words}, which so few tokens of training would hardly teach"
        expected = at_random.bits_per_byte(text)
        return f"{words}; {expected:.2f} bits per byte would be expected from random ones"
    if start_share(prospect.shape, prospect.tokens) > MOST_START:
        return f"{words}: to fit them to the text's bigrams would take too much of the training"
    return f"{words}: those from the text's bigrams would gain less than more training"


def by_heart(tokens: float, text: Text) -> list[str]:
    """A warning, if the text is read often."""
    if tokens <= OFTEN * text.tokens:
        return []
    return [
        f"it is read {tokens / text.tokens:,.0f} times, so often that it may be learnt by heart: "
        "more text would help more than more training; --pretrain.early-stopping 3 keeps the best "
        "weights"
    ]


def expectation(prospect: Prospect, text: Text) -> str:
    """What is expected, in words."""
    return (
        f"expected: about {prospect.bits_per_byte(text):.2f} bits per byte of "
        f"held-out text (it is {text.difficulty:.2f} times as hard as English novels)"
    )


def choice_for(
    prospect: Prospect, budget: str, rows: int | None = None
) -> dict[str, dict[str, Any]]:
    """Settings of the training stages for a shape, its start and a number of tokens."""
    shape, start = prospect.shape, prospect.start
    rates = rates_for(shape.hidden_size, prospect.tokens, SEQUENCE_LENGTH, start, rows)
    return {
        "pretrain": {
            "hidden_size": shape.hidden_size,
            "layers": shape.layers,
            "start": start,
            "sequence_length": SEQUENCE_LENGTH,
            "batch_rows": rates.rows,
            "learning_rate": rates.learning_rate,
            "matrix_learning_rate": rates.matrix_learning_rate,
            "weight_decay": rates.weight_decay,
            "budget": budget,
        },
        "finetune": {
            "batch_rows": 32,
            "learning_rate": 3e-3,
            "matrix_learning_rate": 6e-3,
        },
    }
