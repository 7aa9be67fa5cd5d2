"""Modelwright's GRPO and SFT."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch
from speed_task import ANSWER_TOKENS, GROUP, LEARNING_RATE, PROMPTS, TARGET_CHARACTERS, Blocks, Task

from modelwright.core.artifact import open_artifact
from modelwright.core.job import Job
from modelwright.core.progress import SilentProgress
from modelwright.models.pretrained import load_model
from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.adaptation import adapt
from modelwright.training.alignment.offline import Setup
from modelwright.training.alignment.online import online_task
from modelwright.training.alignment.settings import AlignSettings
from modelwright.training.batches import Batches, supervised_batches
from modelwright.training.budget import Horizon
from modelwright.training.checkpoint import TrainState
from modelwright.training.heap import kept_heap
from modelwright.training.loop import Loop
from modelwright.training.micro_batch import MicroBatch
from modelwright.training.objectives.next_token import next_token
from modelwright.training.objectives.objective import Objective
from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.parallel.forward import forward_alone
from modelwright.training.parallel.world import ALONE
from modelwright.training.prefetching import PrefetchedBatches
from modelwright.training.reinforcement.rollout_batches import RolloutBatches
from modelwright.training.rewards.combine import open_rewards
from modelwright.training.schedule import schedule
from modelwright.training.sequences import Layout
from modelwright.training.settings import FinetuneSettings
from modelwright.training.tokenized import tokenize_file

SEED = 0
COMMON = {"precision": "float32", "device": "cpu", "learning_rate": LEARNING_RATE}


def main() -> None:
    """Train as the task on the command line says until the parent has enough."""
    task = Task.from_json(sys.argv[1])
    {"sft": finetune, "grpo": reinforce}[task.kind](task, Blocks(task))


def reinforce(task: Task, blocks: Blocks) -> None:
    """GRPO, a rollout a step."""
    settings = AlignSettings.model_validate(
        {
            **COMMON,
            "method": "grpo",
            "prompts": PROMPTS,
            "group": GROUP,
            "answer_tokens": ANSWER_TOKENS,
            "batch_rows": task.rows,
            "rewards": [{"kind": "length", "target": TARGET_CHARACTERS, "unit": "characters"}],
        }
    )
    inputs = {
        "base": open_artifact(Path(task.model), "model"),
        "examples": open_artifact(Path(task.examples), "examples"),
    }
    job = Job(settings, inputs, Path(task.folder), SilentProgress())
    model = load_model(Path(task.model)).train()
    tokenizer = Tokenizer.load(Path(task.model))
    setup = Setup(job, model, tokenizer, task.rows, torch.float32, ALONE, Counter())
    with open_rewards(settings.rewards, Path.cwd()) as rewards:
        online = online_task(setup, rewards)
        batches = online.batches

        def done(state: TrainState) -> None:
            blocks.add_tokens(drawn_tokens(batches, state.step - 1))
            blocks.unit_done()

        train(model, online.objective, batches, done)


def drawn_tokens(batches: RolloutBatches[MicroBatch], number: int) -> int:
    """How many tokens a rollout has."""
    newest = batches._rollout
    assert newest is not None
    assert newest.number == number
    return sum(len(answer.ids) for answer in newest.answers)


def finetune(task: Task, blocks: Blocks) -> None:
    """SFT, all of the model or an adapter."""
    settings = FinetuneSettings.model_validate(
        {**COMMON, "adapter": "lora" if task.adapter else None}
    )
    model = load_model(Path(task.model))
    adapt(model, settings)
    tokenizer = Tokenizer.load(Path(task.model))
    path = Path(task.examples) / "train.jsonl"
    examples = tokenize_file(path, tokenizer, task.context, "all_turns", {})
    layout = Layout(tokenizer.end_of_text, task.packs)
    batches = supervised_batches(examples, task.rows, task.rows, SEED, layout)
    tokens = sum(len(example.ids) for example in examples)

    def done(state: TrainState) -> None:
        if state.step % batches.steps_per_epoch == 0:
            blocks.add_tokens(tokens)
            blocks.unit_done()

    train(model, next_token, batches, done)


def train(
    model: CausalLM,
    objective: Objective,
    batches: Batches[MicroBatch],
    done: Callable[[TrainState], None],
) -> None:
    """Take steps, as the stages do, for ever."""
    horizon = Horizon(total_steps=1_000_000, seconds_limit=None)
    optimizer = OptimizerSettings("adamw", LEARNING_RATE, LEARNING_RATE, 0.0)
    with kept_heap(), closing(PrefetchedBatches(batches, torch.device("cpu"))) as ready:
        Loop(
            model,
            Optimizers(model, optimizer),
            forward_alone(model, objective),
            ready,
            schedule("constant", 0.0, 0.0, 0.0),
            TrainState(step=0, tokens=0, horizon=horizon),
            torch.float32,
            callbacks=[done],
        ).run()


if __name__ == "__main__":
    main()
