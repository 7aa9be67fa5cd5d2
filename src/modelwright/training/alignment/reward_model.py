"""The reward stage: a model that scores answers as people would."""

from __future__ import annotations

from collections import Counter

from modelwright.core.job import Job, Outcome
from modelwright.models.device import pick_device, pick_precision
from modelwright.models.pretrained import load_model, model_tensors
from modelwright.models.sequence_classifier import classifier_from, save_classifier
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.adaptation import adapt, merged
from modelwright.training.alignment.align import say
from modelwright.training.alignment.offline import read_both
from modelwright.training.alignment.rates import with_rate
from modelwright.training.alignment.rows import read_pairs
from modelwright.training.alignment.settings import RewardModelSettings
from modelwright.training.callbacks.early_stopping import check_measured
from modelwright.training.fit import fit
from modelwright.training.objectives.reward import reward
from modelwright.training.pairs import pair_batches
from modelwright.training.parallel.shares import micro_rows
from modelwright.training.parallel.world import this_world
from modelwright.training.pretrain import copy_tokenizer
from modelwright.training.sequences import Layout
from modelwright.training.validation import mean_losses

MEASUREMENTS = 4
RATE_FACTOR = 10.0
"""A new head and a plain classification bear a higher rate than preferences do."""


def reward_model(job: Job[RewardModelSettings]) -> Outcome:
    """Train a reward model on pairs (input ``examples``), from a language model (input ``base``).

    Raises
    ------
    InputError
        If the examples are no pairs, or none is left.
    """
    base = job.input("base")
    language_model = load_model(base.path, pick_device(job.settings.device))
    settings = with_rate(job.settings, language_model.config, RATE_FACTOR)
    world = this_world()
    precision = pick_precision(settings.precision, pick_device(settings.device))
    tokenizer = Tokenizer.load(base.path)
    model = classifier_from(language_model, seed=settings.seed).train()
    adapt(model, settings, whole=("score",))
    dropped = Counter[str]()
    context = model.config.max_position_embeddings
    train, held_out = read_both(job, read_pairs, tokenizer, context, dropped)
    assert settings.batch_rows is not None
    rows = micro_rows(settings.batch_rows, settings.micro_batch_rows, world)
    layout = Layout(tokenizer.end_of_text, settings.packs)
    batches = pair_batches(train, settings.batch_rows, rows, settings.seed, layout)
    measured = pair_batches(held_out, len(held_out), rows, 0, layout).at(0) if held_out else []
    check_measured(settings.early_stopping, measured)
    objective = reward(settings.centring)
    job.progress.note(f"  {len(train):,} pairs, {len(held_out):,} held out")

    def measure() -> dict[str, float]:
        if not measured:
            return {}
        found = mean_losses(model, objective, measured, precision, world)
        return {f"validation_{name}": value for name, value in found.items()}

    length = max(1, batches.tokens_per_step // batches.rows // 2)
    flops = model.config.flops_per_token(min(length, context))
    fitted = fit(job, settings, model, objective, batches, measure, MEASUREMENTS, flops)
    merged(model, settings, job.folder, base.path, world)
    tensors = model_tensors(model)
    if world.is_leader:
        save_classifier(model.config, tensors, job.folder)
        copy_tokenizer(base, job.folder)
    say(job.progress, fitted, dropped)
    return Outcome(
        counts={
            "parameters": sum(tensor.numel() for tensor in tensors.values()),
            "pairs": len(train),
            "steps": fitted.steps,
            "skipped_steps": fitted.skipped_steps,
            "tokens": fitted.tokens,
        },
        dropped={reason: count for reason, count in dropped.items() if count},
        metrics={
            "training_seconds": round(fitted.seconds, 1),
            "saving_seconds": round(fitted.saving_seconds, 2),
            **fitted.memory,
            **fitted.measures,
        },
        settings={**fitted.settings, "learning_rate": settings.learning_rate},
    )
