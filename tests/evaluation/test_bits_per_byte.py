from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.evaluation.bits_per_byte import bits_per_byte, cut_windows
from modelwright.inference.engine import Engine
from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer

TEXTS = ["The function returns naïve values. " * 40, "short", "\n", "한국어 text, mixed"]


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(2, 40))
def test_every_token_is_predicted_once_with_half_a_window_of_context(
    count: int, length: int
) -> None:
    tokens = list(range(count))
    predicted = []
    for window in cut_windows(tokens, length):
        assert 2 <= len(window.tokens) <= length
        assert 1 <= window.first < len(window.tokens)
        new = window.tokens[window.first :]
        assert window.first >= min(new[0], length // 2)
        predicted += new
    assert predicted == tokens[1:]


def test_a_uniform_model_needs_the_logarithm_of_its_vocabulary(
    config: TransformerConfig, tokenizer: Tokenizer
) -> None:
    model = CausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    tokens = sum(len(tokenizer.encode(text)) for text in TEXTS)
    size = sum(len(text.encode()) for text in TEXTS)
    measured = bits_per_byte(Engine(model.eval(), tokenizer), TEXTS)
    assert measured == pytest.approx(math.log2(config.vocab_size) * tokens / size, rel=1e-6)


def test_equals_a_plain_sum_over_documents_that_fit(engine: Engine) -> None:
    texts = TEXTS[1:]
    bits = 0.0
    for text in texts:
        ids = [engine.tokenizer.end_of_text, *engine.tokenizer.encode(text)]
        with torch.no_grad():
            logits = engine.model(torch.tensor([ids]))[0].log_softmax(-1)
        bits -= sum(float(logits[i, ids[i + 1]]) for i in range(len(ids) - 1)) / math.log(2)
    size = sum(len(text.encode()) for text in texts)
    assert bits_per_byte(engine, texts) == pytest.approx(bits / size, rel=1e-6)


def test_long_documents_do_not_depend_on_their_neighbours(engine: Engine) -> None:
    sizes = [len(text.encode()) for text in TEXTS]
    alone = [bits_per_byte(engine, [text]) * size for text, size in zip(TEXTS, sizes, strict=True)]
    assert bits_per_byte(engine, TEXTS) == pytest.approx(sum(alone) / sum(sizes), rel=1e-6)


def test_progress_ends_at_all_bytes(engine: Engine) -> None:
    seen: list[int] = []
    bits_per_byte(engine, TEXTS * 20, seen.append)
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == 20 * sum(len(text.encode()) for text in TEXTS)


def test_no_text_is_an_error(engine: Engine) -> None:
    with pytest.raises(InputError, match="no held-out text"):
        bits_per_byte(engine, [""])
