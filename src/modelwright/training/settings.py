"""Settings of dial, pretrain, finetune and merge. What is left open, the dial decides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from modelwright.core.errors import UsageError
from modelwright.core.examples import TrainOn
from modelwright.core.settings import EXECUTION, FLAG, Settings, is_set
from modelwright.training.budget import Budget
from modelwright.training.names import AveragingName, OptimizerName, ScheduleName, StartName
from modelwright.training.trackers.tracker import TrackerName

ADAPTER_FOLDER = "adapter"
"""In the folder of a model that was trained with an adapter: the adapter alone, as PEFT has it."""


def _check_budget(text: str) -> str:
    try:
        Budget.parse(text)
    except UsageError as error:
        raise ValueError(f"{error.what}; {error.fix}") from None
    return text


BudgetText = Annotated[str, AfterValidator(_check_budget)]
"""A budget as text: ``5 minutes``, ``2000 steps``, ``3M tokens``, ``4 epochs``."""


class DialSettings(Settings):
    """The main dial: how much the model may cost."""

    budget: BudgetText = Field(
        "5 minutes",
        description="time for the whole run, or the amount of pretraining in steps or tokens",
    )
    start: StartName | None = Field(
        None,
        description="first weights of a new model, random or from bigrams; by default from bigrams "
        "unless that would take too much of the training, or all of the text is read",
    )


class LoopSettings(Settings):
    """What every kind of training has."""

    budget: BudgetText | None = Field(None, description="when training ends")
    learning_rate: float | None = Field(
        None, gt=0, description="peak rate of AdamW, for embeddings and norms"
    )
    matrix_learning_rate: float | None = Field(
        None, gt=0, description="peak rate of Muon, for the matrices in the blocks"
    )
    optimizer: OptimizerName = Field("muon", description="optimizer of the matrices")
    weight_decay: float | None = Field(
        None, ge=0, description="decoupled weight decay; without the dial 0.1"
    )
    schedule: ScheduleName = Field(
        "wsd",
        description="course of the rate after warm-up: stable then falling (wsd), half a cosine, "
        "falling from the start (linear), constant",
    )
    warmup: float = Field(0.02, ge=0, le=0.5, description="part of the run with rising rate")
    decay: float = Field(0.6, ge=0, le=1, description="part of the run with falling rate, for wsd")
    rate_floor: float = Field(0.0, ge=0, le=1, description="where the rate ends, of its peak")
    averaging: AveragingName | None = Field(
        None, description="average the weights along the run, and keep the average"
    )
    averaging_part: float = Field(
        0.05, gt=0, le=1, description="part of the run that the average reaches back"
    )
    early_stopping: int | None = Field(
        None,
        ge=1,
        description="stop after so many measurements without a better one, and keep the best "
        "weights",
    )
    max_gradient_norm: float = Field(1.0, gt=0, description="gradients are clipped to this")
    batch_rows: int | None = Field(None, ge=1, description="sequences in an optimizer step")
    micro_batch_rows: int = Field(32, ge=1, description="sequences that go through at once")
    precision: Literal["auto", "float32", "bfloat16", "float8"] = Field(
        "auto",
        description="type of matrix products; auto: bfloat16 where the machine has it; float8: in "
        "the blocks, on GPUs that have it, and bfloat16 elsewhere",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to train")
    compile: bool | None = Field(
        None,
        description="compile the model before training: a wait of half a minute, then faster "
        "steps; by default pretraining on a GPU, and on a CPU for 3 minutes or more",
        json_schema_extra={EXECUTION: True},
    )
    recompute_activations: bool = Field(
        False,
        description="compute activations again in the backward pass: less memory, more time",
        json_schema_extra={EXECUTION: True},
    )
    shard: bool = Field(
        False,
        description="with several processes, keep a piece of the weights in each instead of a copy",
        json_schema_extra={EXECUTION: True},
    )
    checkpoint_seconds: float = Field(
        20.0,
        ge=0,
        description="time between checkpoints for resume",
        json_schema_extra={EXECUTION: True},
    )
    trackers: list[TrackerName] = Field(
        default_factory=list,
        description="where measurements go besides the log: tensorboard, mlflow, wandb, trackio",
        json_schema_extra={EXECUTION: True, FLAG: "tracker"},
    )
    seed: int = Field(
        0, ge=0, lt=1 << 63, description="sets the first weights and the order of the data"
    )


class PretrainSettings(LoopSettings):
    """How to pretrain a model; a base has its own shape."""

    family: Literal["qwen3", "llama", "gpt2"] = Field(
        "qwen3", description="whose shape the model has, and under whose names it is stored"
    )
    hidden_size: int | None = Field(None, ge=64, multiple_of=64, description="width")
    layers: int | None = Field(None, ge=1, description="number of transformer blocks")
    heads: int | None = Field(None, ge=1, description="query heads; by default width / head_dim")
    kv_heads: int | None = Field(None, ge=1, description="key/value heads; by default half")
    head_dim: Literal[64, 128] = Field(64, description="width of an attention head")
    intermediate_size: int | None = Field(
        None,
        ge=64,
        multiple_of=32,
        description="width of the feed-forward; by default 3 x width, with gpt2 4 x",
    )
    start: StartName | None = Field(
        None,
        description="first weights: random, or embedding and output head fitted to which token "
        "follows which in the text; without the dial random",
    )
    tie_embeddings: bool | None = Field(
        None,
        description="use the embedding as output head too; by default unless they start from "
        "bigrams",
    )
    sequence_length: int | None = Field(None, ge=16, description="tokens in a training window")
    context_length: int | None = Field(
        None, ge=16, description="longest sequence the model takes; by default that of training"
    )
    mask_documents: bool = Field(
        False, description="let tokens look only at their own document, not at those before it"
    )
    temperature: float = Field(
        1.0, gt=0, description="softens the teacher's and the model's probabilities"
    )
    teacher_share: float = Field(
        0.5, ge=0, le=1, description="part of the teacher in the loss, the rest is the text's"
    )
    validation_windows: int = Field(64, ge=1, description="held-out windows to measure on")
    validation_count: int = Field(8, ge=0, description="how often to measure during the run")
    sample_prompts: list[str] = Field(
        [""],
        description="beginnings that the model goes on from at every measurement, for "
        "log/samples.jsonl; an empty one is the start of a document",
        json_schema_extra={EXECUTION: True, FLAG: "sample-prompt"},
    )

    @property
    def only_start(self) -> StartName | None:
        """The start that is asked for, or the only one that is possible; None if either is."""
        is_tied = self.family == "gpt2" if self.tie_embeddings is None else self.tie_embeddings
        return "random" if is_tied else self.start

    @property
    def ties_embeddings(self) -> bool:
        """Whether a new model's embedding is its output head, too."""
        if self.tie_embeddings is None:
            return self.start != "bigrams" or self.family == "gpt2"
        return self.tie_embeddings


class AdaptationSettings(LoopSettings):
    """What every training that goes on from a model has: all of it is trained, or an adapter."""

    train_on: TrainOn = Field(
        "all_turns",
        description="learn all that the assistant says, or only what follows the last question",
    )
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    adapter: Literal["lora", "dora"] | None = Field(
        None, description="train a small addition to the matrices, and leave the model as it is"
    )
    adapter_rank: int = Field(16, ge=1, description="rank of the addition")
    adapter_alpha: float | None = Field(
        None, gt=0, description="scale of the addition, over its rank; by default twice the rank"
    )
    adapter_rs_lora: bool = Field(
        False, description="scale by the root of the rank instead, for large ranks"
    )
    adapter_start: Literal["default", "pissa"] = Field(
        "default", description="begin at no change, or with the principal parts of the matrices"
    )
    adapter_dropout: float = Field(0.0, ge=0, lt=1, description="inputs of the addition left out")
    adapter_targets: list[str] = Field(
        default_factory=list,
        description="linear layers to adapt, as q_proj; by default all of the blocks",
        json_schema_extra={FLAG: "adapter-target"},
    )
    adapter_whole: list[str] = Field(
        default_factory=list,
        description="modules to train whole beside it, as embed_tokens or lm_head",
        json_schema_extra={FLAG: "adapter-whole"},
    )
    adapter_b_rate: float = Field(
        1.0,
        gt=0,
        description="rate of its second matrix, over that of the first (LoRA+)",
    )
    quantize: Literal["nf4", "int8"] | None = Field(
        None, description="keep the model's own matrices in 4 or 8 bits under the adapter (QLoRA)"
    )
    packs: bool = Field(
        False,
        description="put several short examples into one row, where they do not see each other",
        json_schema_extra={EXECUTION: True},
    )

    @model_validator(mode="after")
    def _quantized_is_adapted(self) -> AdaptationSettings:
        if self.shard and self.adapter:
            raise ValueError("a model in pieces cannot get an adapter; leave one of the two out")
        without_effect = [
            name
            for name in type(self).model_fields
            if name.startswith("adapter_") and is_set(self, name)
        ]
        if without_effect and not self.adapter:
            raise ValueError(f"{without_effect[0]} is of no use without an adapter")
        if self.quantize and not self.adapter:
            raise ValueError("a quantized model is not trained itself; give an adapter")
        return self


class FinetuneSettings(AdaptationSettings):
    """How to fine-tune a model on examples."""


class MergeSettings(Settings):
    """How to merge an adapter into its base."""

    quantize: Literal["nf4", "int8"] | None = Field(
        None,
        description="the form in which the base was kept while the adapter was trained (QLoRA): it "
        "is merged into the matrices that it knows",
    )
