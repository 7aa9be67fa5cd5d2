"""The finetune stage: teach a model to answer, on examples of conversations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelwright.core.errors import InputError
from modelwright.core.job import Job, Outcome
from modelwright.core.settings import chosen
from modelwright.models.device import pick_device, pick_precision
from modelwright.models.pretrained import load_model
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.batches import Batch, supervised_batches
from modelwright.training.callbacks.early_stopping import check_measured
from modelwright.training.examples import TokenizedExample
from modelwright.training.fit import fit
from modelwright.training.objectives.next_token import next_token
from modelwright.training.parallel.shares import micro_rows
from modelwright.training.parallel.world import this_world
from modelwright.training.pretrain import save_trained
from modelwright.training.sequences import Layout
from modelwright.training.settings import FinetuneSettings
from modelwright.training.validation import mean_losses

VALIDATION_EXAMPLES = 256
TOO_LONG, NOTHING_TRAINED = "longer than the context", "no answer to train on"


def finetune(job: Job[FinetuneSettings]) -> Outcome:
    """Fine-tune a model (input ``base``) on examples (input ``examples``), loss on answers only.

    Raises
    ------
    InputError
        If no example is left to train on, or a row is neither conversation nor prompt and
        completion.
    """
    settings = job.settings
    base, examples_artifact = job.input("base"), job.input("examples")
    tokenizer = Tokenizer.load(base.path)
    model = load_model(base.path)
    dropped = {TOO_LONG: 0, NOTHING_TRAINED: 0}
    context = model.config.max_position_embeddings
    train = _tokenize(examples_artifact.path / "train.jsonl", tokenizer, context, dropped)
    held_out = _tokenize(examples_artifact.path / "heldout.jsonl", tokenizer, context, {})
    if not train:
        raise InputError(
            f"no example is left to train on; dropped: {dropped}", where=examples_artifact.path
        )
    rows = chosen(settings, "batch_rows", settings.batch_rows)
    pad = tokenizer.end_of_text
    layout = Layout(pad, settings.packs)
    world = this_world()
    most_rows = micro_rows(rows, settings.micro_batch_rows, world)
    batches = supervised_batches(train, rows, most_rows, settings.seed, layout)
    validation = _validation_batches(held_out, settings.micro_batch_rows, pad)
    check_measured(settings.early_stopping, validation)
    precision = pick_precision(settings.precision, pick_device(settings.device))
    job.progress.note(f"  {len(train):,} examples, {batches.steps_per_epoch:,} steps an epoch")

    def measure() -> dict[str, float]:
        if not validation:
            return {}
        return {
            "validation_loss": mean_losses(model, next_token, validation, precision, world)["loss"]
        }

    length = round(batches.tokens_per_step / batches.rows)
    flops = model.config.flops_per_token(length)
    fitted = fit(job, settings, model, next_token, batches, measure, 4, flops)
    save_trained(model, base, job, world)
    return Outcome(
        counts={
            "parameters": model.config.parameter_count(),
            "examples": len(train),
            "conversations": sum(example.is_conversation for example in train),
            "steps": fitted.steps,
            "skipped_steps": fitted.skipped_steps,
            "tokens": fitted.tokens,
        },
        dropped={reason: count for reason, count in dropped.items() if count},
        metrics={
            "training_seconds": round(fitted.seconds, 1),
            "saving_seconds": round(fitted.saving_seconds, 2),
            **fitted.memory,
            "epochs": round(fitted.steps / batches.steps_per_epoch, 2),
            **fitted.measures,
        },
        settings=fitted.settings,
    )


def tokenize_example(row: dict[str, Any], tokenizer: Tokenizer) -> TokenizedExample:
    """Ids of a row with ``messages`` or ``prompt`` and ``completion``, and what is trained on.

    Prompt and completion are plain text without the chat template; the completion ends with the
    end-of-text token.
    """
    if "messages" in row:
        ids, trained = tokenizer.encode_spans(tokenizer.chat_spans(row["messages"]))
        return TokenizedExample.of(ids, trained, is_conversation=True)
    end = tokenizer.end_of_text
    # Apart, because the model is later given the prompt alone and must find the same ids.
    prompt = [end, *tokenizer.encode(row["prompt"])]
    completion = [*tokenizer.encode(row["completion"]), end]
    trained = [False] * len(prompt) + [True] * len(completion)
    return TokenizedExample.of([*prompt, *completion], trained, is_conversation=False)


def _tokenize(
    path: Path, tokenizer: Tokenizer, context: int, dropped: dict[str, int]
) -> list[TokenizedExample]:
    """All usable examples of a file; the others are counted in ``dropped`` by reason."""
    kept = []
    for row in _read_rows(path):
        example = tokenize_example(row, tokenizer)
        if len(example.ids) > context:
            dropped[TOO_LONG] = dropped.get(TOO_LONG, 0) + 1
        elif not example.trained[1:].any():
            dropped[NOTHING_TRAINED] = dropped.get(NOTHING_TRAINED, 0) + 1
        else:
            kept.append(example)
    return kept


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise InputError("the examples are missing", where=path, fix="check the folder")
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"broken JSON: {error}", where=f"{path}, line {number}") from None
            if not isinstance(row, dict) or not (
                {"messages"} <= row.keys() or {"prompt", "completion"} <= row.keys()
            ):
                raise InputError(
                    "neither 'messages' nor 'prompt' and 'completion'",
                    where=f"{path}, line {number}",
                    fix="use one of these two forms in every line",
                )
            yield row


def _validation_batches(examples: list[TokenizedExample], rows: int, pad: int) -> list[Batch]:
    """An even choice of held-out examples."""
    if not examples:
        return []
    stride = max(1, len(examples) // VALIDATION_EXAMPLES)
    some = sorted(examples[::stride], key=lambda example: len(example.ids))
    one_epoch = supervised_batches(some, len(some), rows, 0, Layout(pad))
    return one_epoch.at(0)
