"""Settings of the stages that learn from preferences and rewards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from modelwright.core.settings import FLAG, is_set
from modelwright.training.rewards.settings import RewardSettings
from modelwright.training.settings import AdaptationSettings, BudgetText

Method = Literal[
    "dpo", "kto", "orpo", "simpo", "cpo", "grpo", "rloo", "ppo", "online_dpo", "rejection"
]

BETA: dict[str, float] = {
    "dpo": 0.1,
    "kto": 0.1,
    "orpo": 0.1,
    "simpo": 2.0,
    "cpo": 0.1,
    "grpo": 0.0,
    "rloo": 0.05,
    "ppo": 0.05,
    "online_dpo": 0.1,
    "rejection": 0.0,
}
"""Where none is given: as the papers and TRL have it."""

TAKE_SMOOTHING = {"cdpo", "robust", "exo_pair", "aot", "aot_unpaired"}
DRAW_ANSWERS = ("grpo", "rloo", "ppo", "online_dpo", "rejection")
NEED_BETA = ("dpo", "kto", "orpo", "simpo", "cpo", "online_dpo")


def _check_loss(text: str) -> str:
    name, colon, weight = text.partition(":")
    if not name or (colon and not _is_number(weight)):
        raise ValueError("not a name, or a name and a weight as 'sigmoid:0.8'")
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


LossText = Annotated[str, AfterValidator(_check_loss)]


def _read_reward(value: Any) -> Any:
    """A text from the command line: the kind alone, or YAML."""
    if not isinstance(value, str):
        return value
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"cannot be read as YAML: {error}") from None
    return {"kind": read} if isinstance(read, str) else read


RewardText = Annotated[RewardSettings, BeforeValidator(_read_reward)]


class RewardModelSettings(AdaptationSettings):
    """How to train a reward model on pairs of answers."""

    budget: BudgetText | None = Field("1 epoch", description="when training ends")
    batch_rows: int | None = Field(32, ge=1, description="pairs in an optimizer step")
    optimizer: Literal["muon", "adamw"] = Field("adamw", description="optimizer of the matrices")
    schedule: Literal["wsd", "cosine", "linear", "constant"] = Field(
        "linear", description="course of the rate after warm-up"
    )
    centring: float = Field(
        0.01, ge=0, description="how much rewards are drawn towards 0, which pairs leave open"
    )


class AlignSettings(AdaptationSettings):
    """How to align a model to preferences, labels or rewards."""

    method: Method = Field("dpo", description="what is learnt from, and how")
    budget: BudgetText | None = Field("1 epoch", description="when training ends")
    batch_rows: int | None = Field(32, ge=1, description="pairs or answers in an optimizer step")
    optimizer: Literal["muon", "adamw"] = Field("adamw", description="optimizer of the matrices")
    schedule: Literal["wsd", "cosine", "linear", "constant"] = Field(
        "linear", description="course of the rate after warm-up"
    )
    warmup: float = Field(0.1, ge=0, le=0.5, description="part of the run with rising rate")
    beta: float | None = Field(
        None,
        ge=0,
        description="how much leaving the first model costs; by default what is usual for the "
        "method",
    )
    losses: list[LossText] = Field(
        ["sigmoid"],
        description="losses of pairs for dpo, each a name or name:weight; sft adds the likelihood "
        "of the chosen answers",
        json_schema_extra={FLAG: "loss"},
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="share of pairs whose order is expected to be wrong"
    )
    orpo_likelihood: Literal["text", "answer"] = Field(
        "text", description="likelihood in orpo: of prompt and answer, or of the answer alone"
    )
    target_margin: float = Field(0.5, ge=0, description="reward margin that simpo aims at")
    likelihood_weight: float = Field(1.0, ge=0, description="of the chosen answers, in cpo")
    good_weight: float = Field(1.0, ge=0, description="weight of good answers in kto")
    bad_weight: float = Field(1.0, ge=0, description="weight of bad answers in kto")
    uses_baseline: bool = Field(
        True, description="compare with the divergence in kto; without it is apo_zero_unpaired"
    )
    rewards: list[RewardText] = Field(
        default_factory=list,
        description="what answers are worth, for methods that draw them: a kind, as exact_match, "
        "or its settings, as '{kind: regex, pattern: yes}'",
        json_schema_extra={FLAG: "reward"},
    )
    prompts: int = Field(16, ge=1, description="prompts in a rollout")
    group: int = Field(8, ge=1, description="answers to each prompt")
    rollout_epochs: int = Field(1, ge=1, description="how often each answer is learnt from")
    answer_tokens: int = Field(128, ge=1, description="most tokens of an answer")
    temperature: float = Field(1.0, gt=0, description="at which answers are drawn")
    counts_unfinished: bool = Field(
        True, description="learn from answers that were cut off at the most tokens"
    )
    surrogate: Literal["clipped", "cispo", "sapo"] = Field(
        "clipped", description="loss of a token of an answer"
    )
    ratio: Literal["token", "sequence_mean", "sequence_sum"] | None = Field(
        None,
        description="what the importance ratio is of; by default the token, in rloo the sum over "
        "the answer (sequence_mean is GSPO)",
    )
    clip_low: float = Field(0.2, ge=0, description="how far the ratio may fall")
    clip_high: float | None = Field(
        None,
        gt=0,
        description="how far the ratio may rise, by default 0.2 (DAPO: 0.28); in cispo the largest "
        "ratio itself, by default 5",
    )
    ratio_ceiling: float | None = Field(
        None, gt=1, description="most that the ratio counts where it is not clipped"
    )
    aggregation: Literal["grpo", "bnpo", "dapo", "dr_grpo", "luspo"] = Field(
        "dapo", description="how losses of tokens are summed up"
    )
    scale: Literal["group", "batch", "none"] = Field(
        "group", description="what rewards are divided by in grpo: whose deviation"
    )
    kl: Literal["k1", "k2", "k3"] | None = Field(
        None,
        description="estimate of the divergence; by default k3 in the loss (grpo) and k1 in the "
        "reward (rloo, ppo)",
    )
    kl_target: float | None = Field(
        None, gt=0, description="adapt beta so that answers diverge by so many nats"
    )
    entropy_weight: float = Field(0.0, ge=0, description="how much entropy is rewarded")
    discount: float = Field(1.0, ge=0, le=1, description="of later rewards, in ppo")
    trace: float = Field(0.95, ge=0, le=1, description="lambda of generalised advantages, in ppo")
    value_weight: float = Field(0.1, ge=0, description="of the value head's loss, in ppo")
    value_clip: float = Field(0.2, gt=0, description="how far values may move, in ppo")
    whitens_rewards: bool = Field(False, description="scale rewards to variance 1, in ppo")
    concurrent_answers: int = Field(64, ge=1, description="most answers written at once")

    @model_validator(mode="after")
    def _fits_method(self) -> AlignSettings:
        if self.beta == 0 and self.method in NEED_BETA:
            raise ValueError(f"{self.method} learns nothing with a beta of 0")
        pays = self.method in ("grpo", "rloo", "ppo") and self.beta_of_method() > 0
        if self.kl_target is not None and not pays:
            raise ValueError("kl_target adapts beta, which has no part in this; give a --beta")
        if is_set(self, "losses") and self.method not in ("dpo", "online_dpo"):
            raise ValueError(f"losses are those of dpo; {self.method} has its own")
        if self.rewards and self.method not in DRAW_ANSWERS:
            raise ValueError(f"{self.method} learns from answers that are there, without rewards")
        names = self.loss_weights().keys()
        takes = self.method in ("simpo", "cpo") or bool(names & TAKE_SMOOTHING)
        if self.label_smoothing and not takes:
            raise ValueError(
                f"label_smoothing changes nothing here; losses that take it: "
                f"{', '.join(sorted(TAKE_SMOOTHING))}"
            )
        return self

    def decisive(self) -> dict[str, Any]:
        """The settings on which the result depends; what files hold is in the fingerprint."""
        return {**super().decisive(), "rewards": [one.decisive() for one in self.rewards]}

    def relative_to(self, folder: Path) -> AlignSettings:
        """The same settings with every path made absolute, relative ones taken from ``folder``."""
        return self.model_copy(
            update={"rewards": [one.relative_to(folder) for one in self.rewards]}
        )

    def beta_of_method(self) -> float:
        """β, given or usual."""
        return BETA[self.method] if self.beta is None else self.beta

    def loss_weights(self) -> dict[str, float]:
        """The losses of pairs with their weights."""
        pairs = (text.partition(":") for text in self.losses)
        return {name: float(weight or 1.0) for name, _, weight in pairs}
