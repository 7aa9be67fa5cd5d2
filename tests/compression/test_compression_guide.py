"""The guide to compression: its commands are taken, its tables name what there is."""

from __future__ import annotations

import re
import shlex
import typing
from pathlib import Path

import pytest

from modelwright.cli.main import VERBS, modelwright
from modelwright.compression.settings import Calibration, CompressSettings, Method
from modelwright.core.artifact import Artifact

GUIDE = (Path(__file__).parents[2] / "docs" / "compression.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ modelwright (.*)$", GUIDE, re.MULTILINE)
COMPRESS = [shlex.split(one) for one in COMMANDS if one.startswith("compress")]


@pytest.mark.parametrize("command", COMPRESS, ids=" ".join)
def test_its_commands_are_taken(
    command: list[str],
    model_folder: Path,
    corpus: Artifact,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"model": model_folder, "pruned": model_folder, "clean": corpus.path}
    command[-1] = str(tmp_path / "out")
    found = [str(places.get(one, one)) if "--" not in one else one for one in command]
    modelwright.main([*found, "--dry-run"], "modelwright", standalone_mode=False)
    assert capsys.readouterr().out.startswith("compress: ")


def test_its_commands_exist() -> None:
    assert len(COMPRESS) == 3
    assert {one.split()[0] for one in COMMANDS} <= set(VERBS)


@pytest.mark.parametrize("choices", [Method, Calibration])
def test_its_tables_name_all_choices(choices: object) -> None:
    for one in typing.get_args(choices):
        assert one == "none" or f"| `{one}` |" in GUIDE


def test_its_flags_are_settings() -> None:
    flags = set(re.findall(r"`--([a-z-]+)`", GUIDE)) - {"method", "calibration"}
    assert flags <= {name.replace("_", "-") for name in CompressSettings.model_fields}
