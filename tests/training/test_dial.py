import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modelwright.core.artifact import Artifact, Manifest, open_artifact
from modelwright.core.errors import InputError, UsageError
from modelwright.core.job import Job
from modelwright.core.progress import SilentProgress
from modelwright.models.config import TransformerConfig
from modelwright.pipeline.recipe import load_recipe
from modelwright.pipeline.stages import STAGES, settings_of
from modelwright.training import dial
from modelwright.training import shapes as shapes_module
from modelwright.training.budget import Budget
from modelwright.training.choice import FILE, expected_tokens, fill_from_dial
from modelwright.training.dial import (
    choose_for_amount,
    choose_for_time,
    choose_vocabulary,
    has_answers,
    training_seconds,
)
from modelwright.training.forecast import Text
from modelwright.training.prospects import best_in_time
from modelwright.training.rates import rates_for
from modelwright.training.settings import DialSettings, FinetuneSettings, PretrainSettings
from modelwright.training.shapes import Shape, interpolate, shape_config, shapes_for, time_shapes

NOVELS_TEXT = Text(tokens=600_000.0)


def shapes(flops_per_second: float) -> list[Shape]:
    """Candidates on an imagined machine that always computes at the same speed."""
    return [
        replace(shape, tokens_per_second=flops_per_second / shape.flops_per_token)
        for shape in shapes_for(2048)
    ]


def size(plan: tuple[dict[str, dict[str, object]], list[str], dict[str, float]]) -> int:
    chosen = plan[0]["pretrain"]
    width, layers = chosen["hidden_size"], chosen["layers"]
    assert isinstance(width, int)
    assert isinstance(layers, int)
    return shape_config(width, layers, 2048).block_parameter_count()


def test_more_time_or_a_faster_machine_gives_no_smaller_model_and_expects_more() -> None:
    text = Text(tokens=1e9)
    by_time = [choose_for_time(shapes(2e11), s, True, text) for s in (20, 200, 4000)]
    by_speed = [choose_for_time(shapes(f), 200, True, text) for f in (5e10, 2e11, 4e14)]
    for plans in (by_time, by_speed):
        sizes = [size(plan) for plan in plans]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[-1]
        expected = [plan[2]["bits_per_byte"] for plan in plans]
        assert expected == sorted(expected, reverse=True)


def test_the_time_is_shared_out_in_full() -> None:
    choice, reasons, expected = choose_for_time(shapes(2e11), 100, True, NOVELS_TEXT)
    parts = [Budget.parse(choice[stage]["budget"]) for stage in ("pretrain", "finetune")]
    assert sum(part.amount for part in parts) == pytest.approx(100, abs=0.2)
    assert expected["pretrain_seconds"] == pytest.approx(parts[0].amount, abs=0.1)
    assert len(reasons) >= 3
    alone = choose_for_time(shapes(2e11), 100, False, NOVELS_TEXT)[0]
    assert Budget.parse(alone["pretrain"]["budget"]).amount == pytest.approx(100, abs=0.1)


def test_a_text_that_is_read_too_often_is_said() -> None:
    few, many = Text(tokens=10_000.0), Text(tokens=1e9)
    warned = [
        "by heart" in " ".join(choose_for_time(shapes(2e11), 60, False, t)[1]) for t in (few, many)
    ]
    assert warned == [True, False]


def test_the_start_is_from_bigrams_unless_it_takes_too_much() -> None:
    text = Text(tokens=1e7)
    in_seconds = {
        seconds: choose_for_time(shapes(2e11), seconds, False, text) for seconds in (2, 60)
    }
    assert in_seconds[2][0]["pretrain"]["start"] == "random"
    assert in_seconds[60][0]["pretrain"]["start"] == "bigrams"
    (shape,) = (
        one
        for one in shapes(2e11)
        if (one.hidden_size, one.layers)
        == (in_seconds[60][0]["pretrain"]["hidden_size"], in_seconds[60][0]["pretrain"]["layers"])
    )
    seen = in_seconds[60][2]["tokens"] / shape.tokens_per_second
    assert 45 < seen < 59  # the start takes the rest
    steps = {
        count: choose_for_amount(Budget(count, "steps"), 2048, text)[0]["pretrain"]["start"]
        for count in (3, 2000)
    }
    assert steps == {3: "random", 2000: "bigrams"}
    largest = choose_for_amount(Budget(3e5, "tokens"), 150_000, text)[0]["pretrain"]
    assert largest["start"] == "random"


def test_a_small_text_that_is_read_in_full_starts_at_random() -> None:
    for epochs, start in ((0.5, "bigrams"), (1.0, "random"), (3.0, "random")):
        plan = choose_for_amount(Budget(epochs, "epochs"), 2048, Text(tokens=6e5))
        assert plan[0]["pretrain"]["start"] == start
    assert choose_for_time(shapes(2e11), 60, False, Text(1e5))[0]["pretrain"]["start"] == "random"


def test_a_start_that_was_asked_for_is_kept_with_its_rates() -> None:
    by_time = {
        start: choose_for_time(shapes(2e11), 60, False, NOVELS_TEXT, start)[0]["pretrain"]
        for start in ("random", "bigrams")
    }
    by_steps = {
        start: choose_for_amount(Budget(200, "steps"), 2048, NOVELS_TEXT, start)[0]["pretrain"]
        for start in ("random", "bigrams")
    }
    for choices in (by_time, by_steps):
        assert [choices[start]["start"] for start in choices] == ["random", "bigrams"]
        assert choices["random"]["learning_rate"] > 1.5 * choices["bigrams"]["learning_rate"]


@pytest.mark.parametrize(
    ("pretrain", "start"),
    [
        ("{}", None),
        ("{family: gpt2}", "random"),
        ("{tie_embeddings: true}", "random"),
        ("{family: gpt2, start: bigrams, tie_embeddings: false}", "bigrams"),
        ("{start: random}", "random"),
        ("{start: bigrams, tie_embeddings: true}", "random"),
        ("{start: bigrams, family: gpt2}", "random"),
    ],
)
def test_the_dial_hears_which_start_there_can_be(
    tmp_path: Path, pretrain: str, start: str | None
) -> None:
    path = tmp_path / "modelwright.yaml"
    path.write_text(f"collect: {{sources: [a]}}\npretrain: {pretrain}\n")
    (stage,) = (one for one in STAGES if one.name == "dial")
    settings = settings_of(stage, load_recipe(path))
    assert isinstance(settings, DialSettings)
    assert settings.start == start


@pytest.mark.parametrize("text", ["200 steps", "3M tokens", "2 epochs", "1e15 FLOPs"])
def test_a_fixed_amount_is_passed_on(text: str) -> None:
    choice = choose_for_amount(Budget.parse(text), 2048, NOVELS_TEXT)[0]
    assert Budget.parse(choice["pretrain"]["budget"]) == Budget.parse(text)
    assert Budget.parse(choice["finetune"]["budget"]).unit == Budget.parse(text).unit


def test_operations_and_the_tokens_they_allow_give_about_the_same_shape() -> None:
    text = Text(tokens=1e9)
    sizes = [shape_config(one.hidden_size, one.layers, 2048) for one in shapes_for(4096)]
    order = [config.block_parameter_count() for config in sizes]
    for flops in (1e14, 1e15, 1e16):
        by_flops = choose_for_amount(Budget(flops, "FLOPs"), 4096, text)
        by_tokens = choose_for_amount(Budget(by_flops[2]["tokens"], "tokens"), 4096, text)
        assert order.index(size(by_tokens)) - order.index(size(by_flops)) in (0, 1)


def test_the_choice_fills_what_is_open_and_nothing_else(tmp_path: Path) -> None:
    choice = choose_for_amount(Budget(200, "steps"), 2048, NOVELS_TEXT)[0]
    (tmp_path / FILE).write_text(json.dumps({"choice": choice}))
    artifact = open_artifact(tmp_path, "dial")
    filled = fill_from_dial(PretrainSettings(layers=9), "pretrain", artifact)
    assert filled.layers == 9
    assert filled.hidden_size == choice["pretrain"]["hidden_size"]
    assert filled.budget == "200 steps"
    assert fill_from_dial(FinetuneSettings(), "finetune", artifact).learning_rate is not None
    assert fill_from_dial(PretrainSettings(), "pretrain", None) == PretrainSettings()


def test_rates_of_another_start_are_refused(tmp_path: Path) -> None:
    choice = choose_for_amount(Budget(200, "steps"), 2048, NOVELS_TEXT, "bigrams")[0]
    (tmp_path / FILE).write_text(json.dumps({"choice": choice}))
    artifact = open_artifact(tmp_path, "dial")
    with pytest.raises(UsageError, match="chose its rates for bigrams"):
        fill_from_dial(PretrainSettings(start="random"), "pretrain", artifact)
    own = PretrainSettings(start="random", learning_rate=0.01, matrix_learning_rate=0.02)
    assert fill_from_dial(own, "pretrain", artifact).learning_rate == 0.01


def test_a_start_that_cannot_be_is_refused_with_the_dials_rates(tmp_path: Path) -> None:
    choice = choose_for_amount(Budget(200, "steps"), 2048, NOVELS_TEXT, "bigrams")[0]
    (tmp_path / FILE).write_text(json.dumps({"choice": choice}))
    artifact = open_artifact(tmp_path, "dial")
    for tied in (PretrainSettings(tie_embeddings=True), PretrainSettings(family="gpt2")):
        with pytest.raises(UsageError, match="first weights are random here"):
            fill_from_dial(tied, "pretrain", artifact)
    adamw = PretrainSettings(optimizer="adamw", learning_rate=0.01, start="random")
    assert fill_from_dial(adamw, "pretrain", artifact).hidden_size is not None


def test_tokens_are_expected_of_what_the_dial_chose_alone(tmp_path: Path) -> None:
    choice, _, expected = choose_for_time(shapes(2e11), 60, False, NOVELS_TEXT)
    (tmp_path / FILE).write_text(json.dumps({"choice": choice, "expected": expected}))
    artifact = open_artifact(tmp_path, "dial")
    filled = fill_from_dial(PretrainSettings(), "pretrain", artifact)
    assert expected_tokens(artifact, filled) == expected["tokens"] > 0
    other = fill_from_dial(PretrainSettings(layers=9), "pretrain", artifact)
    assert expected_tokens(artifact, other) is None
    assert expected_tokens(None, filled) is None


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


def test_a_tiny_text_gets_the_smallest_model() -> None:
    smallest = shape_config(128, 3, 2048).block_parameter_count()
    assert size(choose_for_amount(Budget(2, "steps"), 512, Text(349))) == smallest
    assert size(choose_for_amount(Budget(1e15, "FLOPs"), 512, Text(349))) == smallest
    assert size(choose_for_time(shapes(2e11), 120, False, Text(8_000))) == smallest
    large = choose_for_time(shapes(4e14), 300, False, Text(1e7))
    assert smallest < size(large) < shape_config(1024, 16, 2048).block_parameter_count()


def test_few_tokens_start_from_bigrams_also_where_they_are_read_again() -> None:
    for tokens in (1e5, 3e5, 5e5):
        choice, reasons, _ = choose_for_amount(Budget(tokens, "tokens"), 1024, Text(1e5))
        assert choice["pretrain"]["start"] == "bigrams"
        assert "hardly teach" in " ".join(reasons)
    slow = choose_for_time(shapes(1e10), 120, False, Text(1e5))
    assert slow[2]["tokens"] < 5e5
    assert slow[0]["pretrain"]["start"] == "bigrams"
    more = choose_for_amount(Budget(2e6, "tokens"), 1024, Text(1e5))
    assert more[0]["pretrain"]["start"] == "random"
    assert "gain less than more training" in " ".join(more[1])


def test_a_text_that_is_read_often_is_said_for_any_budget() -> None:
    for amount, is_said in ((3, False), (40, True)):
        plan = choose_for_amount(Budget(amount, "epochs"), 512, Text(1e4))
        assert ("by heart" in " ".join(plan[1])) is is_said


def test_first_weights_are_given_reasons() -> None:
    text = Text(1e7)
    by_time, too_short, asked = (
        " ".join(choose_for_time(shapes(2e11), seconds, False, text, start)[1])
        for seconds, start in ((60, None), (2, None), (60, "random"))
    )
    assert re.search(r"bigrams; [0-9.]+ bits per byte would be expected from random", by_time)
    assert "too much of the training" in too_short
    assert "as the settings have it" in asked


def test_interpolation() -> None:
    points = [(0.0, 1.0), (2.0, 3.0), (4.0, 3.0)]
    assert [interpolate(points, x) for x in (-1, 0, 1, 3, 9)] == [1.0, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(("seconds", "count"), [(300.0, 2), (36_000.0, 3)])
def test_timing_ends_when_no_larger_shape_would_be_chosen(
    monkeypatch: pytest.MonkeyPatch, seconds: float, count: int
) -> None:
    timed = list[float]()

    def tokens_per_second(config: TransformerConfig, length: int, rows: int) -> float:
        timed.append(config.flops_per_token(length))
        return 7e10 / timed[-1]

    monkeypatch.setattr(shapes_module, "tokens_per_second", tokens_per_second)
    monkeypatch.setattr(shapes_module, "pick_device", lambda _: torch.device("cpu"))

    def choose(candidates: list[Shape]) -> Shape:
        return best_in_time(candidates, seconds, Text(tokens=1e8)).shape

    found = time_shapes(4096, SilentProgress(), choose)
    assert len(timed) == count
    assert timed == sorted(timed)
    assert choose(found).flops_per_token <= timed[-1]
    assert [one.tokens_per_second * one.flops_per_token for one in found] == [
        pytest.approx(7e10)
    ] * len(found)


def test_the_shape_that_would_be_chosen_is_timed_as_it_will_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    timed = list[tuple[int, bool]]()

    def tokens_per_second(config: object, length: int, rows: int, compiles: bool) -> float:
        timed.append((rows, compiles))
        return 30_000.0

    monkeypatch.setattr(dial, "tokens_per_second", tokens_per_second)
    monkeypatch.setattr(dial, "should_compile", lambda *_, **__: False)
    job = Job(DialSettings(), {}, tmp_path, SilentProgress())
    candidates = shapes(2e11)
    assert dial._as_compiled(job, candidates, 2048, 600.0, False, NOVELS_TEXT) == []
    assert not timed
    monkeypatch.setattr(dial, "should_compile", lambda *_, **__: True)
    faster = dial._as_compiled(job, candidates, 2048, 600.0, False, NOVELS_TEXT)
    (rows, compiles) = timed[0]
    assert compiles
    assert rows == choose_for_time(faster, 600.0, False, NOVELS_TEXT)[0]["pretrain"]["batch_rows"]
    gains = {
        round(new.tokens_per_second / old.tokens_per_second, 6)
        for new, old in zip(faster, candidates, strict=True)
    }
    assert len(gains) == 1
    assert 30_000.0 in [pytest.approx(one.tokens_per_second) for one in faster]


def test_rates_are_those_of_the_batch_that_is_used() -> None:
    for steps in (50, 200, 20_000):
        choice = choose_for_amount(Budget(steps, "steps"), 2048, NOVELS_TEXT)[0]["pretrain"]
        assert choice["batch_rows"] == 16
        rates = rates_for(choice["hidden_size"], steps * 16 * 256, 256, choice["start"], rows=16)
        assert choice["matrix_learning_rate"] == rates.matrix_learning_rate


@pytest.mark.parametrize(
    ("counts", "has_some"),
    [
        ({"examples_train": 9, "conversations": 10}, True),
        ({"examples_train": 9, "completions": 4, "preferences": 6}, True),
        ({"examples_train": 9, "preferences": 6, "prompts": 4}, False),
        ({"examples_train": 0, "conversations": 1}, False),
    ],
)
def test_time_is_kept_for_examples_to_fine_tune_on_alone(
    tmp_path: Path, counts: dict[str, int], has_some: bool
) -> None:
    manifest = Manifest(
        kind="examples", id="examples", stage="examples", created="", code_version="", digest="",
        counts=counts,
    )  # fmt: skip
    said = list[str]()
    assert has_answers(Artifact(tmp_path, manifest), said.append) is has_some
    assert bool(said) is ("preferences" in counts and not has_some)
    assert not has_answers(None, said.append)
