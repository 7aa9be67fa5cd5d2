from pathlib import Path

import pytest

from modelwright.core.artifact import (
    UNKNOWN_LICENCE,
    Manifest,
    digest_of,
    hash_files,
    open_artifact,
    write_manifest,
)
from modelwright.core.errors import InputError


def make(folder: Path, kind: str = "corpus") -> Manifest:
    folder.mkdir()
    (folder / "data.txt").write_text("text")
    (folder / "log").mkdir()
    (folder / "log" / "times").write_text("1.0")
    files = hash_files(folder)
    manifest = Manifest(
        kind=kind,
        id="prepare-1",
        stage="prepare",
        created="2026-01-01T00:00:00+00:00",
        code_version="0",
        digest=digest_of(files),
        files=files,
    )
    write_manifest(folder, manifest)
    return manifest


def test_an_artifact_is_read_back(tmp_path: Path) -> None:
    manifest = make(tmp_path / "a")
    artifact = open_artifact(tmp_path / "a", "corpus")
    assert artifact.manifest == manifest
    assert artifact.changed_files() == []


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    make(tmp_path / "a")
    (tmp_path / "a" / "data.txt").write_text("other")
    assert open_artifact(tmp_path / "a", "corpus").changed_files() == ["data.txt"]


def test_logs_do_not_count_in_the_digest(tmp_path: Path) -> None:
    digest = make(tmp_path / "a").digest
    (tmp_path / "a" / "log" / "times").write_text("2.0")
    assert digest_of(hash_files(tmp_path / "a")) == digest


def test_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "a")
    with pytest.raises(InputError, match="this is a corpus"):
        open_artifact(tmp_path / "a", "model")


@pytest.mark.parametrize("content", ["", "{", '{"kind": 1}', "\x00"])
def test_a_damaged_manifest_is_an_error(tmp_path: Path, content: str) -> None:
    make(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="damaged"):
        open_artifact(tmp_path / "a", "corpus")


def test_a_folder_of_another_tool_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text("{}")
    artifact = open_artifact(tmp_path / "a", "model")
    assert artifact.manifest.licences == [UNKNOWN_LICENCE]
    assert artifact.manifest.digest


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        open_artifact(tmp_path / "none", "model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        open_artifact(tmp_path / "empty", "model")
