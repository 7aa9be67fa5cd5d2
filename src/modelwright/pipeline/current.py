"""What a recipe stands for now: the artifacts that are up to date with it, and its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError, ModelwrightError, UsageError
from modelwright.core.workspace import Workspace, find_workspace
from modelwright.pipeline.plan import plan_stages
from modelwright.pipeline.recipe import Recipe, load_recipe
from modelwright.pipeline.stages import stages_of


@dataclass(frozen=True)
class FoundModel:
    """A model to talk to.

    Attributes
    ----------
    folder : Path
        Where it is.
    name : str or None
        The recipe's name for it; None if it lies outside a workspace.
    note : str
        What the user should know of the choice; empty if there is nothing.
    """

    folder: Path
    name: str | None = None
    note: str = ""


def fresh_artifacts(recipe: Recipe, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The artifacts that are up to date with a recipe, in the order of its stages.

    Where sources cannot be read, nobody knows what is fresh: that stage and those after it are
    left out.
    """
    fresh = list[Artifact]()
    try:
        for planned in plan_stages(recipe, artifacts):
            if planned.artifact is not None:
                fresh.append(planned.artifact)
    except (ModelwrightError, OSError):
        return fresh
    return fresh


def current_artifact(workspace: Workspace, name: str) -> Artifact:
    """The artifact of that id; of a stage the one that is fresh, or else the newest.

    Raises
    ------
    InputError
        If there is none, or more than one fits.
    """
    artifacts = workspace.artifacts()
    of_stage = [artifact for artifact in artifacts if artifact.manifest.stage == name]
    recipe = _recipe_of(workspace) if len(of_stage) > 1 else None
    fresh = [] if recipe is None else fresh_artifacts(recipe, artifacts)
    wanted = next((artifact for artifact in fresh if artifact.manifest.stage == name), None)
    return wanted or workspace.artifact(name)


def find_model(start: Path, name: str | None) -> FoundModel:
    """A model by path, by id or stage, or the model of the workspace's recipe.

    Raises
    ------
    InputError
        If there is no such model.
    UsageError
        If no name is given and ``start`` is in no workspace.
    """
    if name is not None and (Path(name) / "config.json").is_file():
        return FoundModel(Path(name))
    if name is not None and Path(name).is_dir():
        raise InputError("no model here: config.json is missing", where=name, fix="check the path")
    try:
        workspace = find_workspace(start)
    except UsageError as error:
        if name is None:
            raise UsageError(
                f"no model is named, and there is {error.what}",
                where=error.where,
                fix="name one, as in 'modelwright serve FOLDER' or 'modelwright chat FOLDER'; or "
                "run 'modelwright init' here first, or go to a workspace's folder",
            ) from None
        raise InputError("no such model", where=name, fix="give a model folder") from None
    recipe = _recipe_of(workspace)
    recipe_name = None if recipe is None else recipe.name
    if name is None:
        model, note = _model_of(workspace, recipe)
        return FoundModel(model.path, recipe_name, note)
    artifact = current_artifact(workspace, name)
    if artifact.kind != "model":
        raise InputError(
            f"'{name}' is a {artifact.kind}, not a model",
            where=artifact.path,
            fix="give the id of a model; see 'modelwright show'",
        )
    return FoundModel(artifact.path, recipe_name)


def _model_of(workspace: Workspace, recipe: Recipe | None) -> tuple[Artifact, str]:
    """The last model of the recipe that is fresh, or else the newest; and what to say of it."""
    artifacts = workspace.artifacts()
    models = [artifact for artifact in artifacts if artifact.kind == "model"]
    if not models:
        raise InputError(
            "this workspace has no finished model yet",
            where=workspace.root,
            fix="run 'modelwright run' first",
        )
    fresh = [] if recipe is None else fresh_artifacts(recipe, artifacts)
    fresh_models = [artifact for artifact in fresh if artifact.kind == "model"]
    if recipe is None or not fresh_models:
        newest = models[-1]
        return newest, f"no model is up to date with the recipe; this is the newest, {newest.id}"
    last = [stage.name for stage in stages_of(recipe) if stage.makes == "model"][-1]
    model = fresh_models[-1]
    if model.manifest.stage == last:
        return model, ""
    return model, f"'{last}' is not up to date with the recipe; this is {model.id}"


def _recipe_of(workspace: Workspace) -> Recipe | None:
    """The recipe; None if it cannot be read now, as finished models can be used all the same."""
    try:
        return load_recipe(workspace.recipe)
    except UsageError:
        return None
