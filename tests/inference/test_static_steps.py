"""Steps of fixed shapes against plain ones, and the engine with and without running ahead."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modelwright.inference.block_manager import BlockManager
from modelwright.inference.engine import Engine
from modelwright.inference.kv_cache import KVCache
from modelwright.inference.pytorch_network import PyTorchNetwork
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.scheduler import Part
from modelwright.inference.sequence import Sequence
from modelwright.inference.static_network import StaticNetwork, padded_sizes
from modelwright.inference.step_layout import StepLayout
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.transformer import CausalLM

CPU = torch.device("cpu")
BLOCKS = 60
SIZES = TransformerConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=12,
    max_position_embeddings=80,
)
WINDOWS: dict[str, Any] = {"sliding_window": 6, "sliding_layers": (1,)}
SHAPES = {
    "qwen3": SIZES,
    "windows": TransformerConfig(**{**vars(SIZES), **WINDOWS}),
    "gpt2": in_family("gpt2", replace(SIZES, hidden_size=48, num_key_value_heads=4)),
}


def randomised(config: TransformerConfig) -> CausalLM:
    model = CausalLM(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


MODELS = {name: randomised(config) for name, config in SHAPES.items()}


def filled_cache(config: TransformerConfig) -> KVCache:
    """What nobody has written yet is not a number, so that whoever looks at it is found out."""
    cache = KVCache(config, BLOCKS, CPU, torch.float32)
    cache.keys.fill_(torch.nan)
    cache.values.fill_(torch.nan)
    return cache


def prepared(
    lengths: list[int], cache: KVCache, network: PyTorchNetwork, seed: int
) -> tuple[BlockManager, list[Sequence]]:
    """Sequences with all but their last token in the cache."""
    dice = random.Random(seed)
    blocks, sequences = BlockManager(BLOCKS), []
    for length in lengths:
        tokens = [dice.randrange(64) for _ in range(length)]
        one = Sequence(tokens, SamplingParams(max_tokens=60), torch.Generator())
        assert blocks.reserve(one, length)
        if length > 1:
            network.hidden_states(StepLayout([Part(one, 0, length - 1)]))
        one.computed = length - 1
        sequences.append(one)
    return blocks, sequences


def test_sizes_are_few_and_reach_the_most() -> None:
    assert padded_sizes(1) == [1]
    assert padded_sizes(3) == [1, 2, 4]
    assert padded_sizes(8) == [1, 2, 4, 8]
    assert padded_sizes(9) == [1, 2, 4, 8, 16]
    assert padded_sizes(40) == [1, 2, 4, 8, 16, 32, 48]
    for most in range(1, 100):
        assert padded_sizes(most)[-1] >= most


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.lists(st.lists(st.integers(1, 70), min_size=1, max_size=7), min_size=1, max_size=3),
    st.integers(0, 1000),
)
@torch.inference_mode()
def test_a_padded_step_equals_a_plain_one(name: str, batches: list[list[int]], seed: int) -> None:
    model = MODELS[name]
    cache = filled_cache(model.config)
    plain = PyTorchNetwork(model, cache)
    static = StaticNetwork(model, cache, 7)
    # One network for several batches: rows of the table are written over and given back.
    for number, lengths in enumerate(batches):
        blocks, sequences = prepared(lengths, cache, plain, seed + number)
        for _ in range(3):
            assert all(blocks.reserve(one, one.length) for one in sequences)
            parts = [Part(one, one.length - 1, 1) for one in sequences]
            expected = plain.hidden_states(StepLayout(parts))
            written = cache.keys.clone()
            got = static.hidden_states(StepLayout(parts))
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
            assert_equal_but_for_scratch(cache, written)
            for one in sequences:
                one.append(seed % 64, b"")


def assert_equal_but_for_scratch(cache: KVCache, before: Tensor) -> None:
    """Padding writes into the last block only; real rows write what was written before."""
    kept = slice(0, cache.scratch)
    torch.testing.assert_close(
        cache.keys[:, kept], before[:, kept], atol=1e-5, rtol=1e-5, equal_nan=True
    )


@torch.inference_mode()
def test_tokens_are_taken_from_the_device() -> None:
    model = MODELS["qwen3"]
    cache = filled_cache(model.config)
    static = StaticNetwork(model, cache, 4)
    _, sequences = prepared([5, 20, 33], cache, PyTorchNetwork(model, cache), 1)
    parts = [Part(one, one.length - 1, 1) for one in sequences]
    known = static.decode(parts).clone()
    ids = torch.tensor([one.tokens[-1] for one in sequences])
    for one in sequences:
        one.tokens[-1] = 0
    assert torch.equal(static.decode(parts, ids), known)
    assert not torch.allclose(static.decode(parts), known)


@torch.inference_mode()
def test_a_step_of_prompts_and_answers_equals_a_plain_one() -> None:
    model = MODELS["windows"]
    cache = filled_cache(model.config)
    plain, static = PyTorchNetwork(model, cache), StaticNetwork(model, cache, 4)
    blocks, sequences = prepared([5, 20], cache, plain, 1)
    newcomer = Sequence([7] * 40, SamplingParams(max_tokens=1), torch.Generator())
    follower = Sequence([7] * 33, SamplingParams(max_tokens=1), torch.Generator())
    assert blocks.reserve(newcomer, 40)
    blocks.remember(newcomer, 40)
    blocks.share_prefix(follower)  # which the newcomer fills in this very step
    assert follower.computed == 32
    assert blocks.reserve(follower, 33)
    parts = [Part(one, one.length - 1, 1) for one in sequences]
    parts += [Part(follower, 32, 1, joins=True), Part(newcomer, 0, 40, joins=True)]
    got = static.hidden_states(StepLayout(parts))
    expected = [model.hidden_states(torch.tensor([one.tokens]))[0, -1] for one in sequences]
    torch.testing.assert_close(got[:2], torch.stack(expected), atol=1e-4, rtol=1e-4)
    whole = model.hidden_states(torch.tensor([newcomer.tokens]))[0]
    torch.testing.assert_close(got[2], whole[32], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got[3:], whole, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_warming_up_writes_nothing_but_scratch() -> None:
    model = MODELS["qwen3"]
    cache = filled_cache(model.config)
    ready = []
    StaticNetwork(model, cache, 20).warm_up(lambda done, of: ready.append((done, of)))
    assert ready == [(number, 6) for number in range(1, 7)]
    assert cache.keys[:, : cache.scratch].isnan().all()


PROMPTS = ["The quick", "世界", "def add(a, b): return a + b def", "x", "lazy dog. The quick"]
PARAMS = [
    SamplingParams(max_tokens=40, temperature=0.0),
    SamplingParams(max_tokens=30, temperature=1.0, seed=3),
    SamplingParams(max_tokens=25, temperature=1.5, top_k=20, top_p=0.9, seed=4),
    SamplingParams(max_tokens=200, temperature=0.8, min_p=0.05, seed=5, log_probabilities=True),
    SamplingParams(max_tokens=20, temperature=1.0, seed=6, repetition_penalty=1.3),
    SamplingParams(max_tokens=12, temperature=0.9, seed=7, alternatives=2),
    SamplingParams(max_tokens=30, temperature=1.0, seed=8, min_tokens=25, stop=("e", "\ufffd")),
]
WAYS = [(False, False), (True, False), (True, True)]


def texts(engine: Engine, number: int) -> list[Sequence]:
    """Texts that come and go in the middle of others."""
    dice = random.Random(number)
    sequences = list[Sequence]()
    steps = 0
    while len(sequences) < 12 or engine.has_work:
        if len(sequences) < 12 and (not engine.has_work or dice.random() < 0.3):
            prompt = engine.tokenizer.encode(dice.choice(PROMPTS))
            sequences.append(engine.add(prompt, dice.choice(PARAMS)))
        if steps == 14:
            engine.abort(sequences[1])
        engine.step()
        engine.scheduler.blocks.check(engine.scheduler.running)
        steps += 1
    return sequences


def result(sequence: Sequence) -> tuple[Any, ...]:
    return (sequence.generated, sequence.text, sequence.finish_reason)


@pytest.mark.parametrize("cache_tokens", [None, 112])
@pytest.mark.parametrize("number", range(2))
def test_texts_do_not_depend_on_the_way_they_are_run(
    model_folder: Path, number: int, cache_tokens: int | None
) -> None:
    loaded = Engine.load(model_folder)
    found = []
    for static_steps, runs_ahead in WAYS:
        engine = Engine(
            loaded.model,
            loaded.tokenizer,
            max_sequences=5,
            cache_tokens=cache_tokens,
            static_steps=static_steps,
            runs_ahead=runs_ahead,
        )
        found.append(texts(engine, number))
        assert (engine.scheduler.preemptions > 0) == (cache_tokens is not None)
    plain, *others = found
    assert {"length", "stop"} <= {one.finish_reason for one in plain}
    for other in others:
        for one, expected in zip(other, plain, strict=True):
            if (
                one is not other[1]
            ):  # that one was aborted, and is a token behind where it runs ahead
                assert result(one) == result(expected)
                torch.testing.assert_close(
                    torch.tensor(one.log_probabilities),
                    torch.tensor(expected.log_probabilities),
                    atol=1e-4,
                    rtol=1e-4,
                )


def test_it_does_run_ahead(model_folder: Path) -> None:
    loaded = Engine.load(model_folder)
    engine = Engine(loaded.model, loaded.tokenizer, static_steps=True)
    assert engine.decoding is not None
    params = SamplingParams(max_tokens=6, temperature=0.0, ignores_end=True)
    sequence = engine.add([5, 6, 7], params)
    ahead = []
    while engine.has_work:
        engine.step()
        ahead.append(engine._launched is not None)
    # The prompt, then a token a step; nothing is told ahead of the one that must be the last.
    assert ahead == [False, True, True, True, True, False]
    assert len(sequence.generated) == 6


def test_what_is_not_finite_ends_its_text_only(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = Engine.load(model_folder)
    engine = Engine(loaded.model, loaded.tokenizer, static_steps=True)
    params = SamplingParams(max_tokens=8, temperature=0.0, ignores_end=True)
    good, lost = engine.add([5, 6, 7], params), engine.add([9, 9], params)
    for _ in range(3):
        engine.step()
    logits = engine.network.logits

    def spoilt(hidden: Tensor) -> Tensor:
        out = logits(hidden).clone()
        out[1:] = torch.nan
        return out

    monkeypatch.setattr(engine.network, "logits", spoilt)
    while engine.has_work:
        engine.step()
    assert (good.finish_reason, len(good.generated)) == ("length", 8)
    # The step that was told ahead was sound yet.
    assert (lost.finish_reason, len(lost.generated)) == ("abort", 4)
