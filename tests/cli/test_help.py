import json
import subprocess
import sys

import click
import pytest
from pydantic import TypeAdapter

from modelwright import __version__
from modelwright.cli.main import VERBS
from modelwright.cli.options import given_values, options_of
from modelwright.core.settings import FLAG
from modelwright.core.workspace import Workspace
from modelwright.pipeline.recipe import Recipe
from modelwright.pipeline.stages import STAGES

SAY_MODULES = """
import json, sys
sys.argv = ["modelwright", *{arguments!r}]
from modelwright.cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""

HEAVY = {"torch", "pydantic", "rich", "yaml", "sqlalchemy", "numpy", "pyarrow", "fastapi"}


def imported_by(*arguments: str) -> set[str]:
    """The packages that a command loads."""
    result = subprocess.run(
        [sys.executable, "-c", SAY_MODULES.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(result.stderr)}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("chat", "--help")])
def test_help_is_instant_because_it_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not imported_by(*arguments) & HEAVY


@pytest.mark.parametrize("arguments", [("run", "--help"), ("pretrain", "--help")])
def test_help_of_a_stage_loads_its_settings_and_no_stage(arguments: tuple[str, ...]) -> None:
    loaded = imported_by(*arguments)
    assert "pydantic" in loaded
    assert not loaded & {"torch", "sqlalchemy", "pyarrow", "fastapi", "transformers", "rich"}


def test_help_names_every_verb(command) -> None:
    result = command("--help")
    assert result.exit_code == 0
    for verb in VERBS:
        assert f"  {verb} " in result.output
    assert command("-h") == result


def test_without_a_verb_help_is_shown(command) -> None:
    result = command()
    assert result.exit_code == 2
    assert "modelwright demo" in result.output + result.errors


def test_version(command) -> None:
    assert command("--version").output == f"modelwright, version {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(command, verb: str) -> None:
    result = command(verb, "--help")
    assert (result.exit_code, result.errors) == (0, "")
    assert result.output.startswith(f"Usage: modelwright {verb} ")
    assert "--help" in result.output


def test_every_stage_is_a_verb(command) -> None:
    assert {stage.name for stage in STAGES} <= set(VERBS)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_setting_of_a_stage_is_an_option_with_help(command, stage) -> None:
    text = " ".join(command(stage.name, "--help").output.split())
    for name, field in stage.settings.model_fields.items():
        extra = field.json_schema_extra
        flag = extra.get(FLAG, name) if isinstance(extra, dict) else name
        assert f"--{flag.replace('_', '-')} " in text or f"--{flag.replace('_', '-')}/" in text
        assert field.description, f"{stage.name}.{name} has no description"
    for one in stage.inputs:
        assert f"--{one.role} " in text
    assert "--print-config" in text
    assert "--dry-run" in text


def test_every_plain_setting_of_the_recipe_is_an_option_of_run(command) -> None:
    text = command("run", "--help").output
    assert all(f"--{name} " in text for name in ("name", "budget", "store"))
    assert Recipe.model_fields["budget"].description


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_choice_that_help_names_is_taken(command, stage) -> None:
    options = {option.name: option for option in options_of(stage.settings)}
    for name, option in options.items():
        for choice in option.type.choices if isinstance(option.type, click.Choice) else ():
            (value,) = given_values(
                stage.settings, {name: option.type_cast_value(None, str(choice))}
            ).values()
            adapter = TypeAdapter(stage.settings.model_fields[name].annotation)
            assert adapter.validate_python(value, strict=True) == choice


@pytest.mark.parametrize("line", [("pretrain", "--head-dim"), ("run", "--pretrain.head-dim")])
def test_a_choice_of_numbers(command, finished: Workspace, line: tuple[str, ...]) -> None:
    result = command(*line, "128", "--print-config", cwd=finished.root)
    assert "head_dim: 128\n" in result.output
    assert "is not one of '64', '128'" in command(*line, "96", cwd=finished.root).errors
