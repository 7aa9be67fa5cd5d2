"""The recipe: the settings of all stages in one file, ``modelwright.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, model_validator

from modelwright.core.settings import Settings, load_yaml, parse_settings
from modelwright.data.settings import (
    AnnotateSettings,
    CollectSettings,
    ExamplesSettings,
    PrepareSettings,
    absolute,
)
from modelwright.evaluation.settings import EvaluateSettings
from modelwright.tokens.settings import ShardsSettings, TokenizerSettings
from modelwright.training.alignment.settings import AlignSettings
from modelwright.training.settings import BudgetText, FinetuneSettings, PretrainSettings


class Recipe(Settings):
    """Everything that a run depends on."""

    name: str = Field("my-model", min_length=1, description="the model's name")
    budget: BudgetText = Field(
        "5 minutes",
        description="time for the whole run, or pretraining in steps or tokens",
    )
    store: str | None = Field(
        None, description="database URL; by default a SQLite file in the workspace"
    )
    base: str | None = Field(
        None,
        min_length=1,
        description="model folder to go on from, as Hugging Face's; the text is encoded with its "
        "tokenizer",
    )
    teacher: str | None = Field(
        None,
        min_length=1,
        description="model folder to learn from besides the text, with the same tokenizer",
    )
    collect: CollectSettings
    annotate: AnnotateSettings = AnnotateSettings()
    prepare: PrepareSettings = PrepareSettings()
    examples: ExamplesSettings = ExamplesSettings(sources=[])
    tokenizer: TokenizerSettings = TokenizerSettings()
    shards: ShardsSettings = ShardsSettings()
    pretrain: PretrainSettings = PretrainSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    preferences: ExamplesSettings = ExamplesSettings(sources=[])
    align: AlignSettings = AlignSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    @model_validator(mode="after")
    def _tokenizer_once(self) -> Recipe:
        if (self.base or self.teacher) and self.tokenizer != TokenizerSettings():
            whose = "base" if self.base else "teacher"
            raise ValueError(
                f"the tokenizer is that of the {whose}; leave out the settings of another"
            )
        return self


def load_recipe(path: Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read and check a recipe; paths in it are relative to its folder.

    Parameters
    ----------
    path : Path
        The YAML file.
    overrides : dict, optional
        Settings from the command line, nested as in the file; they win.

    Raises
    ------
    UsageError
        If the file cannot be read, or a setting is unknown or wrong, in the file or in
        ``overrides``.
    """
    data, lines = load_yaml(path)
    recipe = parse_settings(Recipe, data, source=str(path), lines=lines)
    if overrides:
        recipe = parse_settings(Recipe, merge(data, overrides), source="the command line")
    folder = path.parent.resolve()
    return recipe.model_copy(
        update={
            "base": recipe.base and absolute(recipe.base, folder),
            "teacher": recipe.teacher and absolute(recipe.teacher, folder),
            "collect": recipe.collect.relative_to(folder),
            "annotate": recipe.annotate.relative_to(folder),
            "prepare": recipe.prepare.relative_to(folder),
            "examples": recipe.examples.relative_to(folder),
            "preferences": recipe.preferences.relative_to(folder),
            "align": recipe.align.relative_to(folder),
        }
    )


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``base`` with nested ``changes`` put over it."""
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict)
        merged[key] = merge(inner, value) if both and isinstance(inner, dict) else value
    return merged


def to_yaml(settings: Settings) -> str:
    """Settings as YAML, every default shown; ``null`` is what the dial decides."""
    return yaml.safe_dump(settings.model_dump(), sort_keys=False, allow_unicode=True)
