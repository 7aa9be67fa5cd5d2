"""The families that are known."""

from __future__ import annotations

from typing import Any

from modelwright.core.errors import InputError
from modelwright.models.config import TransformerConfig
from modelwright.models.families import gpt2, llama, qwen3
from modelwright.models.families.config_reader import ConfigReader
from modelwright.models.families.family import Family

FAMILIES: dict[str, Family] = {
    "qwen3": qwen3.FAMILY,
    "llama": llama.FAMILY,
    "gpt2": gpt2.FAMILY,
}
"""By ``model_type`` in ``config.json``."""


def in_family(name: str, sizes: TransformerConfig) -> TransformerConfig:
    """The config of a model of that family, with the sizes and special tokens of another.

    Raises
    ------
    InputError
        If the family is not known, or has no models of such sizes.
    """
    return family_named(name).shape(sizes)


def family_named(name: object, where: str | None = None) -> Family:
    """The family with that ``model_type``.

    Raises
    ------
    InputError
        If it is not known.
    """
    if not isinstance(name, str) or name not in FAMILIES:
        raise InputError(
            f"models of type {name!r} are not known here",
            where=where,
            fix=f"use a model of type {', '.join(FAMILIES)}",
        )
    return FAMILIES[name]


def read_config(config: Any, where: str) -> TransformerConfig:
    """The shape that the content of a ``config.json`` describes.

    Raises
    ------
    InputError
        If it describes something that is not known here.
    """
    if not isinstance(config, dict):
        raise InputError("config.json holds no JSON object", where=where)
    family = family_named(config.get("model_type"), where)
    return family.read_config(ConfigReader(config, where))
