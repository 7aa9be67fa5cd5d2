"""What a report is made of: the corpora of one run, their settings, and whether counts add up."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

from pydantic import ValidationError

from modelwright.core.artifact import MANIFEST, Artifact, read_manifest
from modelwright.core.errors import InputError
from modelwright.data.prepare import NOT_MIXED_IN
from modelwright.data.settings import AnnotateSettings, PrepareSettings
from modelwright.data.survey.tally import Tally

_Stage = TypeVar("_Stage", PrepareSettings, AnnotateSettings)


def settings_of(artifact: Artifact, stage: str, kind: type[_Stage]) -> _Stage:
    """The settings that an artifact was made with.

    Raises
    ------
    InputError
        If another stage made it, or another version.
    """
    if artifact.manifest.stage != stage:
        raise InputError(
            f"this was made by '{artifact.manifest.stage}', and what '{stage}' made is needed",
            where=artifact.path,
            fix=f"give the folder of 'modelwright {stage}'",
        )
    try:
        # Those of the key: another version may know other ways to run it, with the same result.
        manifest = artifact.manifest
        return kind.model_validate(manifest.key_parts.get("settings", manifest.settings))
    except ValidationError:
        raise InputError(
            f"the settings of '{stage}' are of another version",
            where=artifact.path / MANIFEST,
            fix="run it again",
        ) from None


def check_counts(tally: Tally, prepared: Artifact) -> None:
    """What came in is what is kept and what was dropped, by two separate counts.

    Raises
    ------
    InputError
        If the manifest says something else than the files.
    """
    said = Counter(prepared.manifest.dropped)
    del said[NOT_MIXED_IN]
    came_in = prepared.manifest.counts.get("documents_in")
    if said != tally.reasons or came_in != tally.whole.documents:
        raise InputError(
            f"the counts do not add up: {came_in} documents came in and {said.total()} were "
            f"dropped by the manifest, {tally.whole.documents} and {tally.reasons.total()} by "
            "the files",
            where=prepared.path,
            fix="run 'modelwright prepare' again",
        )


def parent_of(artifact: Artifact) -> Artifact | None:
    """The corpus that an artifact was made from, if it lies beside it."""
    for parent in artifact.manifest.parents:
        folder = artifact.path.parent / parent.id
        if parent.role == "corpus" and (folder / MANIFEST).is_file():
            return Artifact(folder, read_manifest(folder))
    return None
