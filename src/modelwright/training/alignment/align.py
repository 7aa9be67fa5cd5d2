"""The align stage: bring a model to what people prefer, or what rewards say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelwright.core.errors import UsageError
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import Progress
from modelwright.models.device import pick_device, pick_precision
from modelwright.models.policy_with_value import (
    PolicyWithValue,
    policy_with_value,
    without_value_head,
)
from modelwright.models.pretrained import load_config, load_model
from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.adaptation import adapt, merged
from modelwright.training.alignment.fingerprint import reward_licences
from modelwright.training.alignment.held_out_rewards import rewards_on
from modelwright.training.alignment.offline import Setup, offline_task
from modelwright.training.alignment.online import OnlineTask, online_task
from modelwright.training.alignment.rates import with_rate
from modelwright.training.alignment.settings import DRAW_ANSWERS, AlignSettings
from modelwright.training.callbacks.early_stopping import check_measured
from modelwright.training.fit import Fitted, fit
from modelwright.training.guard import GuardSettings
from modelwright.training.parallel.shares import micro_rows
from modelwright.training.parallel.world import this_world
from modelwright.training.pretrain import save_trained
from modelwright.training.rewards.combine import open_rewards
from modelwright.training.validation import mean_losses

MEASUREMENTS = 4
"""How often a run is measured on held-out examples, besides at its end."""


def align(job: Job[AlignSettings]) -> Outcome:
    """Align a model (input ``base``) by examples (input ``examples``), with the method asked for.

    Raises
    ------
    InputError
        If the examples are not of the form that the method learns from, or none is left.
    UsageError
        If settings do not fit together.
    """
    settings = with_rate(job.settings, load_config(job.input("base").path))
    is_online = settings.method in DRAW_ANSWERS
    if is_online and not settings.rewards:
        raise UsageError(
            f"{settings.method} needs rewards",
            fix="give them with --reward ('rewards' in a recipe)",
        )
    world = this_world()
    device = pick_device(settings.device)
    precision = pick_precision(settings.precision, device)
    base = job.input("base")
    model = load_model(base.path, device).train()
    adapt(model, settings)
    if settings.method == "ppo":
        model = policy_with_value(model)
    assert settings.batch_rows is not None
    rows = micro_rows(settings.batch_rows, settings.micro_batch_rows, world)
    tokenizer = Tokenizer.load(base.path)
    setup = Setup(job, model, tokenizer, rows, precision, world, Counter())
    if is_online:
        return _online(setup, settings)
    task = offline_task(setup)
    check_measured(settings.early_stopping, task.held_out)
    job.progress.note(f"  {task.examples:,} examples, {len(task.held_out)} held-out batches")

    def measure() -> dict[str, float]:
        if not task.held_out:
            return {}
        found = mean_losses(model, task.objective, task.held_out, precision, world, task.prepare)
        return {f"validation_{name}": value for name, value in found.items()}

    length = max(1, task.batches.tokens_per_step // task.batches.rows)
    fitted = fit(
        job,
        settings,
        model,
        task.objective,
        task.batches,
        measure,
        MEASUREMENTS,
        model.config.flops_per_token(min(length, model.config.max_position_embeddings)),
        prepare=task.prepare,
    )
    return _finish(setup, settings, fitted, {"examples": task.examples})


def _online(setup: Setup, settings: AlignSettings) -> Outcome:
    job, model = setup.job, setup.model
    with open_rewards(settings.rewards, Path.cwd()) as rewards:
        task = online_task(setup, rewards)
        check_measured(settings.early_stopping, task.held_out)
        plan = task.batches.plan
        job.progress.note(
            f"  {task.prompts:,} prompts; {plan.answers} answers a rollout, {plan.steps} steps each"
        )
        fitted = fit(
            job,
            settings,
            model,
            task.objective,
            task.batches,
            _measure(setup, task, rewards.score),
            MEASUREMENTS,
            model.config.flops_per_token(plan.longest),
            guard=GuardSettings(watches_loss=settings.method == "rejection"),
        )
        for name, failures in rewards.failures.items():
            if failures.count:
                setup.dropped[f"no value of the reward '{name}'"] = failures.count
                job.progress.note(f"  the reward '{name}' first said: {failures.first}")
    return _finish(setup, settings, fitted, {"prompts": task.prompts})


def _measure(
    setup: Setup, task: OnlineTask, score: Callable[..., Any]
) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        if not task.held_out:
            return {}
        return rewards_on(setup, task.held_out, score)

    return measure


def say(progress: Progress, fitted: Fitted, dropped: Counter[str]) -> None:
    """What a run came to, and what it left out."""
    shown = [f"{name.removeprefix('validation_').replace('_', ' ')} {value:.4g}"
             for name, value in fitted.measures.items()]  # fmt: skip
    progress.note(f"  held out: {', '.join(shown) or 'nothing was measured'}")
    for reason, count in dropped.items():
        progress.note(f"  left out: {count:,} ({reason})")


def _finish(
    setup: Setup, settings: AlignSettings, fitted: Fitted, counts: dict[str, int]
) -> Outcome:
    """Write the model, and say what came out."""
    model: CausalLM = setup.model
    if isinstance(model, PolicyWithValue):
        model = without_value_head(model)
    base = setup.job.input("base")
    merged(model, settings, setup.job.folder, base.path, setup.world)
    save_trained(model, base, setup.job, setup.world)
    say(setup.job.progress, fitted, setup.dropped)
    return Outcome(
        counts={
            "parameters": model.config.parameter_count(),
            **counts,
            "steps": fitted.steps,
            "skipped_steps": fitted.skipped_steps,
            "tokens": fitted.tokens,
        },
        dropped={reason: count for reason, count in setup.dropped.items() if count},
        metrics={
            "training_seconds": round(fitted.seconds, 1),
            "saving_seconds": round(fitted.saving_seconds, 2),
            **fitted.memory,
            **fitted.measures,
        },
        licences=sorted(reward_licences(settings)),
        settings={
            **fitted.settings,
            "learning_rate": settings.learning_rate,
            "beta": settings.beta_of_method(),
        },
    )
