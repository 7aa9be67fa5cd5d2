"""``modelwright merge``: what comes out is base and adapter, for us and for other tools."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modelwright.cli.main import modelwright
from modelwright.core.artifact import Manifest, digest_of, hash_files, write_manifest
from modelwright.core.errors import InputError, UsageError
from modelwright.core.files import write_text
from modelwright.models.adapters.attach import add_adapter
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.adapters.peft_folder import save_adapter
from modelwright.models.pretrained import load_model, load_weights, save_model
from modelwright.models.quantization.base import quantize_base
from modelwright.models.transformer import CausalLM
from modelwright.tokens.files import TEMPLATE, TOKENIZER, TOKENIZER_FILES

TOKENS = torch.randint(3, 500, (2, 24), generator=torch.Generator().manual_seed(4))


@pytest.fixture
def base(tmp_path: Path, tiny_model: CausalLM, tokenizer_folder: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    tiny_model.config = replace(tiny_model.config, eos_token_id=2, pad_token_id=0)
    save_model(tiny_model, folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer_folder / name, folder / name)
    return folder


def trained(model: CausalLM, config: AdapterConfig) -> CausalLM:
    add_adapter(model, config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def run(*arguments: object) -> None:
    modelwright.main([str(one) for one in arguments], "modelwright", standalone_mode=False)


def merge(base: Path, adapter: Path, out: Path, *more: object) -> Manifest:
    run("merge", "--base", base, "--adapter", adapter, "--out", out, *more)
    return Manifest.model_validate_json((out / "manifest.json").read_text())


def test_what_peft_trained_is_merged_and_opened_by_transformers(base: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", use_dora=True)
    )
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if ".lora_B." in name:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        wanted = adapted.eval()(TOKENS).logits
    adapted.save_pretrained(tmp_path / "theirs")
    out = tmp_path / "out"
    manifest = merge(base, tmp_path / "theirs", out)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out).eval()
    with torch.no_grad():
        found = theirs(TOKENS).logits
        assert torch.allclose(load_model(out)(TOKENS), wanted, atol=1e-5)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert not torch.allclose(load_model(base)(TOKENS), wanted, atol=1e-2)
    assert manifest.metrics["largest_difference"] < 1e-5
    assert (manifest.kind, manifest.stage) == ("model", "merge")
    assert [parent.role for parent in manifest.parents] == ["adapter", "base"]
    for name in (TOKENIZER, TEMPLATE):
        assert (out / name).read_bytes() == (base / name).read_bytes()


def test_an_adapter_of_ours_brings_its_licences_and_origin(base: Path, tmp_path: Path) -> None:
    model = tmp_path / "finetune-0123"
    save_adapter(trained(load_model(base), AdapterConfig(rank=2)), model / "adapter")
    files = hash_files(model)
    write_manifest(
        model,
        Manifest(
            kind="model", id=model.name, stage="finetune", created="", code_version="",
            digest=digest_of(files), licences=["CC-BY-4.0"], files=files,
        ),
    )  # fmt: skip
    by_part = merge(base, model / "adapter", tmp_path / "first")
    by_model = merge(base, model, tmp_path / "second")
    assert by_part.key == by_model.key
    assert "CC-BY-4.0" in by_part.licences
    assert by_part.parents[0].id == model.name


def test_the_licence_in_an_adapters_card_is_taken_over(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lora"
    save_adapter(trained(load_model(base), AdapterConfig(rank=2)), folder)
    write_text(folder / "README.md", "---\nlicense: apache-2.0\n---\n")
    assert "Apache-2.0" in merge(base, folder, tmp_path / "out").licences


def test_a_quantized_base_is_merged_into_what_it_was(base: Path, tmp_path: Path) -> None:
    model = load_model(base)
    quantize_base(model, "nf4")
    trained(model, AdapterConfig(rank=2))
    save_adapter(model, tmp_path / "lora")
    merge(base, tmp_path / "lora", tmp_path / "out", "--quantize", "nf4")
    with torch.no_grad():
        assert torch.allclose(load_model(tmp_path / "out")(TOKENS), model(TOKENS), atol=1e-4)


def test_several_adapters_are_merged_one_after_the_other(base: Path, tmp_path: Path) -> None:
    for rank, name in ((2, "one"), (3, "two")):
        save_adapter(trained(load_model(base), AdapterConfig(rank=rank)), tmp_path / name)
    with pytest.raises(UsageError, match="takes one adapter and was given 2"):
        run("merge", "--base", base, "--adapter", tmp_path / "one", "--adapter", tmp_path / "two")
    merge(base, tmp_path / "one", tmp_path / "first")
    merge(tmp_path / "first", tmp_path / "two", tmp_path / "both")
    merge(base, tmp_path / "two", tmp_path / "second")
    plain, one, two, both = (
        load_weights(folder)
        for folder in (base, tmp_path / "first", tmp_path / "second", tmp_path / "both")
    )
    for name, weight in plain.items():
        assert torch.allclose(both[name], one[name] + two[name] - weight, atol=1e-6)


def test_what_does_not_fit_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"adapter_config\.json is missing"):
        merge(base, base, tmp_path / "out")
    folder = tmp_path / "lora"
    save_adapter(trained(load_model(base), AdapterConfig(rank=2)), folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    write_text(folder / "adapter_config.json", json.dumps({**config, "r": 4}))
    with pytest.raises(InputError, match="the rank is 4"):
        merge(base, folder, tmp_path / "out")
