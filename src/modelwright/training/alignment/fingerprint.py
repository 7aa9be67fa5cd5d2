"""What aligning reads outside the workspace: the files of rewards."""

from __future__ import annotations

from pathlib import Path

from modelwright.core.artifact import Artifact, open_artifact
from modelwright.core.files import sha256_file, sha256_json
from modelwright.training.alignment.settings import AlignSettings
from modelwright.training.rewards.python import function_file
from modelwright.training.rewards.settings import ModelReward, PythonReward, RewardSettings

REWARD_MODEL = "reward_model"


def fingerprint(settings: AlignSettings) -> str:
    """Hash of the files with functions and of the reward models; what a file imports is not in it.

    Raises
    ------
    InputError
        If one is missing, or a folder holds something else than a reward model.
    """
    return sha256_json([_content(one) for one in settings.rewards])


def reward_licences(settings: AlignSettings) -> set[str]:
    """The licences of the reward models, from whose scores a model learns."""
    models = [one for one in settings.rewards if isinstance(one, ModelReward)]
    return {licence for one in models for licence in _model(one).manifest.licences}


def _content(reward: RewardSettings) -> object:
    match reward:
        case PythonReward():
            return sha256_file(function_file(reward, Path.cwd())[0])
        case ModelReward():
            manifest = _model(reward).manifest
            return [manifest.digest, manifest.licences]
        case _:
            return None


def _model(reward: ModelReward) -> Artifact:
    return open_artifact(Path.cwd() / reward.path, REWARD_MODEL)
