from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modelwright.core.errors import InputError, UsageError
from modelwright.inference.engine import Engine
from modelwright.inference.prompt_checks import ContextLengthError
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.scheduler import Part
from modelwright.inference.sequence import SequenceStatus
from modelwright.tokens.tokenizer import Tokenizer

GREEDY = SamplingParams(max_tokens=24, temperature=0.0)
PROMPTS = [
    "The quick",
    "世界",
    "def add(a, b): return a + b def add(a, b)",
    "x",
    "👩‍👩‍👧‍👦 naïve café",
    "lazy dog. The quick brown fox",
    "y",
]


def encoded(engine: Engine) -> list[list[int]]:
    return [engine.tokenizer.encode(text) for text in PROMPTS]


@torch.inference_mode()
def reference(engine: Engine, prompt: list[int], steps: int) -> list[int]:
    """Greedy generation with no cache, no batch and no engine."""
    tokens = list(prompt)
    for _ in range(steps):
        logits = engine.model(torch.tensor([tokens]))[0, -1, : engine.tokenizer.vocabulary_size]
        tokens.append(int(logits.argmax()))
        if tokens[-1] in (engine.tokenizer.end_of_text, engine.tokenizer.message_end):
            break
    return tokens[len(prompt) :]


def test_batched_equals_one_by_one_equals_no_cache(engine: Engine) -> None:
    prompts = encoded(engine)
    together = engine.generate(prompts, GREEDY)
    for prompt, completion in zip(prompts, together, strict=True):
        alone = engine.generate([prompt], GREEDY)[0]
        assert completion == alone
        assert completion.tokens == reference(engine, prompt, GREEDY.max_tokens)
        assert completion.prompt_tokens == len(prompt)
    assert len({tuple(completion.tokens) for completion in together}) > 3


def test_sequences_that_join_and_leave_midway_do_not_disturb_others(engine: Engine) -> None:
    prompts = encoded(engine)
    expected = [engine.generate([prompt], GREEDY)[0].tokens for prompt in prompts]
    sequences = []
    for index, prompt in enumerate(prompts):
        params = replace(GREEDY, max_tokens=5 + 3 * index)
        sequences.append(engine.add(prompt, params))
        engine.step()
        if index == 3:
            engine.abort(sequences[1])
    while engine.has_work:
        engine.step()
    for index, sequence in enumerate(sequences):
        if index != 1:
            limit = sequence.params.max_tokens
            assert sequence.generated == expected[index][:limit]
    assert sequences[1].finish_reason == "abort"


def test_sampled_text_depends_on_the_seed_and_not_on_the_neighbours(engine: Engine) -> None:
    params = SamplingParams(max_tokens=20, temperature=1.0, seed=11)
    prompts = encoded(engine)
    alone = engine.generate([prompts[0]], params)[0]
    assert engine.generate(prompts, params)[0] == alone
    assert engine.generate([prompts[0]], replace(params, seed=12))[0] != alone


def test_equal_prompts_get_seeds_of_their_own(engine: Engine) -> None:
    params = SamplingParams(max_tokens=20, temperature=1.0, seed=2**63 - 1)
    first, second = engine.generate([encoded(engine)[0]] * 2, params)
    assert first.tokens != second.tokens


def test_generation_ends_at_the_limit_or_the_context(engine: Engine) -> None:
    prompt = encoded(engine)[0]
    short, long = (replace(GREEDY, max_tokens=limit) for limit in (3, 10_000))
    assert engine.generate([prompt], short)[0].finish_reason == "length"
    assert len(engine.generate([prompt], short)[0].tokens) == 3
    completion = engine.generate([prompt], long)[0]
    assert completion.finish_reason == "length"
    assert len(prompt) + len(completion.tokens) == engine.context_length
    full = ([*prompt] * 96)[: engine.context_length - 1]
    assert len(engine.generate([full], long)[0].tokens) == 1


def test_an_end_token_ends_the_text_and_is_no_part_of_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for end in (engine.tokenizer.message_end, engine.tokenizer.end_of_text):
        forced = iter([ord("H"), ord("i"), end, ord("!")])
        byte_ids = {engine.tokenizer.token_bytes(id): id for id in range(300)}

        def choose(logits: torch.Tensor, *_: object) -> torch.Tensor:
            token = next(forced)  # noqa: B023
            return torch.tensor([token if token > 255 else byte_ids[bytes([token])]])  # noqa: B023

        monkeypatch.setattr(engine.continuation, "sample", choose)
        completion = engine.generate([[1, 2]], GREEDY)[0]
        assert completion.text == "Hi"
        assert completion.tokens[-1] == end
        assert len(completion.tokens) == 3
        assert completion.finish_reason == "stop"


def test_a_stop_string_is_cut_off_wherever_tokens_begin(engine: Engine) -> None:
    prompt = encoded(engine)[0]
    whole = engine.generate([prompt], GREEDY)[0].text
    assert len(whole) > 8
    stop = whole[3:6]
    completion = engine.generate([prompt], replace(GREEDY, stop=(stop, "never in it")))[0]
    assert completion.text == whole[: whole.index(stop)]
    assert completion.finish_reason == "stop"


def test_text_of_a_step_is_the_text_of_the_sequence(engine: Engine) -> None:
    params = SamplingParams(max_tokens=60, temperature=2.0, seed=4, stop=("zzzz",))
    sequence = engine.add(encoded(engine)[1], params)
    pieces = []
    while engine.has_work:
        pieces += [output.text for output in engine.step()]
    assert "".join(pieces) == sequence.text
    decoded = engine.tokenizer.decode(sequence.generated)
    assert decoded in (sequence.text, sequence.text + "\ufffd")


def test_ids_beyond_the_tokenizer_are_never_chosen(engine: Engine) -> None:
    known = engine.tokenizer.vocabulary_size
    with torch.no_grad():
        engine.model.model.embed_tokens.weight[known:] *= 100
    for temperature in (0.0, 2.0):
        params = SamplingParams(max_tokens=40, temperature=temperature, seed=1)
        for completion in engine.generate(encoded(engine), params):
            assert max(completion.tokens) < known


def test_a_long_prompt_comes_in_pieces_that_suit_the_network(engine: Engine) -> None:
    assert engine.scheduler.step_tokens == engine.network.step_tokens
    many = Engine(engine.model, engine.tokenizer, max_sequences=2000)
    assert many.scheduler.step_tokens == 2000
    own = Engine(engine.model, engine.tokenizer, step_tokens=7, max_sequences=2)
    sequence = own.add([5] * 20, SamplingParams(max_tokens=1))
    own.step()
    assert sequence.computed == 7


def test_progress_counts_finished_prompts(engine: Engine) -> None:
    seen: list[int] = []
    engine.generate(encoded(engine), GREEDY, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(PROMPTS)


@pytest.mark.parametrize("length", [96, 97, 500])
def test_a_prompt_that_fills_the_context_is_refused_with_both_numbers(
    engine: Engine, length: int
) -> None:
    with pytest.raises(ContextLengthError, match=rf"{length} tokens.*context of 96") as caught:
        engine.generate([[1], [1] * length], GREEDY)
    assert (caught.value.tokens, caught.value.context_length) == (length, 96)
    assert not engine.has_work


def test_prompts_that_cannot_be_run_are_refused(engine: Engine) -> None:
    with pytest.raises(InputError, match="empty"):
        engine.add([], GREEDY)
    for id in (-1, engine.tokenizer.vocabulary_size):
        with pytest.raises(InputError, match=f"token {id}, which is unknown"):
            engine.add([1, id], GREEDY)


def test_aborted_sequences_free_their_place(engine: Engine) -> None:
    sequences = [engine.add(prompt, GREEDY) for prompt in encoded(engine)]
    engine.step()
    states = [sequence.status for sequence in sequences]
    assert states == [SequenceStatus.RUNNING] * 4 + [SequenceStatus.WAITING] * 3
    for sequence in sequences:
        engine.abort(sequence)
        engine.abort(sequence)
    assert not engine.has_work
    assert engine.step() == []
    assert len(engine.generate(encoded(engine), GREEDY)) == len(PROMPTS)


@torch.inference_mode()
def test_scores_are_log_probabilities_in_order(engine: Engine) -> None:
    generator = torch.Generator().manual_seed(2)
    lengths = [5, 96, 1, 2, 50, 0, 33]
    sequences = [
        torch.randint(0, 300, (length,), generator=generator).tolist() for length in lengths
    ]
    scores = engine.score(sequences * 8)
    assert [len(score) for score in scores[:7]] == [4, 95, 0, 1, 49, 0, 32]
    for sequence, score in zip(sequences * 8, scores, strict=True):
        if len(sequence) < 2:
            continue
        log_probabilities = engine.model(torch.tensor([sequence])).log_softmax(-1)[0]
        expected = log_probabilities[:-1].gather(1, torch.tensor(sequence[1:])[:, None])[:, 0]
        assert (score - expected).abs().max() < 1e-4
    with pytest.raises(ContextLengthError, match=r"97 tokens.*holds 96"):
        engine.score([[1] * 97])


def test_a_model_and_tokenizer_that_do_not_fit_are_refused(
    engine: Engine, model_folder: Path
) -> None:
    tokenizer = Tokenizer.load(model_folder)
    tokenizer._encoding._special_tokens["<|new|>"] = 999
    tokenizer._encoding.max_token_value = 999
    with pytest.raises(InputError, match="1000 tokens and the model knows 384"):
        Engine(engine.model, tokenizer)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_refused(model_folder: Path) -> None:
    with pytest.raises(UsageError, match="no cuda"):
        Engine.load(model_folder, device="cuda")


def test_a_text_whose_output_is_not_finite_ends_and_others_go_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = engine.generate([[1, 2, 3]], GREEDY)[0].tokens
    lost, other = engine.add([4, 5], GREEDY), engine.add([1, 2, 3], GREEDY)
    run = engine.runner.run

    def broken(parts: list[Part]) -> torch.Tensor:
        logits = run(parts)
        for row, part in enumerate(parts):
            if part.sequence is lost and len(lost.generated) == 2:
                logits[row] = float("nan")
        return logits

    monkeypatch.setattr(engine.runner, "run", broken)
    while engine.has_work:
        engine.step()
    assert (lost.finish_reason, len(lost.generated)) == ("abort", 2)
    assert other.generated == expected
    engine.scheduler.blocks.check([])
