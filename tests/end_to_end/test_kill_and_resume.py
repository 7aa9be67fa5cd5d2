from pathlib import Path

import pytest
from kill_and_resume import (
    Result,
    after_checkpoint,
    finish,
    kill,
    make_workspace,
    run_trials,
    stage_under_way,
    write_sources,
)

STEPS = 60


def test_a_model_killed_in_both_trainings_is_the_same_to_the_bit(tmp_path: Path) -> None:
    sources = write_sources(tmp_path / "sources")
    alone = make_workspace(tmp_path / "alone", sources, STEPS)
    finish(alone)
    killed = make_workspace(tmp_path / "killed", sources, STEPS)
    for stage in ("pretrain", "finetune"):
        assert kill(killed, after_checkpoint(stage))
        assert stage_under_way(killed) == stage
    finish(killed)
    result = Result.of(killed)
    assert result == Result.of(alone)
    assert len(result.digests) == 10
    assert not list(killed.artifacts_folder.glob("*.partial"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_random_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_trials(tmp_path, kills=20, steps=STEPS, seed=0) == 0
    assert capsys.readouterr().out.endswith("20 of 20 identical\n")
