from pathlib import Path

import pytest
from numba import config

from modelwright.inference.kernels.compiled import folder_for


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "inner.py").write_text("1")
    (folder / "outer.py").write_text("2")
    return folder


def test_each_state_of_the_sources_has_a_folder_and_older_ones_go(sources: Path) -> None:
    first = folder_for(sources)
    assert first is not None
    assert first.parent == sources / "__pycache__"
    assert folder_for(sources) == first
    (sources / "inner.py").write_text("3")
    second = folder_for(sources)
    assert second not in (None, first)
    assert not first.exists()


def test_the_place_can_be_chosen(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "chosen"))
    first = folder_for(sources)
    assert first is not None
    assert first.parent == tmp_path / "chosen"
    (sources / "inner.py").write_text("3")
    assert folder_for(sources) != first
    assert first.exists()  # perhaps another installation's


def test_where_nothing_can_be_written_the_users_place_is_taken_or_none(
    sources: Path, tmp_path: Path
) -> None:
    (sources / "__pycache__").write_text("no folder")
    found = folder_for(sources)
    assert found is not None
    assert found.parent == tmp_path / "users" / "modelwright"
    found.rmdir()
    found.parent.rmdir()
    found.parent.write_text("no folder")
    assert folder_for(sources) is None
