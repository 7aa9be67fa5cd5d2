"""Answers of two models to the same prompts, written in a thread ahead of whoever reads them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.data.feedback.record import Message
from modelwright.inference.engine import Engine
from modelwright.inference.sampling import MAX_SEED, SamplingParams
from modelwright.serving.opening import is_chat_model, load_engine


@dataclass(frozen=True)
class _Answerer:
    """A model, and the ids of every prompt as it reads them."""

    engine: Engine
    prompts: list[list[int]]


class GeneratedAnswers:
    """Generates in its own thread for as long as the ``with`` block lasts, prompt by prompt.

    Parameters
    ----------
    folders : tuple of Path
        The models' folders.
    prompts : sequence of list of Message
        What both are asked.
    params : SamplingParams
        For all answers.
    seed : int
        Both models' answers to prompt i are drawn with seed + i.

    Raises
    ------
    InputError
        If a folder holds no usable model, or a prompt does not fit into a model's context.
    """

    def __init__(
        self,
        folders: tuple[Path, Path],
        prompts: Sequence[list[Message]],
        params: SamplingParams,
        seed: int,
    ):
        self._answerers = [_load(folder, prompts) for folder in folders]
        self._params, self._seed = params, seed
        self._answers: list[tuple[str, str]] = []
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answers")

    def __enter__(self) -> GeneratedAnswers:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Stop after the token under way; returns at once."""
        self._is_stopping.set()

    def answers_of(self, number: int) -> tuple[str, str] | None:
        """Both answers to prompt ``number``; None while they are being written.

        Raises
        ------
        ModelwrightError
            If they will never be.
        """
        # Asked before the list is looked at: the thread may end in between, with all written.
        is_writing = self._thread.is_alive()
        if number < len(self._answers):
            return self._answers[number]
        if not is_writing:
            raise ModelwrightError(
                "the models have stopped writing answers",
                fix="look at what the terminal says, and run the command again",
            )
        return None

    def _run(self) -> None:
        for number in range(len(self._answerers[0].prompts)):
            params = replace(self._params, seed=(self._seed + number) % (MAX_SEED + 1))
            first, second = (
                self._generate(one.engine, one.prompts[number], params) for one in self._answerers
            )
            if self._is_stopping.is_set():
                return
            self._answers.append((first, second))

    def _generate(self, engine: Engine, prompt: list[int], params: SamplingParams) -> str:
        """One answer, or its beginning if it is time to stop."""
        sequence = engine.add(prompt, params)
        while not (sequence.is_finished or self._is_stopping.is_set()):
            engine.step()
        return sequence.text


def _load(folder: Path, prompts: Sequence[list[Message]]) -> _Answerer:
    engine = load_engine(folder)
    is_chat = is_chat_model(folder)
    encoded = [_encode(engine, prompt, is_chat) for prompt in prompts]
    for number, ids in enumerate(encoded, 1):
        try:
            engine.check_prompt(ids)
        except InputError as error:
            raise InputError(
                f"prompt {number} cannot be answered: {error.what}",
                where=folder,
                fix="shorten it, or leave it out",
            ) from None
    return _Answerer(engine, encoded)


def _encode(engine: Engine, prompt: list[Message], is_chat: bool) -> list[int]:
    """A conversation; a model that has learned none continues the last message."""
    if not is_chat:
        return [engine.tokenizer.end_of_text, *engine.tokenizer.encode(prompt[-1].content)]
    messages = [message.model_dump() for message in prompt]
    return engine.tokenizer.encode_chat(messages, add_generation_prompt=True)
