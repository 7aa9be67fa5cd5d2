"""Feedback as a source of examples gives what its export gives, imported as a file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_feedback import FEEDBACK, all_kinds, choice
from tiny_workspace import write_recipe

from modelwright.core.errors import InputError, UsageError
from modelwright.core.job import Outcome
from modelwright.core.workspace import Workspace
from modelwright.data.drops import Drops
from modelwright.data.example_rows import read_rows
from modelwright.data.examples import examples, fingerprint
from modelwright.data.feedback.record import Answer, Choice, Feedback, Message, id_of
from modelwright.data.feedback.source import read_feedback_rows
from modelwright.data.feedback.table import open_feedback
from modelwright.data.feedback.training_rows import rows_as
from modelwright.data.settings import ExamplesSettings
from modelwright.data.sources.settings import FeedbackExamples, JsonlExamples, Take

RECIPE = {"name": "tiny", "budget": "1 step", "collect": {"sources": ["."]}}
TAKES: tuple[Take, ...] = get_args(Take)


def workspace_with(folder: Path, feedback: list[Feedback]) -> Workspace:
    workspace = write_recipe(folder, RECIPE)
    add(workspace, feedback)
    return workspace


def add(workspace: Workspace, feedback: list[Feedback]) -> None:
    table = open_feedback(workspace)
    table.add(feedback)
    table.close()


def settings_for(workspace: Workspace, take: Take, **changes: object) -> ExamplesSettings:
    return ExamplesSettings.model_validate(
        {"sources": [{"kind": "feedback", "take": take, "workspace": str(workspace.root)}]}
        | changes
    )


@settings(max_examples=30)
@given(feedback=st.lists(FEEDBACK, max_size=6), take=st.sampled_from(TAKES))
def test_the_rows_are_those_of_its_export(feedback: list[Feedback], take: Take) -> None:
    drops, file_drops = (Drops(lambda text: None) for _ in range(2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = workspace_with(folder, feedback)
        table = open_feedback(workspace)
        exported = rows_as(take, table.read())
        table.close()
        file = folder / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in exported.rows))
        source = FeedbackExamples(take=take, workspace=name)
        try:
            found = read_feedback_rows(source, "drop", drops)
        except InputError:
            found = []
        try:
            rows = list(read_rows(JsonlExamples(path=str(file)), "drop", file_drops, set()))
        except InputError:
            rows = []
    assert found == [{**row, "source": "feedback"} for _, row in rows]
    said = sum(drops.counts.values())
    assert said == sum(file_drops.counts.values()) + sum(exported.left_out.values())
    assert len(found) + said == len({id_of(one) for one in feedback})


def test_the_stage_writes_them_with_origin_and_counts(
    tmp_path: Path, run: Callable[..., tuple[Outcome, Path]]
) -> None:
    workspace = workspace_with(tmp_path / "w", [*all_kinds(), choice(None)])
    outcome, folder = run(examples, settings_for(workspace, "pairs", heldout_fraction=0.0))
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert outcome.counts["preferences"] == len(rows) == 2
    assert outcome.dropped == {"a rating has no such row": 1, "a thumb has no such row": 1,
                               "a tie": 1}  # fmt: skip
    assert {(row["source"], row["licence"]) for row in rows} == {("feedback", "LicenseRef-unknown")}


def test_new_feedback_gives_another_fingerprint_and_the_same_feedback_none(tmp_path: Path) -> None:
    workspace = write_recipe(tmp_path / "w", RECIPE)
    wanted = settings_for(workspace, "pairs")
    before = [path.name for path in workspace.root.iterdir()]
    first = fingerprint(wanted)
    assert [path.name for path in workspace.root.iterdir()] == before  # a plan makes nothing
    add(workspace, [choice(0, person="ana")])
    second = fingerprint(wanted)
    add(workspace, [choice(0, person="ana")])
    assert fingerprint(wanted) == second != first
    add(workspace, [choice(0, person="bo")])
    assert fingerprint(wanted) not in (first, second)


def test_feedback_of_another_workspace_in_one_store_is_not_taken(tmp_path: Path) -> None:
    store = {"store": f"sqlite:///{tmp_path / 'shared.db'}"}
    first, second = (write_recipe(tmp_path / name, {**RECIPE, **store}) for name in ("a", "b"))
    add(first, [choice(0)])
    add(second, [choice(1, prompt="How?")])
    rows = read_feedback_rows(
        FeedbackExamples(take="pairs", workspace=str(second.root)), "refuse", Drops(print)
    )
    assert [row["prompt"][0]["content"] for row in rows] == ["How?"]
    assert not first.database.exists()


def test_what_cannot_be_taken_is_said(tmp_path: Path) -> None:
    workspace = workspace_with(tmp_path / "w", [choice(None)])
    source = FeedbackExamples(take="pairs", workspace=str(workspace.root))
    with pytest.raises(InputError, match="no feedback that can be taken as pairs"):
        read_feedback_rows(source, "refuse", Drops(print))
    prompt = [Message(role="user", content="Why?"), Message(role="system", content="Be kind.")]
    broken = Choice(
        prompt=[*prompt, prompt[0]], answers=[Answer(text="a"), Answer(text="b")], winner=0
    )
    add(workspace, [broken])
    with pytest.raises(InputError, match="system") as caught:
        read_feedback_rows(source, "refuse", Drops(print))
    assert "row 1 of what feedback gives as pairs" in str(caught.value)
    elsewhere = FeedbackExamples(take="pairs", workspace=str(tmp_path))
    with pytest.raises(InputError, match="no workspace here"):
        read_feedback_rows(elsewhere, "refuse", Drops(print))
    write_recipe(tmp_path / "w", {**RECIPE, "store": 7})
    with pytest.raises(UsageError, match="not a database URL"):
        read_feedback_rows(source, "refuse", Drops(print))
