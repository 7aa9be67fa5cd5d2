"""``modelwright runs`` on a finished workspace."""

import json
from pathlib import Path

from modelwright.core.workspace import Workspace
from modelwright.pipeline.recipe import load_recipe
from modelwright.pipeline.runner import open_store


def test_the_table(command, finished: Workspace) -> None:
    result = command("runs", cwd=finished.root)
    assert (result.exit_code, result.errors) == (0, "")
    head, *lines = result.output.splitlines()
    assert head.split()[0] == "run"
    names = [finished.artifact(stage).id for stage in ("finetune", "pretrain")]
    assert [line.split()[0] for line in lines] == names


def test_the_same_as_json(command, finished: Workspace) -> None:
    (finetune, pretrain) = json.loads(command("runs", "--json", cwd=finished.root).output)
    assert pretrain["steps"] == finished.artifact("pretrain").manifest.counts["steps"]
    assert pretrain["status"] == finetune["status"] == "finished"
    assert pretrain["validation_bits_per_byte"] > 0


def test_two_compared(command, finished: Workspace) -> None:
    result = command("runs", "compare", "pretrain", "finetune", cwd=finished.root)
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines()[1:]}
    assert rows["budget"] == ["3", "steps", "2", "steps"]
    assert "seed" not in rows
    shown = command("runs", "compare", "pretrain", "finetune", "--json", cwd=finished.root)
    assert json.loads(shown.output)["settings"]["learning_rate"][1] == 0.001


def test_a_page(command, finished: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = command("runs", "page", "pretrain", "--out", str(out), cwd=finished.root)
    assert result.output.strip() == str(out)
    assert finished.artifact("pretrain").id in out.read_text()


def test_unknown_runs(command, finished: Workspace) -> None:
    result = command("runs", "compare", "pretrian", cwd=finished.root)
    assert result.exit_code == 1
    assert "known: finetune-" in result.errors


def test_no_runs_yet(command, copied: Workspace) -> None:
    copied.artifacts_folder.rename(copied.root / "elsewhere")
    assert "no training runs yet" in command("runs", cwd=copied.root).output
    assert command("runs", "page", cwd=copied.root).exit_code == 2


def test_what_a_killed_process_left_is_not_running(command, copied: Workspace) -> None:
    finished = copied.artifact("finetune")
    finished.path.rename(finished.path.with_name(finished.id + ".partial"))
    store = open_store(load_recipe(copied.recipe), copied)
    store.start_run("finetune", finished.id)
    with copied.lock():  # somebody is at work
        assert "running" in command("runs", cwd=copied.root).output
    assert "running" not in command("runs", cwd=copied.root).output
    assert store.runs()[-1].status == "interrupted"
    store.close()
