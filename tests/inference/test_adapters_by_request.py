"""Texts of several adapters and of the base in one batch, against models of their own."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modelwright.core.errors import InputError, UsageError
from modelwright.inference.engine import Engine
from modelwright.inference.networks import WeightChoice
from modelwright.inference.sampling import SamplingParams
from modelwright.models.adapters.attach import adapter_parameters, add_adapter
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.adapters.merge import merge_adapter
from modelwright.models.adapters.peft_folder import load_adapter, save_adapter
from modelwright.models.pretrained import load_model

GREEDY = SamplingParams(max_tokens=20, temperature=0.0)


def saved_adapter(model_folder: Path, folder: Path, config: AdapterConfig, seed: int) -> Path:
    model = load_model(model_folder)
    add_adapter(model, config, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in adapter_parameters(model).items():
        if "lora_B" in name:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.data = drawn * 0.2
    save_adapter(model, folder, base=str(model_folder))
    return folder


@pytest.fixture(scope="module")
def adapters(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    some = ("q_proj", "v_proj", "down_proj")
    kinds = {
        "all": AdapterConfig(rank=4, alpha=8),
        "some": AdapterConfig(rank=40, alpha=20, target_modules=some),
    }
    return {
        name: saved_adapter(model_folder, root / name, config, seed)
        for seed, (name, config) in enumerate(kinds.items())
    }


@pytest.mark.parametrize("weights", ["model", "float32"])
def test_each_request_gets_the_adapter_it_names(
    weights: WeightChoice, model_folder: Path, adapters: dict[str, Path]
) -> None:
    engine = Engine.load(model_folder, weights=weights)
    prompt = engine.tokenizer.encode("The quick brown fox jumps over")
    expected = {None: engine.generate([prompt], GREEDY)[0].tokens}
    for name, folder in adapters.items():
        model = load_model(model_folder)
        load_adapter(model, folder)
        merge_adapter(model, torch.tensor([prompt]))
        expected[name] = Engine(model, engine.tokenizer).generate([prompt], GREEDY)[0].tokens
        engine.add_adapter(name, folder)
    assert len({tuple(tokens) for tokens in expected.values()}) == 3
    # Equal prompts, so that a cache which did not tell adapters apart would be found out.
    sequences = [
        engine.add(prompt, replace(GREEDY, seed=number), adapter)
        for number, adapter in enumerate([None, "all", "some", "all", None, "some"])
    ]
    while engine.has_work:
        engine.step()
    for sequence in sequences:
        assert sequence.generated == expected[sequence.adapter]


def test_what_cannot_be_used(model_folder: Path, adapters: dict[str, Path], tmp_path: Path) -> None:
    engine = Engine.load(model_folder, weights="float32")
    with pytest.raises(InputError, match="no adapter 'all'"):
        engine.add([1], GREEDY, "all")
    dora = saved_adapter(model_folder, tmp_path, AdapterConfig(rank=4, dora=True), 1)
    with pytest.raises(UsageError, match="is a DoRA"):
        engine.add_adapter("dora", dora)
    engine.add_adapter("all", adapters["all"])
    with pytest.raises(InputError, match="all"):
        engine.add_adapter("all", adapters["all"])
    assert engine.generate([[1, 2]], GREEDY)[0].tokens


def test_threads_do_not_disturb_each_other(model_folder: Path, adapters: dict[str, Path]) -> None:
    """Each has its own room for what adapters change, as one may be at the next matrix already."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        engine = Engine.load(model_folder, weights="float32")
        engine.add_adapter("all", adapters["all"])
        texts = [[(7 * place + text) % 300 for place in range(80)] for text in range(3)]
        first = engine.score(texts, "all")
        for _ in range(100):
            for known, again in zip(first, engine.score(texts, "all"), strict=True):
                assert torch.equal(known, again)
    finally:
        torch.set_num_threads(before)
