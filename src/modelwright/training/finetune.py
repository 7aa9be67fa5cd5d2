"""The finetune stage: teach a model to answer, on examples of conversations."""

from __future__ import annotations

from pathlib import Path

from modelwright.core.errors import InputError
from modelwright.core.examples import HELD_OUT, TRAIN
from modelwright.core.job import Job, Outcome
from modelwright.core.settings import chosen
from modelwright.models.config import TransformerConfig
from modelwright.models.device import pick_device, pick_precision
from modelwright.models.pretrained import load_config, load_model
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.adaptation import ADAPTER_FACTOR, adapt, merged
from modelwright.training.base_choice import finetune_choice
from modelwright.training.batches import Batch, supervised_batches
from modelwright.training.callbacks.early_stopping import check_measured
from modelwright.training.choice import with_choice
from modelwright.training.examples import TokenizedExample
from modelwright.training.fit import fit
from modelwright.training.objectives.next_token import next_token
from modelwright.training.parallel.shares import micro_rows
from modelwright.training.parallel.world import this_world
from modelwright.training.pretrain import save_trained
from modelwright.training.sequences import Layout
from modelwright.training.settings import FinetuneSettings
from modelwright.training.tokenized import (
    ALL_FOR_ALIGNMENT,
    FOR_ALIGNMENT,
    TOO_LONG,
    require_template,
    tokenize_file,
)
from modelwright.training.validation import mean_losses

BUDGET = "3 epochs"
"""Where none is given."""

VALIDATION_EXAMPLES = 256


def finetune(job: Job[FinetuneSettings]) -> Outcome:
    """Fine-tune a model (input ``base``) on examples (input ``examples``), loss on answers only.

    Raises
    ------
    InputError
        If no example is left to train on, one would teach nothing, or the chat template cannot
        be trained with.
    """
    base, examples_artifact = job.input("base"), job.input("examples")
    tokenizer = Tokenizer.load(base.path)
    config = load_config(base.path)
    settings = _with_choice(job.settings, config)
    dropped = {TOO_LONG: 0}
    context, train_on = config.max_position_embeddings, settings.train_on
    train = tokenize_file(examples_artifact.path / TRAIN, tokenizer, context, train_on, dropped)
    held_out = tokenize_file(examples_artifact.path / HELD_OUT, tokenizer, context, train_on, {})
    if not train:
        raise _nothing_to_learn(dropped, examples_artifact.path)
    if any(example.is_conversation for example in train):
        require_template(tokenizer, train_on, job.progress.note)
    # Only now, so that rows which cannot be learnt from are refused at once.
    model = load_model(base.path)
    adapt(model, settings)
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
    if not any(example.is_conversation for example in train):
        job.progress.note(
            "  no conversation is among them: the model learns to complete prompts, not to chat"
        )

    def measure() -> dict[str, float]:
        if not validation:
            return {}
        return {
            "validation_loss": mean_losses(model, next_token, validation, precision, world)["loss"]
        }

    length = round(batches.tokens_per_step / batches.rows)
    flops = model.config.flops_per_token(length)
    fitted = fit(job, settings, model, next_token, batches, measure, 4, flops)
    merged(model, settings, job.folder, base.path, world)
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
        settings={**settings.model_dump(), **fitted.settings},
    )


def _with_choice(settings: FinetuneSettings, config: TransformerConfig) -> FinetuneSettings:
    """What neither the user nor a dial chose."""
    factor = ADAPTER_FACTOR if settings.adapter else 1.0
    choice = {"budget": BUDGET, **finetune_choice(config, factor)}
    return with_choice(settings, choice, "the defaults of fine-tuning")


def _nothing_to_learn(dropped: dict[str, int], folder: Path) -> InputError:
    if dropped.get(FOR_ALIGNMENT) and not dropped[TOO_LONG]:
        return InputError(
            ALL_FOR_ALIGNMENT,
            where=folder,
            fix="name their sources under 'preferences' in the recipe, or give the folder to "
            "'modelwright align'; fine-tuning learns from conversations and completions",
        )
    return InputError(f"no example is left to train on; dropped: {dropped}", where=folder)


def _validation_batches(examples: list[TokenizedExample], rows: int, pad: int) -> list[Batch]:
    """An even choice of held-out examples."""
    if not examples:
        return []
    stride = max(1, len(examples) // VALIDATION_EXAMPLES)
    some = sorted(examples[::stride], key=lambda example: len(example.ids))
    one_epoch = supervised_batches(some, len(some), rows, 0, Layout(pad))
    return one_epoch.at(0)
