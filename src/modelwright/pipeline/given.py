"""Artifacts that the user gives: folders that no stage of the run made, of ours or other tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from modelwright.core.artifact import (
    MANIFEST,
    UNKNOWN_LICENCE,
    Artifact,
    open_artifact,
    read_manifest,
)
from modelwright.pipeline.recipe import Recipe
from modelwright.pipeline.stages import Stage
from modelwright.tokens.files import MODEL_CONFIG, TOKENIZER, tokenizer_in
from modelwright.training.settings import ADAPTER_FOLDER

CARD = "README.md"
"""Hugging Face's model card; the YAML at its head may name the licence."""

_HEAD = re.compile(r"\A\ufeff?---\s*\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)
_NAMED_ELSEWHERE = "other"


def open_given(path: Path, kind: str) -> Artifact:
    """Open a folder that was given for an input.

    A model's may stand for its tokenizer, and for the adapter that was trained with it.

    Raises
    ------
    InputError
        If there is no such folder, or it holds another kind of artifact.
    """
    if kind == "tokenizer" and _is_model(path):
        return tokenizer_in(open_given(path, "model"))
    if kind == "adapter":
        return _adapter(path)
    artifact = open_artifact(path, kind)
    is_ours = (path / MANIFEST).is_file()  # and says itself what went into it
    return _with_licence_of_card(artifact) if kind == "model" and not is_ours else artifact


def given_models(recipe: Recipe, stages: Iterable[Stage]) -> dict[str, Artifact]:
    """The models that a recipe names and that the stages take, by the recipe's key.

    Raises
    ------
    InputError
        If one is missing, or is no model.
    """
    wanted = {key for stage in stages for one in stage.inputs for key in one.given_by}
    named = {key: getattr(recipe, key) for key in sorted(wanted)}
    models = {key: open_given(Path(path), "model") for key, path in named.items() if path}
    for model in models.values():
        for name in (MODEL_CONFIG, TOKENIZER):  # rather than when all the text has been read
            model.file(name)
    return models


def given_inputs(stage: Stage, models: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """What a stage takes of these models, by role."""
    found = {}
    for wanted in stage.inputs:
        key = next((key for key in wanted.given_by if key in models), None)
        if key is not None:
            is_part = wanted.kind == "tokenizer"
            found[wanted.role] = tokenizer_in(models[key]) if is_part else models[key]
    return found


def _adapter(path: Path) -> Artifact:
    """An adapter: PEFT's folder, or a model of ours that was trained with one."""
    own = path / ADAPTER_FOLDER if (path / MANIFEST).is_file() else path
    found = open_artifact(own, "adapter")
    trained = own.resolve().parent
    if own.resolve().name != ADAPTER_FOLDER or not (trained / MANIFEST).is_file():
        return _with_licence_of_card(found)
    manifest = read_manifest(trained)  # which says what went into it
    changes = {"kind": "adapter", "digest": found.manifest.digest, "files": found.manifest.files}
    return replace(found, manifest=manifest.model_copy(update=changes))


def _with_licence_of_card(artifact: Artifact) -> Artifact:
    licences = [_licence_in_card(artifact.path / CARD)]
    manifest = artifact.manifest.model_copy(update={"licences": licences})
    return replace(artifact, manifest=manifest)


def _is_model(path: Path) -> bool:
    """Whether a folder holds a model with its tokenizer, of ours."""
    if not (path / MANIFEST).is_file() or not (path / TOKENIZER).is_file():
        return False
    return read_manifest(path).kind == "model"


def _licence_in_card(path: Path) -> str:
    """The licence that a model card names as SPDX knows it, or that it is unknown."""
    if not path.is_file():
        return UNKNOWN_LICENCE
    match = _HEAD.match(path.read_text(encoding="utf-8", errors="replace"))
    try:
        head = yaml.safe_load(match[1]) if match else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return UNKNOWN_LICENCE  # somebody else's file, which says nothing that can be read
    if not isinstance(head, dict):
        return UNKNOWN_LICENCE
    stated = head.get("license")
    if stated == _NAMED_ELSEWHERE:
        stated = head.get("license_name")
    if not isinstance(stated, str):
        return UNKNOWN_LICENCE
    from modelwright.data.licences import normalise  # loads all of SPDX's names

    return normalise(stated)
