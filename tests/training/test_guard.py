"""The guard: quiet in good runs, skips harm, stops with a diagnosis, restores exactly."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError, TrainingError
from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.batches import Batch
from modelwright.training.guard import Guard, GuardSettings, Limits, Verdict
from modelwright.training.names import OptimizerName
from modelwright.training.objectives.next_token import next_token
from modelwright.training.optimizers import Optimizers, OptimizerSettings

NUMBERS = st.floats(0, 20) | st.sampled_from([math.nan, math.inf, 1e6])
STEPS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=60)
SMALL = GuardSettings(window=12, first=4, in_a_row=4, in_window=6)


def falling(step: int) -> tuple[float, float]:
    """A loss that falls fast, with noise, and its gradient norm."""
    noise = math.sin(7.3 * step)
    return 2.0 + 4.0 * math.exp(-step / 30) + 0.1 * noise, 0.5 + 20 * math.exp(-step / 10)


def guard_after(steps: int, settings: GuardSettings | None = None) -> Guard:
    guard = Guard(settings)
    for step in range(1, steps + 1):
        assert guard.judge(step, *falling(step), 1e-3) == Verdict("take")
    return guard


@pytest.mark.parametrize(
    ("loss", "norm", "reason"),
    [
        (math.nan, 0.5, "the loss is nan"),
        (math.inf, 0.5, "the loss is inf"),
        (2.0, math.nan, "the gradient norm is nan"),
        (2.0, math.inf, "the gradient norm is inf"),
        (2.0, 50.0, "the gradient norm 50 is above 5"),
        (9.0, 4.0, "the loss 9 is above 2"),
    ],
)
def test_a_bad_step_is_skipped_and_the_next_one_taken(
    loss: float, norm: float, reason: str
) -> None:
    guard = guard_after(300)
    verdict = guard.judge(301, loss, norm, 1e-3)
    assert verdict.action == "skip"
    assert verdict.reason.startswith(reason)
    assert guard.judge(302, *falling(302), 1e-3) == Verdict("take")


def test_rare_text_is_learnt_from() -> None:
    """A high loss with a gradient that clipping deals with, as in a good run of one-row batches."""
    guard = guard_after(300)
    assert guard.judge(301, 8.1, 4.8 * 0.5 * 0.99, 1e-3) == Verdict("take")


def test_at_the_beginning_only_what_is_not_finite_is_bad() -> None:
    guard = Guard()
    for step in range(1, 30):
        assert guard.judge(step, 10.0 * step, 100.0 * step, 1e-3).action == "take"
    assert guard.judge(30, math.nan, 1.0, 1e-3).action == "skip"


def test_losses_that_are_all_alike_leave_room_for_noise() -> None:
    guard = Guard()
    for step in range(1, 200):
        guard.judge(step, 1.0, 1.0, 1e-3)
    assert guard.judge(200, 1.2, 9.0, 1e-3).action == "take"


def test_a_run_that_does_not_recover_stops_with_a_diagnosis() -> None:
    guard = guard_after(300)
    actions = [guard.judge(step, math.nan, math.nan, 1e-3).action for step in range(301, 309)]
    assert actions == ["skip"] * 7 + ["stop"]
    error = guard.diagnosis()
    assert isinstance(error, TrainingError)
    assert "8 of the last 129 steps were left out" in error.what
    assert "step 301: loss nan" in error.what
    assert error.where == "step 308, learning rate 0.001"
    assert error.fix is not None
    assert "float32" in error.fix


def test_a_loss_that_stays_high_stops_too() -> None:
    guard = guard_after(300)
    actions = [guard.judge(step, 7.0, 0.5, 1e-3).action for step in range(301, 309)]
    assert actions == ["take"] * 7 + ["stop"]
    assert "the loss 7 is above" in guard.diagnosis().what


def test_many_single_skips_stop_as_well() -> None:
    guard = guard_after(200)
    actions = list[str]()
    for step in range(201, 400):
        loss, norm = falling(step)
        actions.append(guard.judge(step, loss, norm if step % 3 else math.inf, 1e-3).action)
        if actions[-1] == "stop":
            break
    assert actions.count("skip") == 31
    assert actions[-1] == "stop"


def test_the_advice_names_a_rising_rate() -> None:
    guard = Guard()
    for step in range(1, 10):
        is_good = step < 6
        guard.judge(step, 5.0 if is_good else math.nan, 1.0, 1e-3 * step)
    assert "warmup" in str(guard.diagnosis().fix)


def test_weights_that_are_broken_from_the_start_are_named() -> None:
    guard = Guard()
    for step in range(1, 9):
        verdict = guard.judge(step, math.nan, math.nan, 1e-3)
    assert verdict.action == "stop"
    assert "weights that it starts from" in str(guard.diagnosis().fix)


@given(STEPS, st.integers(0, 60))
def test_a_restored_guard_judges_the_same(steps: list[tuple[float, float]], cut: int) -> None:
    whole, first = Guard(SMALL), Guard(SMALL)
    verdicts = [whole.judge(n, *step, 1e-3) for n, step in enumerate(steps, 1)]
    again = [first.judge(n, *step, 1e-3) for n, step in enumerate(steps[:cut], 1)]
    text = json.dumps(first.state(), allow_nan=False)
    second = Guard(SMALL)
    second.restore(json.loads(text))
    again += [second.judge(n, *step, 1e-3) for n, step in enumerate(steps[cut:], cut + 1)]
    assert again == verdicts
    assert json.dumps(second.state()) == json.dumps(whole.state())


@given(STEPS)
def test_late_verdicts_equal_prompt_ones(steps: list[tuple[float, float]]) -> None:
    prompt, late = Guard(SMALL), Guard(SMALL)
    allowed = []
    for number, (loss, norm) in enumerate(steps, 1):
        # As on a GPU: this step's limits are needed before the last step is judged.
        limits = late.limits(number)
        assert limits == prompt.limits(number)
        allowed.append(bool(limits.allow(torch.tensor(loss), torch.tensor(norm))))
        if number > 1:
            late.judge(number - 1, *steps[number - 2], 1e-3)
        prompt.judge(number, loss, norm, 1e-3)
    taken = [row[4] for row in prompt.state()["steps"]]
    assert allowed[-len(taken) :] == taken


def test_a_damaged_state_is_refused() -> None:
    for state in ({}, {"steps": [[1, 2.0]]}, {"steps": [[1, "x", 1.0, 1.0, True, False]]}):
        with pytest.raises(InputError, match="guard"):
            Guard().restore(state)


def test_nothing_is_known_of_the_first_step() -> None:
    assert Guard().limits(1) == Limits()


def train(
    config: TransformerConfig, optimizer: OptimizerName, rate: float, rows: int, steps: int
) -> tuple[list[Verdict], Guard]:
    """Learn to repeat patterns; from step 120 on with a thousand times the rate, if above 1."""
    torch.manual_seed(0)
    model = CausalLM(config)
    initialise(model, 0)
    spoilt = rate > 1
    rate = 3e-3 if spoilt else rate
    optimizers = Optimizers(model, OptimizerSettings(optimizer, rate, rate, 0.1))
    guard, verdicts = Guard(), list[Verdict]()
    for step in range(1, steps + 1):
        pattern = torch.randint(0, 500, (rows, 8)).repeat(1, 4)
        batch = Batch(pattern[:, :-1], pattern[:, 1:], torch.ones(rows, 31))
        loss = next_token(model, batch, {"tokens": 31 * rows}).total
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        verdict = guard.judge(step, loss.item(), norm, rate)
        verdicts.append(verdict)
        if verdict.action == "stop":
            break
        if verdict.action == "take":
            optimizers.step(1000.0 if spoilt and step > 120 else 1.0)
        model.zero_grad()
    return verdicts, guard


@pytest.mark.parametrize(
    ("optimizer", "rate", "rows"), [("muon", 1e-2, 8), ("adamw", 3e-3, 2), ("adamw", 3e-2, 4)]
)
def test_it_is_quiet_in_a_real_run(
    tiny_config: TransformerConfig, optimizer: OptimizerName, rate: float, rows: int
) -> None:
    verdicts, _ = train(tiny_config, optimizer, rate, rows, 250)
    assert {verdict.action for verdict in verdicts} == {"take"}


def test_a_real_run_that_breaks_is_stopped(tiny_config: TransformerConfig) -> None:
    verdicts, guard = train(tiny_config, "muon", 2.0, 8, 250)
    assert all(verdict.action == "take" for verdict in verdicts[:120])
    assert verdicts[-1].action == "stop"
    assert len(verdicts) < 150
    assert "does not recover" in guard.diagnosis().what


def test_steps_that_teach_nothing_do_not_make_others_suspicious() -> None:
    """Groups of equal rewards have no gradient; most steps may be of that kind."""
    guard = Guard(GuardSettings(watches_loss=False))
    for step in range(1, 300):
        teaches = step % 3 == 0
        verdict = guard.judge(step, 0.3 if teaches else 0.0, 1.0 if teaches else 0.0, 1e-4)
        assert verdict.action == "take", step
    assert guard.judge(300, 0.0, 1000.0, 1e-4).action == "skip"
