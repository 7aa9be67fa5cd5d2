"""The way through the pairs, without a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from running_compare import ANSWERS, MODELS, comparison_of, prompts, table_in

from modelwright.core.errors import ModelwrightError
from modelwright.data.feedback.record import Choice
from modelwright.data.feedback.table import FeedbackTable
from modelwright.serving.comparing.comparison import Comparison, OutOfStepError


@pytest.fixture
def table(tmp_path: Path) -> Iterator[FeedbackTable]:
    table = table_in(tmp_path)
    yield table
    table.close()


def side_of(comparison: Comparison, model: str) -> str:
    """On which side a model's answer is shown now."""
    shown = comparison.current()
    assert shown is not None
    return "left" if shown.left == ANSWERS[shown.number][MODELS.index(model)] else "right"


def test_a_choice_is_kept_with_its_side_models_and_seed(table: FeedbackTable) -> None:
    for seed in range(8):  # so that both sides occur
        comparison = comparison_of(table, seed=seed, person=f"p{seed}")
        side = side_of(comparison, "tuned")
        comparison.judge(0, side)
        kept = table.read()[-1]
        assert isinstance(kept, Choice)
        assert kept.prompt == prompts()[0]
        assert [(one.text, one.model) for one in kept.answers] == [
            (ANSWERS[0][0], "base"), (ANSWERS[0][1], "tuned"),
        ]  # fmt: skip
        assert kept.winner == 1
        assert kept.left == (1 if side == "left" else 0)
        assert (kept.seed, kept.person, kept.source) == (seed, f"p{seed}", "compare")
    lefts = [one.left for one in table.read()]
    assert {0, 1} == set(lefts)


def test_sides_are_even_and_the_same_again(table: FeedbackTable) -> None:
    asked = prompts(400)

    def sides(seed: int, person: str) -> list[str]:
        comparison = comparison_of(
            table, lambda number: ("a", "b"), asked=asked, seed=seed, person=person
        )
        shown = [comparison._shown(number) for number in range(400)]
        return [one.left for one in shown if one is not None]

    assert sides(1, "ana") == sides(1, "ana")
    assert sides(1, "ana") != sides(2, "ana")
    assert sides(1, "ana") != sides(1, "bo")
    assert 160 < sides(1, "ana").count("a") < 240  # four standard deviations


def test_the_way_to_the_result(table: FeedbackTable) -> None:
    comparison = comparison_of(table)
    assert (comparison.total, comparison.done, comparison.can_undo) == (4, 0, False)
    comparison.judge(0, side_of(comparison, "base"))
    comparison.judge(1, "tie")
    assert comparison.current().number == 3  # both answers to the third are the same
    comparison.judge(3, side_of(comparison, "tuned"))
    assert comparison.current() is None
    assert comparison.done == 4
    result = comparison.result()
    assert (result.duel.first, result.duel.second) == MODELS
    assert (result.duel.wins, result.duel.losses, result.duel.ties) == (1, 1, 1)
    assert (result.skipped, result.same) == (0, 1)
    assert result.left is not None
    assert result.left.total == 2


def test_undo_goes_back_over_everything_and_forgets(table: FeedbackTable) -> None:
    comparison = comparison_of(table)
    comparison.undo()
    comparison.judge(0, "left")
    comparison.judge(1, "skip")
    comparison.judge(3, "right")
    assert len(table.read()) == 2
    comparison.undo()
    assert comparison.current().number == 3
    comparison.undo()
    assert comparison.current().number == 1
    assert len(table.read()) == 1
    comparison.judge(1, "tie")
    comparison.undo()
    comparison.undo()
    assert (comparison.current().number, comparison.can_undo) == (0, False)
    assert table.read() == []


def test_it_goes_on_where_a_person_left_it(table: FeedbackTable) -> None:
    first = comparison_of(table)
    first.judge(0, "left")
    first.judge(1, "skip")
    again = comparison_of(table, seed=99)
    assert again.current().number == 1  # what was skipped is asked again
    assert not again.can_undo
    again.judge(1, "tie")
    again.judge(3, "tie")
    assert (again.result().duel.wins + again.result().duel.losses, again.result().duel.ties) == (
        1,
        2,
    )
    assert comparison_of(table, person="bo").current().number == 0


def test_a_pair_that_occurs_twice_is_asked_once_and_counted_once(table: FeedbackTable) -> None:
    asked = [prompts()[0], prompts()[0], prompts()[1]]
    comparison = comparison_of(table, [ANSWERS[0], ANSWERS[0], ANSWERS[1]].__getitem__, asked=asked)
    comparison.judge(0, "left")
    assert comparison.current().number == 2
    comparison.judge(2, "tie")
    duel = comparison.result().duel
    assert (duel.wins + duel.losses, duel.ties) == (1, 1)
    comparison.undo()
    comparison.undo()
    assert (comparison.current().number, table.read()) == (0, [])


def test_a_verdict_on_another_pair_is_refused(table: FeedbackTable) -> None:
    comparison = comparison_of(table)
    with pytest.raises(OutOfStepError):
        comparison.judge(1, "left")
    comparison.judge(0, "left")
    with pytest.raises(OutOfStepError):
        comparison.judge(0, "left")
    assert len(table.read()) == 1


def test_answers_that_are_being_written_are_waited_for(table: FeedbackTable) -> None:
    written: list[tuple[str, str]] = []
    comparison = comparison_of(
        table, lambda number: written[number] if number < len(written) else None
    )
    assert comparison.current() is None
    assert comparison.done < comparison.total
    with pytest.raises(OutOfStepError):
        comparison.judge(0, "left")
    written += ANSWERS[:3]
    comparison.judge(0, "left")
    comparison.judge(1, "left")
    assert (comparison.current(), comparison.done) == (None, 3)


def test_a_choice_that_cannot_be_kept_is_not_counted(
    table: FeedbackTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = comparison_of(table)

    def fail(feedback: object) -> int:
        raise ModelwrightError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(table, "add", fail)
        with pytest.raises(ModelwrightError, match="full"):
            comparison.judge(0, "left")
    assert (comparison.done, comparison.can_undo) == (0, False)
    comparison.judge(0, "left")
    assert comparison.done == 1
