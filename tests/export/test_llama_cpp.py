"""GGUF files in llama.cpp itself.

It is looked for in this Python, or in the one that the variable MODELWRIGHT_LLAMA_CPP_PYTHON names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from exported_models import TEXT, MakeModel, run_export
from public_models import LLAMA, PUBLIC, write_public_model

from modelwright.core.errors import ModelwrightError
from modelwright.export import export as export_module
from modelwright.export import gguf_layout
from modelwright.models.config import RopeScaling

pytest.importorskip("gguf")

NAMED = os.environ.get("MODELWRIGHT_LLAMA_CPP_PYTHON")
PYTHON = NAMED or (sys.executable if importlib.util.find_spec("llama_cpp") else None)

pytestmark = pytest.mark.skipif(
    PYTHON is None,
    reason="llama-cpp-python is not here; MODELWRIGHT_LLAMA_CPP_PYTHON may name a Python with it",
)


@pytest.fixture(autouse=True)
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "STRINGS", 1300)


def gate(model: Path, out: Path, *types: str) -> list[dict[str, Any]]:
    flags = [word for type in types for word in ("--type", type)]
    flags += ["--reader-python", str(PYTHON)]
    rows: list[dict[str, Any]] = run_export(model, out, "--to", "gguf", *flags)["gate"]
    assert all(row["reader"].startswith("llama-cpp-python ") for row in rows)
    return rows


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("qwen3", {}),
        ("llama", {"tie_word_embeddings": False}),
        ("llama", {"attention_bias": True, "feed_forward_bias": True}),
        ("gpt2", {}),
    ],
)
def test_each_family_in_each_type(
    make_model: MakeModel, tmp_path: Path, family: str, changes: dict[str, Any]
) -> None:
    types = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
    rows = gate(make_model(family, **changes), tmp_path / "out", *types)
    assert [row["type"] for row in rows] == list(types)
    assert {row["chats"] for row in rows} == {10}


@pytest.mark.parametrize(
    ("family", "scaling"),
    [
        ("llama", RopeScaling("linear", 4.0)),
        ("llama", RopeScaling("llama3", 4.0, 16, 1.0, 4.0)),
        ("qwen3", RopeScaling("yarn", 4.0, 16)),
        ("qwen3", RopeScaling("dynamic", 4.0)),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_scaled_positions(
    make_model: MakeModel, tmp_path: Path, family: str, scaling: RopeScaling
) -> None:
    gate(make_model(family, rope_scaling=scaling), tmp_path / "out", "f32")


@pytest.mark.parametrize("name", PUBLIC)
def test_models_that_others_made(tmp_path: Path, name: str) -> None:
    gate(write_public_model(name, tmp_path / "model", [TEXT] * 20), tmp_path / "out", "f32")


def test_a_token_before_every_text(tmp_path: Path) -> None:
    model = write_public_model(LLAMA, tmp_path / "model", [TEXT] * 20)
    settings = model / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"add_bos_token": True}))
    gate(model, tmp_path / "out", "f32")


def test_rows_in_the_wrong_order_fail_in_every_type(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own code reads them back as it wrote them; llama.cpp does not."""
    monkeypatch.setattr(gguf_layout, "interleaved", lambda tensor, heads: tensor)
    monkeypatch.setattr(gguf_layout, "halved", lambda tensor, heads: tensor)
    for type in ("f32", "q8_0", "q4_0"):
        with pytest.raises(ModelwrightError, match="logits differ"):
            gate(make_model("llama"), tmp_path / "out", type)
    assert not (tmp_path / "out").exists()
