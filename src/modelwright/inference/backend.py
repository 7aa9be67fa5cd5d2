"""What a server needs of whatever generates its texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from modelwright.inference.background import Generation, Wanted
from modelwright.inference.engine_figures import EngineFigures
from modelwright.inference.sequence import Sequence
from modelwright.inference.structured import Structures
from modelwright.tokens.tokenizer import Tokenizer


class Backend(Protocol):
    """Generates texts in the background: our engine in a thread, or another one elsewhere.

    Attributes
    ----------
    on_tokens, on_end : callable or None
        Told of new tokens and of texts that have ended, from another thread.
    """

    on_tokens: Callable[[Sequence, int], None] | None
    on_end: Callable[[Sequence], None] | None

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own."""

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and answer."""

    @property
    def structures(self) -> Structures:
        """Compiles the forms that answers may have to keep to."""

    @property
    def is_running(self) -> bool:
        """Whether it takes work."""

    @property
    def places(self) -> int:
        """Most generations that run and wait at once."""

    def submit_many(
        self, requests: list[Wanted], owner: str | None = None, adapter: str | None = None
    ) -> list[Generation]:
        """Start all or, if one is refused, none."""

    def stop(self) -> None:
        """End what is unfinished; returns at once, also within a signal handler."""

    def figures(self) -> EngineFigures:
        """How it is doing, from any thread."""
