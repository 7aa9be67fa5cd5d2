"""``modelwright compress``: what comes out is smaller, works everywhere, and is what it says."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from modelwright.cli.main import modelwright
from modelwright.core.artifact import Artifact, Manifest, open_artifact, write_manifest
from modelwright.core.errors import InputError, UsageError
from modelwright.core.files import write_text
from modelwright.data.corpus import CorpusWriter, new_document
from modelwright.evaluation.bits_per_byte import bits_per_byte
from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.models.adapters.attach import adapter_parameters
from modelwright.models.pretrained import load_model, load_weights, save_model
from modelwright.models.quantization.base import linear_layers, quantize_base, quantized_layers
from modelwright.models.quantization.int4 import Int4Linear
from modelwright.models.transformer import CausalLM
from modelwright.serving.opening import is_chat_model

FEW = ("--max-text-bytes", 3000, "--speed-tokens", 0, "--calibration-windows", 16)


def run(*arguments: object) -> None:
    modelwright.main([str(one) for one in arguments], "modelwright", standalone_mode=False)


def compress(model: Path, corpus: Artifact, out: Path, method: str, *more: object) -> Manifest:
    few = FEW if "--calibration" in more else FEW[:4]
    run(
        "compress", "--model", model, "--corpus", corpus.path, "--method", method,
        "--out", out, *few, *more,
    )  # fmt: skip
    return Manifest.model_validate_json((out / "manifest.json").read_text())


@pytest.mark.parametrize(
    ("method", "calibration", "most_bytes", "most_bits"),
    [
        ("int8", "none", 0.65, 0.01),
        ("int4", "none", 0.55, 0.2),
        ("int4", "gptq", 0.55, 0.15),
        ("int4", "awq", 0.55, 0.2),
        ("nf4", "none", 0.55, 0.15),
    ],
)
def test_a_quantized_model_is_smaller_and_runs(
    method: str,
    calibration: str,
    most_bytes: float,
    most_bits: float,
    model_folder: Path,
    corpus: Artifact,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    more = () if calibration == "none" else ("--calibration", calibration)
    manifest = compress(model_folder, corpus, out, method, *more)
    counts, metrics = manifest.counts, manifest.metrics
    assert counts["matrices"] == 14
    assert counts["weight_bytes"] == (out / "model.safetensors").stat().st_size
    assert counts["weight_bytes"] < most_bytes * counts["weight_bytes_before"]
    assert metrics["bits_per_byte"] - metrics["bits_per_byte_before"] < most_bits
    assert ("calibration_tokens" in counts) == (calibration != "none")
    table = json.loads((out / "log" / "compression.json").read_text())
    assert (table["method"], table["calibration"]) == (method, calibration)
    assert table["after"]["bits_per_byte"] == pytest.approx(metrics["bits_per_byte"], abs=1e-6)
    engine = Engine.load(out, device="cpu")
    said = engine.generate([engine.tokenizer.encode("It was")], SamplingParams(max_tokens=8))
    assert len(said[0].tokens) > 0
    assert len(quantized_layers(engine.model)) == 14


@pytest.mark.parametrize(
    ("stage", "taught", "is_chat"),
    [("pretrain", {}, False), ("finetune", {"conversations": 3}, True), ("align", {}, True)],
)
def test_a_smaller_model_has_learned_to_answer_if_the_larger_one_has(
    stage: str,
    taught: dict[str, int],
    is_chat: bool,
    model_folder: Path,
    corpus: Artifact,
    tmp_path: Path,
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(model_folder, source)
    manifest = open_artifact(source, "model").manifest
    write_manifest(source, manifest.model_copy(update={"stage": stage, "counts": taught}))
    counts = compress(source, corpus, out, "int8").counts
    assert {name: n for name, n in counts.items() if name == "conversations"} == (
        {"conversations": 0} if stage == "pretrain" else taught
    )
    assert is_chat_model(out) is is_chat


def test_transformers_says_the_same_of_a_calibrated_model(
    model_folder: Path, corpus: Artifact, windows: Tensor, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("compressed_tensors")
    out = tmp_path / "out"
    compress(model_folder, corpus, out, "int4", "--calibration", "awq", "--group-size", 32)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out, dtype="auto").eval()
    ours = load_model(out)
    assert {layer.scales.shape[1] for _, layer in quantized_layers(ours)} == {2, 4}
    with torch.no_grad():
        assert torch.allclose(theirs(windows[:2]).logits, ours(windows[:2]), atol=1e-5)


def test_the_same_command_gives_the_same_model(
    model_folder: Path, corpus: Artifact, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        compress(model_folder, corpus, tmp_path / name, "int4", "--calibration", "gptq")
    one, two = (open_artifact(tmp_path / name, "model").manifest for name in ("one", "two"))
    assert one.digest == two.digest


def test_the_speed_is_measured(model_folder: Path, corpus: Artifact, tmp_path: Path) -> None:
    manifest = compress(model_folder, corpus, tmp_path / "out", "int8", "--speed-tokens", 4)
    table = json.loads((tmp_path / "out" / "log" / "compression.json").read_text())
    for when, suffix in (("before", "_before"), ("after", "")):
        for count in ("1", "16"):
            speed = manifest.metrics[f"tokens_per_second_{count}{suffix}"]
            assert speed == pytest.approx(table[when]["tokens_per_second"][count], abs=0.1)
            assert speed > 0


def zeros_of(folder: Path) -> dict[str, Tensor]:
    return {name: layer.weight == 0 for name, layer in linear_layers(load_model(folder))}


def test_magnitude_prunes_each_matrix_by_its_share(
    model_folder: Path, corpus: Artifact, tmp_path: Path
) -> None:
    manifest = compress(model_folder, corpus, tmp_path / "out", "magnitude", "--sparsity", 0.25)
    for zeros in zeros_of(tmp_path / "out").values():
        assert float(zeros.float().mean()) == pytest.approx(0.25, abs=1e-3)
    assert manifest.metrics["zero_share"] == pytest.approx(0.25, abs=1e-3)
    assert manifest.counts["weight_bytes"] == manifest.counts["weight_bytes_before"]


@pytest.mark.parametrize("calibration", ["none", "wanda"])
def test_recovery_keeps_the_zeros_and_helps(
    calibration: str, model_folder: Path, corpus: Artifact, tmp_path: Path
) -> None:
    pruned, recovered = tmp_path / "pruned", tmp_path / "recovered"
    more = () if calibration == "none" else ("--calibration", calibration)
    first = compress(model_folder, corpus, pruned, "2:4", *more)
    second = compress(model_folder, corpus, recovered, "2:4", *more, "--recovery-steps", 20)
    before, after = zeros_of(pruned), zeros_of(recovered)
    for name, zeros in before.items():
        assert bool((zeros.view(-1, 4).sum(1) == 2).all()), name
        assert torch.equal(after[name], zeros), name
    assert first.metrics["bits_per_byte"] > first.metrics["bits_per_byte_before"]
    assert second.metrics["bits_per_byte"] < first.metrics["bits_per_byte"]
    assert second.counts["recovery_steps"] == 20
    assert not torch.equal(
        load_weights(pruned)["model.norm.weight"], load_weights(recovered)["model.norm.weight"]
    )


def test_zeros_of_a_pruned_model_stay_when_it_is_quantized(
    model_folder: Path, corpus: Artifact, tmp_path: Path
) -> None:
    compress(model_folder, corpus, tmp_path / "pruned", "2:4")
    compress(tmp_path / "pruned", corpus, tmp_path / "both", "int4")
    before = zeros_of(tmp_path / "pruned")
    for name, layer in quantized_layers(load_model(tmp_path / "both")):
        assert isinstance(layer, Int4Linear)
        assert not layer.integers[before[name]].any()


def test_an_adapter_is_trained_on_it_and_merged(
    model_folder: Path, corpus: Artifact, windows: Tensor, tmp_path: Path
) -> None:
    compressed, tuned, merged = (tmp_path / name for name in ("int4", "tuned", "merged"))
    compress(model_folder, corpus, compressed, "int4")
    examples = tmp_path / "examples"
    examples.mkdir()
    rows = [{"prompt": f"Number {index}", "completion": " follows."} for index in range(8)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    write_text(examples / "train.jsonl", text)
    write_text(examples / "heldout.jsonl", text)
    finetune = ("finetune", "--base", compressed, "--examples", examples, "--budget", "3 steps")
    with pytest.raises(InputError, match="a quantized model is not trained itself"):
        run(*finetune, "--out", tmp_path / "refused")
    with pytest.raises(InputError, match="quantized already"):
        run(*finetune, "--out", tmp_path / "refused", "--adapter", "lora", "--quantize", "nf4")
    run(*finetune, "--out", tuned, "--adapter", "lora")
    run("merge", "--base", compressed, "--adapter", tuned / "adapter", "--out", merged)
    base, last = load_model(compressed), load_model(merged)
    assert not quantized_layers(last)
    with torch.no_grad():
        assert torch.allclose(last(windows[:2]), load_model(tuned)(windows[:2]), atol=1e-4)
        assert not torch.allclose(last(windows[:2]), base(windows[:2]), atol=1e-4)
    assert not adapter_parameters(last)


def test_it_is_evaluated_as_any_other(model_folder: Path, corpus: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = compress(model_folder, corpus, out, "int8")
    run(
        "evaluate", "--model", out, "--base", model_folder, "--corpus", corpus.path,
        "--max-text-bytes", 3000, "--out", tmp_path / "evaluated",
    )  # fmt: skip
    found = Manifest.model_validate_json((tmp_path / "evaluated" / "manifest.json").read_text())
    assert found.metrics["bits_per_byte"] == manifest.metrics["bits_per_byte"]
    assert found.metrics["bits_per_byte_base"] == manifest.metrics["bits_per_byte_before"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nf4", "--calibration", "gptq"), "calibration gptq is for int8 and int4, not nf4"),
        (("magnitude", "--calibration", "wanda"), "calibration wanda is for 2:4"),
        (("int8", "--group-size", 64), "group_size is of no use with int8"),
        (("2:4", "--sparsity", 0.4), "sparsity is of no use with 2:4"),
        (("int4", "--recovery-steps", 3), "recovery_steps is of no use with int4"),
        (("2:4", "--recovery-rows", 4), "recovery_rows is of no use without recovery_steps"),
        (("int4", "--calibration-windows", 4), "is of no use without calibration"),
        ((), "method"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    arguments: tuple[object, ...], said: str, model_folder: Path, corpus: Artifact, tmp_path: Path
) -> None:
    method = ("--method", *arguments) if arguments else ()
    with pytest.raises(UsageError, match=said):
        run(
            "compress", "--model", model_folder, "--corpus", corpus.path,
            "--out", tmp_path / "out", *method,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_a_quantized_model_is_not_compressed_again(
    model: CausalLM, model_copy: Path, corpus: Artifact, tmp_path: Path
) -> None:
    quantize_base(model, "int8")
    save_model(model, model_copy)
    with pytest.raises(InputError, match="quantized already"):
        compress(model_copy, corpus, tmp_path / "out", "int4")


def test_widths_without_groups_are_refused(
    model_folder: Path, corpus: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="groups of 128 weights do not divide layers of 64, 128"):
        compress(model_folder, corpus, tmp_path / "out", "int4", "--group-size", 128)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_corpus_without_a_split(
    split: str,
    model_folder: Path,
    chapters: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    with CorpusWriter(folder) as writer:
        document = new_document(
            chapters[0], source="novels", url="one", title="", licence="CC0-1.0"
        )
        writer.write(replace(document, split=split))
    corpus, out = open_artifact(folder, "corpus"), tmp_path / "out"
    if split == "validation":
        with pytest.raises(InputError, match="no text in its train split"):
            compress(model_folder, corpus, out, "int4", "--calibration", "gptq")
        assert "held-out text, before" not in capsys.readouterr().err  # refused before any work
        return
    metrics = compress(model_folder, corpus, out, "int4", "--calibration", "gptq").metrics
    assert "bits_per_byte" not in metrics
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    row = lines.index(["bits", "per", "byte", *["not", "measured"] * 2])
    warnings = [place for place, words in enumerate(lines) if words[:1] == ["WARNING:"]]
    assert len(warnings) == 1
    assert warnings[0] < row


def test_a_rounded_cache_of_a_trained_model_costs_little(
    model_folder: Path, chapters: list[str]
) -> None:
    full, rounded = (
        bits_per_byte(Engine.load(model_folder, weights="float32", cache_format=kind), chapters[:2])
        for kind in ("full", "int8")
    )
    assert full < 4  # 8 if nothing had been learnt
    assert full != rounded
    assert rounded / full == pytest.approx(1, abs=0.005)
