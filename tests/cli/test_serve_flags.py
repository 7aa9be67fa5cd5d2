"""Flags of ``serve`` that cannot be meant; what it does is tested in tests/serving."""

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--model", "nothing"), "is not NAME=MODEL"),
        (("--alias", "=x"), "is not ALIAS=NAME"),
        (("--model", "a={one}", "--model", "a={one}"), "'a' is given twice"),
        (("{one}", "--name", "a", "--model", "a={one}"), "two models are to be called 'a'"),
        (("--model", "a={one}", "--name", "b"), "--name is for MODEL"),
        (("{one}", "--deadline", "0"), "--deadline"),
        (("{one}", "--max-waiting", "-1"), "--max-waiting"),
        (("{one}", "--log", "xml"), "--log"),
    ],
)
def test_wrong_flags_are_explained(
    command, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    result = command("serve", *(flag.format(one=tmp_path) for flag in flags), "--port", "0")
    assert result.exit_code == 2
    assert said in result.errors
