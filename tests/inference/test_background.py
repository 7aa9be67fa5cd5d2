import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

from modelwright.core.errors import InputError
from modelwright.inference.admission import QueueFullError
from modelwright.inference.background import (
    MOST_FAILURES,
    BackgroundEngine,
    EngineStoppedError,
    Update,
)
from modelwright.inference.engine import Engine
from modelwright.inference.prompt_checks import ContextLengthError
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.scheduler import Part

GREEDY = SamplingParams(max_tokens=24, temperature=0.0)


def test_many_threads_get_what_one_gets(engine: Engine) -> None:
    prompts = [engine.tokenizer.encode(text) for text in ("The", "fox", "世界", "def", "a") * 4]
    expected = engine.generate(prompts, GREEDY)
    with BackgroundEngine(engine) as background, ThreadPoolExecutor(8) as pool:

        def generate(prompt: list[int]) -> tuple[str, Update | None]:
            generation = background.submit(prompt, GREEDY)
            return "".join(generation), generation.last

        got = list(pool.map(generate, prompts))
    for (text, last), completion in zip(got, expected, strict=True):
        assert text == completion.text
        assert last is not None
        assert last.tokens == len(completion.tokens)
        assert last.finish_reason == completion.finish_reason


def test_a_cancelled_generation_ends_and_frees_its_place(engine: Engine) -> None:
    endless = replace(GREEDY, max_tokens=10_000)
    with BackgroundEngine(engine) as background:
        submitted = [background.submit([index + 5], endless) for index in range(6)]
        for generation in submitted:
            generation.cancel()
            generation.cancel()
        for generation in submitted:
            list(generation)
            assert generation.last is not None
            assert generation.last.finish_reason in ("abort", "length", "stop")
        assert "".join(background.submit([5], GREEDY)) == engine_text(engine)


def engine_text(engine: Engine) -> str:
    other = Engine(engine.model, engine.tokenizer)
    return other.generate([[5]], GREEDY)[0].text


def test_the_queue_is_bounded_and_refuses_all_or_nothing(engine: Engine) -> None:
    gate = threading.Event()
    updates: list[Update] = []

    def block_then_note(update: Update) -> None:
        gate.wait(60)
        updates.append(update)

    with BackgroundEngine(engine, max_waiting=2) as background:
        generations = [background.submit([1], GREEDY, block_then_note) for _ in range(5)]
        with pytest.raises(QueueFullError, match="5 of "):
            background.submit_many([([1], GREEDY, None)] * 2)
        last = background.submit([1], GREEDY)
        with pytest.raises(QueueFullError):
            background.submit([1], GREEDY)
        gate.set()
        list(last)
        assert len(generations) == 5
        again = background.submit_many([([1], GREEDY, None)] * 2)
        for generation in again:
            list(generation)
    assert sum(update.finish_reason is not None for update in updates) == 5


def test_wrong_prompts_are_refused_at_once(engine: Engine) -> None:
    with BackgroundEngine(engine) as background, pytest.raises(ContextLengthError):
        background.submit([1] * 500, GREEDY)


def test_stopping_ends_everything_and_refuses_more(engine: Engine) -> None:
    gate = threading.Event()
    seen: list[Update] = []

    def hold(update: Update) -> None:
        gate.wait(60)
        seen.append(update)

    with BackgroundEngine(engine) as background:
        background.submit([1], replace(GREEDY, max_tokens=10_000), hold)
        waiting = background.submit([2], replace(GREEDY, max_tokens=10_000))
        background.stop()
        gate.set()
        list(waiting)
        assert waiting.last is not None
        assert waiting.last.finish_reason == "abort"
    assert seen[-1].finish_reason == "abort"
    with pytest.raises(EngineStoppedError):
        background.submit([1], GREEDY)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_an_engine_that_broke(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine.runner, "run", break_down)
    with BackgroundEngine(engine) as background:
        for _ in range(MOST_FAILURES):
            generation = background.submit([1], GREEDY)
            assert list(generation) == []
            assert generation.last == Update("", 0, "abort")
        assert not background.is_running


def test_work_is_done_between_steps_and_errors_come_back(engine: Engine) -> None:
    with BackgroundEngine(engine) as background:
        assert background.call(lambda one: one.context_length).result(60) == engine.context_length
        failed = background.call(lambda one: one.embed([[]]))
        assert isinstance(failed.exception(60), InputError)
    with pytest.raises(EngineStoppedError):
        background.call(lambda one: None)


def test_work_that_waits_when_the_engine_stops_is_told(engine: Engine) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def hold(one: Engine) -> None:
        begun.set()
        goes_on.wait(60)

    with BackgroundEngine(engine) as background:
        first = background.call(hold)
        begun.wait(60)
        background.stop()
        second = background.call(lambda one: None)
        goes_on.set()
    assert first.result(60) is None
    assert isinstance(second.exception(60), EngineStoppedError)


def test_an_error_in_a_step_ends_what_took_part_and_nothing_else(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, fails = engine.runner.run, threading.Event()

    def failing(parts: list[Part]) -> torch.Tensor:
        if fails.is_set():
            fails.clear()
            raise RuntimeError("out of memory")
        return run(parts)

    monkeypatch.setattr(engine.runner, "run", failing)
    with BackgroundEngine(engine) as background:
        fails.set()
        lost = background.submit([1, 2], GREEDY)
        assert list(lost) == []
        assert lost.last is not None
        assert lost.last.finish_reason == "abort"
        again = background.submit([1, 2], GREEDY)
        assert "".join(again)
        assert background.is_running


def test_callers_do_not_hold_up_texts(engine: Engine) -> None:
    order: list[str] = []
    with BackgroundEngine(engine) as background:
        background.submit([1, 2], GREEDY, lambda update: order.append("token"))

        def again(one: Engine) -> None:
            order.append("call")
            if order.count("token") < 5:
                background.call(again)

        background.call(again)
        while order.count("token") < GREEDY.max_tokens:
            threading.Event().wait(0.01)
    assert "call call" not in " ".join(order)


def test_what_holds_a_place_counts_as_a_text(engine: Engine) -> None:
    with BackgroundEngine(engine, max_waiting=0) as background:
        with ExitStack() as stack:
            for _ in range(engine.max_sequences):
                stack.enter_context(background.place())
            assert background.held == background.places
            with pytest.raises(QueueFullError):
                background.submit([1], GREEDY)
            with pytest.raises(QueueFullError), background.place():
                pass
        assert background.held == 0
        assert "".join(background.submit([1], GREEDY)) == "".join(background.submit([1], GREEDY))
    with pytest.raises(EngineStoppedError), background.place():
        pass
