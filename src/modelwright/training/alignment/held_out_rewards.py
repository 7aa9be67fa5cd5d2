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
    """Mean rewards of the likeliest answers to an even choice of prompts."""
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
    means = {"validation_reward": _mean([one.total for one in scored])}
    for name in scored[0].parts:
        means[f"validation_reward_{name}"] = _mean([one.parts[name] for one in scored])
    return means


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0
