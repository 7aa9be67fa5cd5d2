"""Public data becomes examples, by settings or by benchmarks/alignment/real_rows.py."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modelwright.core.examples import form_of
from modelwright.data.drops import Drops
from modelwright.data.example_rows import read_rows
from modelwright.data.sources.settings import JsonlExamples

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks" / "alignment"


@pytest.fixture
def real_rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import real_rows

    return real_rows


def forms(path: Path, drops: Drops, **settings: Any) -> Counter[str | None]:
    source = JsonlExamples(path=str(path), **settings)
    return Counter(form_of(row) for _, row in read_rows(source, "drop", drops, set()))


FORMS = {
    "dolly_short/train": ("conversation", 5444),
    "prompted_tasks/train": ("conversation", 5258),
    "hh_harmless/pairs": ("preference", 1991),
    "checkable_tasks/svamp": ("prompt", 256),
    "checkable_tasks/simple_arithmetic_nospaces": ("prompt", 840),
    "checkable_tasks/simple_arithmetic_withspaces": ("prompt", 860),
    "checkable_tasks/bigbench_operators": ("prompt", 177),
    "checkable_tasks/bigbench_cs_algorithms": ("prompt", 1126),
    "checkable_tasks/bigbench_dyck_languages": ("prompt", 847),
    "gsm8k/train": ("prompt", 7473),
    "gsm8k/model_solutions": ("labelled", 4440),
}
DROPPED = {
    "hh_harmless/pairs": {"an empty text": 4, "two messages of the assistant in a row": 7},
    "task_dialogues/test": {"an empty text": 1},
    "pandalm/pairs": {"a field of a wrong type": 6, "an empty text": 32},
}
"""What cannot be used of them: somebody says nothing, or speaks twice; an answer is null."""


def test_files_that_need_only_names(real_rows: ModuleType, shared_data: Path) -> None:
    assert FORMS.keys() == real_rows.SOURCES.keys()
    for name, settings in real_rows.SOURCES.items():
        drops = Drops(lambda text: None)
        found = forms(shared_data / f"{name}.jsonl.gz", drops, **settings)
        form, rows = FORMS[name]
        assert drops.counts == DROPPED.get(name, {}), name
        assert found == {form: rows - sum(drops.counts.values())}, name


def test_files_that_are_rewritten(real_rows: ModuleType, shared_data: Path, tmp_path: Path) -> None:
    wanted = {"task_dialogues/train": "conversation", "task_dialogues/test": "conversation"}
    wanted["pandalm/pairs"] = "preference"
    rewritten = real_rows.rewritten(shared_data)
    assert rewritten.keys() == wanted.keys()
    for name, rows in rewritten.items():
        some = [row for row in islice(rows(), 900) if row is not None]
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in some))
        drops = Drops(lambda text: None)
        found = forms(path, drops)
        assert found[wanted[name]] == found.total() > 500, name
        assert found.total() + sum(drops.counts.values()) == len(some)
        assert drops.counts == DROPPED.get(name, {}), name


def test_dialogues_keep_their_calls(
    real_rows: ModuleType, shared_data: Path, tmp_path: Path
) -> None:
    rows = list(islice(real_rows.rewritten(shared_data)["task_dialogues/train"](), 50))
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = JsonlExamples(path=str(path))
    read = [row for _, row in read_rows(source, "refuse", Drops(lambda text: None), set())]
    calls = [
        call["function"]
        for row in read
        for message in row["messages"]
        for call in message.get("tool_calls", [])
    ]
    assert len(calls) > 50
    for row in read:
        names = {tool["function"]["name"] for tool in row["tools"]}
        used = [m["name"] for m in row["messages"] if m["role"] == "tool"]
        assert set(used) <= names
