"""The guide to rewards: its settings are settings, its code runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from modelwright.training.rewards.combine import open_rewards
from modelwright.training.rewards.reward import Sample
from modelwright.training.rewards.settings import RewardBase, RewardSettings

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "rewards.md").read_text(encoding="utf-8")
KINDS = TypeAdapter(RewardSettings).json_schema()["discriminator"]["mapping"]


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def settings_in(snippet: str) -> list[RewardBase]:
    data = yaml.safe_load(snippet)
    assert list(data) == ["rewards"]
    return TypeAdapter(list[RewardSettings]).validate_python(data["rewards"])


@pytest.mark.parametrize("snippet", snippets("yaml"))
def test_every_example_is_one(snippet):
    assert settings_in(snippet)


def test_every_kind_and_every_setting_in_the_table_is_real():
    table = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", GUIDE, re.MULTILINE))
    assert set(table) == set(KINDS)
    definitions = TypeAdapter(RewardSettings).json_schema()["$defs"]
    for kind, text in table.items():
        known = set(definitions[KINDS[kind].rpartition("/")[2]]["properties"])
        named = set(re.findall(r"`(\w+)`", text.rpartition("|")[2]))
        assert named <= known, kind


def test_the_first_examples_values(tmp_path):
    samples = [
        Sample("", "<think>1</think><answer>#### 2</answer>", {"answer": "#### 2"}, tokens=100),
        Sample("", "no", {"answer": "#### 2"}, tokens=448),
    ]
    with open_rewards(settings_in(snippets("yaml")[0]), tmp_path) as rewards:
        assert [one.total for one in rewards.score(samples)] == [1.2, -0.5]


def test_the_function_works(tmp_path):
    function, _ = snippets("python")
    (tmp_path / "my_rewards.py").write_text(function, encoding="utf-8")
    (snippet,) = [one for one in snippets("yaml") if "my_rewards.py" in one]
    samples = [Sample("", "ab abcd"), Sample("", " ")]
    with open_rewards(settings_in(snippet), tmp_path) as rewards:
        assert [one.total for one in rewards.score(samples)] == [pytest.approx(1 / 3), None]


def test_the_program_prints_what_it_says():
    _, program = snippets("python")
    (expected,) = snippets("text")
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == expected
