"""LoRA+: which parameters learn at the higher rate (Hayou et al. 2024, arXiv:2402.12354)."""

from __future__ import annotations

from torch import nn


def learns_faster(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter's rate is multiplied by LoRA+'s ratio, for which the paper advises 16.

    These are the matrices B, and, as in PEFT, all that is one-dimensional: biases, DoRA's
    magnitudes.
    """
    return ".lora_B." in name or parameter.dim() == 1
