"""Settings of the evaluate stage."""

from __future__ import annotations

from pydantic import Field

from modelwright.core.settings import Settings


class EvaluateSettings(Settings):
    """How much to evaluate on."""

    max_text_bytes: int = Field(
        65_536,
        gt=0,
        description="bytes of held-out text to predict; more text is sampled",
    )
    max_questions: int = Field(
        200,
        gt=0,
        description="held-out questions to answer; more questions are sampled",
    )
    max_answer_tokens: int = Field(80, gt=0, description="longest answer in tokens")
    max_baseline_bytes: int = Field(
        8_388_608,
        gt=0,
        le=48 * 2**20,  # the window of `xz -9` is 64 MiB and must hold the held-out text too
        description="bytes of training text that the bigram model and primed xz may learn from",
    )
    seed: int = Field(0, ge=0, description="decides what is sampled, and the untrained weights")
