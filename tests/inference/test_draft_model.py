"""A draft model changes how many steps are taken, and nothing else."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modelwright.core.errors import InputError, UsageError
from modelwright.inference.engine import DRAFT_TOKENS, Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.sequence import Sequence
from modelwright.inference.structured import Structure
from modelwright.models.pretrained import load_model, save_model
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.tokens.train import train_tokenizer

CPU = torch.device("cpu")
GREEDY = SamplingParams(max_tokens=40, temperature=0.0, ignores_end=True)
SAMPLED = replace(GREEDY, temperature=0.9, seed=7, top_p=0.95)
PROMPTS = ["The quick brown fox. The quick brown", "def add(a, b): return a + b", "x", "नमस्ते"]


@pytest.fixture(scope="module")
def draft_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with a little noise: it guesses right often, but not always."""
    folder = tmp_path_factory.mktemp("draft")
    model = load_model(model_folder, CPU)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=generator)
    shutil.copytree(model_folder, folder, dirs_exist_ok=True)
    save_model(model, folder)
    return folder


def run(engine: Engine, sequences: list[Sequence]) -> list[tuple[object, ...]]:
    """What the sequences say, once they have ended; the books are checked after each step."""
    while engine.has_work:
        engine.step()
        engine.scheduler.blocks.check(engine.scheduler.running)
    return [
        (one.generated, one.text, one.finish_reason, one.alternatives, one.log_probabilities)
        for one in sequences
    ]


def said(engine: Engine, all_params: list[SamplingParams]) -> list[tuple[object, ...]]:
    return run(engine, [engine.add(ids, one) for one in all_params for ids in prompts_of(engine)])


def prompts_of(engine: Engine) -> Iterator[list[int]]:
    return map(engine.tokenizer.encode, PROMPTS)


ASKED = [
    GREEDY,
    SAMPLED,
    replace(SAMPLED, seed=8, top_k=5, alternatives=2, log_probabilities=True),
    replace(SAMPLED, min_p=0.05, frequency_penalty=0.5, logit_bias={9: 3.0}),
    replace(GREEDY, repetition_penalty=1.3, ignores_end=False, min_tokens=5, stop=("e",)),
    replace(GREEDY, max_tokens=1),
    SamplingParams(max_tokens=40, temperature=0.5, seed=1, structure=Structure("regex", "(ab)+c")),
    replace(SAMPLED, prompt_alternatives=1),
]


@pytest.mark.parametrize("limits", [{}, {"cache_tokens": 96}, {"step_tokens": 17}])
def test_texts_are_the_same_to_the_token(
    model_folder: Path, draft_folder: Path, limits: dict[str, int]
) -> None:
    plain = Engine.load(model_folder, weights="float32", **limits)
    ahead = Engine.load(model_folder, weights="float32", draft=draft_folder, **limits)
    assert said(plain, ASKED) == said(ahead, ASKED)
    assert said(plain, ASKED) == said(ahead, ASKED)  # now from blocks that were kept
    assert ahead.scheduler.prefix_hits > 0
    assert 0 < ahead.continuation.accepted_tokens < ahead.continuation.draft_tokens
    assert bool(ahead.scheduler.preemptions) == ("cache_tokens" in limits)


def test_pytorch_with_a_draft_model(model_folder: Path, draft_folder: Path) -> None:
    plain = Engine.load(model_folder)
    ahead = Engine.load(model_folder, draft=draft_folder)
    generated = [[one[0] for one in said(engine, [GREEDY, SAMPLED])] for engine in (plain, ahead)]
    assert generated[0] == generated[1]
    assert ahead.continuation.accepted_tokens > 0


@pytest.mark.parametrize("params", [GREEDY, SAMPLED, replace(SAMPLED, presence_penalty=0.7)])
@pytest.mark.parametrize("cache_tokens", [None, 96])
def test_a_model_guesses_itself(
    model_folder: Path, params: SamplingParams, cache_tokens: int | None
) -> None:
    engine = Engine.load(
        model_folder, weights="float32", draft=model_folder, cache_tokens=cache_tokens
    )
    for _ in range(2):  # what was kept in the draft model's cache is right as well
        said(engine, [params])
    found = engine.continuation
    assert found.accepted_tokens == found.draft_tokens > 3 * len(PROMPTS)


def test_a_model_guesses_its_form(model_folder: Path) -> None:
    engine = Engine.load(model_folder, weights="float32", draft=model_folder)
    form = Structure("regex", "(ab){6}c")
    params = SamplingParams(max_tokens=40, temperature=0.7, seed=2, structure=form)
    assert [one[1] for one in said(engine, [params])] == ["ab" * 6 + "c"] * len(PROMPTS)
    assert engine.continuation.accepted_tokens == engine.continuation.draft_tokens > 0


def test_fewer_steps_are_taken(model_folder: Path) -> None:
    engine = Engine.load(model_folder, weights="float32", draft=model_folder, speculate=3)
    sequence = engine.add([1, 2, 3], GREEDY)
    steps = 0
    while engine.has_work:
        engine.step()
        steps += 1
    # The prompt's token, then four a step.
    assert steps == 1 + -(-(len(sequence.generated) - 1) // 4)


def test_a_draft_model_with_a_shorter_context(model_folder: Path, tmp_path: Path) -> None:
    model = load_model(model_folder, CPU)
    short = type(model)(replace(model.config, max_position_embeddings=32))
    short.load_state_dict(model.state_dict(), strict=False)
    shutil.copytree(model_folder, tmp_path, dirs_exist_ok=True)
    save_model(short, tmp_path)
    asked = [replace(SAMPLED, max_tokens=200)]
    plain = Engine.load(model_folder, weights="float32")
    ahead = Engine.load(model_folder, weights="float32", draft=tmp_path)
    assert said(plain, asked) == said(ahead, asked)
    found = ahead.continuation
    # All guesses come true, and there are some up to its end and none behind it.
    assert found.accepted_tokens == found.draft_tokens
    assert 0 < found.draft_tokens <= 33 * len(PROMPTS)


def test_a_cancelled_text_and_one_after_it(model_folder: Path) -> None:
    engine = Engine.load(model_folder, weights="float32", draft=model_folder)
    first = engine.add([1, 2, 3] * 8, SAMPLED)
    for _ in range(4):
        engine.step()
    engine.abort(first)
    second = engine.add([1, 2, 3] * 8, SAMPLED)
    run(engine, [second])
    assert second.generated[: len(first.generated)] == first.generated
    assert engine.continuation.accepted_tokens == engine.continuation.draft_tokens


def test_outputs_of_the_draft_model_that_are_not_finite(model_folder: Path) -> None:
    tokenizer = Tokenizer.load(model_folder)
    broken = load_model(model_folder, CPU)
    with torch.no_grad():
        broken.model.norm.get_parameter("weight")[0] = torch.nan
    plain = Engine(load_model(model_folder, CPU), tokenizer, weights="float32")
    ahead = Engine(load_model(model_folder, CPU), tokenizer, weights="float32", draft=broken)
    assert said(plain, [GREEDY, SAMPLED]) == said(ahead, [GREEDY, SAMPLED])
    assert ahead.continuation.draft_tokens == 0


def test_a_step_that_fails_leaves_no_wrong_blocks(model_folder: Path) -> None:
    engine = Engine.load(model_folder, weights="float32", draft=model_folder)
    sequence = engine.add([5] * 40, SAMPLED)
    network = engine.network
    logits = network.logits

    def failing(hidden: torch.Tensor) -> torch.Tensor:
        raise MemoryError

    network.logits = failing  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        engine.step()
    engine.abort(sequence)
    network.logits = logits  # type: ignore[method-assign]
    again = engine.add([5] * 40, SAMPLED)
    run(engine, [again])
    assert engine.scheduler.prefix_hits == 0
    assert engine.continuation.accepted_tokens == engine.continuation.draft_tokens > 0


def test_another_vocabulary_is_refused(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path, dirs_exist_ok=True)
    train_tokenizer(["zebras zigzag across zones"] * 9, 300, tmp_path)
    with pytest.raises(InputError, match="another vocabulary: token") as caught:
        Engine.load(model_folder, draft=tmp_path)
    assert caught.value.where == str(tmp_path)
    assert "same tokenizer" in (caught.value.fix or "")


def test_nothing_to_do_is_refused(model_folder: Path) -> None:
    with pytest.raises(UsageError, match="nothing to do"):
        Engine.load(model_folder, draft=model_folder, speculate=0)


def test_how_many_are_guessed(model_folder: Path) -> None:
    assert Engine.load(model_folder).speculate == 0
    assert Engine.load(model_folder, draft=model_folder).speculate == DRAFT_TOKENS
