"""How many processor threads to generate with."""

from __future__ import annotations

from pathlib import Path

import torch

from modelwright.core.machine import available_cores
from modelwright.models.pretrained import load_config

SMALL_MODEL_PARAMETERS = 30_000_000


def decoding_threads(parameters: int) -> int:
    """Threads for a model of that many parameters that answers people.

    A step of a small model is so short that a second thread adds a quarter on a quiet machine, and
    on one with other work is waited for. A larger model gets all cores but one, which is left to
    whoever asks the questions.
    """
    if parameters < SMALL_MODEL_PARAMETERS:
        return 1
    return max(1, available_cores() - 1)


def use_decoding_threads(folders: list[Path], most: int | None = None) -> None:
    """Compute on as many threads as suit the largest of some models, from now on; at ``most``."""
    sizes = [load_config(folder).parameter_count() for folder in folders]
    threads = max(map(decoding_threads, sizes))
    torch.set_num_threads(threads if most is None else min(threads, most))
