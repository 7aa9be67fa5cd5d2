"""Keys and values as integers: what is lost, and that no text depends on what else is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from modelwright.core.errors import UsageError
from modelwright.inference.engine import Engine
from modelwright.inference.kernels.cache import LARGEST, put, readable
from modelwright.inference.kv_cache import block_bytes
from modelwright.inference.sampling import SamplingParams
from modelwright.models import attention
from modelwright.models.config import TransformerConfig


@njit
def written(x, cache, scales, head):
    """Write rows to the places of blocks 3, 1, 2, and read them again."""
    blocks = np.array([3, 1, 2])
    for row in range(x.shape[0]):
        put(x[row], cache, scales, blocks[row // 16], row % 16, head)
    room = np.full((3, 1, 16, x.shape[1]), np.nan, np.float32)
    first, end = 1, (x.shape[0] + 15) // 16
    own, own_head, own_blocks = readable(cache, scales, head, blocks, first, end, room)
    out = np.full_like(x, np.nan)
    for row in range(16 * first, x.shape[0]):
        out[row] = own[own_blocks[row // 16], own_head, row % 16]
    return out


@settings(max_examples=50, deadline=None)
@given(st.integers(17, 48), st.sampled_from([16, 64, 80]), st.floats(1e-6, 1e6), st.integers(0, 99))
def test_what_is_written_is_read(tokens: int, width: int, size: float, seed: int) -> None:
    x = torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed)) * size
    x[tokens // 2] = 0
    full = written(
        x.numpy(), np.zeros((4, 2, 16, width), np.float32), np.zeros((0, 2, 16), np.float32), 1
    )
    assert np.array_equal(full[16:], x[16:].numpy())
    cache, scales = np.zeros((4, 2, 16, width), np.int8), np.zeros((4, 2, 16), np.float32)
    found = torch.from_numpy(written(x.numpy(), cache, scales, 1))[16:]
    step = x[16:].abs().amax(1, keepdim=True) / LARGEST
    assert ((found - x[16:]).abs() <= 0.501 * step).all()
    assert not cache[:, 0].any()  # another head's


def test_what_is_not_finite_stays_so() -> None:
    for strange in (float("nan"), float("inf")):
        x = np.ones((18, 16), np.float32)
        x[17, 3] = strange
        cache, scales = np.zeros((4, 2, 16, 16), np.int8), np.zeros((4, 2, 16), np.float32)
        found = written(x, cache, scales, 0)
        assert np.isnan(found[17]).all()
        assert np.allclose(found[16], 1)


@pytest.fixture
def rounded(engine: Engine) -> Engine:
    return new_engine(engine)


def new_engine(engine: Engine, **options: object) -> Engine:
    given = {"max_sequences": 4, "weights": "auto", "cache_format": "int8", **options}
    return Engine(engine.model, engine.tokenizer, **given)


def prompts(engine: Engine) -> list[list[int]]:
    generator = torch.Generator().manual_seed(7)
    top = engine.tokenizer.vocabulary_size
    texts = [torch.randint(0, top, (length,), generator=generator).tolist()
             for length in (40, 3, 17, 33, 21)]  # fmt: skip
    texts[3][:32] = texts[0][:32]  # which share blocks
    return texts


PARAMS = SamplingParams(max_tokens=12, temperature=0.9, seed=5, ignores_end=True)


def test_a_text_is_the_same_in_company_with_a_shared_beginning_and_little_room(
    engine: Engine, rounded: Engine
) -> None:
    texts = prompts(engine)
    alone = [new_engine(engine).generate([text], PARAMS)[0].tokens for text in texts]

    def of(other: Engine) -> list[list[int]]:
        sequences = [other.add(text, PARAMS) for text in texts]
        while other.has_work:
            other.step()
        return [sequence.generated for sequence in sequences]

    assert of(rounded) == alone
    assert of(rounded) == alone  # from the cache
    assert rounded.scheduler.prefix_hits > 0
    small = new_engine(engine, cache_tokens=engine.context_length, step_tokens=5)
    assert of(small) == alone
    assert small.scheduler.preemptions > 0
    guessing = new_engine(engine, draft=engine.model, speculate=3)
    assert of(guessing) == alone
    assert guessing.continuation.accepted_tokens > 0


def test_scores_are_those_of_generation_and_near_those_of_the_full_cache(
    engine: Engine, rounded: Engine
) -> None:
    text = prompts(engine)[0]
    params = SamplingParams(max_tokens=8, temperature=0, alternatives=0, ignores_end=True)
    sequence = rounded.add(text, params)
    while rounded.has_work:
        rounded.step()
    whole = text + sequence.generated
    said = torch.tensor([one.value for one in sequence.alternatives])
    # What score() uses, but without the ids that the tokenizer does not have.
    hidden = rounded.network.hidden_states_of([whole])[0][len(text) - 1 : -1]
    logits = rounded.network.logits(hidden)[:, : rounded.tokenizer.vocabulary_size]
    drawn = torch.tensor(sequence.generated)
    again = logits.log_softmax(-1).gather(1, drawn[:, None])[:, 0]
    assert torch.allclose(again, said, atol=1e-6)
    scores = rounded.score([whole])[0]
    full = Engine(engine.model, engine.tokenizer, weights="auto").score([whole])[0]
    assert not torch.equal(scores, full)
    assert (scores - full).abs().mean() < 0.02 * full.abs().mean()


def test_scores_are_those_of_pytorch_with_rounded_keys_and_values(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rounded(x: torch.Tensor) -> torch.Tensor:
        scale = x.abs().amax(-1, keepdim=True) / LARGEST
        return (x / scale).round() * scale

    def attend(
        queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *rest: object
    ) -> torch.Tensor:
        return plain(queries, rounded(keys), rounded(values), *rest)

    text = prompts(engine)[0]
    full = engine.score([text])[0]
    found = new_engine(engine, weights="float32").score([text])[0]
    plain = attention.attend
    monkeypatch.setattr(attention, "attend", attend)
    wanted = engine.score([text])[0]
    # A number between two integers may go either way.
    assert (found - wanted).abs().mean() < 0.1 * (full - wanted).abs().mean()


def test_it_takes_about_a_quarter_of_the_memory() -> None:
    config = TransformerConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
    )
    full, small = (block_bytes(config, dtype) for dtype in (torch.float32, torch.int8))
    assert full / small == pytest.approx(4 * 64 / 68)


def test_it_is_refused_without_the_kernels(engine: Engine) -> None:
    with pytest.raises(UsageError, match="a cache in int8 needs the CPU kernels"):
        new_engine(engine, weights="model")
    with pytest.raises(UsageError, match="no cache format 'fp8'"):
        new_engine(engine, cache_format="fp8")
