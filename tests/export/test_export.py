"""``modelwright export`` by the command line, each target read back by the engine it is for."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported_models import MakeModel, run_export
from tiny_workspace import modelwright

from modelwright.core.artifact import read_manifest
from modelwright.core.errors import InputError, ModelwrightError, UsageError
from modelwright.export import export as export_module
from modelwright.export import gguf_tokenizer
from modelwright.models.adapters.attach import add_adapter
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.adapters.peft_folder import save_adapter
from modelwright.models.config import RopeScaling
from modelwright.models.pretrained import load_model

pytest.importorskip("gguf")


@pytest.fixture
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts are compared whole in one test; elsewhere some of each kind do."""
    monkeypatch.setattr(export_module, "STRINGS", 260)


def test_a_gguf_file_for_each_type_with_a_manifest(make_model: MakeModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    model = make_model("qwen3")
    report = run_export(model, out, "--to", "gguf", "--type", "f32", "--type", "q4_0")
    names = [one["file"] for one in report["gate"]]
    assert names == ["model-F32.gguf", "model-Q4_0.gguf"]
    assert all(one["texts"] == 5000 and one["wrong_texts"] == 0 for one in report["gate"])
    assert report["gate"][0]["mean_divergence"] < 1e-9 < report["gate"][1]["mean_divergence"]
    manifest = read_manifest(out)
    assert (manifest.kind, manifest.stage) == ("export", "export")
    assert [parent.role for parent in manifest.parents] == ["model"]
    assert set(manifest.files) == {*names, "export.json"}
    assert report["digest"] == manifest.parents[0].digest
    sizes = [(out / name).stat().st_size for name in names]
    assert sizes[1] < sizes[0] / 3


@pytest.mark.usefixtures("few_texts")
def test_transformers_reads_a_gguf_file(make_model: MakeModel, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    report = run_export(make_model("llama"), tmp_path / "out", "--to", "gguf", "--type", "q8_0")
    (row,) = report["gate"]
    if not row["reader"].startswith("llama-cpp-python"):
        assert row["reader"].startswith("transformers ")
    assert row["problems"] == []
    assert row["chats"] == 10


@pytest.mark.usefixtures("few_texts")
def test_a_folder_for_transformers(make_model: MakeModel, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    out = tmp_path / "out"
    source = make_model("qwen3")
    report = run_export(source, out, "--to", "safetensors", "--type", "bf16")
    (row,) = report["gate"]
    assert row["reader"].startswith("transformers ")
    assert 0 < row["mean_divergence"] < 1e-3
    config = json.loads((out / "config.json").read_text())
    assert config["torch_dtype"] == config["dtype"] == "bfloat16"
    settings = json.loads((out / "tokenizer_config.json").read_text())
    assert settings["chat_template"] == (out / "chat_template.jinja").read_text()
    ends = json.loads((out / "generation_config.json").read_text())["eos_token_id"]
    model = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert model.dtype == torch.bfloat16
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    assert tokenizer.convert_ids_to_tokens(ends) == ["<|im_end|>", "<|endoftext|>"]
    assert load_model(out).config == load_model(source).config


@pytest.mark.usefixtures("few_texts")
def test_a_graph_for_onnx_runtime(make_model: MakeModel, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out, source = tmp_path / "out", make_model("gpt2")
    report = run_export(source, out, "--to", "onnx")
    (row,) = report["gate"]
    assert (row["wrong_texts"], row["chats"]) == (0, 0)
    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    model = load_model(source)
    for shape in ((1, 1), (3, 64), (5, 7)):
        tokens = torch.randint(0, 512, shape)
        with torch.no_grad():
            expected = model(tokens).numpy()
        (found,) = session.run(None, {"input_ids": tokens.numpy()})
        assert np.abs(found - expected).max() < 1e-4


@pytest.mark.usefixtures("few_texts")
def test_a_folder_for_ollama(make_model: MakeModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_export(make_model("qwen3"), out, "--to", "ollama", "--type", "q8_0")
    lines = (out / "Modelfile").read_text().splitlines()
    assert lines[0] == "FROM ./model-Q8_0.gguf"
    assert (out / "model-Q8_0.gguf").is_file()
    assert lines[-3:] == [
        "PARAMETER num_ctx 64",
        'PARAMETER stop "<|im_end|>"',
        'PARAMETER stop "<|endoftext|>"',
    ]


def test_a_wrong_export_fails_and_leaves_nothing(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another tokenizer's file is told by its ids."""
    monkeypatch.setattr(export_module, "STRINGS", 260)
    monkeypatch.setattr(gguf_tokenizer, "splitter_of", lambda tokenizer, folder: "gpt-2")
    with pytest.raises(ModelwrightError, match="other token ids") as caught:
        run_export(make_model("qwen3"), tmp_path / "out", "--to", "gguf")
    assert caught.value.exit_code == 1
    assert not [one for one in tmp_path.rglob("*") if one.suffix in (".gguf", ".json")]


def test_an_adapter_is_to_be_merged_first(make_model: MakeModel, tmp_path: Path) -> None:
    model = load_model(make_model("qwen3"))
    add_adapter(model, AdapterConfig(rank=2))
    save_adapter(model, tmp_path / "lora")
    with pytest.raises(InputError, match="adapter") as caught:
        run_export(tmp_path / "lora", tmp_path / "out", "--to", "gguf")
    assert "modelwright merge" in str(caught.value)


@pytest.mark.parametrize(
    ("family", "changes", "flags", "said"),
    [
        ("qwen3", {"hidden_size": 48}, ("gguf", "q8_0"), "hidden_size of this model is 48"),
        ("qwen3", {"attention_bias": True}, ("gguf", "f16"), "no biases in the attention"),
        ("qwen3", {"sliding_window": 5, "sliding_layers": (0,)}, ("gguf", "f32"), "no sliding"),
        (
            "qwen3",
            {"rope_scaling": RopeScaling("llama3", 4.0, 16)},
            ("gguf", "f32"),
            "as Llama 3 does for Llama only",
        ),
        (
            "llama",
            {"rope_scaling": RopeScaling("yarn", 4.0, 16, attention_factor=0.9)},
            ("gguf", "f32"),
            "usual factors and limits",
        ),
        (
            "llama",
            {"rope_scaling": RopeScaling("yarn", 4.0, 16, beta_fast=3.0)},
            ("gguf", "f32"),
            "usual factors and limits",
        ),
        ("qwen3", {"head_dim": 48}, ("vllm", "f32"), "no attention for heads of 48"),
    ],
)
def test_what_a_target_cannot_hold_is_refused(
    make_model: MakeModel,
    tmp_path: Path,
    family: str,
    changes: dict[str, Any],
    flags: tuple[str, str],
    said: str,
) -> None:
    model = make_model(family, **changes)
    with pytest.raises(InputError, match=said):
        run_export(model, tmp_path / "out", "--to", flags[0], "--type", flags[1])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--to", "gguf", "--type", "q4_k"), "llama-quantize"),
        (("--to", "onnx", "--type", "f16"), "only as f32"),
        (("--to", "vllm", "--type", "f32", "--type", "f16"), "name one type"),
        (("--to", "gguf", "--type", "f16", "--type", "f16"), "named twice"),
        (("--to", "gguf", "--reader-python", "no-such-python"), "cannot be run"),
        ((), "'to' is missing"),
    ],
)
def test_wrong_use_is_refused(
    make_model: MakeModel, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        run_export(make_model("qwen3"), tmp_path / "out", *flags)


def test_weights_too_large_for_f16_are_refused(make_model: MakeModel, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(make_model("qwen3"), tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.0.mlp.up_proj.weight"][3, 4] = 1e6
    save_file(tensors, path, metadata={"format": "pt"})
    for target in ("gguf", "safetensors"):
        with pytest.raises(InputError, match="f16 cannot hold"):
            run_export(tmp_path / "model", tmp_path / "out", "--to", target, "--type", "f16")


def test_without_libraries_it_says_what_to_install(
    make_model: MakeModel, tmp_path: Path, python_without_libraries: Path
) -> None:
    python = ("--reader-python", str(python_without_libraries))
    for target, package in (("safetensors", "transformers"), ("onnx", "tokenizers")):
        with pytest.raises(ModelwrightError, match=f"'{package}.*not installed"):
            run_export(make_model("qwen3"), tmp_path / "out", "--to", target, *python)
    scaled = make_model("llama", rope_scaling=RopeScaling("linear", 2.0))
    with pytest.raises(ModelwrightError, match=r"only llama\.cpp can read"):
        run_export(scaled, tmp_path / "out", "--to", "gguf", *python)


@pytest.mark.usefixtures("few_texts")
def test_a_reader_that_fails_is_told_with_what_it_said(
    make_model: MakeModel, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nif [ "$1" = "-c" ]; then exec "{sys.executable}" "$@"; fi\n'
        'echo "no room left" >&2\nexit 3\n'
    )
    python.chmod(0o755)
    flags = ("--to", "safetensors", "--reader-python", str(python))
    with pytest.raises(ModelwrightError, match=r"no room left \(exit code 3\)"):
        run_export(make_model("qwen3"), tmp_path / "out", *flags)


def test_at_the_terminal(make_model: MakeModel, tmp_path: Path) -> None:
    model, out = str(make_model("qwen3")), str(tmp_path / "out")
    planned = modelwright(
        "export", "--model", model, "--to", "gguf", "--out", out, "--dry-run", cwd=tmp_path
    )
    assert (planned.returncode, planned.stderr) == (0, "")
    twice = modelwright(
        "export", model, "--model", model, "--to", "gguf", "--out", out, cwd=tmp_path
    )
    assert twice.returncode == 2
    assert "the model is given twice" in twice.stderr
    assert not Path(out).exists()
