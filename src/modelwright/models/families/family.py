"""What has to be known of a family to open and to write its folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from modelwright.models.config import TransformerConfig
from modelwright.models.families.config_reader import ConfigReader

Tensors = dict[str, Tensor]


def written_for_all(config: TransformerConfig) -> dict[str, Any]:
    """What every family's ``config.json`` says in the same words."""
    return {
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_word_embeddings,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "dtype": "float32",
        "torch_dtype": "float32",  # before version 5 of transformers
    }


@dataclass(frozen=True)
class Family:
    """Functions between a family's folders and our transformer.

    Attributes
    ----------
    shape : Callable
        The config of this family with the sizes of another; raises InputError if the family has
        no such sizes.
    read_config : Callable
        From the content of ``config.json``; raises InputError if it asks for what is not known.
    write_config : Callable
        The content of ``config.json``.
    to_our_names : Callable
        From the tensors in a folder to those of :class:`CausalLM`; changes nothing it was given.
    to_their_names : Callable
        The way back.
    """

    shape: Callable[[TransformerConfig], TransformerConfig]
    read_config: Callable[[ConfigReader], TransformerConfig]
    write_config: Callable[[TransformerConfig], dict[str, Any]]
    to_our_names: Callable[[Tensors], Tensors]
    to_their_names: Callable[[Tensors], Tensors]
