"""Models on disk: Hugging Face folders (``config.json``, weights in one file or several)."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.core.files import PARTIAL_SUFFIX, sync_file, sync_folder, write_json
from modelwright.models.config import TransformerConfig
from modelwright.models.families.rotary_decoder import as_they_are
from modelwright.models.families.table import family_named, read_config
from modelwright.models.quantization.stored import (
    CONFIG_KEY,
    own_tensors,
    read_quantized,
    write_quantized,
)
from modelwright.models.sharded import whole
from modelwright.models.transformer import CausalLM, DecoderModel

CONFIG, WEIGHTS, GENERATION_CONFIG = "config.json", "model.safetensors", "generation_config.json"
INDEX = "model.safetensors.index.json"
"""Where the weights lie in several files: which tensor is in which."""


def load_config(folder: Path) -> TransformerConfig:
    """Read a model folder's shape.

    Raises
    ------
    InputError
        If the folder holds no model, or one of a kind not known here.
    """
    return read_config(_config_of(folder), str(folder / CONFIG))


def is_stored_quantized(folder: Path) -> bool:
    """Whether a model folder's weights are in few bits; raises as :func:`load_config`."""
    return CONFIG_KEY in _config_of(folder)


def load_model(folder: Path, device: torch.device | str = "cpu") -> CausalLM:
    """Open a model folder, ours or one that ``transformers`` wrote, in fp32.

    Weights that are stored in another floating format are converted; quantized ones stay in their
    few bits (:mod:`modelwright.models.quantization.stored`).

    Raises
    ------
    InputError
        If files are missing or damaged, or tensors do not fit ``config.json``.
    """
    content = _config_of(folder)
    config = read_config(content, str(folder / CONFIG))
    tensors = family_named(config.family).to_our_names(load_weights(folder))
    if config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    model = CausalLM(config)
    tensors = read_quantized(model, tensors, content.get(CONFIG_KEY), str(folder))
    wrong = shape_problems(model, tensors)
    if wrong:
        raise InputError(
            f"the weights do not fit config.json: {wrong[0]}" + _and_more(wrong), where=folder
        )
    model.load_state_dict(tensors, strict=False)
    return model.to(device).eval()


def save_model(model: CausalLM, folder: Path) -> None:
    """Write ``config.json``, ``generation_config.json`` and ``model.safetensors``.

    Names and shapes are those of the model's family, so that ``transformers`` opens the folder.
    Tied embeddings are stored once, under the embedding's name. Quantized layers are stored as the
    packages compressed-tensors and bitsandbytes do.

    Raises
    ------
    InputError
        If layers are quantized and the family has no names for them.
    """
    tensors, quantization = write_quantized(model, model_tensors(model))
    if quantization is not None:
        check_quantizable(model.config)
    save_tensors_of(model.config, tensors, folder, quantization)


def check_quantizable(config: TransformerConfig) -> None:
    """Refuse a family whose quantized layers could not be stored.

    Raises
    ------
    InputError
        If it has other names and shapes than ours for the layers of its blocks.
    """
    if family_named(config.family).to_their_names is not as_they_are:
        raise InputError(
            f"a quantized model of the family '{config.family}' cannot be stored: the layers of "
            "its blocks are no linear layers in transformers",
            fix="use a model of the family qwen3 or llama, or prune this one",
        )


def save_tensors_of(
    config: TransformerConfig,
    tensors: dict[str, Tensor],
    folder: Path,
    quantization: dict[str, Any] | None = None,
) -> None:
    """:func:`save_model` for a model of which only shape and tensors are there.

    ``quantization`` is what ``config.json`` says of tensors that are quantized.
    """
    family = family_named(config.family)
    content = family.write_config(config)
    if quantization is not None:
        content[CONFIG_KEY] = quantization
    write_json(folder / CONFIG, content)
    write_json(
        folder / GENERATION_CONFIG,
        {
            "bos_token_id": config.bos_token_id,
            "eos_token_id": config.eos_token_id,
            "pad_token_id": config.pad_token_id,
            "max_length": config.max_position_embeddings,
        },
    )
    save_tensors(family.to_their_names(tensors), folder / WEIGHTS)


def _config_of(folder: Path) -> Any:
    """The content of a folder's ``config.json``; raises as :func:`load_config`."""
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(
            "no model here: config.json is missing", where=folder, fix="check the path"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"config.json is damaged: {error}", where=path) from None


def model_tensors(model: DecoderModel) -> dict[str, Tensor]:
    """The model's tensors by our own names, whole, on the CPU, tied ones once."""
    tied = model.config.tie_word_embeddings
    return {
        name: whole(tensor).detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file atomically.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written to.
    ModelwrightError
        If it cannot be written for another reason.
    """
    temporary = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        temporary.unlink(missing_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode  # of new files here; the library's are its owner's alone
        save_file(tensors, temporary, metadata={"format": "pt"})
        temporary.chmod(mode)
    except SafetensorError as error:
        temporary.unlink(missing_ok=True)
        if f"os error {errno.ENOSPC}" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
        raise ModelwrightError(
            f"the weights cannot be written: {error}", where=path, fix="check the disk"
        ) from None
    sync_file(temporary)
    temporary.replace(path)
    sync_folder(path.parent)


def load_weights(folder: Path) -> dict[str, Tensor]:
    """Read a model's tensors from ``model.safetensors``, or from the files that an index names.

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        return load_tensors(folder / WEIGHTS)
    tensors = dict[str, Tensor]()
    for name in _indexed_files(folder / INDEX):
        tensors |= load_tensors(folder / name)
    return tensors


def _indexed_files(index: Path) -> list[str]:
    """The names of the files that an index names, each once."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        is_usable = all(Path(name).name == name for name in names)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the index of the weights is damaged: {error!r}", where=index) from None
    if not names or not is_usable:  # a name with a folder in it would lead elsewhere
        raise InputError("the index names no files of this folder", where=index)
    return sorted(names)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    if not path.is_file():
        raise InputError("a weights file is missing", where=path, fix="check the folder")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"the weights file is damaged: {error}", where=path) from None


def shape_problems(model: DecoderModel, tensors: dict[str, Tensor]) -> list[str]:
    """What keeps ``tensors`` from filling ``model``: missing, unknown or misshapen tensors."""
    filled = own_tensors(model)  # by what read them
    expected = {
        name: tuple(tensor.shape)
        for name, tensor in model_tensors(model).items()
        if name not in filled
    }
    problems = [f"'{name}' is missing" for name in expected if name not in tensors]
    if "score.weight" in tensors and "score.weight" not in expected:
        problems.append("it is a reward model, which scores texts and writes none")
    problems += [f"'{name}' is not part of this model" for name in tensors if name not in expected]
    problems += [
        f"'{name}' has shape {tuple(tensors[name].shape)} instead of {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    return problems


def _and_more(problems: list[str]) -> str:
    return f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
