"""``modelwright data judge``: which of two corpora is better to train on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from modelwright.experiments.judge import Judged, Judgement

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("corpus_a", type=FOLDER)
@click.argument("corpus_b", type=FOLDER)
@click.option("--heldout", required=True, type=FOLDER, help="Corpus of clean text to measure on.")
@click.option(
    "--tokens",
    type=click.IntRange(1),
    default=1_000_000,
    show_default=True,
    help="Tokens that each model is trained on.",
)
@click.option(
    "--seeds", type=click.IntRange(1, 10), default=3, show_default=True, help="Models a corpus."
)
@click.option(
    "--width",
    type=click.Choice(["64", "128", "256", "512"]),
    default="128",
    show_default=True,
    help="Width of the models.",
)
@click.option(
    "--layers", type=click.IntRange(1), default=3, show_default=True, help="Their blocks."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def command(
    corpus_a: Path,
    corpus_b: Path,
    heldout: Path,
    tokens: int,
    seeds: int,
    width: str,
    layers: int,
    as_json: bool,
) -> None:
    """Train small models alike on CORPUS_A and CORPUS_B and say which learnt more.

    Same tokenizer, shape, seeds, steps and tokens for both; bits per byte on the held-out text. The
    difference counts if it exceeds the spread of the seeds (95 % interval, paired).
    """
    from modelwright.core.progress import make_progress
    from modelwright.experiments.judge import JudgeSettings, judge

    settings = JudgeSettings(tokens=tokens, seeds=seeds, width=int(width), layers=layers)
    judgement = judge(corpus_a, corpus_b, heldout, settings, make_progress())
    if as_json:
        click.echo(json.dumps(asdict(judgement), indent=2))
    else:
        click.echo(in_words(judgement, str(corpus_a), str(corpus_b)))


def in_words(judgement: Judgement, name_a: str, name_b: str) -> str:
    """A table of the seeds and the verdict."""
    first, second = judgement.first, judgement.second
    lines = [
        f"A: {_described(name_a, first)}",
        f"B: {_described(name_b, second)}",
        f"each model: {judgement.steps:,} steps, {judgement.tokens:,} tokens",
        f"held out: {judgement.heldout_documents:,} documents, {judgement.heldout_bytes:,} bytes"
        f" ({judgement.heldout_seen:,} left out, as A or B has them)",
        "",
        "bits per byte         A        B    B - A",
    ]
    pairs = zip(first.bits_per_byte, second.bits_per_byte, strict=True)
    for seed, (a, b) in enumerate(pairs):
        lines.append(f"  seed {seed:<9}{a:8.4f} {b:8.4f} {b - a:+8.4f}")
    lines += ["", _verdict(judgement)]
    return "\n".join(lines)


def _described(name: str, corpus: Judged) -> str:
    size = f"{corpus.documents:,} documents, {corpus.bytes / 1e6:,.2f} MB"
    return f"{name}: {size}, {corpus.epochs:.2f} epochs"


def _verdict(judgement: Judgement) -> str:
    comparison, seeds = judgement.comparison, len(judgement.first.bits_per_byte)
    low, high = comparison.low, comparison.high
    amount = f"{abs(comparison.difference):.4f} bits per byte"
    better = "B" if comparison.difference < 0 else "A"
    if low is None or high is None:
        return f"{better} is ahead by {amount}; one seed cannot say whether that is chance"
    interval = f"95 % interval of B - A: {low:+.4f} to {high:+.4f}, {seeds} seeds"
    if comparison.is_certain:
        return f"{better} is better by {amount} ({interval})"
    return f"no difference beyond the spread: {better} is ahead by {amount} ({interval})"
