import json
import os
from pathlib import Path

import pytest
import torch

from modelwright.core.errors import InputError
from modelwright.models.pretrained import (
    load_config,
    load_model,
    model_tensors,
    save_model,
    save_tensors,
)
from modelwright.models.transformer import CausalLM


@pytest.fixture
def folder(tiny_model: CausalLM, tmp_path: Path) -> Path:
    """A model folder whose weights lie in two files."""
    save_model(tiny_model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    tensors = model_tensors(tiny_model)
    files = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    places = {name: files[index % 2] for index, name in enumerate(tensors)}
    for file in files:
        part = {name: tensors[name] for name in tensors if places[name] == file}
        save_tensors(part, tmp_path / file)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    return tmp_path


def test_weights_in_several_files(folder: Path, tiny_model: CausalLM) -> None:
    loaded = load_model(folder).state_dict()
    for name, tensor in tiny_model.state_dict().items():
        assert torch.equal(loaded[name], tensor)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_whoever_may_read_new_files_may_read_weights(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    save_tensors({"a": torch.zeros(2)}, tmp_path / "weights")
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_missing_file_of_weights_is_named(folder: Path) -> None:
    missing = folder / "model-00002-of-00002.safetensors"
    missing.unlink()
    with pytest.raises(InputError, match="missing") as error:
        load_model(folder)
    assert error.value.where == str(missing)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": 1}}',
        '{"weight_map": {"a": ""}}',
        '{"weight_map": {"a": "../model.safetensors"}}',
    ],
)
def test_a_damaged_index(folder: Path, content: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(InputError, match="index"):
        load_model(folder)


def test_an_index_that_lacks_a_tensor(folder: Path) -> None:
    path = folder / "model.safetensors.index.json"
    files = json.loads(path.read_text())["weight_map"]
    path.write_text(json.dumps({"weight_map": {"x": files["model.norm.weight"]}}))
    with pytest.raises(InputError, match="do not fit"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vocab_size": None}, "lacks 'vocab_size'"),
        ({"hidden_size": "64"}, "'hidden_size'"),
        ({"num_hidden_layers": [2]}, "'num_hidden_layers'"),
        ({"num_key_value_heads": 0}, "'num_key_value_heads'"),
        ({"head_dim": True}, "'head_dim'"),
        ({"rms_norm_eps": "small"}, "'rms_norm_eps'"),
        ({"rope_parameters": None, "rope_theta": "x"}, "'rope_theta'"),
        ({"rope_parameters": [1]}, "'rope_parameters'"),
        ({"tie_word_embeddings": "yes"}, "'tie_word_embeddings'"),
        ({"eos_token_id": ["</s>"]}, "'eos_token_id'"),
    ],
)
def test_a_foreign_config_with_values_of_a_wrong_type(folder: Path, changes, said: str) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=said):
        load_config(folder)


@pytest.mark.parametrize("content", ["[]", "1", "null", "{", "[" * 100_000])
def test_a_config_that_is_no_object(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json"):
        load_config(folder)
