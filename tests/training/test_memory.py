"""Memory: what is expected before a training, and what is measured."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from modelwright.core.errors import TrainingError
from modelwright.core.machine import PeakMemory, available_memory_bytes, memory_in_use_bytes
from modelwright.core.machine import _left_in_group as left_in_group
from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training import memory
from modelwright.training.batches import Batch
from modelwright.training.heap import SLACK, heap_bytes, kept_heap
from modelwright.training.live_tensors import (
    StepBytes,
    StepShape,
    step_bytes,
    without_documents,
    without_masks,
)
from modelwright.training.memory import (
    Copies,
    Forecast,
    check_fits,
    check_weights_fit,
    compared,
    forecast,
)
from modelwright.training.micro_batch import Totals
from modelwright.training.objectives.distillation import distillation
from modelwright.training.objectives.next_token import next_token
from modelwright.training.objectives.objective import Losses
from modelwright.training.optimizers import OptimizerSettings

CPU = torch.device("cpu")
ADAMW = OptimizerSettings("adamw", 1e-3, 1e-3, 0.1)
MUON = OptimizerSettings("muon", 1e-3, 1e-3, 0.1)


def shape(
    rows: int = 4,
    length: int = 64,
    micro_batches: int = 1,
    has_documents: bool = False,
    precision: torch.dtype = torch.float32,
) -> StepShape:
    tokens = torch.zeros(rows, length, dtype=torch.int64)
    documents = torch.zeros_like(tokens) if has_documents else None
    batch = Batch(tokens, tokens, torch.ones(rows, length), documents)
    return StepShape(batch, micro_batches, precision)


def parameter_bytes(config: TransformerConfig) -> int:
    return 4 * config.parameter_count()


def test_weights_gradients_and_state_are_those_of_the_optimizer(
    tiny_config: TransformerConfig,
) -> None:
    model = CausalLM(tiny_config)
    step = step_bytes(model, next_token, ADAMW, shape())
    weights = parameter_bytes(tiny_config)
    assert step.gradients == weights
    assert step.weights - weights == 2 * 4 * 64 * 16  # the rotary tables
    assert step.optimizer == pytest.approx(2 * weights, rel=0.001)  # and counts of steps
    muon = step_bytes(model, next_token, MUON, shape())
    assert muon.optimizer < step.optimizer


def test_counting_takes_no_memory() -> None:
    config = TransformerConfig(
        vocab_size=50_000,
        hidden_size=16_384,
        intermediate_size=65_536,
        num_hidden_layers=2,
        num_attention_heads=128,
        num_key_value_heads=128,
        head_dim=128,
    )
    with torch.device("meta"):
        model = CausalLM(config)
    model.to_empty(device="cpu")  # memory that is not touched is not there
    before = memory_in_use_bytes()
    step = step_bytes(model, next_token, ADAMW, shape())
    assert step.peak > 16 * config.parameter_count() > 1e11
    assert memory_in_use_bytes() - before < 1 << 30


def activations(config: TransformerConfig, recomputes: bool = False, **changes: Any) -> int:
    model = CausalLM(config)
    model.model.recompute_activations = recomputes
    step = step_bytes(model, next_token, MUON, shape(**changes))
    return step.peak - step.weights - step.optimizer


def test_what_takes_less_is_expected_to_take_less(tiny_config: TransformerConfig) -> None:
    usual = activations(tiny_config, rows=32)
    assert activations(tiny_config, rows=32, recomputes=True) < 0.8 * usual
    assert activations(tiny_config, rows=32, precision=torch.bfloat16) < usual
    assert activations(tiny_config, rows=16) < 0.6 * usual
    assert activations(tiny_config, rows=32, has_documents=True) > usual
    assert activations(tiny_config, rows=32, micro_batches=2) > usual  # beside the gradients


def test_live_bytes_are_those_of_a_real_step(tiny_config: TransformerConfig) -> None:
    """Counted on real tensors, the same step gives the same figures."""
    from contextlib import contextmanager

    from modelwright.training import live_tensors

    model = CausalLM(tiny_config)
    initialise(model, seed=0)
    wanted = step_bytes(model, next_token, MUON, shape())

    @contextmanager
    def real():  # type: ignore[no-untyped-def]
        with live_tensors._LiveTensors() as live:
            yield live

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_tensors, "_faking", real)
        found = step_bytes(model, next_token, MUON, shape())
    assert (found.weights, found.optimizer, found.gradients) == (
        wanted.weights,
        wanted.optimizer,
        wanted.gradients,
    )
    assert found.peak == pytest.approx(wanted.peak, rel=0.02)


def test_a_teacher_counts_by_what_it_computes_alone(
    tiny_config: TransformerConfig, tiny_model: CausalLM
) -> None:
    student = CausalLM(tiny_config)
    alone = step_bytes(student, next_token, MUON, shape())
    taught = step_bytes(student, distillation(tiny_model, 1.0, 0.5), MUON, shape())
    assert taught.weights == alone.weights
    assert taught.peak > alone.peak
    assert all(p.is_leaf and not p.requires_grad for p in tiny_model.parameters())


def test_a_heap_uses_holes_again() -> None:
    size = 1 << 20
    one = [(1, size), (-1, size)]
    assert heap_bytes(one) == size + SLACK
    assert heap_bytes([*one, (2, size), (-2, size)]) == size + SLACK
    apart = [(1, size), (2, size), (-1, size), (3, 2 * size)]
    assert heap_bytes(apart) == 4 * size + 3 * SLACK  # the hole is too small
    joined = [(1, size), (2, size), (3, size), (-1, size), (-2, size), (4, 2 * size)]
    assert heap_bytes(joined) == 3 * (size + SLACK)  # two holes side by side are one


def test_keeping_the_heap_ends() -> None:
    with kept_heap():
        torch.ones(1 << 20)
    torch.ones(1 << 20)


def expected() -> Forecast:
    return Forecast(300 << 20, 50 << 20, 50 << 20, 100 << 20, 0, 1 << 30)


def test_the_forecast_in_words() -> None:
    assert str(expected()) == (
        "about 1.49 GiB of memory (program 300 MiB, weights 50 MiB, gradients 50 MiB, "
        "optimizer 100 MiB, activations 1.00 GiB)"
    )
    assert compared(104 << 20, 100 << 20) == "peak 104 MiB, 4% more than expected"
    assert compared(95 << 20, 100 << 20) == "peak 95 MiB, 5% less than expected"


def test_copies() -> None:
    assert Copies(0, is_saved=False).bytes(10, 20) == 0
    assert Copies(2, is_saved=False).bytes(10, 20) == 20
    assert Copies(1, is_saved=True).bytes(10, 20) == 10 + 10 + 20 + 10


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = expected().needed
    monkeypatch.setattr(memory, "free_memory_bytes", lambda device: needed)
    check_fits(expected(), CPU)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda device: needed - 1)
    with pytest.raises(TrainingError, match="--micro-batch-rows"):
        check_fits(expected(), CPU)


def test_weights_that_do_not_fit_are_refused_before_they_are_made(
    tiny_config: TransformerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 12 * tiny_config.parameter_count()
    monkeypatch.setattr(memory, "free_memory_bytes", lambda device: needed)
    check_weights_fit(tiny_config, CPU)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda device: needed - 1)
    with pytest.raises(TrainingError, match="parameters"):
        check_weights_fit(tiny_config, CPU)


def test_a_forecast_begins_with_the_process(tiny_model: CausalLM) -> None:
    found = forecast(tiny_model, next_token, MUON, shape(), Copies(0, False), False)
    assert found.weights + found.program == pytest.approx(memory_in_use_bytes(), rel=0.05)
    assert found.total > memory_in_use_bytes()
    state = torch.random.get_rng_state()
    forecast(tiny_model, next_token, MUON, shape(), Copies(0, False), False)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_peak_is_seen_after_it_is_over() -> None:
    block = bytearray(b"x") * (64 << 20)
    del block
    peak = PeakMemory()
    before = memory_in_use_bytes()
    block = bytearray(b"x") * (128 << 20)
    del block
    found = peak.read()
    if found is not None:
        assert found - before == pytest.approx(128 << 20, rel=0.1)


def test_a_control_group_limits(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\nactive_file 50\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert left_in_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert left_in_group(tmp_path) == 500
    assert left_in_group(tmp_path / "missing") is None
    assert 0 < available_memory_bytes(tmp_path) <= 500


def test_a_gpu_holds_tensors_alone() -> None:
    step = StepBytes(10, 20, 10, 100, ((1, 5000),), ((2, 5000),))
    assert memory._activations(step, torch.device("cuda")) == 60
    assert memory._activations(step, CPU) > 60 + memory.LIBRARIES_BYTES


def test_counting_leaves_what_is_compiled_as_it_is(tiny_config: TransformerConfig) -> None:
    graphs = list[torch.fx.GraphModule]()

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph)
        return graph.forward

    double = torch.compile(lambda x: 2 * x, backend=backend)

    def objective(model: CausalLM, batch: Batch, totals: Totals) -> Losses:
        return Losses(double(next_token(model, batch, totals).total))

    step_bytes(CausalLM(tiny_config), objective, ADAMW, shape())
    assert not graphs
    assert double(torch.ones(3)).sum() == 6
    assert len(graphs) == 1


def test_an_interrupt_while_counting_is_not_lost(tiny_config: TransformerConfig) -> None:
    def objective(model: CausalLM, batch: Batch, totals: Totals) -> Losses:
        signal.raise_signal(signal.SIGINT)
        return next_token(model, batch, totals)

    with pytest.raises(KeyboardInterrupt):
        step_bytes(CausalLM(tiny_config), objective, ADAMW, shape())


def test_on_a_gpu_masks_are_counted_as_plain_attention(tiny_config: TransformerConfig) -> None:
    masked = CausalLM(replace(tiny_config, sliding_window=16, sliding_layers=(0,)))
    assert without_masks(masked).model.config == tiny_config
    assert without_documents(shape(has_documents=True).batch).documents is None


def test_attention_by_blocks_keeps_its_probabilities(tiny_config: TransformerConfig) -> None:
    config = replace(tiny_config, max_position_embeddings=256)
    model = CausalLM(config)
    even = shape(rows=3, length=256, precision=torch.bfloat16)

    def activations(compiled: bool, of: StepShape) -> int:
        return forecast(model, next_token, ADAMW, of, Copies(0, False), compiled).activations

    more = activations(True, even) - activations(False, even)
    # Two blocks of 128 queries see 128 and 256 keys.
    heads = config.num_hidden_layers * 3 * config.num_attention_heads
    assert more == pytest.approx(2 * heads * 128 * (128 + 256), rel=0.01)
    odd = shape(rows=3, length=200, precision=torch.bfloat16)
    assert activations(True, odd) == pytest.approx(activations(False, odd), rel=0.01)
