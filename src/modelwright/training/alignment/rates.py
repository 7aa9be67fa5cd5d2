"""Learning rates where none are given."""

from __future__ import annotations

from typing import TypeVar

from modelwright.models.config import TransformerConfig
from modelwright.training.adaptation import ADAPTER_FACTOR
from modelwright.training.settings import AdaptationSettings

SettingsT = TypeVar("SettingsT", bound=AdaptationSettings)

WIDTH = 4096
"""Of the models with which rates of the literature were found."""

RATE = 1e-6
"""For all weights of such a model, as DPO's and GRPO's authors and TRL have it."""


def with_rate(settings: SettingsT, config: TransformerConfig, factor: float = 1.0) -> SettingsT:
    """The settings with a rate that falls with the width, if none was given.

    Parameters
    ----------
    settings : AdaptationSettings
        As asked for.
    config : TransformerConfig
        Of the model.
    factor : float
        How much faster than preferences and rewards something is learnt.
    """
    rate = settings.learning_rate
    if rate is None:
        rate = factor * RATE * WIDTH / config.hidden_size
        rate *= ADAPTER_FACTOR if settings.adapter else 1.0
    matrix_rate = settings.matrix_learning_rate or rate
    return settings.model_copy(update={"learning_rate": rate, "matrix_learning_rate": matrix_rate})
