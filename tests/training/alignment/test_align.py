"""The stages align and reward, as a whole, with every method, on a tiny model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from modelwright.core.artifact import open_artifact
from modelwright.core.errors import InputError, PrunedError, UsageError
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import SilentProgress
from modelwright.models.pretrained import load_model, load_weights, save_model
from modelwright.models.sequence_classifier import load_classifier
from modelwright.models.transformer import CausalLM
from modelwright.tokens.files import TOKENIZER_FILES
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.alignment.align import align
from modelwright.training.alignment.online import policy_loss
from modelwright.training.alignment.reward_model import reward_model
from modelwright.training.alignment.rows import read_labelled
from modelwright.training.alignment.settings import AlignSettings, RewardModelSettings
from modelwright.training.finetune import finetune
from modelwright.training.settings import FinetuneSettings

PAIRS = [
    {"prompt": f"Say {word}. ", "chosen": f"{word} it is", "rejected": f"no {number}"}
    for number, word in enumerate(["path", "join", "return", "text", "two", "base", "name", "os"])
]
LABELS = [
    {"prompt": row["prompt"], "completion": row[name], "label": name == "chosen"}
    for row in PAIRS
    for name in ("chosen", "rejected")
]
PROMPTS = [{"prompt": row["prompt"], "answer": row["chosen"]} for row in PAIRS]
REWARDS = [{"kind": "regex", "pattern": "[aeiou]"}, {"kind": "length", "target": 4, "weight": 0.5}]

ONLINE: dict[str, Any] = {
    "rewards": REWARDS, "prompts": 4, "group": 4, "answer_tokens": 6, "batch_rows": 8
}  # fmt: skip
METHODS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "dpo": (PAIRS, {"losses": ["sigmoid", "sft:0.2"]}),
    "orpo": (PAIRS, {}),
    "simpo": (PAIRS, {}),
    "cpo": (PAIRS, {}),
    "kto": (LABELS, {}),
    "grpo": (PROMPTS, {**ONLINE, "beta": 0.04, "rollout_epochs": 2}),
    "rloo": (PROMPTS, ONLINE),
    "ppo": (PROMPTS, {**ONLINE, "kl_target": 1.0}),
    "online_dpo": (PROMPTS, ONLINE),
    "rejection": (PROMPTS, ONLINE),
}
COMMON: dict[str, Any] = {
    "budget": "6 steps", "batch_rows": 4, "micro_batch_rows": 2, "learning_rate": 1e-3,
    "precision": "float32", "device": "cpu", "compile": False, "checkpoint_seconds": 0.0,
}  # fmt: skip


@dataclass
class Bench:
    """A model folder, and a place for examples and results."""

    folder: Path

    @property
    def base(self) -> Path:
        return self.folder / "base"

    def job(self, name: str, rows: list[dict[str, Any]], settings: Any, **changes: Any) -> Job[Any]:
        examples = self.folder / f"{name}-examples"
        examples.mkdir(exist_ok=True)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (examples / "train.jsonl").write_text(text)
        (examples / "heldout.jsonl").write_text(text)
        out = self.folder / name
        out.mkdir(exist_ok=True)
        inputs = {
            "base": open_artifact(self.base, "model"),
            "examples": open_artifact(examples, "examples"),
        }
        return Job(settings, inputs, out, SilentProgress(), **changes)

    def align(self, name: str, method: str, **changes: Any) -> tuple[Path, Outcome]:
        rows, settings = METHODS[method]
        values = {**COMMON, **settings, "method": method, **changes}
        job = self.job(name, rows, AlignSettings.model_validate(values))
        return job.folder, align(job)


@pytest.fixture
def bench(tmp_path: Path, tiny_model: CausalLM, tokenizer_folder: Path) -> Bench:
    found = Bench(tmp_path)
    found.base.mkdir()
    config = replace(tiny_model.config, eos_token_id=2, pad_token_id=0)
    tiny_model.config = config
    save_model(tiny_model, found.base)
    for name in TOKENIZER_FILES:
        if (tokenizer_folder / name).is_file():
            shutil.copyfile(tokenizer_folder / name, found.base / name)
    return found


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_weights(folder)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_measures_and_saves(bench: Bench, method: str) -> None:
    folder, outcome = bench.align("out", method)
    assert outcome.counts["steps"] == 6
    before, after = weights(bench.base), weights(folder)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(tensor.isfinite().all() for tensor in after.values())
    load_model(folder)
    names = outcome.metrics.keys()
    assert "validation_reward" in names if method in ("grpo", "ppo") else True
    rows = [json.loads(line) for line in (folder / "log" / "training.jsonl").open()]
    assert all(row["loss"] == row["loss"] for row in rows if "loss" in row)


@pytest.mark.parametrize(
    ("method", "adapter"),
    [
        *((method, {}) for method in METHODS),
        ("dpo", {"adapter": "lora", "adapter_start": "pissa", "adapter_rank": 4}),
        ("dpo", {"adapter": "lora", "adapter_dropout": 0.3, "adapter_rank": 4}),
        ("grpo", {"adapter": "dora", "adapter_rank": 4}),
    ],
)
def test_a_run_that_was_cut_off_ends_with_the_same_bytes(
    bench: Bench, method: str, adapter: dict[str, Any]
) -> None:
    whole, _ = bench.align("whole", method, **adapter)
    rows, settings = METHODS[method]
    values = {**COMMON, **settings, "method": method, **adapter}
    job = bench.job("cut", rows, AlignSettings.model_validate(values))
    given_up = list[int]()

    def should_prune(step: int, measured: object) -> bool:
        given_up.append(step)
        return len(given_up) == 2

    with pytest.raises(PrunedError):
        align(replace(job, should_prune=should_prune))
    align(job)
    first, second = weights(whole), weights(job.folder)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("method", ["dpo", "kto", "grpo", "ppo", "online_dpo"])
@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_with_an_adapter(bench: Bench, method: str, quantize: str | None) -> None:
    folder, _ = bench.align("out", method, adapter="lora", adapter_rank=4, quantize=quantize)
    assert (folder / "adapter" / "adapter_config.json").is_file()
    before, after = weights(bench.base), weights(folder)
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(before[name], after[name])
    assert torch.equal(before["model.norm.weight"], after["model.norm.weight"])


def test_dpo_prefers_what_was_chosen(bench: Bench) -> None:
    _, outcome = bench.align("out", "dpo", budget="30 steps", losses=["sigmoid"])
    assert outcome.metrics["validation_accuracy"] == 1.0
    assert outcome.metrics["validation_loss"] < 0.6


def test_a_model_that_has_not_moved_has_the_loss_of_a_coin(bench: Bench) -> None:
    seen = list[float]()
    rows, _ = METHODS["dpo"]
    settings = AlignSettings.model_validate({**COMMON, "budget": "1 step", "warmup": 0.0})
    job = bench.job("out", rows, settings)
    align(replace(job, log_metrics=lambda step, values: seen.append(values.get("loss", -1.0))))
    assert seen[0] == pytest.approx(0.6931472, abs=1e-6)


def test_a_reward_model_tells_good_from_bad(bench: Bench) -> None:
    values = {**COMMON, "budget": "40 steps"}
    settings = RewardModelSettings.model_validate(values)
    job = bench.job("reward", PAIRS, settings)
    outcome = reward_model(job)
    assert outcome.metrics["validation_accuracy"] == 1.0
    model = load_classifier(job.folder)
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(job.folder).eval()
    tokens = torch.randint(3, 500, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = model(tokens, torch.tensor([11, 23]))
        assert torch.allclose(theirs(tokens).logits, ours, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "rows", "match"),
    [
        ("dpo", LABELS, "form 'labelled'"),
        ("kto", PROMPTS, "form 'prompt'"),
        ("grpo", PAIRS, "form 'preference'"),
        ("dpo", [PAIRS[0] | {"rejected": PAIRS[0]["chosen"]}], "nothing is left"),
    ],
)
def test_examples_of_the_wrong_form_are_refused(
    bench: Bench, method: str, rows: list[dict[str, Any]], match: str
) -> None:
    values = {**COMMON, **METHODS[method][1], "method": method}
    job = bench.job("out", rows, AlignSettings.model_validate(values))
    with pytest.raises(InputError, match=match):
        align(job)


def test_a_method_that_would_learn_nothing_is_refused() -> None:
    for method in ("dpo", "kto", "online_dpo"):
        with pytest.raises(ValueError, match="learns nothing"):
            AlignSettings.model_validate({"method": method, "beta": 0})


def test_what_has_no_part_in_a_method_is_refused() -> None:
    refused: list[dict[str, Any]] = [
        {"method": "grpo", "kl_target": 1.0},
        {"method": "dpo", "kl_target": 1.0},
        {"method": "dpo", "label_smoothing": 0.1},
        {"method": "dpo", "adapter": "lora", "shard": True},
        {"method": "dpo", "quantize": "nf4"},
    ]
    for values in refused:
        with pytest.raises(ValueError, match=r"kl_target|label_smoothing|pieces|quantized"):
            AlignSettings.model_validate(values)


@pytest.mark.parametrize("method", ["rloo", "ppo"])
def test_divergence_is_paid_in_the_reward_alone(method: str) -> None:
    settings = AlignSettings.model_validate({"method": method, "beta": 0.5})
    assert not policy_loss(settings).is_kl_in_loss
    assert policy_loss(AlignSettings.model_validate({"method": "grpo"})).is_kl_in_loss


def test_a_reward_model_with_an_adapter(bench: Bench) -> None:
    values = {**COMMON, "budget": "30 steps", "adapter": "lora", "adapter_rank": 4}
    job = bench.job("reward", PAIRS, RewardModelSettings.model_validate(values))
    outcome = reward_model(job)
    assert outcome.metrics["validation_accuracy"] == 1.0
    assert load_classifier(job.folder).score.weight.shape == (1, 64)


@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_early_stopping_keeps_the_best(bench: Bench, method: str) -> None:
    _, outcome = bench.align("out", method, early_stopping=1)
    assert outcome.counts["steps"] <= 6
    rows, settings = METHODS[method]
    values = {**COMMON, **settings, "method": method, "early_stopping": 1}
    job = bench.job("none", rows, AlignSettings.model_validate(values))
    (job.input("examples").path / "heldout.jsonl").write_text("")
    with pytest.raises(UsageError, match="held-out"):
        align(job)


def test_kto_with_long_prompts_and_one_held_out_prompt(bench: Bench) -> None:
    word = "path join "
    rows = [
        {"prompt": word * 12, "completion": "yes", "label": True},
        {"prompt": "two", "completion": word * 12, "label": False},
    ]
    values = {**COMMON, "method": "kto", "batch_rows": 2, "budget": "2 steps"}
    job = bench.job("kto", rows, AlignSettings.model_validate(values))
    (job.input("examples").path / "heldout.jsonl").write_text(json.dumps(rows[0]) + "\n")
    outcome = align(job)
    assert outcome.counts["examples"] == 2
    assert "validation_loss" not in outcome.metrics


def test_other_peoples_words_in_an_answer_are_not_learnt(bench: Bench, tmp_path: Path) -> None:
    turns = [
        {"role": role, "content": text}
        for role, text in (("assistant", "call"), ("user", "result"), ("assistant", "done"))
    ]
    row = {"prompt": [{"role": "user", "content": "go"}], "completion": turns, "label": True}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    tokenizer = Tokenizer.load(bench.base)
    (answer,) = read_labelled(path, tokenizer, 64, Counter())
    said = [one for one, is_said in zip(answer.answer, answer.trained, strict=True) if is_said]
    assert tokenizer.decode(said) == "calldone"


def test_a_reward_model_as_reward(bench: Bench) -> None:
    settings = RewardModelSettings.model_validate({**COMMON, "budget": "20 steps"})
    judge = bench.job("judge", PAIRS, settings)
    reward_model(judge)
    rewards = [{"kind": "model", "path": str(judge.folder)}]
    folder, outcome = bench.align("out", "grpo", rewards=rewards)
    assert "validation_reward_model" in outcome.metrics
    rows = [json.loads(line) for line in (folder / "log" / "rollouts.jsonl").open()]
    assert len({row["step"] for row in rows}) == 2
    assert all(row["reward"] == pytest.approx(row["reward_model"]) for row in rows)


def test_fine_tuning_says_where_examples_for_alignment_belong(bench: Bench) -> None:
    job = bench.job("out", PAIRS, FinetuneSettings(batch_rows=2, budget="1 step"))
    with pytest.raises(InputError, match="all examples are for alignment") as caught:
        finetune(job)
    assert "'preferences'" in str(caught.value)


@pytest.mark.parametrize("method", ["grpo", "ppo"])
def test_two_processes_learn_from_the_answers_of_one(bench: Bench, method: str) -> None:
    rows, settings = METHODS[method]
    job = bench.job("two", rows, None)
    values = {**COMMON, **settings, "method": method}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()
             if name not in ("rewards", "compile")]  # fmt: skip
    flags += [f"--reward={json.dumps(reward)}" for reward in settings["rewards"]]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "modelwright", "align", *flags]
    command += ["--base", str(bench.base), "--examples", str(job.input("examples").path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--out", str(bench.folder / "out")],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    alone, _ = bench.align("alone", method)
    found, wanted = weights(bench.folder / "out"), weights(alone)
    assert all(torch.allclose(found[name], wanted[name], atol=2e-3) for name in wanted)


def test_rewards_are_asked_for(bench: Bench) -> None:
    with pytest.raises(UsageError, match="needs rewards"):
        bench.align("out", "grpo", rewards=[])
    with pytest.raises(UsageError, match="at least 2"):
        bench.align("out", "rloo", group=1)
    with pytest.raises(UsageError, match="do not fit"):
        bench.align("out", "ppo", answer_tokens=64)
