"""The dial's choice where training goes on from a model that is there: all but its shape."""

from __future__ import annotations

import math
from typing import Any

from modelwright.models.config import TransformerConfig
from modelwright.training.budget import Budget

STEPS_WANTED = 500
"""Optimizer steps that a run should have at least, where the batch can be made small enough."""

LEAST_ROWS, MOST_ROWS = 4, 512

ROWS = 16
"""Rows of a step where the budget is a number of steps."""

RATE, MATRIX_RATE = 1e-3, 2e-3
"""Peak rates for a model of :data:`WIDTH`, a tenth of those for random weights."""

WIDTH = 256
"""Wider models need rates that are lower in proportion (Yang et al. 2022, arXiv:2203.03466)."""

NARROWEST = 128
"""Still narrower ones are not given higher rates."""

FINETUNE_RATE = 0.3
"""Rates of fine-tuning, of those of pretraining."""


def choice_for_base(
    config: TransformerConfig, length: int, tokens: float, budget: str
) -> dict[str, dict[str, Any]]:
    """Settings of the training stages for a model and a number of tokens.

    Parameters
    ----------
    config : TransformerConfig
        The base's.
    length : int
        Tokens in a training window.
    tokens : float
        How many it is trained on.
    budget : str
        Of pretraining.
    """
    rows = 2 ** round(math.log2(max(1.0, tokens / (STEPS_WANTED * length))))
    return {
        "pretrain": {
            "sequence_length": length,
            "batch_rows": min(max(rows, LEAST_ROWS), MOST_ROWS),
            **_rates(config),
            "budget": budget,
        },
        "finetune": finetune_choice(config),
    }


def finetune_choice(config: TransformerConfig, factor: float = 1.0) -> dict[str, Any]:
    """Batch and rates of fine-tuning for a model.

    Parameters
    ----------
    config : TransformerConfig
        The model's.
    factor : float
        What rates are multiplied by.
    """
    rates = {name: factor * FINETUNE_RATE * rate for name, rate in _rates(config).items()}
    return {"batch_rows": 32, **rates}


def _rates(config: TransformerConfig) -> dict[str, float]:
    scale = WIDTH / max(config.hidden_size, NARROWEST)
    return {"learning_rate": RATE * scale, "matrix_learning_rate": MATRIX_RATE * scale}


def choose_for_base(
    config: TransformerConfig,
    length: int,
    budget: Budget,
    text_tokens: float,
    tokens_per_second: float,
    finetune_seconds: float,
) -> tuple[dict[str, dict[str, Any]], list[str], dict[str, float]]:
    """Choice by stage, reasons and expectations for going on from a model.

    Parameters
    ----------
    config : TransformerConfig
        The base's.
    length : int
        Tokens in a training window.
    budget : Budget
        Of pretraining.
    text_tokens : float
        About how many tokens the text has.
    tokens_per_second : float
        How fast it trains here; of no meaning with a budget in another unit.
    finetune_seconds : float
        Time for fine-tuning, likewise.
    """
    tokens = {
        "seconds": budget.amount * tokens_per_second,
        "steps": budget.amount * ROWS * length,
        "tokens": budget.amount,
        "epochs": budget.amount * text_tokens,
        "FLOPs": budget.amount / config.flops_per_token(length),
    }[budget.unit]
    choice = choice_for_base(config, length, tokens, str(budget))
    rate, matrix_rate = (
        choice["pretrain"][name] for name in ("learning_rate", "matrix_learning_rate")
    )
    reasons = [
        f"{config.num_hidden_layers} layers, {config.hidden_size} wide: the shape of the base, "
        f"{config.parameter_count() / 1e6:,.1f}M parameters",
        f"rates {rate:.2g} and {matrix_rate:.2g}, so that it goes on from what it knows",
    ]
    expected = {"tokens": float(round(tokens))}
    if budget.unit == "seconds":
        choice["pretrain"]["budget"] = f"{budget.amount:.1f} seconds"
        choice["finetune"]["budget"] = f"{max(finetune_seconds, 1.0):.1f} seconds"
        reasons.append(
            f"pretraining {budget.amount:.0f} s at {tokens_per_second:,.0f} tokens/s: about "
            f"{tokens / 1e6:.2f}M tokens"
        )
        if finetune_seconds:
            reasons.append(f"fine-tuning {finetune_seconds:.0f} s")
        expected |= {
            "tokens_per_second": float(round(tokens_per_second)),
            "pretrain_seconds": round(budget.amount, 1),
            "finetune_seconds": round(finetune_seconds, 1),
        }
    else:
        if budget.unit == "steps":
            choice["pretrain"]["batch_rows"] = ROWS
        choice["finetune"]["budget"] = str(Budget(max(1.0, budget.amount / 2), budget.unit))
    return choice, reasons, expected
