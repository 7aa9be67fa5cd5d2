"""What a training prints and logs of itself is true: held against a clock and figures of others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from modelwright.core.job import Job
from modelwright.core.progress import Task
from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training import loop
from modelwright.training.batches import Batch
from modelwright.training.callbacks import logging
from modelwright.training.fit import Fitted, fit
from modelwright.training.micro_batch import Totals
from modelwright.training.objectives.next_token import next_token
from modelwright.training.objectives.objective import Losses
from modelwright.training.settings import PretrainSettings
from modelwright.training.timing import RandomBatches
from modelwright.training.utilisation import peak_flops

LENGTH, ROWS, MICRO_ROWS = 48, 4, 2
CLOSE = 0.02


@dataclass
class Shown:
    """A display that keeps what it is told."""

    notes: list[str] = field(default_factory=list)
    figures: list[dict[str, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def task(self, name: str, total: float | None, unit: str) -> Iterator[Task]:
        yield self

    def update(self, done: float, **figures: str) -> None:
        self.figures.append(figures)


@dataclass
class Trained:
    """A training, seen from outside."""

    fitted: Fitted
    shown: Shown
    rows: list[dict[str, float]]
    tokens: int
    flops_per_token: float


@dataclass
class Clock:
    """Goes on only when it is told to."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


def train(
    folder: Path,
    config: TransformerConfig,
    budget: str,
    clock: Clock | None = None,
    step_seconds: float = 0.0,
    pause_seconds: float = 0.0,
    measure_count: int = 0,
) -> Trained:
    """Train a little; with a clock every step and every measurement takes a given time."""
    model = CausalLM(config)
    initialise(model, seed=0)
    settings = PretrainSettings(
        budget=budget, learning_rate=0.001, matrix_learning_rate=0.001, precision="float32",
        device="cpu", compile=False,
    )  # fmt: skip
    tokens = 0

    def objective(model: CausalLM, batch: Batch, totals: Totals) -> Losses:
        nonlocal tokens
        if not isinstance(batch.tokens, FakeTensor):  # that is the forecast of the memory
            tokens += batch.tokens.numel()
            if clock:
                clock.now += step_seconds * MICRO_ROWS / ROWS
        return next_token(model, batch, totals)

    def measure() -> dict[str, float]:
        if clock:
            clock.now += pause_seconds
        return {"validation_loss": 1.0}

    shown = Shown()
    batches = RandomBatches(config.vocab_size, LENGTH, ROWS, MICRO_ROWS)
    flops = config.flops_per_token(LENGTH)
    job = Job(settings, {}, folder, shown)
    fitted = fit(job, settings, model, objective, batches, measure, measure_count, flops)
    lines = (folder / "log" / "training.jsonl").read_text().splitlines()
    return Trained(
        fitted,
        shown,
        [row for row in map(json.loads, lines) if "tokens_per_second" in row],
        tokens,
        flops,
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def logged_tokens(rows: list[dict[str, float]]) -> float:
    """What the logged speeds come to over the logged times."""
    times = [0.0, *(row["seconds"] for row in rows)]
    return sum(
        row["tokens_per_second"] * (row["seconds"] - before)
        for row, before in zip(rows, times[:-1], strict=True)
    )


def seconds_in(text: str) -> float:
    return float(text.removesuffix(" s").replace(",", ""))


def test_speed_agrees_with_a_stopwatch(
    tmp_path: Path, tiny_config: TransformerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = list[float]()
    run = loop.Loop.run

    def timed(self: loop.Loop) -> None:
        began = time.perf_counter()
        run(self)
        taken.append(time.perf_counter() - began)

    monkeypatch.setattr(loop.Loop, "run", timed)
    done = train(tmp_path, tiny_config, "2.5 seconds", measure_count=2)
    assert logged_tokens(done.rows) == pytest.approx(done.tokens, rel=CLOSE)
    assert done.rows[-1]["tokens"] == done.fitted.tokens == done.tokens
    assert done.rows[-1]["seconds"] == pytest.approx(taken[0], rel=CLOSE)
    speed = logged_tokens(done.rows) / done.rows[-1]["seconds"]
    assert speed == pytest.approx(done.tokens / taken[0], rel=CLOSE)


def test_pauses_between_steps_count(
    tmp_path: Path, tiny_config: TransformerConfig, clock: Clock
) -> None:
    """Measuring takes time of the run, and of its speed; after the last step it does not."""
    done = train(tmp_path, tiny_config, "20 steps", clock, 0.5, 0.25, measure_count=4)
    assert done.fitted.seconds == pytest.approx(20 * 0.5 + 3 * 0.25)
    assert logged_tokens(done.rows) == pytest.approx(20 * ROWS * LENGTH)
    assert done.rows[-1]["seconds"] == pytest.approx(done.fitted.seconds)


def test_the_display_says_what_the_log_says(
    tmp_path: Path, tiny_config: TransformerConfig, clock: Clock
) -> None:
    done = train(tmp_path, tiny_config, "8 steps", clock, 1.0)
    figures = [one for one in done.shown.figures if "speed" in one]
    assert [one["speed"] for one in figures] == [f"{ROWS * LENGTH:,} tokens/s"] * 8
    for one, row in zip(figures, done.rows, strict=True):
        assert one["MFU"] == f"{row['model_flops_utilisation']:.0%}"


def test_time_left_of_a_budget_of_time(
    tmp_path: Path, tiny_config: TransformerConfig, clock: Clock
) -> None:
    done = train(tmp_path, tiny_config, "60 seconds", clock, 1.0, 0.5, measure_count=4)
    figures = [one for one in done.shown.figures if "left" in one]
    for one, row in zip(figures, done.rows, strict=True):
        # Half a second is what rounding to whole ones may hide.
        assert row["seconds"] + seconds_in(one["left"]) == pytest.approx(60, abs=1.0)


def test_time_left_of_a_budget_of_steps(
    tmp_path: Path, tiny_config: TransformerConfig, clock: Clock
) -> None:
    """Also right after a measurement, which makes one step look slow."""
    done = train(tmp_path, tiny_config, "100 steps", clock, 5.0, 5.0, measure_count=10)
    figures = [one for one in done.shown.figures if "left" in one]
    total = done.fitted.seconds
    assert total == pytest.approx(100 * 5.0 + 9 * 5.0)
    for row, one in list(zip(done.rows, figures, strict=True))[45:56]:
        assert row["seconds"] + seconds_in(one["left"]) == pytest.approx(total, rel=CLOSE)


def test_utilisation_is_that_of_counted_operations(
    tmp_path: Path, tiny_config: TransformerConfig, clock: Clock
) -> None:
    done = train(tmp_path, tiny_config, "4 steps", clock, 1.0)
    model = CausalLM(tiny_config)
    initialise(model, seed=0)
    tokens = torch.zeros(ROWS, LENGTH, dtype=torch.int64)
    # Attention as plain products, of whole matrices: the convention leaves out no causal half.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(tokens).sum().backward()
    operations = counter.get_total_flops() / tokens.numel()
    assert done.flops_per_token == pytest.approx(operations, rel=CLOSE)
    peak = peak_flops(torch.device("cpu"), torch.float32)
    for row in done.rows:
        wanted = row["tokens_per_second"] * operations / peak
        assert row["model_flops_utilisation"] == pytest.approx(wanted, rel=CLOSE)
        assert row["flops"] == pytest.approx(row["tokens"] * operations, rel=CLOSE)


def test_memory_is_that_of_the_system(
    tmp_path: Path, tiny_config: TransformerConfig, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("only Linux tells it this way")
    seen = list[int]()
    read = logging.memory_in_use_bytes

    def both() -> int:
        seen.append(1024 * int(status.read_text().partition("VmRSS:")[2].split()[0]))
        return read()

    monkeypatch.setattr(logging, "memory_in_use_bytes", both)
    done = train(tmp_path, tiny_config, "4 steps", clock, 1.0)
    assert [row["memory_bytes"] for row in done.rows] == pytest.approx(seen, rel=CLOSE)


def test_memory_is_said_before_and_after(
    tmp_path: Path, tiny_config: TransformerConfig, clock: Clock
) -> None:
    done = train(tmp_path, tiny_config, "4 steps", clock, 1.0)
    assert done.shown.notes[0].startswith("  about ")
    expected, peak = (done.fitted.memory[f"{name}_memory_bytes"] for name in ("expected", "peak"))
    assert done.shown.notes[-1].startswith("  peak ")
    assert peak == pytest.approx(expected, rel=0.1)
