from pathlib import Path

import pytest
from pydantic import Field

from modelwright.core.errors import UsageError
from modelwright.core.settings import Settings, chosen, load_yaml, parse_settings


class Inner(Settings):
    learning_rate: float = Field(1.0, gt=0)
    layers: int | None = None


class Outer(Settings):
    name: str = "x"
    training: Inner = Inner()


def test_an_unknown_key_names_the_nearest_and_the_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: a\ntraining:\n  layers: 2\n  lerning_rate: 3\n")
    data, lines = load_yaml(path)
    with pytest.raises(UsageError) as error:
        parse_settings(Outer, data, source=str(path), lines=lines)
    assert "line 4" in str(error.value)
    assert "did you mean 'learning_rate'" in str(error.value)
    assert error.value.exit_code == 2


def test_every_wrong_value_is_named() -> None:
    with pytest.raises(UsageError) as error:
        parse_settings(Outer, {"training": {"learning_rate": -1, "layers": "two"}}, source="here")
    assert "'training.learning_rate'" in str(error.value)
    assert "'training.layers'" in str(error.value)


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\t- x"])
def test_broken_yaml_names_the_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"line [12]"):
        load_yaml(path)


def test_yaml_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(UsageError, match="UTF-8"):
        load_yaml(path)


def test_a_recipe_that_is_a_list() -> None:
    with pytest.raises(UsageError):
        parse_settings(Outer, ["name"], source="here")


def test_an_open_setting_says_how_to_set_it() -> None:
    assert chosen(Inner(), "layers", 3) == 3
    with pytest.raises(UsageError, match="--layers"):
        chosen(Inner(), "layers", Inner().layers)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]", "'a.0' stands in itself"),
        ("a: &a\n  b: *a", "'a.b' stands in itself"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: 2001-99-99", "cannot read the YAML"),
    ],
)
def test_yaml_that_no_recipe_can_be(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        load_yaml(path)


def test_an_alias_can_be_used_twice(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("a: &a [1]\nb: [*a, *a]\n")
    assert load_yaml(path)[0] == {"a": [1], "b": [[1], [1]]}
