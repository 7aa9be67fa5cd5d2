"""How likely tokens were: against whole forward passes."""

from __future__ import annotations

from dataclasses import replace

import torch

from modelwright.inference.engine import Engine
from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.inference.sampling import SamplingParams

PROMPTS = ["The quick brown", "def add(a", "x"]
ASKED = SamplingParams(
    12, temperature=1.5, seed=5, alternatives=3, prompt_alternatives=2, repetition_penalty=1.5
)


@torch.inference_mode()
def wanted(engine: Engine, tokens: list[int], alternatives: int) -> list[TokenLogProbability]:
    """By one forward pass over all of it, from the second token on."""
    logits = engine.model(torch.tensor([tokens]))[0, :-1, : engine.tokenizer.vocabulary_size]
    logs = logits.log_softmax(-1)
    found = []
    for row, token in zip(logs, tokens[1:], strict=True):
        values, ids = row.topk(alternatives)
        others = tuple(zip(ids.tolist(), values.tolist(), strict=True))
        found.append(TokenLogProbability(token, float(row[token]), others))
    return found


def assert_same(found: list[TokenLogProbability], expected: list[TokenLogProbability]) -> None:
    assert [one.token for one in found] == [one.token for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert [token for token, _ in one.alternatives] == [id for id, _ in other.alternatives]
        values = [one.value, *(value for _, value in one.alternatives)]
        others = [other.value, *(value for _, value in other.alternatives)]
        torch.testing.assert_close(torch.tensor(values), torch.tensor(others), atol=1e-4, rtol=0)


def test_they_are_what_the_model_says_of_prompt_and_answer(engine: Engine) -> None:
    prompts = [engine.tokenizer.encode(text) for text in PROMPTS]
    sequences = [engine.add(prompt, ASKED) for prompt in prompts]
    plain = engine.add(prompts[0], replace(ASKED, alternatives=None, prompt_alternatives=None))
    while engine.has_work:
        engine.step()
    assert plain.alternatives == plain.prompt_alternatives == []
    for one in sequences:
        tokens = one.prompt + one.generated
        assert_same(one.prompt_alternatives, wanted(engine, tokens, 2)[: len(one.prompt) - 1])
        assert_same(one.alternatives, wanted(engine, tokens, 3)[len(one.prompt) - 1 :])


def test_a_prompt_longer_than_what_is_worked_out_at_once(engine: Engine, monkeypatch) -> None:
    monkeypatch.setattr("modelwright.inference.model_runner.LOGITS_AT_ONCE", 4)
    tokens = (engine.tokenizer.encode(PROMPTS[0]) * 9)[:23]
    one = engine.add(tokens, replace(ASKED, max_tokens=1))
    engine.step()
    assert_same(one.prompt_alternatives, wanted(engine, tokens, 2))


def test_no_alternatives_but_the_token_itself(engine: Engine) -> None:
    one = engine.add([1, 2], replace(ASKED, max_tokens=1, alternatives=0))
    engine.step()
    assert one.alternatives[0].alternatives == ()
    assert one.alternatives[0].token == one.generated[0]
