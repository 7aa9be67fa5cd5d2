"""Names and order of tensors in a GGUF file, both ways, and against what rotary positions say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from exported_models import MakeModel
from hypothesis import given
from hypothesis import strategies as st

from modelwright.export.gguf_layout import from_gguf, halved, interleaved, to_gguf
from modelwright.models.pretrained import load_model, model_tensors


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
def test_what_goes_there_comes_back(make_model: MakeModel, family: str) -> None:
    model = load_model(make_model(family))
    tensors = model_tensors(model)
    back = from_gguf(model.config, to_gguf(model.config, tensors))
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 3))
def test_rows_come_back_from_pairs(heads: int, half: int, width: int) -> None:
    shape = (heads * half * 2, width) if width else (heads * half * 2,)
    rows = torch.arange(heads * half * 2 * max(1, width)).reshape(shape)
    assert torch.equal(halved(interleaved(rows, heads), heads), rows)


def test_feature_i_stands_beside_the_one_it_turns_with() -> None:
    assert interleaved(torch.arange(12), heads=2).tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]


def test_only_llamas_queries_and_keys_are_reordered(make_model: MakeModel) -> None:
    for family, is_changed in (("llama", True), ("qwen3", False)):
        model = load_model(make_model(family))
        tensors = model_tensors(model)
        theirs = to_gguf(model.config, tensors)
        for part in ("q", "k", "v"):
            ours = tensors[f"model.layers.0.self_attn.{part}_proj.weight"]
            same = torch.equal(theirs[f"blk.0.attn_{part}.weight"], ours)
            assert same is not (is_changed and part != "v")


def test_names_are_those_that_the_package_knows(make_model: MakeModel, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    for family in ("qwen3", "llama", "gpt2"):
        model = load_model(make_model(family, tie_word_embeddings=False))
        architecture = next(
            key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == model.config.family
        )
        known = {
            gguf.TENSOR_NAMES[tensor].format(bid=layer)
            for tensor in gguf.MODEL_TENSORS[architecture]
            for layer in range(model.config.num_hidden_layers)
        }
        names = to_gguf(model.config, model_tensors(model))
        assert {name.rpartition(".")[0] for name in names} <= known
