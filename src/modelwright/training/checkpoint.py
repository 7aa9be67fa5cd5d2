"""Checkpoints for resume: safetensors and JSON in a folder that appears all at once."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from modelwright.core.files import PARTIAL_SUFFIX, move_folder, write_json
from modelwright.models.pretrained import load_tensors, save_tensors
from modelwright.models.sharded import like, whole
from modelwright.training.budget import Horizon
from modelwright.training.guard import Guard
from modelwright.training.optimizers import Optimizers
from modelwright.training.optimizers.parameter_groups import trained_parameters

CHECKPOINTS = "checkpoints"
"""Their folder, in the scratch folder of a job."""

MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"


class Stateful(Protocol):
    """Something beside model and optimizer that goes on where it was."""

    def state_tensors(self) -> dict[str, Tensor]:
        """All state."""

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """The way back."""


Extras = Mapping[str, Stateful]
"""By the name of their files, without ending."""


@dataclass
class TrainState:
    """All that a run needs to go on, besides weights and optimizer.

    Attributes
    ----------
    step : int
        Optimizer steps done.
    tokens : int
        Tokens that went through the model.
    horizon : Horizon
        How far the run is and how much time it used.
    guard : Guard
        Judges steps by those before them.
    skipped_steps : int
        How many of the steps it left out.
    has_stopped : bool
        Whether the run ends before its horizon.
    """

    step: int
    tokens: int
    horizon: Horizon
    guard: Guard = field(default_factory=Guard)
    skipped_steps: int = 0
    has_stopped: bool = False

    @property
    def is_over(self) -> bool:
        """Whether no further step should be taken."""
        return self.has_stopped or self.horizon.is_over

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "step": self.step,
            "tokens": self.tokens,
            "horizon": asdict(self.horizon),
            "guard": self.guard.state(),
            "skipped_steps": self.skipped_steps,
            "has_stopped": self.has_stopped,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainState:
        """The way back."""
        guard = Guard()
        guard.restore(values["guard"])
        return cls(
            values["step"],
            values["tokens"],
            Horizon(**values["horizon"]),
            guard,
            values["skipped_steps"],
            values["has_stopped"],
        )


class CheckpointWriter:
    """Saves checkpoints while training goes on: only copying the tensors holds it up.

    Parameters
    ----------
    folder : Path
        Where checkpoints lie, as ``step-…``; only the newest is kept.
    model, optimizers, extras
        What is saved.
    writes : bool
        Whether this process writes. Of several each must save, as each may hold a piece; files
        hold whole tensors, so that any number of processes can go on from them.
    """

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        optimizers: Optimizers,
        extras: Extras | None = None,
        writes: bool = True,
    ):
        self.folder, self.model, self.optimizers = folder, model, optimizers
        self.extras, self.writes = extras or {}, writes
        self.stalled = 0.0
        """Seconds that training had to wait."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def save(self, state: TrainState) -> None:
        """Copy everything, and write it in a thread; waits if the last one is still written.

        Raises
        ------
        OSError
            If this or the last one could not be written, as on a full disk.
        """
        began = time.monotonic()
        self.finish()
        files = {MODEL: trained_tensors(self.model), OPTIMIZER: self.optimizers.state_tensors()}
        files |= {_file(name): extra.state_tensors() for name, extra in self.extras.items()}
        if self.writes:
            # What was on another device has been copied on its way; on the CPU it is still in use.
            if next(self.model.parameters()).device.type == "cpu":
                files = {name: _copies(tensors) for name, tensors in files.items()}
            self._pending = self._thread.submit(_write, self.folder, files, state.to_json())
        self.stalled += time.monotonic() - began

    def finish(self) -> None:
        """Wait until everything is on disk."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Wait, whatever becomes of the last one, and end the thread."""
        self._thread.shutdown(wait=True)


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizers: Optimizers,
    extras: Extras | None = None,
) -> TrainState | None:
    """Restore the newest checkpoint below ``folder``; None if there is none."""
    step = newest_step(folder)
    if step is None:
        return None
    newest = folder / _name(step)
    _fill(model, load_tensors(newest / MODEL))
    optimizers.load_state_tensors(load_tensors(newest / OPTIMIZER))
    for name, extra in (extras or {}).items():
        extra.load_state_tensors(load_tensors(newest / _file(name)))
    state = json.loads((newest / STATE).read_text(encoding="utf-8"))
    return TrainState.from_json(state)


def newest_step(folder: Path) -> int | None:
    """The step of the newest complete checkpoint; None if there is none."""
    finished = sorted(folder.glob("step-????????"))
    return int(finished[-1].name.removeprefix("step-")) if finished else None


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _file(name: str) -> str:
    return f"{name}.safetensors"


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that are trained, by name, whole, on the CPU; the others never change."""
    return {
        name: whole(parameter).detach().cpu().contiguous()
        for name, parameter in trained_parameters(model).items()
    }


@torch.no_grad()
def _fill(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    for name, parameter in trained_parameters(model).items():
        parameter.copy_(like(parameter, tensors[name].to(parameter.device)))


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _write(folder: Path, files: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / _name(state["step"])
    partial = final.with_name(final.name + PARTIAL_SUFFIX)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name, tensors in files.items():
        save_tensors(tensors, partial / name)
    write_json(partial / STATE, state)
    move_folder(partial, final)
    for other in folder.iterdir():
        if other != final:
            shutil.rmtree(other)
