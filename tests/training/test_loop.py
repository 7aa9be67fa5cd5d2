"""The loop: accumulation is exact, resume is bit-identical, bad numbers stop it."""

import json
from contextlib import closing
from pathlib import Path

import pytest
import torch

from modelwright.core.errors import TrainingError
from modelwright.core.progress import SilentProgress
from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.averaging import AveragingSettings, WeightAverage
from modelwright.training.batches import Batch, supervised_batches
from modelwright.training.budget import Horizon
from modelwright.training.callbacks.averaging import Averaging
from modelwright.training.callbacks.callback import StepReport
from modelwright.training.callbacks.logging import Logging
from modelwright.training.checkpoint import CheckpointWriter, TrainState, load_checkpoint
from modelwright.training.examples import ExampleBatches, TokenizedExample
from modelwright.training.loop import Loop
from modelwright.training.micro_batch import Totals, summed_totals
from modelwright.training.names import OptimizerName
from modelwright.training.objectives.next_token import next_token
from modelwright.training.objectives.objective import Losses, Objective
from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.parallel.forward import forward_alone
from modelwright.training.prefetching import PrefetchedBatches
from modelwright.training.schedule import WarmupStableDecay
from modelwright.training.sequences import Layout
from modelwright.training.training_log import TrainingLog


def batches(micro_rows: int) -> ExampleBatches[Batch]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(24):
        length = 6 + 7 * (number % 4)
        ids = torch.randint(0, 500, (length,), generator=generator).tolist()
        made.append(
            TokenizedExample.of(ids, [place > length // 3 for place in range(length)], True)
        )
    return supervised_batches(made, rows=8, micro_rows=micro_rows, seed=0, layout=Layout(0))


def loop(
    config: TransformerConfig,
    steps: int,
    micro_rows: int = 8,
    optimizer: OptimizerName = "muon",
    checkpoints: Path | None = None,
) -> Loop:
    model = CausalLM(config)
    initialise(model, 0)
    optimizers = Optimizers(model, OptimizerSettings(optimizer, 1e-2, 1e-2, 0.1))
    state = load_checkpoint(checkpoints, model, optimizers) if checkpoints else None
    return Loop(
        model,
        optimizers,
        forward_alone(model, next_token),
        batches(micro_rows),
        WarmupStableDecay(0.1, 0.5),
        state or TrainState(0, 0, Horizon(steps, None)),
        torch.float32,
    )


def write(folder: Path, run: Loop) -> None:
    with closing(CheckpointWriter(folder, run.model, run.optimizers)) as writer:
        writer.save(run.state)
        writer.finish()


def saving(folder: Path, run: Loop, average: WeightAverage) -> CheckpointWriter:
    return CheckpointWriter(folder, run.model, run.optimizers, {"average": average})


def weights(run: Loop) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


@pytest.mark.parametrize("micro_rows", [1, 3])
def test_accumulated_gradients_equal_the_whole_batch(
    tiny_config: TransformerConfig, micro_rows: int
) -> None:
    gradients = []
    for rows in (8, micro_rows):
        run = loop(tiny_config, steps=1, micro_rows=rows)
        totals = summed_totals(run.batches.at(0))
        for batch in run.batches.at(0):
            next_token(run.model, batch, totals).total.backward()  # type: ignore[no-untyped-call]
        gradients.append(
            torch.cat([p.grad.flatten() for p in run.model.parameters() if p.grad is not None])
        )
    assert (gradients[0] - gradients[1]).norm() / gradients[0].norm() < 1e-6


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_loss_falls(tiny_config: TransformerConfig, optimizer: OptimizerName) -> None:
    run = loop(tiny_config, steps=60, optimizer=optimizer)
    reports = list[StepReport]()
    run.listeners = [reports.append]
    run.run()
    assert reports[0].loss == pytest.approx(6.2, abs=0.2)  # ln(512), a uniform guess
    assert reports[-1].loss < 0.6 * reports[0].loss
    assert [report.step for report in reports] == list(range(1, 61))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("cut", [1, 7, 13])
def test_resume_is_bit_identical(
    tiny_config: TransformerConfig, tmp_path: Path, optimizer: OptimizerName, cut: int
) -> None:
    whole = loop(tiny_config, 14, optimizer=optimizer)
    whole.run()
    first = loop(tiny_config, 14, optimizer=optimizer)

    def save(state: TrainState) -> None:
        if state.step == cut:
            write(tmp_path, first)

    first.callbacks.append(save)
    first.run()
    second = loop(tiny_config, 14, optimizer=optimizer, checkpoints=tmp_path)
    assert second.state.step == cut
    second.run()
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(second)[name]), name


def test_a_half_written_checkpoint_is_not_used(
    tiny_config: TransformerConfig, tmp_path: Path
) -> None:
    run = loop(tiny_config, 3)
    run.run()
    write(tmp_path, run)
    (tmp_path / "step-00000009.partial").mkdir()
    again = loop(tiny_config, 3, checkpoints=tmp_path)
    assert again.state.step == 3
    write(tmp_path, run)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def breaks(at: set[int] | None, run: Loop) -> Objective:
    """The loss is not a number in those steps; in all without them."""

    def objective(model: CausalLM, batch: Batch, totals: Totals) -> Losses:
        is_broken = at is None or run.state.step + 1 in at
        return Losses(next_token(model, batch, totals).total * (float("nan") if is_broken else 1.0))

    return objective


def test_losses_that_are_not_finite_stop_training(tiny_config: TransformerConfig) -> None:
    run = loop(tiny_config, 20)
    run.forward = forward_alone(run.model, breaks(None, run))
    before = weights(run)
    with pytest.raises(TrainingError, match="does not recover") as raised:
        run.run()
    assert "step 8" in str(raised.value.where)
    assert all(torch.equal(before[name], now) for name, now in weights(run).items())


def test_a_step_that_is_left_out_changes_nothing(
    tiny_config: TransformerConfig, tmp_path: Path
) -> None:
    """Also after resume: the guard remembers."""
    whole, first = loop(tiny_config, 9), loop(tiny_config, 9)
    seen = dict[int, dict[str, torch.Tensor]]()
    reports = list[StepReport]()

    def look(state: TrainState) -> None:
        seen[state.step] = weights(whole)

    def save(state: TrainState) -> None:
        if state.step == 5:
            write(tmp_path, first)

    whole.callbacks, whole.listeners = [look], [reports.append]
    first.callbacks = [save]
    for run in (whole, first):
        run.forward = forward_alone(run.model, breaks({4, 7}, run))
        run.run()
    assert [report.step for report in reports if report.left_out] == [4, 7]
    assert all(torch.equal(seen[3][name], seen[4][name]) for name in seen[3])
    assert whole.state.skipped_steps == 2
    second = loop(tiny_config, 9, checkpoints=tmp_path)
    second.forward = forward_alone(second.model, breaks({4, 7}, second))
    second.run()
    assert second.state.to_json()["guard"] == whole.state.to_json()["guard"]
    assert second.state.skipped_steps == 2
    assert all(torch.equal(seen[9][name], now) for name, now in weights(second).items())


@pytest.mark.parametrize("bad", [2, 3])
def test_what_is_not_finite_stays_out_of_the_log(
    tiny_config: TransformerConfig, tmp_path: Path, bad: int
) -> None:
    """Also if the row is due at that very step: JSON has no NaN."""
    run = loop(tiny_config, 3)
    run.forward = forward_alone(run.model, breaks({bad}, run))
    notes = list[str]()
    log = TrainingLog(tmp_path / "log.jsonl", 0, lambda step, values: None)
    with SilentProgress().task("training", 100, "%") as task:
        run.listeners = [Logging(log, task, notes.append, run.state, 1.0, 1.0)]
        run.run()
    rows = log.path.read_text().splitlines()
    (row,) = [json.loads(line, parse_constant=pytest.fail) for line in rows]
    assert row["skipped_steps"] == 1
    assert row["step"] == 3
    assert row["loss"] > 0
    assert row["model_flops_utilisation"] == 1  # more than was measured is no share
    assert ("gradient_norm" in row) == (bad != 3)
    assert len(notes) == 1
    assert f"step {bad} is left out: the loss is nan" in notes[0]


def test_averaged_weights_after_resume(tiny_config: TransformerConfig, tmp_path: Path) -> None:
    def averaged(run: Loop) -> WeightAverage:
        average = WeightAverage(run.model, AveragingSettings("exponential", 0.3))
        run.callbacks = [Averaging(average, run.state.horizon.progress)]
        return average

    whole, first, second = loop(tiny_config, 9), loop(tiny_config, 9), loop(tiny_config, 9)
    wanted, cut, found = averaged(whole), averaged(first), averaged(second)

    def save(state: TrainState) -> None:
        if state.step == 4:
            with closing(saving(tmp_path, first, cut)) as writer:
                writer.save(state)
                writer.finish()

    first.callbacks.append(save)
    whole.run()
    first.run()
    state = load_checkpoint(tmp_path, second.model, second.optimizers, {"average": found})
    assert state is not None
    second.state = state
    second.callbacks = [Averaging(found, state.horizon.progress)]
    second.run()
    with wanted.applied(), found.applied():
        for name, tensor in weights(whole).items():
            assert torch.equal(tensor, weights(second)[name]), name


def test_weight_zero_adds_nothing(tiny_model: CausalLM) -> None:
    tokens = torch.randint(0, 512, (2, 9), generator=torch.Generator().manual_seed(1))
    some = torch.zeros(2, 8)
    some[0, 3] = 1.0
    loss = next_token(tiny_model, Batch(tokens[:, :-1], tokens[:, 1:], some), {"tokens": 1.0}).total
    logits = tiny_model(tokens[:, :-1])[0, 3]
    expected = -torch.log_softmax(logits, -1)[tokens[0, 4]]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_checkpoint_holds_the_weights_of_its_step(
    tiny_config: TransformerConfig, tmp_path: Path
) -> None:
    """It is written while training goes on; what changes meanwhile must not get in."""
    run = loop(tiny_config, 8)
    first = weights(run)
    with closing(CheckpointWriter(tmp_path, run.model, run.optimizers)) as writer:
        writer.save(run.state)
        run.run()
        writer.finish()
        assert writer.stalled > 0
    again = loop(tiny_config, 8)
    again.run()
    state = load_checkpoint(tmp_path, again.model, again.optimizers)
    assert state is not None
    assert state.step == 0
    for name, tensor in weights(again).items():
        assert torch.equal(tensor, first[name]), name


def test_a_checkpoint_that_cannot_be_written_is_an_error(
    tiny_config: TransformerConfig, tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    run = loop(tiny_config, 1)
    with closing(CheckpointWriter(tmp_path / "checkpoints", run.model, run.optimizers)) as writer:
        writer.save(run.state)
        with pytest.raises(FileExistsError):
            writer.save(run.state)


def test_prefetched_batches_are_those_of_their_source() -> None:
    source = batches(3)
    with closing(PrefetchedBatches(source, torch.device("cpu"))) as ahead:
        for step in (0, 1, 2, 7, 8, 3):
            for made, wanted in zip(ahead.at(step), source.at(step), strict=True):
                assert torch.equal(made.tokens, wanted.tokens)
                assert torch.equal(made.weights, wanted.weights)
