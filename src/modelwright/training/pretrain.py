"""The pretrain stage: a model from random weights, on token shards."""

from __future__ import annotations

import shutil

import torch

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.core.job import Job, Outcome
from modelwright.core.settings import chosen
from modelwright.models.config import TransformerConfig
from modelwright.models.device import pick_device, pick_precision
from modelwright.models.pretrained import save_model
from modelwright.models.transformer import CausalLM, initialise
from modelwright.tokens.shards import TokenShards
from modelwright.tokens.tokenizer import TOKENIZER_FILES, Tokenizer
from modelwright.tokens.train import MULTIPLE
from modelwright.training.batches import Batch, WindowBatches
from modelwright.training.fit import fit
from modelwright.training.objectives.next_token import next_token
from modelwright.training.settings import PretrainSettings
from modelwright.training.validation import bits_per_byte, mean_loss


def pretrain(job: Job[PretrainSettings]) -> Outcome:
    """Train on shards (input ``shards``) made with a tokenizer (input ``tokenizer``).

    Raises
    ------
    InputError
        If the shards hold less than one window, or were made with another tokenizer.
    """
    settings = job.settings
    shards_artifact, tokenizer_artifact = job.input("shards"), job.input("tokenizer")
    tokenizer = Tokenizer.load(tokenizer_artifact.path)
    train = _open_shards(shards_artifact, "train", tokenizer)
    length = chosen(settings, "sequence_length", settings.sequence_length)
    config = model_config(settings, tokenizer, settings.context_length or length)
    length = min(length, config.max_position_embeddings, train.tokens - 1)
    model = CausalLM(config)
    initialise(model, settings.seed)
    batches = WindowBatches(
        train,
        length,
        chosen(settings, "batch_rows", settings.batch_rows),
        settings.micro_batch_rows,
        settings.seed,
    )
    job.progress.note(
        f"  {config.parameter_count():,} parameters, {train.tokens:,} tokens to learn from, "
        f"{batches.tokens_per_step:,} tokens a step"
    )
    held_out = _validation_batches(shards_artifact, settings, length, tokenizer)
    precision = pick_precision(settings.precision, pick_device(settings.device))

    def measure() -> dict[str, float]:
        if not held_out:
            return {}
        loss = mean_loss(model, next_token, held_out, precision)
        return {
            "validation_loss": loss,
            "validation_bits_per_byte": bits_per_byte(loss, held_out, tokenizer),
        }

    fitted = fit(job, settings, model, next_token, batches, measure, settings.validation_count)
    save_model(model.cpu(), job.folder)
    copy_tokenizer(tokenizer_artifact, job)
    return Outcome(
        counts={
            "parameters": config.parameter_count(),
            "steps": fitted.steps,
            "tokens": fitted.tokens,
        },
        metrics={"training_seconds": round(fitted.seconds, 1), **fitted.measures},
        settings={"sequence_length": length, **_shape(config)},
    )


def model_config(
    settings: PretrainSettings, tokenizer: Tokenizer, context_length: int
) -> TransformerConfig:
    """The model's shape: settings, with the usual proportions for what they leave open."""
    width = chosen(settings, "hidden_size", settings.hidden_size)
    heads = settings.heads or max(1, width // settings.head_dim)
    kv_heads = settings.kv_heads or (heads // 2 if heads % 2 == 0 else heads)
    return TransformerConfig(
        vocab_size=-(-tokenizer.vocabulary_size // MULTIPLE) * MULTIPLE,
        hidden_size=width,
        intermediate_size=settings.intermediate_size or 3 * width,
        num_hidden_layers=chosen(settings, "layers", settings.layers),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=settings.head_dim,
        max_position_embeddings=context_length,
        tie_word_embeddings=settings.tie_embeddings,
        eos_token_id=tokenizer.message_end,
        pad_token_id=tokenizer.end_of_text,
    )


def copy_tokenizer(source: Artifact, job: Job) -> None:  # type: ignore[type-arg]
    """Put the tokenizer's files into the model folder, so that it is complete on its own."""
    for name in TOKENIZER_FILES:
        if (source.path / name).is_file():
            shutil.copyfile(source.path / name, job.folder / name)


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
    return [
        Batch(part[:, :-1], part[:, 1:], torch.ones(part.shape[0], length))
        for part in torch.split(rows, settings.micro_batch_rows)
    ]


def _shape(config: TransformerConfig) -> dict[str, int]:
    return {
        "hidden_size": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "intermediate_size": config.intermediate_size,
    }
