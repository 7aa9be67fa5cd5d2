"""A reward model and DPO on pairs that people judged."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import real_rows
import torch
from real_parts.bench import Bench, Row, Stage
from real_parts.figures import Share, table
from real_parts.supervised import examples_of, train
from torch import Tensor

from modelwright.models.pretrained import load_config, load_model
from modelwright.models.sequence_classifier import load_classifier
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.alignment.rows import read_pairs
from modelwright.training.examples import TokenizedExample
from modelwright.training.pairs import TokenizedPair
from modelwright.training.reference import log_probability_sums
from modelwright.training.sequences import Layout, lay_out

COMMON: dict[str, Any] = {"batch_rows": 32, "precision": "float32", "device": "cpu"}
REWARD_RATE, DPO_RATE = 3e-4, 5e-5
SETS = ("hh_harmless", "pandalm")
ROWS = 32


def preferences(bench: Bench) -> dict[str, Any]:
    """Train both, print a table of accuracies and return its figures."""
    start = train(bench, "full", examples_of(bench)).folder
    examples = pairs_of(bench)
    common = {"base": start, "examples": examples.folder, **COMMON}
    common["budget"] = f"{bench.budgets.preferences} steps"
    model = bench.stage("reward", "reward-model", learning_rate=REWARD_RATE, **common)
    policy = bench.stage("align", "dpo", method="dpo", learning_rate=DPO_RATE, **common)
    figures: dict[str, Any] = {"counts": examples.manifest["counts"]}
    held_out = held_out_pairs(bench, examples.folder / "heldout.jsonl", start)
    firsts = held_out.pop("pandalm, first"), held_out.pop("pandalm, second")
    held_out["pandalm"] = [*firsts[0], *firsts[1]]
    for name, pairs in held_out.items():
        shares = {
            "reward model": right(reward_margins(model.folder, pairs)),
            "DPO, implicit reward": right(implicit_margins(policy.folder, start, pairs)),
            "the longer answer": right(length_margins(pairs)),
        }
        if name == "pandalm":  # the other set does not say which answer came first
            shares["always the first"] = Share(len(firsts[0]), len(pairs))
        figures[name] = {what: [share.hits, share.count] for what, share in shares.items()}
    print(f"\n## Preferences: {figures['counts']}, {bench.budgets.preferences} steps of 32\n")
    names = dict.fromkeys(what for name in SETS for what in figures[name])
    rows = [
        [what, *(Share(*figures[name][what]) if what in figures[name] else "" for name in SETS)]
        for what in names
    ]
    print(table(["held-out pairs in the right order", *SETS], rows))
    for what, stage in (("reward model", model), ("DPO", policy)):
        figures[what] = stage.metrics
        print(f"\n{what}: {json.dumps(stage.metrics)}", flush=True)
    return figures


def pairs_of(bench: Bench) -> Stage:
    """Both sets; those with an answer that is too long for the model the stages leave out."""
    pairs = map(real_rows.judged_pair, real_rows.read(bench.shared, "pandalm/pairs"))
    sources = [
        bench.write("rows/hh_harmless.jsonl", _both(bench.shared)),
        bench.write("rows/pandalm.jsonl", (row for row in pairs if row)),
    ]
    return bench.stage(
        "preferences", "pairs", sources=sources, bad_rows="drop", heldout_fraction=0.2
    )


def _both(shared: Path) -> list[Row]:
    rows = real_rows.read(shared, "hh_harmless/pairs")
    return [{name: row[name] for name in ("chosen", "rejected")} for row in rows]


def held_out_pairs(bench: Bench, path: Path, model: Path) -> dict[str, list[TokenizedPair]]:
    """Held-out pairs by their set, those of PandaLM by whether the first answer was the better."""
    first = {
        f"{row['response_1']}\n{row['response_2']}"
        for row in real_rows.read(bench.shared, "pandalm/pairs")
        if row["label"] == 1
    }
    groups: dict[str, list[Row]] = {name: [] for name in FOUND_AS}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "pandalm" not in row["source"]:
            groups["hh_harmless"].append(row)
            continue
        answers = "\n".join(row[name][0]["content"] for name in ("chosen", "rejected"))
        groups["pandalm, first" if answers in first else "pandalm, second"].append(row)
    tokenizer, context = Tokenizer.load(model), load_config(model).max_position_embeddings
    found = {}
    for number, (name, rows) in enumerate(groups.items()):
        part = bench.write(f"rows/heldout-{number}.jsonl", rows)
        found[name] = read_pairs(part, tokenizer, context, Counter()) if rows else []
    return found


FOUND_AS = ("hh_harmless", "pandalm, first", "pandalm, second")


def right(margins: Tensor) -> Share:
    """How often the better answer has more; a tie counts half."""
    return Share(float((margins > 0).sum()) + float((margins == 0).sum()) / 2, len(margins))


def length_margins(pairs: list[TokenizedPair]) -> Tensor:
    """By how many tokens the better answer is longer."""
    margins = [int(pair.chosen.trained.sum() - pair.rejected.trained.sum()) for pair in pairs]
    return torch.tensor(margins)


def implicit_margins(policy: Path, reference: Path, pairs: list[TokenizedPair]) -> Tensor:
    """By how much more the policy has come to like the better answer, in nats."""
    answers, pad = _answers(pairs), Tokenizer.load(policy).end_of_text
    after, before = (
        log_probability_sums(load_model(folder).eval(), answers, ROWS, pad, torch.float32)
        for folder in (policy, reference)
    )
    return _margins(after - before)


@torch.inference_mode()
def reward_margins(folder: Path, pairs: list[TokenizedPair]) -> Tensor:
    """By how much the reward model likes the better answer more."""
    model, answers = load_classifier(folder), _answers(pairs)
    layout = Layout(Tokenizer.load(folder).end_of_text)
    scores = torch.zeros(len(answers))
    order = sorted(range(len(answers)), key=lambda index: len(answers[index].ids))
    for start in range(0, len(order), ROWS):
        part = order[start : start + ROWS]
        sequences = lay_out([answers[index] for index in part], layout)
        scores[part] = model(sequences.tokens, sequences.lasts).squeeze(-1)
    return _margins(scores)


def _answers(pairs: list[TokenizedPair]) -> list[TokenizedExample]:
    return [answer for pair in pairs for answer in (pair.chosen, pair.rejected)]


def _margins(values: Tensor) -> Tensor:
    return values[0::2] - values[1::2]
