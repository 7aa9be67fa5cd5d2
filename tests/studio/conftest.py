"""Artifacts as a run leaves them, small and made up, to render reports from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelwright.core.artifact import (
    Artifact,
    Manifest,
    Parent,
    digest_of,
    hash_files,
    write_manifest,
)
from modelwright.core.files import write_text


def make_artifact(
    root: Path,
    stage: str,
    kind: str,
    *,
    parents: dict[str, Artifact] | None = None,
    files: dict[str, str] | None = None,
    **fields: Any,
) -> Artifact:
    folder = root / "artifacts" / f"{stage}-0123abcd"
    folder.mkdir(parents=True)
    for name, text in (files or {"data.txt": stage}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_text(folder / name, text)
    hashes = hash_files(folder)
    manifest = Manifest(
        kind=kind,
        id=folder.name,
        stage=stage,
        created="2026-01-02T03:04:05Z",
        code_version="0.1.0",
        digest=digest_of(hashes),
        files=hashes,
        machine={"system": "Linux", "processor": "x86_64", "cores": 2, "memory_gib": 7.8},
        parents=[
            Parent(role=role, kind=item.kind, id=item.id, digest=item.manifest.digest)
            for role, item in (parents or {}).items()
        ],
        **fields,
    )
    write_manifest(folder, manifest)
    return Artifact(folder, manifest)


def training_log(steps: int, start: float, end: float, validation: str) -> str:
    rows: list[dict[str, float]] = []
    for step in range(1, steps + 1):
        share = step / steps
        loss = end + (start - end) * math.exp(-6 * share)
        position: dict[str, float] = {
            "step": step * 4,
            "tokens": step * 32_768,
            "seconds": step * 1.3,
        }
        rows.append(
            {
                **position,
                "loss": loss + 0.3 * (math.sin(step * step) * 43758.5453 % 1 - 0.5),
                "learning_rate": 0.003 * min(1.0, 20 * share, 1.6 * (1.02 - share)),
                "gradient_norm": 0.4,
                "tokens_per_second": 25_000 + 900 * math.sin(step * step),
            }
        )
        if step % (steps // 8) == 0:
            rows.append({**position, validation: loss / 2.6})
    return "".join(json.dumps(row) + "\n" for row in rows)


def answers_file(count: int) -> str:
    rows = []
    for index in range(count):
        target = f"os.path.join joins path number {index} and inserts a separator where needed."
        question = f"What does os.path.join do with {index} parts?"
        rows.append(
            {
                "doc_id": index,
                "doc": {
                    "messages": [
                        {"role": "user", "content": question},
                        {"role": "assistant", "content": target},
                    ],
                    "object": "os.path.join",
                },
                "target": target,
                "resps": [[f"os.path.join joins {index} parts."]],
                "models": {
                    "untrained": {"resp": "zq zq \u00e9 zq", "chrf": 2.0},
                    "base": {"resp": "os.path.\n\nReturn the the path of the", "chrf": 21.0},
                    "final": {"resp": f"os.path.join joins {index} parts.", "chrf": 64.0},
                },
            }
        )
    return "".join(json.dumps(row) + "\n" for row in rows)


def make_run(root: Path) -> list[Artifact]:
    """A whole run, from collect to evaluate."""
    psf = {"licences": ["PSF-2.0"]}
    collect = make_artifact(
        root,
        "collect",
        "corpus",
        counts={"documents": 11_904, "bytes": 9_806_112},
        dropped={"no documentation": 5_120, "not readable": 3},
        settings={"sources": ["python-docs"], "max_document_bytes": 10_000_000},
        seconds=14.2,
        **psf,
    )
    prepare = make_artifact(
        root,
        "prepare",
        "corpus",
        parents={"corpus": collect},
        counts={"documents_in": 11_904, "documents_out": 8_123, "bytes_train": 7_412_009},
        dropped={"exact duplicate": 3_402, "shorter than 40 characters": 379},
        settings={"validation_share": 0.05, "min_characters": 40},
        seconds=1.9,
        **psf,
    )
    examples = make_artifact(
        root,
        "examples",
        "examples",
        counts={"examples_train": 20_113, "examples_heldout": 1_040},
        settings={"sources": ["python-docs"]},
        seconds=6.0,
        **psf,
    )
    dial = make_artifact(
        root,
        "dial",
        "dial",
        parents={"corpus": prepare, "examples": examples},
        files={
            "dial.json": json.dumps(
                {
                    "choice": {
                        "tokenizer": {"vocabulary_size": 4096},
                        "pretrain": {
                            "hidden_size": 192,
                            "layers": 6,
                            "learning_rate": 0.003,
                            "budget": "180 seconds",
                        },
                    },
                    "reasons": [
                        "This machine did 61 GFLOP/s on a probe of 3 seconds.",
                        "3.1 million parameters: about 20 tokens for each fit into the time.",
                    ],
                    "expected": {"tokens": 5_000_000, "seconds": 300.0},
                    "timing": [
                        {"hidden_size": 256, "layers": 6, "tokens_per_second": 27_771.4},
                    ],
                }
            )
        },
        seconds=4.1,
        **psf,
    )
    tokenizer = make_artifact(
        root,
        "tokenizer",
        "tokenizer",
        parents={"corpus": prepare, "dial": dial},
        counts={"vocabulary_size": 4096, "documents_seen": 7_700, "bytes_seen": 7_412_009},
        settings={"vocabulary_size": 4096, "pre_tokenizer": "qwen2"},
        seconds=3.3,
        **psf,
    )
    shards = make_artifact(
        root,
        "shards",
        "shards",
        parents={"corpus": prepare, "tokenizer": tokenizer},
        counts={"tokens_train": 2_101_440, "documents_train": 7_716, "documents_validation": 407},
        metrics={"bytes_per_token": 3.5271},
        seconds=2.2,
        **psf,
    )
    pretrain = make_artifact(
        root,
        "pretrain",
        "model",
        parents={"shards": shards, "tokenizer": tokenizer, "dial": dial},
        files={
            "model.safetensors": "weights",
            "log/training.jsonl": training_log(140, 8.3, 2.3, "validation_bits_per_byte"),
        },
        counts={"parameters": 3_148_032, "steps": 560, "tokens": 4_587_520},
        settings={"hidden_size": 192, "layers": 6, "optimizer": "muon", "device": None},
        seconds=183.4,
        **psf,
    )
    finetune = make_artifact(
        root,
        "finetune",
        "model",
        parents={"base": pretrain, "examples": examples, "dial": dial},
        files={
            "model.safetensors": "weights!",
            "log/training.jsonl": training_log(32, 3.1, 0.9, "validation_loss"),
        },
        counts={"parameters": 3_148_032, "examples": 20_113, "steps": 128, "tokens": 1_048_576},
        dropped={"longer than the context": 12},
        metrics={"epochs": 0.27},
        seconds=42.0,
        **psf,
    )
    evaluation = make_artifact(
        root,
        "evaluate",
        "evaluation",
        parents={"model": finetune, "base": pretrain, "corpus": prepare, "examples": examples},
        files={"samples_heldout_questions.jsonl": answers_file(200)},
        counts={
            "heldout_documents": 310,
            "heldout_bytes": 262_144,
            "baseline_training_bytes": 7_412_009,
            "questions": 200,
        },
        metrics={
            "bits_per_byte": 1.482113,
            "bits_per_byte_base": 1.401,
            "bits_per_byte_untrained": 3.396,
            "xz_bits_per_byte": 1.951,
            "xz_primed_bits_per_byte": 1.712,
            "bigram_bits_per_byte": 3.55,
            "chrf": 61.2,
            "chrf_base": 22.4,
            "chrf_untrained": 1.9,
            "names_object": 0.835,
            "names_object_base": 0.21,
            "names_object_untrained": 0.0,
            "exact_match": 0.12,
            "exact_match_base": 0.0,
            "exact_match_untrained": 0.0,
        },
        settings={"max_questions": 200},
        seconds=18.6,
        **psf,
    )
    return [collect, prepare, examples, dial, tokenizer, shards, pretrain, finetune, evaluation]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[Artifact]:
    """A whole run; not to be changed."""
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Artifact]:
    """Makes one artifact of the given stage and kind."""
    return partial(make_artifact, tmp_path)
