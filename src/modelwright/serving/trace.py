"""What is known of a request as it goes along: for the log, the metrics and the request log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from modelwright.core.clock import now
from modelwright.inference.background import Generation

SCOPE = "trace"
"""Where it lies in the scope of a request."""


@dataclass
class RequestTrace:
    """One request.

    Attributes
    ----------
    request_id, method, path : str
        As it came.
    at : str
        When, ISO 8601.
    started : float
        The same in seconds of a clock that never goes back.
    route : str
        The address's pattern; empty if there is none.
    key : str or None
        Name of its key.
    model : str or None
        The model that answers.
    status : int or None
        Of the answer, once it has begun.
    seconds : float
        From its beginning to its end, once that has come.
    asked : list
        Messages or texts, as they were asked.
    read_tokens : int
        Of texts that were read without being continued.
    wanted, most_tokens : int or None
        Choices of a prompt, and the tokens that each may have.
    generations : sequence of Generation
        The choices.
    """

    request_id: str
    method: str
    path: str
    at: str = field(default_factory=now)
    started: float = field(default_factory=time.monotonic)
    route: str = ""
    key: str | None = None
    model: str | None = None
    status: int | None = None
    seconds: float = 0.0
    asked: Sequence[Any] = ()
    read_tokens: int = 0
    wanted: int | None = None
    most_tokens: int | None = None
    generations: Sequence[Generation] = ()

    @property
    def prompt_tokens(self) -> int:
        """Tokens that were read; a prompt with several choices counts once."""
        prompts = self.generations[:: self.wanted or 1]
        return self.read_tokens + sum(one.prompt_tokens for one in prompts)

    @property
    def generated_tokens(self) -> int:
        """Of all choices together."""
        return sum(len(one.sequence.generated) for one in self.generations)

    @property
    def finish_reason(self) -> str | None:
        """Why the choices ended, each reason once; what has not ended by now was given up."""
        reasons = [one.sequence.finish_reason or "abort" for one in self.generations]
        return ",".join(sorted(set(reasons))) or None

    @property
    def waiting_seconds(self) -> float | None:
        """Until the first choice began."""
        spans = [one.started - one.arrived for one in self._timings if one.started is not None]
        return min(spans, default=None)

    @property
    def first_token_seconds(self) -> float | None:
        """Until the first token."""
        spans = [
            one.first_token - one.arrived for one in self._timings if one.first_token is not None
        ]
        return min(spans, default=None)

    @property
    def answers(self) -> list[str]:
        """What was said, as far as it got."""
        return [one.sequence.text for one in self.generations]

    @property
    def _timings(self) -> list[Any]:
        return [one.sequence.timing for one in self.generations]


def trace_of(request: Request) -> RequestTrace:
    """Of a request that came through :class:`~modelwright.serving.access_log.AccessLog`."""
    found: RequestTrace = request.scope[SCOPE]
    return found
