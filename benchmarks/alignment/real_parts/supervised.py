"""Supervised fine-tuning: all of the model, LoRA, QLoRA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import real_rows
import torch
from real_parts.answering import answers_to, first_questions
from real_parts.bench import Bench, Row, Stage
from real_parts.figures import Share, table

from modelwright.models.pretrained import load_config, load_model
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.batches import supervised_batches
from modelwright.training.objectives.next_token import next_token
from modelwright.training.sequences import Layout
from modelwright.training.tokenized import tokenize_file
from modelwright.training.validation import mean_losses

RATE, ADAPTER_RATE = 1e-3, 5e-3
COMMON: dict[str, Any] = {
    "optimizer": "adamw", "batch_rows": 32, "schedule": "linear", "warmup": 0.05,
    "precision": "float32", "device": "cpu",
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "full": {"learning_rate": RATE},
    "LoRA": {"learning_rate": ADAPTER_RATE, "adapter": "lora"},
    "QLoRA nf4": {"learning_rate": ADAPTER_RATE, "adapter": "lora", "quantize": "nf4"},
}
DIALOGUE_CHARACTERS = 700
QUESTIONS, ANSWER_TOKENS = 128, 96
MEASURED, ROWS = 512, 32


def supervised(bench: Bench) -> dict[str, Any]:
    """Train in each way, print a table and return its figures."""
    examples = examples_of(bench)
    runs: dict[str, Stage | None] = {"before": None}
    runs |= {name: train(bench, name, examples) for name in WAYS}
    held_out, figures = examples.folder / "heldout.jsonl", {}
    for name, run in runs.items():
        folder = run.folder if run else bench.base
        metrics = run.metrics if run else {}
        wrong = wrong_format(folder, held_out)
        figures[name] = {
            "held_out_loss": held_out_loss(folder, held_out),
            "unfinished": [wrong.hits, wrong.count],
            "seconds": metrics.get("training_seconds"),
            "peak_memory_bytes": metrics.get("peak_memory_bytes"),
            "expected_memory_bytes": metrics.get("expected_memory_bytes"),
        }
    print(f"\n## SFT: {examples.manifest['counts']}, {bench.budgets.supervised} steps of 32\n")
    rows = [
        [
            name,
            f"{one['held_out_loss']:.4f}",
            Share(*one["unfinished"]),
            one["seconds"] or "",
            _megabytes(one["peak_memory_bytes"]),
        ]
        for name, one in figures.items()
    ]
    columns = ["", "held-out loss", "answers without an end", "seconds", "peak memory"]
    print(table(columns, rows), flush=True)
    return figures


def examples_of(bench: Bench) -> Stage:
    """Questions and answers of three sets; what is too long for the model the stage leaves out."""
    sources = [
        bench.write(f"rows/{name.split('/')[0]}.jsonl", _asked_and_answered(bench.shared, name))
        for name in ("dolly_short/train", "prompted_tasks/train")
    ]
    sources.append(bench.write("rows/task_dialogues.jsonl", short_dialogues(bench.shared)))
    return bench.stage("examples", "sft-examples", sources=sources, bad_rows="drop")


def train(bench: Bench, name: str, examples: Stage) -> Stage:
    """Fine-tune in one way."""
    return bench.stage(
        "finetune",
        f"sft-{name.split()[0].lower()}",
        base=bench.base,
        examples=examples.folder,
        budget=f"{bench.budgets.supervised} steps",
        **COMMON,
        **WAYS[name],
    )


def short_dialogues(shared: Path) -> Iterator[Row]:
    """The beginnings of dialogues, before the first call of a service, as far as they are short."""
    for row in real_rows.read(shared, "task_dialogues/train"):
        messages, length = list[Row](), 0
        for turn in row["turns"]:
            length += len(turn["text"])
            if turn.get("calls") or length > DIALOGUE_CHARACTERS:
                break
            messages.append({"role": turn["role"], "content": turn["text"]})
        if messages and messages[-1]["role"] == "user":
            messages.pop()
        if messages:
            yield {"messages": messages}


def _asked_and_answered(shared: Path, name: str) -> Iterator[Row]:
    fields = real_rows.SOURCES[name]["fields"]
    for row in real_rows.read(shared, name):
        yield {ours: row[theirs] for ours, theirs in fields.items()}


def held_out_loss(folder: Path, path: Path) -> float:
    """Mean loss of a token of the answers, over an even choice of held-out conversations."""
    model, tokenizer = load_model(folder), Tokenizer.load(folder)
    context = model.config.max_position_embeddings
    examples = tokenize_file(path, tokenizer, context, "all_turns", {})
    some = examples[:: max(1, len(examples) // MEASURED)][:MEASURED]
    some.sort(key=lambda example: len(example.ids))
    batches = supervised_batches(some, len(some), ROWS, 0, Layout(tokenizer.end_of_text)).at(0)
    return mean_losses(model, next_token, batches, torch.float32)["loss"]


def wrong_format(folder: Path, path: Path) -> Share:
    """Answers to held-out questions that did not end by themselves."""
    longest = load_config(folder).max_position_embeddings - ANSWER_TOKENS
    prompts = first_questions(path, Tokenizer.load(folder), longest, QUESTIONS)
    answers = answers_to(folder, prompts, 1, ANSWER_TOKENS, temperature=0.7)
    return Share(sum(not one.is_finished for one in answers), len(answers))


def _megabytes(size: float | None) -> str:
    return f"{size / 1e6:,.0f} MB" if size else ""
