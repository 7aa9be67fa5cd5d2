"""How well a model does on prompts that were held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelwright.inference.sampling import SamplingParams
from modelwright.training.alignment.offline import Setup
from modelwright.training.reinforcement.prompts import Prompt
from modelwright.training.reinforcement.sampling import draw_answers
from modelwright.training.rewards.combine import Scored
from modelwright.training.rewards.reward import Sample

PROMPTS = 128
"""Most held-out prompts that are answered at a measurement."""


def rewards_on(
    setup: Setup, prompts: Sequence[Prompt], score: Callable[[Sequence[Sample]], list[Scored]]
) -> dict[str, float]:
    """Mean rewards of the likeliest answers to some prompts, the same in all processes.

    The leader draws and scores them.
    """
    names = ["reward", *(f"reward_{one.name or one.kind}" for one in setup.settings.rewards)]
    means = [0.0] * len(names)
    if setup.world.is_leader:
        means = _means(setup, prompts, score)
    values = setup.world.sum(*means)
    return {f"validation_{name}": value for name, value in zip(names, values, strict=True)}


def _means(
    setup: Setup, prompts: Sequence[Prompt], score: Callable[[Sequence[Sample]], list[Scored]]
) -> list[float]:
    """Of the sum of all rewards, and of each."""
    stride = max(1, len(prompts) // PROMPTS)
    numbers = list(range(0, len(prompts), stride))[:PROMPTS]
    settings = setup.settings
    params = SamplingParams(settings.answer_tokens, temperature=0.0, seed=0)
    answers = draw_answers(
        setup.model, setup.tokenizer, prompts, numbers, 1, params, 0, settings.concurrent_answers
    )
    scored = score(
        [
            Sample(
                prompts[one.prompt].text, one.text, prompts[one.prompt].row, one.is_finished,
                len(one.ids),
            )
            for one in answers
        ]
    )  # fmt: skip
    parts = scored[0].parts
    return [
        _mean([one.total for one in scored]),
        *(_mean([one.parts[name] for one in scored]) for name in parts),
    ]


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0
