"""GRPO and PPO on tasks whose answers can be checked, and the best of several answers."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import real_rows
from real_parts.answering import answers_to, samples_of
from real_parts.bench import Bench, Row, Stage
from real_parts.figures import Change, expected_best, table
from real_parts.preferences import pairs_of
from real_parts.supervised import COMMON, RATE, examples_of, train

from modelwright.models.pretrained import load_config
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.alignment.rows import read_prompts
from modelwright.training.reinforcement.prompts import Prompt
from modelwright.training.rewards.combine import open_rewards
from modelwright.training.rewards.settings import ExactMatchReward, ModelReward, RewardSettings

SETS = (
    "svamp",
    "simple_arithmetic_nospaces",
    "simple_arithmetic_withspaces",
    "bigbench_operators",
    "bigbench_cs_algorithms",
    "bigbench_dyck_languages",
)
UNREACHABLE = ("simple_arithmetic_nospaces", "simple_arithmetic_withspaces")
"""Of which a model this small gets none right, so that no group of answers would differ."""

HELD_OUT = 0.2
ANSWER_TOKENS = 32
REWARDED: dict[str, Any] = {
    "answer_tokens": ANSWER_TOKENS, "batch_rows": 128, "micro_batch_rows": 64, "beta": 0.02,
    "learning_rate": 3e-4, "reward": "exact_match", "precision": "float32", "device": "cpu",
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "grpo": {"prompts": 16, "group": 8},
    "ppo": {"prompts": 128, "group": 1},
}
CURVE = 8
"""Points of a reward curve that are printed, each a mean over its part of the run."""
DRAWN_HELD_OUT = 4
"""Answers to a held-out task, drawn at temperature 1."""
DRAWN, BEST_OF = 16, (1, 2, 4, 8, 16)
MOST_PROMPTS = 96
LONG_ANSWER = 96


def rewarded(bench: Bench) -> dict[str, Any]:
    """Train with each method, print what came out and return the figures."""
    start = task_model(bench)
    prompts = held_out_tasks(bench, start.folder)
    figures = dict[str, Any]()
    likeliest = {"before": matches(start.folder, prompts)}
    drawn = {"before": matches(start.folder, prompts, DRAWN_HELD_OUT, 1.0)}
    curves = {}
    for method, settings in METHODS.items():
        stage = bench.stage(
            "align",
            method,
            base=start.folder,
            examples=task_folders(bench)[1],
            method=method,
            budget=f"{bench.budgets.rewarded} steps",
            **REWARDED,
            **settings,
        )
        likeliest[method] = matches(stage.folder, prompts)
        drawn[method] = matches(stage.folder, prompts, DRAWN_HELD_OUT, 1.0)
        curves[method] = curve(stage)
        figures[f"{method} metrics"] = stage.metrics
    print(f"\n## Checkable tasks, {bench.budgets.rewarded} steps of 128 answers\n")
    print_matches("the likeliest answer", prompts, likeliest)
    print_matches(f"{DRAWN_HELD_OUT} answers drawn", prompts, drawn)
    figures |= {"likeliest": likeliest, "drawn": drawn}
    for method, points in curves.items():
        figures[f"{method} curve"] = points
        print(f"\n{method}, {figures[f'{method} metrics']['training_seconds']} s\n")
        print(table(list(points[0]), [[f"{v:.4g}" for v in one.values()] for one in means(points)]))
    return figures


def print_matches(
    what: str, prompts: Sequence[Prompt], found: Mapping[str, Sequence[float]]
) -> None:
    """Shares of right answers by set, and what a method changed, task by task."""
    runs = ("before", *METHODS)
    rows: list[list[object]] = []
    for name in (*SETS, "all"):
        of_set = [place for place, one in enumerate(prompts) if name in ("all", one.row["set"])]
        shares = [[found[run][place] for place in of_set] for run in runs]
        rows.append([f"{name} (n = {len(of_set)})", *(f"{mean(one):.1%}" for one in shares)])
    changes = [str(Change.between(found["before"], found[run])) for run in METHODS]
    rows.append(["change over all", "", *changes])
    print(table([f"exact match, held out, {what}", *runs], rows) + "\n")


def means(points: list[dict[str, float]]) -> list[dict[str, float]]:
    """The means over each of ``CURVE`` parts of a run; of the step the last."""
    size = max(1, len(points) // CURVE)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        {name: sum(one[name] for one in part) / len(part) for name in part[0]}
        | {"step": part[-1]["step"]}
        for part in parts
    ]


def best_of_n(bench: Bench) -> dict[str, Any]:
    """Print and return the expected best reward of several answers."""
    start = task_model(bench).folder
    curves = {"exact match, checkable tasks": best_curve(
        start, held_out_tasks(bench, start)[::2], ANSWER_TOKENS, ExactMatchReward()
    )}  # fmt: skip
    judge, model = bench.work / "reward-model", train(bench, "full", examples_of(bench)).folder
    if judge.is_dir():
        longest = load_config(model).max_position_embeddings - 2 * LONG_ANSWER
        path = pairs_of(bench).folder / "heldout.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        asked = [{"prompt": row["prompt"]} for row in rows]
        prompts = _prompts(bench.write("rows/heldout-asked.jsonl", asked), model, longest)
        reward = ModelReward(path=str(judge))
        curves["reward model, held-out questions"] = best_curve(model, prompts, LONG_ANSWER, reward)
    print("\n## The best of n answers: expected reward\n")
    rows_of_table = [
        [name, *(f"{value:.4f}" for value in values)] for name, values in curves.items()
    ]
    print(table(["", *(f"n = {n}" for n in BEST_OF)], rows_of_table), flush=True)
    return curves


def best_curve(
    folder: Path, prompts: Sequence[Prompt], most_tokens: int, reward: RewardSettings
) -> list[float]:
    """Mean over prompts of the expected best reward, for each of ``BEST_OF``."""
    prompts = prompts[:: max(1, len(prompts) // MOST_PROMPTS)][:MOST_PROMPTS]
    answers = answers_to(folder, prompts, DRAWN, most_tokens, temperature=1.0)
    with open_rewards([reward], Path.cwd()) as rewards:
        scored = rewards.score(samples_of(prompts, answers))
    by_prompt = defaultdict[int, list[float]](list)
    for answer, one in zip(answers, scored, strict=True):
        assert one.total is not None
        by_prompt[answer.prompt].append(one.total)
    return [
        sum(expected_best(values, n) for values in by_prompt.values()) / len(by_prompt)
        for n in BEST_OF
    ]


def task_model(bench: Bench) -> Stage:
    """The fine-tuned model, after half of the tasks with their answers."""
    return bench.stage(
        "finetune",
        "task-sft",
        base=train(bench, "full", examples_of(bench)).folder,
        examples=task_folders(bench)[0],
        budget=f"{bench.budgets.tasks} steps",
        learning_rate=RATE,
        **COMMON,
    )


def task_folders(bench: Bench) -> tuple[Path, Path]:
    """Folders of examples: half of the tasks with answers to learn from, the other half to try.

    Tasks that differ in white space only stay together. The same are held out of both.
    """
    by_question = defaultdict[str, list[Row]](list)
    for name in SETS:
        for row in real_rows.read(bench.shared, f"checkable_tasks/{name}"):
            asked = [{"role": "user", "content": row["question"]}]
            task = {"prompt": asked, "answer": row["answer"], "set": name}
            by_question["".join(row["question"].split())].append(task)
    questions = sorted(by_question)
    random.Random(0).shuffle(questions)
    held_out = round(HELD_OUT * len(questions))
    half = held_out + (len(questions) - held_out) // 2
    tested, taught, tried = (
        [task for question in part for task in by_question[question]]
        for part in (questions[:held_out], questions[held_out:half], questions[half:])
    )
    bench.write("tasks-taught/train.jsonl", map(_answered, taught))
    bench.write("tasks-taught/heldout.jsonl", map(_answered, tested))
    reachable = [task for task in tried if task["set"] not in UNREACHABLE]
    bench.write("tasks-tried/train.jsonl", reachable)
    bench.write("tasks-tried/heldout.jsonl", tested)
    return bench.work / "tasks-taught", bench.work / "tasks-tried"


def _answered(task: Row) -> Row:
    answer = {"role": "assistant", "content": task["answer"]}
    return {"messages": [*task["prompt"], answer]}


def held_out_tasks(bench: Bench, model: Path) -> list[Prompt]:
    """Tasks that nothing was learnt from."""
    longest = load_config(model).max_position_embeddings - ANSWER_TOKENS
    return _prompts(task_folders(bench)[1] / "heldout.jsonl", model, longest)


def _prompts(path: Path, model: Path, longest: int) -> list[Prompt]:
    return read_prompts(path, Tokenizer.load(model), longest, Counter())


def matches(
    folder: Path, prompts: Sequence[Prompt], group: int = 1, temperature: float = 0.0
) -> list[float]:
    """The share of right answers to each prompt; by default of the likeliest answer alone."""
    answers = answers_to(folder, prompts, group, ANSWER_TOKENS, temperature)
    with open_rewards([ExactMatchReward()], Path.cwd()) as rewards:
        scored = rewards.score(samples_of(prompts, answers))
    hits = [0] * len(prompts)
    for answer, one in zip(answers, scored, strict=True):
        hits[answer.prompt] += one.total == 1.0
    return [count / group for count in hits]


def curve(stage: Stage) -> list[dict[str, float]]:
    """Reward, divergence and length of answers along a run."""
    names = ("step", "reward", "kl", "sequence_kl", "entropy", "answer_tokens", "finished")
    rows = (row for row in stage.log() if "reward" in row)
    return [{name: row[name] for name in names if name in row} for row in rows]
