import shutil
from pathlib import Path

import pytest
import yaml

from modelwright.core.artifact import Artifact, write_manifest
from modelwright.core.errors import InputError, UsageError
from modelwright.core.workspace import Workspace
from modelwright.pipeline.current import current_artifact, find_model, fresh_artifacts
from modelwright.pipeline.recipe import load_recipe


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A finished workspace in which an older try was made anew, after the recipe's model."""
    shutil.copytree(finished.root, tmp_path / "workspace")
    workspace = Workspace(tmp_path / "workspace")
    _copy(workspace.artifact("finetune"), "finetune-000000000000")
    return workspace


def _copy(model: Artifact, id: str) -> None:
    """Another artifact of the same stage, with other settings, made last."""
    folder = model.path.with_name(id)
    shutil.copytree(model.path, folder)
    changes = {"id": id, "key": "0" * 64, "created": "9998"}
    write_manifest(folder, model.manifest.model_copy(update=changes))


def change(workspace: Workspace, **parts: object) -> None:
    recipe = yaml.safe_load(workspace.recipe.read_text())
    workspace.recipe.write_text(yaml.safe_dump(recipe | parts))


def test_the_model_of_the_recipe_goes_before_the_newest(
    workspace: Workspace, finished: Workspace
) -> None:
    found = find_model(workspace.root, None)
    assert (found.folder.name, found.name, found.note) == (
        finished.artifact("finetune").id,
        "tiny",
        "",
    )
    assert current_artifact(workspace, "finetune").path == found.folder
    assert find_model(workspace.root, "finetune").folder == found.folder
    other = find_model(workspace.root, "finetune-0000")
    assert (other.folder.name, other.name) == ("finetune-000000000000", "tiny")


def test_where_fine_tuning_is_stale_the_base_model_is_taken_and_said(workspace: Workspace) -> None:
    change(workspace, finetune={"seed": 3})
    found = find_model(workspace.root, None)
    assert found.folder.name.startswith("pretrain-")
    assert "'finetune' is not up to date" in found.note


@pytest.mark.parametrize("how", ["stale", "gone", "broken"])
def test_where_nothing_is_fresh_the_newest_is_taken_and_said(workspace: Workspace, how) -> None:
    if how == "stale":
        change(workspace, prepare={"min_characters": 7})
    elif how == "gone":
        change(workspace, collect={"sources": [str(workspace.root / "gone")]})
    else:
        workspace.recipe.write_text("name: [")
    found = find_model(workspace.root, None)
    assert found.folder.name == "finetune-000000000000"
    assert "no model is up to date" in found.note
    assert "\n" not in found.note
    assert found.name == (None if how == "broken" else "tiny")


def test_fresh_artifacts_in_the_order_of_the_stages(workspace: Workspace) -> None:
    recipe = load_recipe(workspace.recipe)
    stages = [one.manifest.stage for one in fresh_artifacts(recipe, workspace.artifacts())]
    assert (stages[0], stages[-1], len(stages)) == ("collect", "evaluate", 10)


def test_models_by_path_and_what_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(InputError, match=r"config\.json"):
        find_model(tmp_path, str(folder))
    (folder / "config.json").write_text("{}")
    found = find_model(tmp_path, str(folder))
    assert (found.folder, found.name) == (folder, None)
    with pytest.raises(InputError, match="no such model"):
        find_model(tmp_path, "gone")
    with pytest.raises(UsageError, match="no workspace"):
        find_model(tmp_path, None)
    (tmp_path / "modelwright.yaml").write_text("name: x\n")
    with pytest.raises(InputError, match="no finished model"):
        find_model(tmp_path, None)
    with pytest.raises(InputError, match="no artifact"):
        find_model(tmp_path, "gone")
