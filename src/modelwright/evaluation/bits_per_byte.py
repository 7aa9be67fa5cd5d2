"""Bits per byte: how well a model predicts text, whatever its tokenizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelwright.core.errors import InputError
from modelwright.inference.engine import Engine

WINDOWS_AT_ONCE = 64
"""Windows that are scored between two reports of progress."""


@dataclass(frozen=True)
class Window:
    """A piece of a document that fits the model.

    Attributes
    ----------
    tokens : list of int
        Its tokens, at most as many as the context holds.
    first : int
        Index of the first token whose prediction counts; those before it are context only.
    """

    tokens: list[int]
    first: int

    @property
    def predictions(self) -> int:
        """Number of tokens whose prediction counts."""
        return len(self.tokens) - self.first


def cut_windows(tokens: Sequence[int], length: int) -> list[Window]:
    """Cut a document into windows that predict each token but the first exactly once.

    Every window after the first starts half a window later, so that each token but those near
    the document's start is predicted from at least half a window.

    Parameters
    ----------
    tokens : sequence of int
        The document, with the token it starts from.
    length : int
        Largest number of tokens in a window, at least 2.
    """
    step = length - length // 2
    windows, predicted = list[Window](), 1
    for start in range(0, len(tokens), step):
        end = min(start + length, len(tokens))
        if end > predicted:
            windows.append(Window(list(tokens[start:end]), predicted - start))
            predicted = end
    return windows


def bits_per_byte(
    engine: Engine,
    texts: Sequence[str],
    on_progress: Callable[[int], None] | None = None,
) -> float:
    """Bits that the model needs for each UTF-8 byte of the texts.

    Every text starts from the end-of-text token, as documents do in training. The end of a text
    is not predicted, because no byte stands for it.

    Parameters
    ----------
    engine : Engine
        Scores the tokens.
    texts : sequence of str
        The documents.
    on_progress : callable, optional
        Called with the number of bytes done, in proportion to the tokens done.

    Raises
    ------
    InputError
        If there is no text.
    """
    total_bytes = sum(len(text.encode()) for text in texts)
    if total_bytes == 0:
        raise InputError("there is no held-out text to measure bits per byte on")
    nats = _negative_log_likelihood(engine, texts, total_bytes, on_progress or (lambda done: None))
    return nats / math.log(2) / total_bytes


def _negative_log_likelihood(
    engine: Engine,
    texts: Sequence[str],
    total_bytes: int,
    on_progress: Callable[[int], None],
) -> float:
    tokenizer = engine.tokenizer
    windows = [
        window
        for text in texts
        for window in cut_windows(
            [tokenizer.end_of_text, *tokenizer.encode(text)], engine.context_length
        )
    ]
    # Windows of like length share a batch with little padding.
    windows.sort(key=lambda window: len(window.tokens), reverse=True)
    total = sum(len(window.tokens) for window in windows)
    sums, done = [0.0], 0
    for start in range(0, len(windows), WINDOWS_AT_ONCE):
        batch = windows[start : start + WINDOWS_AT_ONCE]
        for window, scores in zip(
            batch, engine.score([window.tokens for window in batch]), strict=True
        ):
            sums.append(-float(scores[window.first - 1 :].double().sum()))
        done += sum(len(window.tokens) for window in batch)
        on_progress(total_bytes * done // total)
    return math.fsum(sums)
