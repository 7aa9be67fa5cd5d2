"""How much memory a training will take, said before it, and how much it took.

On a GPU that is the bytes of tensors. A process on a CPU holds more: the program and its libraries,
which are there before, and what the heap loses between tensors (:mod:`modelwright.training.heap`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

import torch

from modelwright.core.errors import TrainingError
from modelwright.core.machine import PeakMemory, memory_in_use_bytes
from modelwright.models.block_attention import fits, kept_bytes
from modelwright.models.config import TransformerConfig
from modelwright.models.device import free_memory_bytes
from modelwright.models.transformer import CausalLM, DecoderModel, initialise
from modelwright.training.batches import Batch
from modelwright.training.heap import heap_bytes
from modelwright.training.live_tensors import StepBytes, StepShape, step_bytes
from modelwright.training.objectives.next_token import next_token
from modelwright.training.objectives.objective import Objective
from modelwright.training.optimizers import OptimizerSettings

EXPECTED, PEAK = "expected_memory_bytes", "peak_memory_bytes"
"""Their names in manifests."""

LIBRARIES_BYTES = 24 << 20
"""What matrix products and threads take for themselves at full size, beyond a tiny step."""


@dataclass(frozen=True)
class Forecast:
    """Bytes that a training is expected to hold at its peak.

    Attributes
    ----------
    program : int
        The process before training without the weights: interpreter, libraries, a teacher; on a
        GPU what else lies there.
    weights, gradients, optimizer : int
        Of the model.
    copies : int
        Of weights and optimizer: averages, the best ones, a checkpoint that is being written.
    activations : int
        What the backward pass needs, and everything else that lives only in a step; on a CPU with
        what the heap loses.
    """

    program: int
    weights: int
    gradients: int
    optimizer: int
    copies: int
    activations: int

    @property
    def total(self) -> int:
        """At the peak."""
        return self.program + self.weights + self.needed

    @property
    def needed(self) -> int:
        """What is not there yet when the model is."""
        return self.gradients + self.optimizer + self.copies + self.activations

    def __str__(self) -> str:
        parts = {
            "program": self.program,
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "copies": self.copies,
            "activations": self.activations,
        }
        named = ", ".join(f"{name} {in_words(size)}" for name, size in parts.items() if size)
        return f"about {in_words(self.total)} of memory ({named})"


@dataclass(frozen=True)
class Copies:
    """Copies of the weights, and of weights and optimizer state, that a run keeps beside them.

    Attributes
    ----------
    of_weights : int
        As an average, or the best ones so far.
    is_saved : bool
        Whether checkpoints are written while training goes on, each from a copy of everything.
    """

    of_weights: int
    is_saved: bool

    def bytes(self, weights: int, optimizer: int) -> int:
        """Bytes of all of them."""
        kept = self.of_weights * weights
        return kept + (weights + optimizer + kept if self.is_saved else 0)


def forecast(
    model: DecoderModel,
    objective: Objective,
    optimizer: OptimizerSettings,
    shape: StepShape,
    copies: Copies,
    compiled: bool,
) -> Forecast:
    """Expect the peak of a training of ``model``, which is where it will be trained.

    It must be called before optimizer states and copies are made. On a CPU it takes a tiny step, so
    that libraries are loaded when the process is looked at. Blocks that will be compiled are
    counted as if they were not, save for what attention by blocks keeps; what the compiler leaves
    in the process is not counted.
    """
    device = next(model.parameters()).device
    step = step_bytes(model, objective, optimizer, shape)
    if device.type == "cpu":
        _take_tiny_step(shape.precision)
    gc.collect()
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    present = present_bytes(device)
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return Forecast(
        program=max(0, present - weights),
        weights=weights,
        gradients=step.gradients,
        optimizer=step.optimizer,
        copies=copies.bytes(trained, step.optimizer),
        activations=_activations(step, device) + _kept(model, shape, device, compiled),
    )


def _activations(step: StepBytes, device: torch.device) -> int:
    lasting = step.weights + step.optimizer + step.gradients
    if device.type != "cpu":
        return max(0, step.peak - lasting)
    # The second step finds the holes of the first.
    heap = heap_bytes([*step.before, *step.during, *step.during])
    return max(step.peak, heap) - lasting + LIBRARIES_BYTES


def _kept(model: DecoderModel, shape: StepShape, device: torch.device, compiled: bool) -> int:
    """What attention by blocks keeps, which is used in compiled blocks only."""
    is_used = compiled and device.type == "cpu" and shape.precision == torch.bfloat16
    rows, length = shape.batch.tokens.shape
    if not is_used or shape.batch.documents is not None or not fits(length):
        return 0
    layers = 1 if model.model.recompute_activations else model.config.num_hidden_layers
    return layers * kept_bytes(rows, model.config.num_attention_heads, length)


def check_fits(expected: Forecast, device: torch.device) -> None:
    """Refuse a training that would not fit into a CPU's memory.

    A GPU says itself when it is full, and what it will hold was not measured yet.

    Raises
    ------
    TrainingError
        If it needs more memory than can be had.
    """
    if device.type != "cpu":
        return
    available = free_memory_bytes(device)
    if expected.needed <= available:
        return
    raise TrainingError(
        f"training needs {expected}, and besides what is in use only {in_words(available)} "
        "can be had",
        fix="take fewer rows at once with --micro-batch-rows (results stay the same), or "
        "--recompute-activations (in 'run' --pretrain.micro-batch-rows and so on); or make the "
        "model smaller, or free memory",
    )


def check_weights_fit(config: TransformerConfig, device: torch.device) -> None:
    """Refuse a model whose weights alone would not fit to be trained, before they are made.

    Each has a gradient and at least one number of optimizer state beside it, all float32.

    Raises
    ------
    TrainingError
        If they need more memory than can be had on a CPU.
    """
    needed, available = 3 * 4 * config.parameter_count(), free_memory_bytes(torch.device("cpu"))
    if device.type != "cpu" or needed <= available:
        return
    raise TrainingError(
        f"training {config.parameter_count():,} parameters needs more than {in_words(needed)} of "
        f"memory, and only {in_words(available)} can be had",
        fix="make the model smaller (hidden_size, layers)",
    )


def present_bytes(device: torch.device) -> int:
    """What is held now: tensors on a GPU, the resident process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return memory_in_use_bytes()


def watch_peak(device: torch.device) -> Callable[[], int | None]:
    """Begin to watch; the result gives the peak since then, or None where it cannot be told."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return lambda: int(torch.cuda.max_memory_allocated(device))
    if device.type == "mps":
        return lambda: None
    return PeakMemory().read


def compared(peak: int, expected: int) -> str:
    """The peak in words, beside what was expected."""
    share = peak / expected - 1
    how = "more" if share >= 0 else "less"
    return f"peak {in_words(peak)}, {abs(share):.0%} {how} than expected"


def in_words(size: int) -> str:
    """As ``50 MiB`` or ``1.25 GiB``."""
    if size < 1 << 30:
        return f"{size / 2**20:,.0f} MiB"
    return f"{size / 2**30:,.2f} GiB"


def _take_tiny_step(precision: torch.dtype) -> None:
    config = TransformerConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
    )
    with torch.random.fork_rng(devices=[]):
        model = CausalLM(config)
    initialise(model, seed=0)
    tokens = torch.zeros(2, 64, dtype=torch.int64)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        losses = next_token(model, Batch(tokens, tokens, torch.ones(2, 64)), {"tokens": 128.0})
    losses.total.backward()  # type: ignore[no-untyped-call]
