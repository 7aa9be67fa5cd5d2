"""Optimizers: Muon for the blocks' matrices, AdamW for all the rest."""

from modelwright.training.optimizers.optimizers import Optimizers, OptimizerSettings

__all__ = ["OptimizerSettings", "Optimizers"]
