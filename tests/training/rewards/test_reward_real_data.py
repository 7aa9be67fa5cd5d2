"""Rewards on real tasks: right answers get 1, changed ones 0."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from modelwright.core.processes.system_calls import can_confine
from modelwright.training.rewards.exact_match import exact_match
from modelwright.training.rewards.reward import Sample
from modelwright.training.rewards.settings import ExactMatchReward, UnitTestsReward
from modelwright.training.rewards.unit_tests import UnitTests

GSM8K = ExactMatchReward(mark="####", number=True)
confinable = pytest.mark.skipif(not can_confine(), reason="code cannot be confined here")


def rows(path: Path, most: int | None = None) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file][:most]


def test_checkable_tasks(shared_data):
    paths = sorted((shared_data / "checkable_tasks").glob("*.jsonl.gz"))
    tasks = [row for path in paths for row in rows(path)]
    assert len(tasks) > 4000
    reward = exact_match(ExactMatchReward())
    right = [Sample(row["question"], f" {row['answer']}\n", row) for row in tasks]
    wrong = [Sample(row["question"], f"{row['answer']} 0", row) for row in tasks]
    empty = [Sample(row["question"], "", row) for row in tasks]
    assert set(reward(right)) == {1.0}
    assert set(reward([*wrong, *empty])) == {0.0}


def test_sums_by_their_number(shared_data):
    reward = exact_match(ExactMatchReward(number=True))
    for name in ("simple_arithmetic_nospaces", "simple_arithmetic_withspaces", "svamp"):
        tasks = rows(shared_data / "checkable_tasks" / f"{name}.jsonl.gz")
        right = [Sample("", f"{row['question']} It is {row['answer']}.0!", row) for row in tasks]
        wrong = [Sample("", f"It is {float(row['answer']) + 1:,}.", row) for row in tasks]
        assert set(reward(right)) == {1.0}
        assert set(reward(wrong)) == {0.0}


@pytest.mark.parametrize("part", ["train", "test"])
def test_gsm8k(shared_data, part):
    tasks = rows(shared_data / "gsm8k" / f"{part}.jsonl.gz")
    reward = exact_match(GSM8K)
    right = [Sample(row["question"], row["answer"], row) for row in tasks]
    spaced = [Sample(row["question"], f"####  ${row['final']}.00 .", row) for row in tasks]
    assert set(reward([*right, *spaced])) == {1.0}
    by_final = exact_match(ExactMatchReward(field="final", mark="####", number=True))
    assert set(by_final(right)) == {1.0}
    digit = re.compile(r"\d$")
    wrong = [
        Sample("", digit.sub(lambda last: str((int(last[0]) + 1) % 10), row["answer"]), row)
        for row in tasks
    ]
    unmarked = [Sample("", row["answer"].replace("#### ", ""), row) for row in tasks]
    assert set(reward([*wrong, *unmarked])) == {0.0}


def test_models_solutions_are_marked_as_their_authors_marked_them(shared_data):
    """The solutions end with ``A: `` and a number; 4,440 of them were marked in the data set."""
    final = {row["question"]: row["final"] for row in rows(shared_data / "gsm8k" / "test.jsonl.gz")}
    solutions = rows(shared_data / "gsm8k" / "model_solutions.jsonl.gz")
    reward = exact_match(ExactMatchReward(mark="A:", number=True))
    samples = [
        Sample(row["question"], row["solution"], {"answer": final[row["question"]]})
        for row in solutions
    ]
    values = reward(samples)
    differ = [
        row["id"]
        for row, value in zip(solutions, values, strict=True)
        if row["is_correct"] != (value == 1.0)
    ]
    assert len(solutions) == 4440
    assert differ == []


def mutated(code: str) -> str:
    """The code with another thing returned wherever it returns something."""
    return re.sub(r"\breturn\b.*", "return 'another thing'", code)


def humaneval(folder: Path, most: int | None = None) -> list[dict[str, Any]]:
    return rows(folder / "code_tasks" / "humaneval.jsonl.gz", most)


HUMANEVAL = UnitTestsReward(
    field="test", before=["prompt"], after="check({entry_point})", seconds=10
)
MBPP = UnitTestsReward(field="test_list", setup=["test_setup_code"], seconds=10)


def check_solutions(
    settings: UnitTestsReward, tasks: list[dict[str, Any]], field: str
) -> list[str]:
    """Names of tasks whose solution does not pass, or passes after it was changed."""
    reward = UnitTests(settings)
    try:
        right = reward([Sample("", row[field], row) for row in tasks])
        changed = [row for row in tasks if mutated(row[field]) != row[field]]
        wrong = reward([Sample("", mutated(row[field]), row) for row in changed])
    finally:
        reward.close()
    assert len(changed) > 0.8 * len(tasks)
    return [
        *(f"{row['task_id']} fails" for row, one in zip(tasks, right, strict=True) if one != 1.0),
        *(
            f"{row['task_id']} passes when changed"
            for row, one in zip(changed, wrong, strict=True)
            if one != 0.0
        ),
    ]


@confinable
def test_solutions_of_humaneval_pass_and_changed_ones_fail(shared_data):
    assert check_solutions(HUMANEVAL, humaneval(shared_data, 25), "canonical_solution") == []


@confinable
def test_solutions_of_mbpp_pass_and_changed_ones_fail(shared_data):
    tasks = rows(shared_data / "code_tasks" / "mbpp.jsonl.gz", 30)
    assert check_solutions(MBPP, tasks, "code") == []


@confinable
@pytest.mark.slow
def test_all_solutions_pass_and_changed_ones_fail(shared_data):
    assert check_solutions(HUMANEVAL, humaneval(shared_data), "canonical_solution") == []
    tasks = rows(shared_data / "code_tasks" / "mbpp.jsonl.gz")
    assert check_solutions(MBPP, tasks, "code") == []
