import json
import re
from pathlib import Path

import pytest

from modelwright.core.artifact import open_artifact
from modelwright.core.errors import InputError, UsageError
from modelwright.training.budget import Budget
from modelwright.training.choice import FILE, fill_from_dial
from modelwright.training.dial import (
    SHAPES,
    Shape,
    choose_for_amount,
    choose_for_time,
    choose_vocabulary,
    interpolate,
    shape_config,
    training_seconds,
)
from modelwright.training.settings import FinetuneSettings, PretrainSettings


def shapes(flops_per_second: float) -> list[Shape]:
    """Candidates on an imagined machine that always computes at the same speed."""
    made = []
    for width, layers in SHAPES:
        config = shape_config(width, layers, 2048)
        flops = config.flops_per_token(256)
        speed = flops_per_second / flops
        made.append(Shape(width, layers, config.block_parameter_count(), flops, speed))
    return made


def size(plan: tuple[dict[str, dict[str, object]], list[str], dict[str, float]]) -> int:
    chosen = plan[0]["pretrain"]
    width, layers = chosen["hidden_size"], chosen["layers"]
    assert isinstance(width, int)
    assert isinstance(layers, int)
    return shape_config(width, layers, 2048).block_parameter_count()


def test_more_time_or_a_faster_machine_gives_no_smaller_model() -> None:
    by_time = [size(choose_for_time(shapes(2e11), s, True, 2_000_000)) for s in (20, 200, 4000)]
    by_speed = [size(choose_for_time(shapes(f), 200, True, 2_000_000)) for f in (5e10, 2e11, 4e14)]
    for sizes in (by_time, by_speed):
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[-1]


def test_the_time_is_shared_out_in_full() -> None:
    choice, reasons, expected = choose_for_time(shapes(2e11), 100, True, 2_000_000)
    parts = [Budget.parse(choice[stage]["budget"]) for stage in ("pretrain", "finetune")]
    assert sum(part.amount for part in parts) == pytest.approx(100, abs=0.2)
    assert expected["pretrain_seconds"] == pytest.approx(parts[0].amount, abs=0.1)
    assert len(reasons) >= 3
    alone = choose_for_time(shapes(2e11), 100, False, 2_000_000)[0]
    assert Budget.parse(alone["pretrain"]["budget"]).amount == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("text", ["200 steps", "3M tokens", "2 epochs", "1e15 FLOPs"])
def test_a_fixed_amount_is_passed_on(text: str) -> None:
    choice = choose_for_amount(Budget.parse(text), 2_000_000)[0]
    assert Budget.parse(choice["pretrain"]["budget"]) == Budget.parse(text)
    assert Budget.parse(choice["finetune"]["budget"]).unit == Budget.parse(text).unit


def test_the_choice_fills_what_is_open_and_nothing_else(tmp_path: Path) -> None:
    choice = choose_for_amount(Budget(200, "steps"), 2_000_000)[0]
    (tmp_path / FILE).write_text(json.dumps({"choice": choice}))
    dial = open_artifact(tmp_path, "dial")
    filled = fill_from_dial(PretrainSettings(layers=9), "pretrain", dial)
    assert filled.layers == 9
    assert filled.hidden_size == choice["pretrain"]["hidden_size"]
    assert filled.budget == "200 steps"
    assert fill_from_dial(FinetuneSettings(), "finetune", dial).learning_rate is not None
    assert fill_from_dial(PretrainSettings(), "pretrain", None) == PretrainSettings()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"choice": {"pretrain": {"laiers": 3}}}'])
def test_a_damaged_choice_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises((InputError, UsageError)):
        fill_from_dial(PretrainSettings(), "pretrain", open_artifact(tmp_path, "dial"))


def test_too_little_time_is_refused_with_a_better_budget() -> None:
    for budget, spent, text_bytes in ((20, 10, 2e6), (60, 20, 2e9)):
        with pytest.raises(UsageError, match="minutes") as error:
            training_seconds(budget, spent, int(text_bytes))
        advice = re.search(r'"([0-9]+) minutes"', str(error.value))
        assert advice is not None
        assert training_seconds(60 * int(advice[1]), spent, int(text_bytes)) >= 10


def test_little_text_gets_a_small_vocabulary() -> None:
    budget = Budget(300, "seconds")
    sizes = [choose_vocabulary(budget, size) for size in (10_000, 200_000, 2_000_000, 10**9)]
    assert sizes == sorted(sizes)
    assert sizes[0] <= 1024 < sizes[-1]


def test_interpolation() -> None:
    points = [(0.0, 1.0), (2.0, 3.0), (4.0, 3.0)]
    assert [interpolate(points, x) for x in (-1, 0, 1, 3, 9)] == [1.0, 1.0, 2.0, 3.0, 3.0]
