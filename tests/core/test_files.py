from pathlib import Path

import pytest

from modelwright.core.files import atomic_open, move_folder, sha256_json, write_text


def test_an_interrupted_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(TypeError), atomic_open(path, "w") as file:
        file.writelines(["half of the new", 7])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_an_older_one(tmp_path: Path) -> None:
    new, target = tmp_path / "new", tmp_path / "target"
    for folder, text in ((new, "new"), (target, "old")):
        folder.mkdir()
        write_text(folder / "file", text)
    move_folder(new, target)
    assert (target / "file").read_text() == "new"
    assert not new.exists()


def test_equal_json_has_equal_hashes() -> None:
    assert sha256_json({"a": 1, "b": [2]}) == sha256_json({"b": [2], "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_text(tmp_path / "nowhere" / "chat.json", "{}")
    assert caught.value.filename == str(tmp_path / "nowhere" / "chat.json")
