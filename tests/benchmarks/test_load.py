"""benchmarks/serving/load.py runs, with our server alone and a small model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks" / "serving"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import load
    import random_server

    made: Path = random_server.make_model(tmp_path, context=2048)
    load.draw_texts_only(made)
    return made


def test_load_of_one_client(model: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "load.py"), "--model", str(model)]
    command += ["--clients", "1", "--rounds", "1", "--tries", "1", "--requests", "2"]
    done = subprocess.run(
        [*command, "--answer", "4", "--long-words", "100"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"- ours int8: \d+, \d+, \d+\n", done.stdout)
    load, stall = re.findall(r"\| (ours int8.*) \|\n", done.stdout)
    assert re.fullmatch(r"ours int8( \| [\d,./ ]+){4} \| 2 \| 0", load), done.stdout
    stalled = r"ours int8 \| [\d.,]+ \| [\d,]+ / [\d,]+ \| [\d,]+ \| 0"
    assert re.fullmatch(stalled, stall), done.stdout
