"""Checkpoints for resume: safetensors and JSON in a folder that appears all at once."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from modelwright.core.files import PARTIAL_SUFFIX, move_folder, write_json
from modelwright.models.pretrained import load_tensors, model_tensors, save_tensors
from modelwright.models.transformer import CausalLM
from modelwright.training.budget import Horizon
from modelwright.training.optimizers import Optimizers

MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"


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
    """

    step: int
    tokens: int
    horizon: Horizon


def save_checkpoint(
    folder: Path, model: CausalLM, optimizers: Optimizers, state: TrainState
) -> None:
    """Write ``folder/step-…`` and remove older checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{state.step:08d}"
    partial = final.with_name(final.name + PARTIAL_SUFFIX)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    save_tensors(model_tensors(model), partial / MODEL)
    save_tensors(optimizers.state_tensors(), partial / OPTIMIZER)
    write_json(partial / STATE, asdict(state))
    move_folder(partial, final)
    for other in folder.iterdir():
        if other != final:
            shutil.rmtree(other)


def load_checkpoint(folder: Path, model: CausalLM, optimizers: Optimizers) -> TrainState | None:
    """Restore the newest checkpoint below ``folder``; None if there is none."""
    finished = sorted(folder.glob("step-????????"))
    if not finished:
        return None
    newest = finished[-1]
    model.load_state_dict(load_tensors(newest / MODEL), strict=False)  # tied heads are stored once
    optimizers.load_state_tensors(load_tensors(newest / OPTIMIZER))
    state = json.loads((newest / STATE).read_text(encoding="utf-8"))
    return TrainState(state["step"], state["tokens"], Horizon(**state["horizon"]))
