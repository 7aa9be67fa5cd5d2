"""A short form of benchmarks/data/kills.py."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks" / "data"


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if sys.platform == "win32":
        pytest.skip("there is no SIGKILL")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    import kills

    return kills


def test_both_stages_killed_and_on_full_disks_come_out_equal(
    kills: ModuleType, shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = kills.leave_alone(shared_data, 300, tmp_path)
    assert kills.kill_often(runs, 2, seed=3, folder=tmp_path / "killed")
    assert kills.fill_disks(runs, tmp_path / "disk", shares=[0.7])
    printed = capfd.readouterr().out
    assert "killed: 2 of 2 equal" in printed
