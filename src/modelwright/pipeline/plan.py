"""Which stages are fresh and which are stale, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelwright.core.artifact import Artifact
from modelwright.core.files import sha256_json
from modelwright.core.settings import Settings
from modelwright.pipeline.given import given_inputs, given_models
from modelwright.pipeline.recipe import Recipe
from modelwright.pipeline.stages import Stage, fingerprint_of, settings_of, stages_of


@dataclass(frozen=True)
class PlannedStage:
    """A stage and what is to be done about it.

    Attributes
    ----------
    stage : Stage
        The stage.
    settings : Settings
        Its settings as asked for.
    artifact : Artifact or None
        The finished artifact if it is fresh.
    reason : str
        Why it is fresh or stale, in words.
    parts : dict
        All that decides its result; empty while an input is still to be made.
    previous : Artifact or None
        What the same version of the stage made last, of other inputs or with other settings.
    """

    stage: Stage
    settings: Settings
    artifact: Artifact | None
    reason: str
    parts: Mapping[str, Any] = field(default_factory=dict)
    previous: Artifact | None = None


def make_plan(
    recipe: Recipe, artifacts: Sequence[Artifact], until: str | None = None
) -> list[PlannedStage]:
    """Hold a recipe, up to the stage ``until``, against the artifacts that there are.

    A stage whose input is stale counts as stale; when it runs, the input may turn out to have the
    same content as before, and then nothing is done.
    """
    return list(plan_stages(recipe, artifacts, until))


def plan_stages(
    recipe: Recipe, artifacts: Sequence[Artifact], until: str | None = None
) -> Iterator[PlannedStage]:
    """Stage by stage what :func:`make_plan` gives as a whole."""
    done = dict[str, Artifact]()
    stages = stages_of(recipe, until)
    active = {stage.name for stage in stages}
    given = given_models(recipe, stages)
    for stage in stages:
        settings = settings_of(stage, recipe)
        awaited = [
            maker
            for maker in (maker_of(one.made_by, active) for one in stage.inputs)
            if maker is not None and maker not in done
        ]
        if awaited:
            planned = PlannedStage(stage, settings, None, f"{awaited[0]} is made first")
        else:
            planned = look_up(stage, settings, inputs_of(stage, done, given), artifacts)
        if planned.artifact is not None:
            done[stage.name] = planned.artifact
        yield planned


def look_up(
    stage: Stage,
    settings: Settings,
    inputs: Mapping[str, Artifact],
    artifacts: Sequence[Artifact],
) -> PlannedStage:
    """Find the artifact that this stage would make, or say why there is none."""
    parts = key_parts(stage, settings, inputs)
    key = sha256_json(parts)
    earlier = [artifact for artifact in artifacts if artifact.manifest.stage == stage.name]
    for artifact in earlier:
        if artifact.manifest.key == key:
            return PlannedStage(stage, settings, artifact, "up to date", parts)
    reason = explain(earlier[-1].manifest.key_parts, parts) if earlier else "not made yet"
    same_version = [
        one for one in earlier if one.manifest.key_parts.get("version") == stage.version
    ]
    previous = same_version[-1] if same_version else None
    return PlannedStage(stage, settings, None, reason, parts, previous)


def key_parts(stage: Stage, settings: Settings, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """All that decides a stage's result."""
    return {
        "stage": stage.name,
        "version": stage.version,
        "settings": settings.decisive(),
        "inputs": {role: artifact.manifest.digest for role, artifact in sorted(inputs.items())},
        # Equal content under another licence is another artifact: a model must answer for it.
        "licences": sorted({one for made in inputs.values() for one in made.manifest.licences}),
        "outside": fingerprint_of(stage, settings),
    }


def explain(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What changed between two sets of key parts, in words."""
    reasons = []
    if old.get("version") != new["version"]:
        reasons.append("the stage itself has changed")
    for name in sorted(old.get("settings", {}).keys() | new["settings"].keys()):
        before, after = old.get("settings", {}).get(name), new["settings"].get(name)
        if before != after:
            reasons.append(f"{name}: {before} → {after}")
    for role in sorted(old.get("inputs", {}).keys() | new["inputs"].keys()):
        if old.get("inputs", {}).get(role) != new["inputs"].get(role):
            reasons.append(f"another {role}")
    if old.get("licences") != new["licences"]:
        reasons.append("other licences")
    if old.get("outside") != new["outside"]:
        reasons.append("the sources have changed")
    return ", ".join(reasons) or "the finished artifact is gone"


def inputs_of(
    stage: Stage, done: Mapping[str, Artifact], given: Mapping[str, Artifact]
) -> dict[str, Artifact]:
    """The stage's inputs by role: finished artifacts by stage, else given models by key."""
    found = given_inputs(stage, given)
    for wanted in stage.inputs:
        maker = maker_of(wanted.made_by, done.keys())
        if maker is not None:
            found[wanted.role] = done[maker]
    return found


def maker_of(made_by: Sequence[str], names: Any) -> str | None:
    """The first of the stages that can make an input and is among ``names``."""
    return next((name for name in made_by if name in names), None)
