"""Methods that learn from answers which are there: DPO and its kin, ORPO, SimPO, CPO, KTO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.core.examples import HELD_OUT, TRAIN
from modelwright.core.job import Job
from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.alignment.rows import read_labelled, read_pairs
from modelwright.training.alignment.settings import AlignSettings
from modelwright.training.examples import ExampleBatches, TokenizedExample
from modelwright.training.labelled import (
    LabelledAnswer,
    LabelledBatch,
    labelled_batches,
    matched,
    mismatch,
)
from modelwright.training.micro_batch import MicroBatch
from modelwright.training.objectives.objective import Objective, Prepare
from modelwright.training.objectives.preference import preference
from modelwright.training.objectives.reference_free import cpo, orpo, orpo_by_answer, simpo
from modelwright.training.objectives.unpaired import kto, with_baseline
from modelwright.training.pairs import TokenizedPair, pair_batches
from modelwright.training.parallel.world import World
from modelwright.training.reference import log_probability_sums
from modelwright.training.sequences import Layout

MOST_HELD_OUT = 512
"""Most held-out examples that are measured on."""


ItemT = TypeVar("ItemT")
Read = Callable[[Path, Tokenizer, int, Counter[str]], list[ItemT]]


def read_both(
    job: Job[Any],
    read: Read[ItemT],
    tokenizer: Tokenizer,
    context: int,
    dropped: Counter[str],
) -> tuple[list[ItemT], list[ItemT]]:
    """Examples to learn from, and an even choice of held-out ones.

    Raises
    ------
    InputError
        If nothing is left to learn from.
    """
    folder = job.input("examples").path
    train = read(folder / TRAIN, tokenizer, context, dropped)
    if not train:
        raise InputError(f"nothing is left to learn from; dropped: {dict(dropped)}", where=folder)
    held_out = read(folder / HELD_OUT, tokenizer, context, Counter())
    stride = max(1, len(held_out) // MOST_HELD_OUT)
    return train, held_out[::stride][:MOST_HELD_OUT]


@dataclass(frozen=True)
class Task:
    """What a method trains on.

    Attributes
    ----------
    objective : Objective
        What is minimised.
    batches : Batches
        On what.
    held_out : list of MicroBatch
        What is measured on.
    prepare : callable or None
        Looks at a whole step first.
    examples : int
        How many there are to learn from.
    """

    objective: Objective
    batches: ExampleBatches[Any]
    held_out: list[MicroBatch]
    prepare: Prepare | None
    examples: int


@dataclass(frozen=True)
class Setup:
    """What tasks are made from.

    Attributes
    ----------
    job : Job
        With settings and examples.
    model : CausalLM
        Before training, on its device.
    tokenizer : Tokenizer
        Its own.
    micro_rows : int
        Examples that go through at once.
    precision : torch.dtype
        Of the matrix products.
    world : World
        The processes.
    dropped : Counter of str
        What was left out, by reason.
    """

    job: Job[AlignSettings]
    model: CausalLM
    tokenizer: Tokenizer
    micro_rows: int
    precision: torch.dtype
    world: World
    dropped: Counter[str]

    @property
    def settings(self) -> AlignSettings:
        """Of the stage."""
        return self.job.settings

    @property
    def layout(self) -> Layout:
        """How sequences are put together."""
        return Layout(self.tokenizer.end_of_text, self.settings.packs)

    def read(self, read: Read[ItemT]) -> tuple[list[ItemT], list[ItemT]]:
        """Examples to learn from, and held-out ones, evenly chosen."""
        context = self.model.config.max_position_embeddings
        return read_both(self.job, read, self.tokenizer, context, self.dropped)

    def reference(self, name: str, examples: Sequence[TokenizedExample]) -> Tensor:
        """Log-probabilities of answers under the model before training."""
        what = f"what the model thinks of {name}"
        with self.job.progress.task(what, len(examples), "answers") as task:
            return log_probability_sums(
                self.model,
                examples,
                self.settings.micro_batch_rows,
                self.tokenizer.end_of_text,
                self.precision,
                task.update,
                self.world,
            )


def offline_task(setup: Setup) -> Task:
    """The task of a method."""
    return labelled_task(setup) if setup.settings.method == "kto" else pair_task(setup)


def pair_task(setup: Setup) -> Task:
    """DPO, ORPO, SimPO and CPO learn from pairs."""
    settings = setup.settings
    train, held_out = setup.read(read_pairs)
    objective = pair_objective(settings)
    uses_reference = settings.method == "dpo"
    scores_prompts = settings.method == "orpo" and settings.orpo_likelihood == "text"

    def batches(pairs: list[TokenizedPair], rows: int, name: str) -> ExampleBatches[Any]:
        reference = None
        if uses_reference:
            answers = [answer for pair in pairs for answer in (pair.chosen, pair.rejected)]
            reference = setup.reference(name, answers).view(-1, 2)
        return pair_batches(
            pairs, rows, setup.micro_rows, settings.seed, setup.layout, reference, scores_prompts
        )

    assert settings.batch_rows is not None
    return Task(
        objective,
        batches(train, settings.batch_rows, "the pairs"),
        batches(held_out, len(held_out), "held-out pairs").at(0) if held_out else [],
        None,
        len(train),
    )


def pair_objective(settings: AlignSettings) -> Objective:
    """What a method minimises on pairs."""
    beta, smoothing = settings.beta_of_method(), settings.label_smoothing
    match settings.method:
        case "orpo" if settings.orpo_likelihood == "answer":
            return orpo_by_answer(beta)
        case "orpo":
            return orpo(beta)
        case "simpo":
            return simpo(beta, settings.target_margin, smoothing)
        case "cpo":
            return cpo(beta, settings.likelihood_weight, smoothing)
        case _:
            return preference(settings.loss_weights(), beta, smoothing)


def labelled_task(setup: Setup) -> Task:
    """KTO learns from labelled answers."""
    settings = setup.settings
    train, held_out = setup.read(read_labelled)
    if settings.uses_baseline and len({one.prompt for one in held_out}) < 2:
        held_out = []  # nothing to work a baseline out of
    longest = setup.model.config.max_position_embeddings

    def batches(
        answers: list[LabelledAnswer], rows: int, name: str
    ) -> ExampleBatches[LabelledBatch]:
        own = setup.reference(name, matched(answers))
        others, known = None, None
        if settings.uses_baseline:
            others = mismatch(answers, longest)
            known = setup.reference(f"{name} behind other prompts", others)
        return labelled_batches(
            answers, rows, setup.micro_rows, settings.seed, setup.layout, own, others, known
        )

    assert settings.batch_rows is not None
    return Task(
        kto(settings.beta_of_method(), settings.good_weight, settings.bad_weight),
        batches(train, settings.batch_rows, "the answers"),
        list(batches(held_out, len(held_out), "held-out answers").at(0)) if held_out else [],
        with_baseline if settings.uses_baseline else None,
        len(train),
    )
