"""The compress stage: a model in fewer bits, or with zeros in it, and what that cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from modelwright.compression.calibration import Rewriter, rewrite_blocks
from modelwright.compression.measures import Measures, measure, table
from modelwright.compression.pruning import largest, two_of_four
from modelwright.compression.recovery import recover
from modelwright.compression.rewriters import AWQ, GPTQ, IntegerForm, Wanda
from modelwright.compression.settings import CompressSettings
from modelwright.compression.text import calibration_windows, training_shards
from modelwright.core.artifact import conversations_taught
from modelwright.core.errors import InputError
from modelwright.core.files import write_json
from modelwright.core.job import Job, Outcome
from modelwright.data.corpus import read_documents
from modelwright.evaluation.selection import TextSample, sample_texts
from modelwright.inference.engine import Engine
from modelwright.models.config import TransformerConfig
from modelwright.models.device import pick_device, use_all_cores
from modelwright.models.pretrained import (
    check_quantizable,
    is_stored_quantized,
    load_config,
    load_model,
    save_model,
)
from modelwright.models.quantization.base import (
    linear_layers,
    quantize_base,
    quantized_layers,
)
from modelwright.models.quantization.int4 import group_for
from modelwright.models.transformer import CausalLM
from modelwright.tokens.shards import TokenShards
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.pretrain import copy_tokenizer

TABLE = "compression.json"
"""In the log folder, as speeds differ from run to run."""

NO_HELD_OUT_TEXT = (
    "  WARNING: the corpus has no held-out text, so nothing says what quality is lost; give a "
    "prepared corpus (column 'split' with 'validation')"
)
"""Said before the work, which may be stopped then."""

Masks = dict[str, Tensor]


def compress(job: Job[CompressSettings]) -> Outcome:
    """Make a model (input ``model``) smaller, and measure it before and after.

    Held-out text is the validation split of input ``corpus``; calibration and recovery see its
    training split.

    Raises
    ------
    InputError
        If the model is quantized already, or its family or its widths do not allow the method, or
        there is no text to calibrate on.
    TrainingError
        If the recovery fails.
    """
    settings, source = job.settings, job.input("model")
    config = load_config(source.path)
    _check_model(source.path, config, settings)
    use_all_cores()
    corpus = job.input("corpus").path
    documents = ((one.id, one.text) for one in read_documents(corpus, split="validation"))
    held_out = sample_texts(documents, settings.max_text_bytes, settings.seed)
    if held_out.text_bytes == 0:
        job.progress.note(NO_HELD_OUT_TEXT)
    length = min(settings.window_tokens, config.max_position_embeddings)
    # Before anything is measured, so that a corpus without training text is refused at once.
    texts = {purpose: _text(job, purpose, count, length) for purpose, count in _windows(settings)}
    before = _measured("before", source.path, held_out, job)
    model = load_model(source.path, pick_device(settings.device))
    masks, tokens = _rewritten(job, model, texts.get("calibration"), length)
    steps = 0
    if "recovery" in texts:
        steps = recover(job, model, masks, texts["recovery"], length).steps
    conversations = conversations_taught(source.manifest)
    matrices = len(masks) or len(quantized_layers(model))
    save_model(model, job.folder)
    copy_tokenizer(source, job.folder)
    after = _measured("after", job.folder, held_out, job)
    for line in table(before, after):
        job.progress.note(f"  {line}")
    _write_table(job.log / TABLE, settings, before, after)
    return Outcome(
        counts={
            "parameters": model.config.parameter_count(),
            "matrices": matrices,
            "weight_bytes_before": before.weight_bytes,
            "weight_bytes": after.weight_bytes,
            "heldout_bytes": held_out.text_bytes,
            **({"calibration_tokens": tokens} if tokens else {}),
            **({"recovery_steps": steps} if steps else {}),
            **({} if conversations is None else {"conversations": conversations}),
        },
        metrics={
            **_metrics(before, "_before"),
            **_metrics(after, ""),
            **({"zero_share": _zero_share(model)} if masks else {}),
        },
    )


def _check_model(folder: Path, config: TransformerConfig, settings: CompressSettings) -> None:
    """Refuse before anything is measured what is quantized or does not have the shape for it."""
    if is_stored_quantized(folder):
        raise InputError(
            "the model is quantized already",
            where=folder,
            fix="compress the model that it was made from",
        )
    if settings.method in ("int8", "int4", "nf4"):
        check_quantizable(config)
    if settings.method == "int4":
        heads = config.num_attention_heads * config.head_dim
        group_for((config.hidden_size, heads, config.intermediate_size), settings.group_size)


def _rewritten(
    job: Job[CompressSettings], model: CausalLM, text: TokenShards | None, length: int
) -> tuple[Masks, int]:
    """Quantize or prune the model in place, calibrated on a text if there is one.

    Returns
    -------
    masks : dict
        What is kept of each layer, by its name; empty where nothing was pruned.
    tokens : int
        How many tokens it was calibrated on.
    """
    settings = job.settings
    if text is None:
        return _without_calibration(model, settings), 0
    windows = calibration_windows(text, settings.calibration_windows, length)
    windows = windows.to(model.model.embed_tokens.weight.device)
    rewriter = _rewriter(model, settings)
    blocks = model.config.num_hidden_layers
    with job.progress.task(f"calibration, {settings.calibration}", blocks, "blocks") as task:
        rewrite_blocks(model, windows, rewriter, task.update)
    if not isinstance(rewriter, Wanda):
        return {}, windows.numel()
    kept = {name: rewriter.kept[layer] for name, layer in linear_layers(model)}
    return kept, windows.numel()


def _without_calibration(model: CausalLM, settings: CompressSettings) -> Masks:
    match settings.method:
        case "int8" | "int4" | "nf4":
            quantize_base(model, settings.method, group=settings.group_size)
            return {}
        case "magnitude":
            return _prune(model, lambda scores: largest(scores, settings.sparsity))
        case "2:4":
            return _prune(model, two_of_four)


@torch.no_grad()
def _prune(model: CausalLM, choose: Callable[[Tensor], Tensor]) -> Masks:
    """Set the weights of the blocks to zero that ``choose`` does not keep, by their size."""
    masks = Masks()
    for name, layer in linear_layers(model):
        masks[name] = choose(layer.weight.abs())
        layer.weight.masked_fill_(~masks[name], 0)
    return masks


def _rewriter(model: CausalLM, settings: CompressSettings) -> Rewriter:
    if settings.calibration == "wanda":
        return Wanda()
    group = None
    if settings.method == "int4":
        widths = (layer.in_features for _, layer in linear_layers(model))
        group = group_for(widths, settings.group_size)
    form = IntegerForm(group)
    return GPTQ(form) if settings.calibration == "gptq" else AWQ(form)


def _windows(settings: CompressSettings) -> Iterator[tuple[str, int]]:
    """What training text is for, and how many windows of it."""
    if settings.calibration != "none":
        yield "calibration", settings.calibration_windows
    if settings.recovery_steps:
        yield "recovery", settings.recovery_steps * settings.recovery_rows


def _text(job: Job[CompressSettings], purpose: str, windows: int, length: int) -> TokenShards:
    """Training text that fills so many windows; that of one purpose does not depend on another."""
    return training_shards(
        job.input("corpus"),
        Tokenizer.load(job.input("model").path),
        job.scratch / purpose,
        windows * (length + 1),
        job.settings.seed,
    )


def _measured(
    when: str, folder: Path, held_out: TextSample, job: Job[CompressSettings]
) -> Measures:
    engine = Engine.load(folder, device=job.settings.device)
    with job.progress.task(f"held-out text, {when}", held_out.text_bytes, "bytes") as task:
        return measure(engine, folder, held_out.texts, job.settings.speed_tokens, task.update)


def _metrics(measures: Measures, suffix: str) -> dict[str, float]:
    found = {
        f"tokens_per_second_{count}{suffix}": round(speed, 1)
        for count, speed in measures.tokens_per_second.items()
    }
    if measures.bits_per_byte is not None:
        found[f"bits_per_byte{suffix}"] = round(measures.bits_per_byte, 6)
    return found


def _zero_share(model: CausalLM) -> float:
    """Share of the weights of the blocks' linear layers that are 0."""
    weights = [layer.weight for _, layer in linear_layers(model)]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / sum(weight.numel() for weight in weights)


def _write_table(path: Path, settings: CompressSettings, before: Measures, after: Measures) -> None:
    content: Mapping[str, object] = {
        "method": settings.method,
        "calibration": settings.calibration,
        "before": before.as_json(),
        "after": after.as_json(),
    }
    write_json(path, content)
