"""The files of rewards decide whether an alignment is up to date, by what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelwright.core.artifact import Manifest, digest_of, hash_files, write_manifest
from modelwright.core.errors import InputError
from modelwright.training.alignment.fingerprint import fingerprint, reward_licences
from modelwright.training.alignment.settings import AlignSettings


def settings(folder: Path, *rewards: dict[str, object]) -> AlignSettings:
    return AlignSettings.model_validate({"method": "grpo", "rewards": rewards}).relative_to(folder)


FUNCTION = {"kind": "python", "function": "rewards.py:score"}
MODEL = {"kind": "model", "path": "judge"}


def write_model(folder: Path, kind: str = "reward_model", licence: str = "MIT") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = hash_files(folder)
    write_manifest(
        folder,
        Manifest(
            kind=kind, id="reward-1", stage="reward", created="", code_version="",
            digest=digest_of(files), licences=[licence], files=files,
        ),
    )  # fmt: skip


def test_another_function_file_is_noticed_and_another_place_is_not(tmp_path: Path) -> None:
    wanted = list[AlignSettings]()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rewards.py").write_text("def score(samples): ...\n")
        wanted.append(settings(tmp_path / name, FUNCTION))
    first, second = wanted
    assert first.rewards != second.rewards
    assert first.decisive() == second.decisive()
    assert fingerprint(first) == fingerprint(second)
    (tmp_path / "b" / "rewards.py").write_text("def score(samples): return [1]\n")
    assert fingerprint(first) != fingerprint(second)
    other = settings(tmp_path / "a", {**FUNCTION, "function": "rewards.py:other"})
    assert other.decisive() != first.decisive()


def test_another_reward_model_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "weights").write_text("1")
    write_model(tmp_path / "judge")
    wanted = settings(tmp_path, MODEL)
    first = fingerprint(wanted)
    assert fingerprint(wanted) == first
    assert reward_licences(wanted) == {"MIT"}
    write_model(tmp_path / "judge", licence="CC-BY-4.0")
    second = fingerprint(wanted)
    (tmp_path / "judge" / "weights").write_text("2")
    write_model(tmp_path / "judge", licence="CC-BY-4.0")
    assert len({first, second, fingerprint(wanted)}) == 3
    (tmp_path / "judge" / "manifest.json").unlink()  # one of another tool goes by its files
    third = fingerprint(wanted)
    (tmp_path / "judge" / "weights").write_text("3")
    assert fingerprint(wanted) != third


def test_rewards_without_files_have_none(tmp_path: Path) -> None:
    wanted = settings(tmp_path, {"kind": "length", "target": 4})
    assert fingerprint(wanted) == fingerprint(settings(tmp_path, {"kind": "regex", "pattern": "a"}))
    assert reward_licences(wanted) == set()


def test_what_is_missing_or_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file of a reward is not there"):
        fingerprint(settings(tmp_path, FUNCTION))
    with pytest.raises(InputError, match="no reward_model here"):
        fingerprint(settings(tmp_path, MODEL))
    write_model(tmp_path / "judge", kind="model")
    with pytest.raises(InputError, match="this is a model, and a reward_model is needed"):
        fingerprint(settings(tmp_path, MODEL))
