"""Guessing ahead changes how many steps are taken, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.scheduler import Part
from modelwright.inference.sequence import Sequence
from modelwright.inference.speculation import repeated
from modelwright.inference.structured import Structure

PARAMS = SamplingParams(max_tokens=60, temperature=0.7, seed=3, top_p=0.9, alternatives=2)


def sequence_of(*tokens: int) -> Sequence:
    return Sequence(list(tokens), PARAMS, torch.Generator())


def test_guesses_follow_the_longest_ending_at_its_last_place() -> None:
    assert repeated(sequence_of(1, 2, 3, 4, 9, 2, 3, 5, 6, 7, 2, 3), 2) == [5, 6]
    assert repeated(sequence_of(8, 1, 2, 3, 4, 5, 2, 3, 6, 1, 2, 3), 9) == [4, 5, 2, 3, 6, 1, 2, 3]
    assert repeated(sequence_of(1, 2, 3), 4) == []
    assert repeated(sequence_of(5, 5, 5), 4) == [5]
    assert repeated(sequence_of(5), 4) == []


@pytest.fixture(scope="module")
def engines(model_folder: Path) -> tuple[Engine, Engine]:
    """Without and with guesses; of a model that repeats itself, as small ones do."""
    return (
        Engine.load(model_folder, weights="float32"),
        Engine.load(model_folder, weights="float32", speculate=5),
    )


def said(engine: Engine, all_params: list[SamplingParams]) -> list[tuple[object, ...]]:
    prompts = ["The quick brown fox. The quick brown", "def add(a, b): return a + b", "x"]
    sequences = [
        engine.add(engine.tokenizer.encode(prompt), params)
        for params in all_params
        for prompt in prompts
    ]
    texts = dict.fromkeys(sequences, "")
    while engine.has_work:
        for output in engine.step():
            texts[output.sequence] += output.text
        engine.scheduler.blocks.check(engine.scheduler.running)
    assert list(texts.values()) == [sequence.text for sequence in sequences]
    return [
        (one.generated, one.text, one.finish_reason, one.alternatives, one.log_probabilities)
        for one in sequences
    ]


def test_texts_are_the_same_to_the_token(engines: tuple[Engine, Engine]) -> None:
    form = Structure("regex", "(ab){1,9}c")
    asked = [
        replace(PARAMS, temperature=0.0),
        replace(PARAMS, temperature=0.1, log_probabilities=True),
        PARAMS,
        replace(PARAMS, temperature=0.0, repetition_penalty=1.3),
        replace(PARAMS, temperature=0.0, max_tokens=7),
        replace(PARAMS, temperature=0.0, stop=("e",)),
        replace(PARAMS, temperature=0.5, structure=form),
    ]
    plain, guessing = engines
    assert said(plain, asked) == said(guessing, asked)
    assert 0 < guessing.continuation.accepted_tokens < guessing.continuation.draft_tokens


def test_fewer_steps_are_taken(engines: tuple[Engine, Engine]) -> None:
    steps = []
    for engine in engines:
        engine.add(engine.tokenizer.encode("The quick"), replace(PARAMS, temperature=0.0))
        steps.append(0)
        while engine.has_work:
            engine.step()
            steps[-1] += 1
    assert steps[1] < steps[0]


@pytest.mark.parametrize("weights", ["model", "float32"])
def test_guesses_stay_within_the_context(model_folder: Path, weights: str) -> None:
    engine = Engine.load(model_folder, weights=weights, speculate=5)
    context = engine.context_length
    says_nines = SamplingParams(max_tokens=500, temperature=0.0, logit_bias={9: 1e4})
    sequence = engine.add([9] * (context - 12), says_nines)
    longest = 0
    run = engine.runner.run

    def watched(parts: list[Part]) -> torch.Tensor:
        nonlocal longest
        longest = max(longest, *(part.end for part in parts))
        return run(parts)

    engine.runner.run = watched
    while engine.has_work:
        engine.step()
    assert sequence.length <= context
    assert longest < context
    assert engine.continuation.accepted_tokens > 0
    assert sequence.generated == [9] * 12
