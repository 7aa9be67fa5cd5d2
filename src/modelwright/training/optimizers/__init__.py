"""Optimizers: Muon for the blocks' matrices, AdamW for all the rest."""

from modelwright.training.optimizers.optimizers import (
    OptimizerName,
    Optimizers,
    OptimizerSettings,
)

__all__ = ["OptimizerName", "OptimizerSettings", "Optimizers"]
