"""The pretrain stage: a model from random weights or those of another, on token shards."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError, UsageError
from modelwright.core.files import write_text
from modelwright.core.job import Job, Outcome
from modelwright.core.settings import chosen, require_set
from modelwright.models.config import TransformerConfig
from modelwright.models.device import pick_device, pick_precision, use_all_cores
from modelwright.models.families.table import in_family
from modelwright.models.pretrained import (
    load_config,
    load_model,
    model_tensors,
    save_tensors_of,
)
from modelwright.models.transformer import CausalLM, initialise
from modelwright.tokens.files import TEMPLATE, TOKENIZER_FILES
from modelwright.tokens.shards import TokenShards
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.tokens.train import MULTIPLE
from modelwright.training.adaptation import check_trainable
from modelwright.training.batches import Batch, WindowBatches, next_token_batch
from modelwright.training.bigram_start import count_pairs, fit_tables
from modelwright.training.budget import Budget
from modelwright.training.callbacks.early_stopping import check_measured
from modelwright.training.checkpoint import CHECKPOINTS, newest_step
from modelwright.training.choice import expected_tokens
from modelwright.training.fit import fit
from modelwright.training.heap import kept_heap
from modelwright.training.look_back import look_back
from modelwright.training.memory import check_weights_fit
from modelwright.training.names import StartName
from modelwright.training.objectives.distillation import distillation
from modelwright.training.objectives.next_token import next_token
from modelwright.training.objectives.objective import Objective
from modelwright.training.parallel.shares import micro_rows
from modelwright.training.parallel.world import World, this_world
from modelwright.training.samples import Samples
from modelwright.training.settings import PretrainSettings
from modelwright.training.validation import bits_per_byte, mean_losses

SHAPE = (
    "family",
    "hidden_size",
    "layers",
    "heads",
    "kv_heads",
    "head_dim",
    "intermediate_size",
    "tie_embeddings",
    "context_length",
)
"""Settings that a base model decides."""


def pretrain(job: Job[PretrainSettings]) -> Outcome:
    """Train on shards (input ``shards``) made with a tokenizer (input ``tokenizer``).

    With an input ``base`` training goes on from that model's weights, with an input ``teacher`` it
    learns from that model's probabilities too.

    Raises
    ------
    InputError
        If the shards hold less than one window, or were made with another tokenizer; if base or
        teacher have another vocabulary.
    UsageError
        If what has no default is not set; if a shape or first weights are asked for and there is a
        base, which has them; if early stopping is asked for and there is no held-out text.
    """
    settings = job.settings
    _check_settings(settings, "base" in job.inputs)
    shards_artifact, tokenizer_artifact = job.input("shards"), job.input("tokenizer")
    tokenizer = Tokenizer.load(tokenizer_artifact.path)
    train = _open_shards(shards_artifact, "train", tokenizer)
    length = chosen(settings, "sequence_length", settings.sequence_length)
    base, teacher = job.inputs.get("base"), job.inputs.get("teacher")
    taught_by = None if teacher is None else load_config(teacher.path)
    if taught_by is not None:
        length = min(length, taught_by.max_position_embeddings)
    model = _first_model(settings, tokenizer, length, base, taught_by)
    config = model.config
    length = min(length, config.max_position_embeddings, train.tokens - 1)
    objective = _objective(settings, tokenizer, teacher)
    world = this_world()
    rows = chosen(settings, "batch_rows", settings.batch_rows)
    batches = WindowBatches(
        train,
        length,
        rows,
        micro_rows(rows, settings.micro_batch_rows, world),
        settings.seed,
        settings.mask_documents,
    )
    job.progress.note(
        f"  {config.parameter_count():,} parameters, {train.tokens:,} tokens to learn from, "
        f"{batches.tokens_per_step:,} tokens a step"
    )
    held_out = _validation_batches(shards_artifact, settings, length, tokenizer)
    check_measured(settings.early_stopping, held_out)
    precision = pick_precision(settings.precision, pick_device(settings.device))

    def measure() -> dict[str, float]:
        if not held_out:
            return {}
        loss = mean_losses(model, next_token, held_out, precision, world)["loss"]
        return {
            "validation_loss": loss,
            "validation_bits_per_byte": bits_per_byte(loss, held_out, tokenizer),
        }

    expected = None
    if Budget.parse(settings.budget or "").unit == "seconds" and not settings.early_stopping:
        expected = expected_tokens(job.inputs.get("dial"), settings)
    start = _start_used(settings, model, base)
    if start != (settings.start or start):
        job.progress.note(
            "  random first weights: bigrams take an output head of its own (--no-tie-embeddings)"
        )
    spent = _fit_start(job, model, train, world) if start == "bigrams" else 0.0
    fitted = fit(
        job,
        settings,
        model,
        objective,
        batches,
        measure,
        settings.validation_count,
        config.flops_per_token(length),
        _samples(model, tokenizer, settings, world),
        spent_seconds=spent,
    )
    save_trained(model, tokenizer_artifact, job, world)
    _note_tokens(fitted.tokens, expected, job.progress.note)
    return Outcome(
        counts={
            "parameters": config.parameter_count(),
            "steps": fitted.steps,
            "skipped_steps": fitted.skipped_steps,
            "tokens": fitted.tokens,
        },
        metrics={
            "training_seconds": round(fitted.seconds, 1),
            "saving_seconds": round(fitted.saving_seconds, 2),
            **fitted.memory,
            **fitted.measures,
        },
        settings={
            "sequence_length": length,
            **({} if base else {"start": start}),
            **_shape(config),
            **fitted.settings,
        },
    )


def _check_settings(settings: PretrainSettings, has_base: bool) -> None:
    """See that all is set that has no default, and nothing that a base decides."""
    asked = [name for name in SHAPE if getattr(settings, name) != _default(name)]
    if has_base and asked:
        raise UsageError(f"'{asked[0]}' is that of the base model", fix="leave it out")
    if has_base and settings.start is not None:
        raise UsageError("a base model has its weights: 'start' is of no use", fix="leave it out")
    of_shape = [] if has_base else ["hidden_size", "layers"]
    of_muon = ["matrix_learning_rate"] if settings.optimizer == "muon" else []
    of_all = ["sequence_length", "batch_rows", "learning_rate", *of_muon, "budget"]
    require_set(settings, [*of_shape, *of_all])


def _note_tokens(tokens: int, expected: float | None, note: Callable[[str], None]) -> None:
    """Say how many were seen of those that the dial expected."""
    if expected:
        part = tokens / expected - 1
        more = "more" if part > 0 else "fewer"
        note(f"  {tokens:,} tokens in the time, {abs(part):.0%} {more} than the dial expected")


def _samples(
    model: CausalLM, tokenizer: Tokenizer, settings: PretrainSettings, world: World
) -> Samples | None:
    """Nothing where the model lies in pieces: one process alone cannot run it."""
    if settings.shard and world.size > 1:
        return None
    return Samples(model, tokenizer, settings.sample_prompts)


def _first_model(
    settings: PretrainSettings,
    tokenizer: Tokenizer,
    length: int,
    base: Artifact | None,
    taught_by: TransformerConfig | None,
) -> CausalLM:
    """The model before training: the base, or a new one with as many tokens as its teacher."""
    if base is None:
        config = model_config(settings, tokenizer, settings.context_length or length)
        if taught_by is not None:
            config = replace(config, vocab_size=taught_by.vocab_size)
        check_weights_fit(config, pick_device(settings.device))
        model = CausalLM(config)
        initialise(model, settings.seed)
        return model
    model = load_model(base.path).train()
    check_trainable(model)
    _check_vocabulary(model, tokenizer, base)
    return model


def _fit_start(
    job: Job[PretrainSettings], model: CausalLM, shards: TokenShards, world: World
) -> float:
    """Fit a new model's first weights to bigrams, and let it look back; returns the seconds."""
    if newest_step(job.scratch / CHECKPOINTS) is not None:
        return 0.0  # the checkpoint has the weights
    began = time.monotonic()
    use_all_cores()
    device = pick_device(job.settings.device)
    model.to(device)
    with kept_heap() if device.type == "cpu" else nullcontext():
        pairs = count_pairs(shards, job.progress)
        fit_tables(model, pairs, job.settings.seed, job.progress)
        look_back(model, pairs.first_counts())
    (seconds,) = world.sum(time.monotonic() - began if world.is_leader else 0.0)
    return seconds


def _start_used(settings: PretrainSettings, model: CausalLM, base: Artifact | None) -> StartName:
    """The first weights of this model, as far as they can be what was asked for."""
    is_possible = base is None and not model.config.tie_word_embeddings
    return "bigrams" if settings.start == "bigrams" and is_possible else "random"


def _default(name: str) -> Any:
    return PretrainSettings.model_fields[name].default


def _objective(
    settings: PretrainSettings, tokenizer: Tokenizer, teacher: Artifact | None
) -> Objective:
    if teacher is None:
        return next_token
    model = load_model(teacher.path, pick_device(settings.device))
    _check_vocabulary(model, tokenizer, teacher)
    return distillation(model, settings.temperature, settings.teacher_share)


def _check_vocabulary(model: CausalLM, tokenizer: Tokenizer, artifact: Artifact) -> None:
    if tokenizer.vocabulary_size > model.config.vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocabulary_size:,} tokens and the model knows "
            f"{model.config.vocab_size:,}",
            where=artifact.path,
            fix="get the folder anew from where the model came from",
        )
    theirs = Tokenizer.load(artifact.path)
    if theirs.vocabulary_size != tokenizer.vocabulary_size or any(
        theirs.token_bytes(token) != tokenizer.token_bytes(token)
        for token in range(tokenizer.vocabulary_size)
    ):
        raise InputError(
            "the model has another tokenizer than the shards",
            where=artifact.path,
            fix="make the shards with the tokenizer in that folder",
        )


def model_config(
    settings: PretrainSettings, tokenizer: Tokenizer, context_length: int
) -> TransformerConfig:
    """The model's shape: settings, with the usual proportions for what they leave open."""
    width = chosen(settings, "hidden_size", settings.hidden_size)
    heads = settings.heads or max(1, width // settings.head_dim)
    # GPT-2 has no grouped queries, and two matrices in its feed-forward instead of three.
    is_gpt2 = settings.family == "gpt2"
    kv_heads = settings.kv_heads or (heads // 2 if heads % 2 == 0 and not is_gpt2 else heads)
    sizes = TransformerConfig(
        vocab_size=-(-tokenizer.vocabulary_size // MULTIPLE) * MULTIPLE,
        hidden_size=width,
        intermediate_size=settings.intermediate_size or (4 if is_gpt2 else 3) * width,
        num_hidden_layers=chosen(settings, "layers", settings.layers),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=settings.head_dim,
        max_position_embeddings=context_length,
        tie_word_embeddings=settings.ties_embeddings,
        eos_token_id=tokenizer.message_end,
        pad_token_id=tokenizer.end_of_text,
    )
    return in_family(settings.family, sizes)


def save_trained(
    model: CausalLM,
    source: Artifact,
    job: Job,  # type: ignore[type-arg]
    world: World,
) -> None:
    """Write model and tokenizer (of ``source``) into one folder that is complete on its own.

    Every process must call it, as each may hold a piece of the model; the leader writes.
    """
    tensors = model_tensors(model)
    if not world.is_leader:
        return
    save_tensors_of(model.config, tensors, job.folder)
    copy_tokenizer(source, job.folder)


def copy_tokenizer(source: Artifact, folder: Path) -> None:
    """Put the tokenizer of ``source`` into a model's folder."""
    for name in TOKENIZER_FILES:
        if (source.path / name).is_file():
            shutil.copyfile(source.path / name, folder / name)
    if not (folder / TEMPLATE).is_file():  # what we render with, others shall, too
        write_text(folder / TEMPLATE, Tokenizer.load(source.path).template)


def _open_shards(artifact: Artifact, split: str, tokenizer: Tokenizer) -> TokenShards:
    shards = TokenShards(artifact.path, split)
    if shards.vocabulary_size != tokenizer.vocabulary_size:
        raise InputError(
            f"the shards were made with a tokenizer of {shards.vocabulary_size:,} tokens, this "
            f"one has {tokenizer.vocabulary_size:,}",
            where=artifact.path,
            fix="make the shards with this tokenizer",
        )
    if split == "train" and shards.tokens < 17:
        raise InputError(
            f"the shards hold only {shards.tokens} tokens",
            where=artifact.path,
            fix="give more text",
        )
    return shards


def _validation_batches(
    artifact: Artifact, settings: PretrainSettings, length: int, tokenizer: Tokenizer
) -> list[Batch]:
    """The first held-out windows, spread over the split; none if there is no held-out text."""
    shards = _open_shards(artifact, "validation", tokenizer)
    length = min(length, shards.tokens - 1)
    if length < 1:
        return []
    windows = (shards.tokens - 1) // length
    count = min(settings.validation_windows, windows)
    starts = [index * windows // count * length for index in range(count)]
    rows = torch.stack([torch.from_numpy(shards.read(start, length + 1)) for start in starts])
    first_token = shards.end_of_text if settings.mask_documents else None
    parts = torch.split(rows, settings.micro_batch_rows)
    return [next_token_batch(part, first_token) for part in parts]


def _shape(config: TransformerConfig) -> dict[str, int | str]:
    """The settings in :data:`SHAPE` as they came out."""
    return {
        "family": config.family,
        "hidden_size": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.intermediate_size,
        "tie_embeddings": config.tie_word_embeddings,
        "context_length": config.max_position_embeddings,
    }
