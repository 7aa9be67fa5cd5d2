"""Which model ``chat`` and ``serve`` take, and under which name; nothing is loaded here."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from modelwright.core.workspace import Workspace
from modelwright.serving import server, terminal_chat
from modelwright.serving.opening import ServeOptions


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str | None]]:
    """Folder and name of every model that was to be served or talked to."""
    calls: list[tuple[Path, str | None]] = []

    def serve(folders: Mapping[str, Path], host: str, port: int, options: ServeOptions) -> None:
        calls.extend((folder, name) for name, folder in folders.items())

    monkeypatch.setattr(server, "serve", serve)
    monkeypatch.setattr(
        terminal_chat, "chat", lambda folder, options, **more: calls.append((folder, None))
    )
    return calls


def test_the_recipe_names_the_model_that_is_served(command, finished: Workspace, served) -> None:
    model = finished.artifact("finetune").path
    for arguments, wanted in (
        ((), "tiny"),
        (("finetune",), "tiny"),
        (("--name", "mine"), "mine"),
        ((str(model),), model.name),
    ):
        result = command("serve", *arguments, cwd=finished.root)
        assert (result.exit_code, result.errors) == (0, "")
        assert served[-1] == (model, wanted)


@pytest.mark.parametrize("verb", ["chat", "serve"])
def test_the_model_of_the_recipe_is_taken(command, copied: Workspace, served, verb: str) -> None:
    wanted = copied.artifact("finetune").path
    changed = ("--finetune.seed", "1", "--until", "finetune", "--quiet")
    assert command("run", *changed, cwd=copied.root).exit_code == 0
    assert copied.artifact("finetune").path != wanted
    result = command(verb, cwd=copied.root)
    assert (result.exit_code, result.errors) == (0, "")
    assert served[-1][0] == wanted
    recipe = copied.recipe.read_text()
    copied.recipe.write_text(recipe.replace("vocabulary_size: 320", "vocabulary_size: 321"))
    result = command(verb, cwd=copied.root)
    assert "no model is up to date with the recipe" in result.errors
    assert served[-1][0] == copied.artifact("finetune").path


@pytest.mark.parametrize("verb", ["chat", "serve"])
def test_without_a_workspace_a_model_has_to_be_named(command, served, verb: str) -> None:
    result = command(verb)
    assert result.exit_code == 2
    assert "no model is named, and there is no workspace here" in result.errors
    assert f"'modelwright {verb} FOLDER'" in result.errors
    assert served == []


def test_an_adapter_that_is_none_is_refused_by_its_flag(
    command, finished: Workspace, served, tmp_path: Path
) -> None:
    model, tokenizer = (str(finished.artifact(one).path) for one in ("finetune", "tokenizer"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    for folder, what in (
        ("nothing", "not a folder"),
        ("other", "has no file 'adapter_config.json'"),
        (tokenizer, "not a folder"),
    ):
        result = command("serve", model, "--adapter", f"legal={folder}")
        assert result.exit_code == 1
        assert f"--adapter legal={folder}: " in result.errors
        assert what in result.errors
        assert f"where: {folder}" in result.errors
        assert "to do: give the folder that has adapter_config.json" in result.errors
    assert served == []
