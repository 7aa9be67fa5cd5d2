"""What docs/examples.md says is true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from modelwright.data.settings import ExamplesSettings
from modelwright.data.shapes.table import SHAPES, recognise

GUIDE = (Path(__file__).parents[2] / "docs" / "examples.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_rows_that_it_shows_are_understood() -> None:
    rows = [json.loads(line) for block in blocks("json") for line in block.splitlines()]
    assert len(rows) == 4
    for row in rows:
        assert recognise(row.keys()).read(row)


def test_its_recipe_is_one() -> None:
    (recipe,) = blocks("yaml")
    settings = ExamplesSettings.model_validate(yaml.safe_load(recipe)["examples"])
    assert settings.bad_rows == "drop"
    assert settings.sources[0].fields == {"prompt": "question", "completion": "answer"}


def test_it_names_every_shape_and_its_fields() -> None:
    table = GUIDE.partition("| shape |")[2].partition("\n\n")[0]
    for shape in SHAPES:
        assert shape.name in table
        for key in shape.keys | shape.optional:
            assert f"`{key}`" in table
