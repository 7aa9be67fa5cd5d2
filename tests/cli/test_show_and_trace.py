import json
import shutil
from pathlib import Path

import pytest
from tiny_workspace import MADE

from modelwright.core.workspace import Workspace
from modelwright.data.corpus import read_documents


def test_an_empty_workspace(command, copied: Workspace) -> None:
    copied.artifacts_folder.rename(copied.root / "elsewhere")
    assert command("show", cwd=copied.root).output == "no artifacts yet; run 'modelwright run'\n"


def test_artifacts_and_their_lineage(command, finished: Workspace) -> None:
    result = command("show", cwd=finished.root)
    assert (result.exit_code, result.errors) == (0, "")
    top, _, tree = result.output.partition("\nlineage\n")
    for artifact in finished.artifacts():
        assert f"  {artifact.id}" in top
    model = finished.artifact("finetune")
    assert "74,048 parameters" in next(line for line in top.splitlines() if model.id in line)
    lines = tree.splitlines()
    assert lines[0] == f"  {finished.artifact('evaluate').id}"
    collect = next(line for line in lines if "collect-" in line)
    prepare = next(line for line in lines if "prepare-" in line)
    depth = [len(line) - len(line.lstrip()) for line in (prepare, collect)]
    assert depth[0] < depth[1]
    assert any(line.endswith("(above)") for line in lines)
    assert all(" (outside the workspace)" not in line for line in lines)


@pytest.mark.parametrize("stage", MADE, ids=lambda stage: stage.name)
def test_one_manifest(command, finished: Workspace, stage) -> None:
    result = command("show", stage.name, cwd=finished.root)
    shown = json.loads(result.output)
    assert shown == json.loads((finished.artifact(stage.name).path / "manifest.json").read_text())
    assert command("show", shown["id"], cwd=finished.root) == result
    assert command("show", shown["id"][:-3], cwd=finished.root) == result


def test_of_a_stage_what_the_recipe_asks_for_is_shown(command, copied: Workspace) -> None:
    before = copied.artifact("evaluate").id
    assert command("run", "--evaluate.max-questions", "1", cwd=copied.root).exit_code == 0
    newest = copied.artifact("evaluate").id
    assert newest != before
    assert json.loads(command("show", "evaluate", cwd=copied.root).output)["id"] == before
    recipe = copied.recipe.read_text()
    copied.recipe.write_text(recipe.replace("max_questions: 2", "max_questions: 1"))
    assert json.loads(command("show", "evaluate", cwd=copied.root).output)["id"] == newest


def test_runs(command, finished: Workspace) -> None:
    lines = command("show", "--runs", cwd=finished.root).output.splitlines()
    assert len(lines) == len(MADE)
    assert all(line.endswith(" finished") for line in lines)
    assert [line.split()[2].partition("-")[0] for line in lines] == [stage.name for stage in MADE]


def test_changed_files_are_found(command, copied: Workspace) -> None:
    clean = command("show", "--check", cwd=copied.root)
    assert clean.output.count("files as made") == len(MADE)
    (copied.artifact("pretrain").path / "model.safetensors").write_bytes(b"other")
    changed = command("show", "--check", cwd=copied.root)
    assert changed.output.count("files as made") == len(MADE) - 1
    assert "changed since it was made: model.safetensors" in changed.output
    assert "model.safetensors" in command("show", "pretrain", "--check", cwd=copied.root).output


def test_an_unknown_or_unclear_name(command, finished: Workspace) -> None:
    result = command("show", "nothing", cwd=finished.root)
    assert result.exit_code == 1
    assert "'nothing' is no artifact of this workspace" in result.errors
    assert "known: collect-" in result.errors
    result = command("show", "e", cwd=finished.root)
    assert result.exit_code == 1
    assert "'e' fits more than one artifact" in result.errors


def test_a_damaged_manifest(command, copied: Workspace) -> None:
    path = copied.artifact("shards").path / "manifest.json"
    path.write_text("{")
    result = command("show", cwd=copied.root)
    assert result.exit_code == 1
    assert str(path) in result.errors
    assert "delete the folder and run again" in result.errors


def test_from_a_model_to_its_documents_and_licences(
    command, finished: Workspace, tmp_path: Path
) -> None:
    model = finished.artifact("finetune")
    listed = tmp_path / "documents.jsonl"
    result = command("trace", model.id, "--documents", str(listed), cwd=finished.root)
    assert (result.exit_code, result.errors) == (0, "")
    assert result.output.startswith(f"{model.id} learnt from:\n  files:text: ")
    assert "licences of all that went in: CC0-1.0, LicenseRef-unknown, MIT" in result.output
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    train = list(read_documents(finished.artifact("prepare").path, "train"))
    learnt = [row["id"] for row in rows if row["kind"] == "document"]
    assert learnt == [document.id for document in train]
    examples = [row for row in rows if row["kind"] == "example"]
    assert {(row["source"], row["licence"]) for row in examples} == {
        ("files:examples.jsonl", "CC0-1.0")
    }
    assert f"\n  files:examples.jsonl: {len(examples)} examples, " in result.output
    said = f"wrote {len(train)} documents and {len(examples)} examples to {listed}"
    assert said in result.output
    assert "origin unknown" not in result.output
    assert command("trace", "pretrain", cwd=finished.root).exit_code == 0


def test_from_a_document_to_its_models(command, finished: Workspace) -> None:
    documents = read_documents(finished.artifact("collect").path)
    document = next(one for one in documents if one.licence == "MIT")
    result = command("trace", document.url, cwd=finished.root)
    assert (result.exit_code, result.errors) == (0, "")
    assert f"{document.id} ({document.url}, licence MIT)" in result.output
    for stage in ("pretrain", "finetune"):
        assert f"  → {finished.artifact(stage).id}: learnt it" in result.output
    assert result.output.endswith("\n2 models learnt from it\n")


def test_a_document_that_no_model_learnt(command, finished: Workspace) -> None:
    (held_out,) = read_documents(finished.artifact("prepare").path, "validation")
    result = command("trace", held_out.id, cwd=finished.root)
    model = finished.artifact("finetune").id
    assert f"  → {model}: held out for validation\n" in result.output
    assert result.output.endswith("\n0 models learnt from it\n")


def test_a_model_whose_base_is_not_here(command, copied: Workspace) -> None:
    base = copied.artifact("pretrain")
    shutil.rmtree(base.path)
    result = command("trace", "finetune", cwd=copied.root)
    assert result.exit_code == 0
    assert f"  model {base.id}: origin unknown" in result.output


def test_from_examples_to_their_models(command, finished: Workspace) -> None:
    result = command("trace", "files:examples.jsonl", cwd=finished.root)
    assert "7 examples to train on and 2 held out" in result.output
    assert f"  → {finished.artifact('finetune').id}: learnt it" in result.output


@pytest.mark.parametrize(
    ("name", "said"), [("nowhere.txt", "neither an artifact nor a document"), ("shards", "shards")]
)
def test_what_cannot_be_traced(command, finished: Workspace, name: str, said: str) -> None:
    result = command("trace", name, cwd=finished.root)
    assert result.exit_code == 1
    assert said in result.errors
