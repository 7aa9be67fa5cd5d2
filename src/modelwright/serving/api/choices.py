"""Several generations of one request as one asynchronous stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from fastapi import Request

from modelwright.core.errors import ModelwrightError
from modelwright.inference.background import (
    BackgroundEngine,
    EngineStoppedError,
    Update,
)
from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.sequence import FinishReason
from modelwright.serving.access.rate_limits import Account
from modelwright.serving.api.responses import Usage

CLIENT_GONE = 499
"""What web servers log when nobody is left to read the answer."""


@dataclass(frozen=True)
class Answer:
    """A whole text.

    Attributes
    ----------
    text : str
        All of it.
    finish_reason : {"stop", "length", "abort"}
        Why it ended.
    alternatives : list of TokenLogProbability
        Of its tokens, where the parameters ask for them.
    """

    text: str
    finish_reason: FinishReason
    alternatives: list[TokenLogProbability]


class Choices:
    """The choices of one request: for each prompt, one for each of the parameters.

    Parameters
    ----------
    background : BackgroundEngine
        Generates.
    prompts : list of list of int
        Token ids.
    params : list of SamplingParams
        One for each choice of a prompt; choices are numbered prompt by prompt.
    account : Account, optional
        Pays for the most tokens that there can be, and gets back at the end what was not used.

    Raises
    ------
    LimitReachedError
        If the account has nothing left.
    InputError, QueueFullError, EngineStoppedError
        As :meth:`BackgroundEngine.submit`, before anything is generated.
    """

    def __init__(
        self,
        background: BackgroundEngine,
        prompts: list[list[int]],
        params: list[SamplingParams],
        account: Account | None = None,
    ):
        self._loop = asyncio.get_running_loop()
        self._updates: asyncio.Queue[tuple[int, Update]] = asyncio.Queue()
        self._prompt_tokens = sum(map(len, prompts))
        wanted = [(prompt, one) for prompt in prompts for one in params]
        self._tokens = [0] * len(wanted)
        length = background.engine.context_length
        self._reserved = sum(min(one.max_tokens, length - len(prompt)) for prompt, one in wanted)
        self._background, self._account = background, account
        if account is not None:
            account.take_tokens(self._prompt_tokens + self._reserved)
        try:
            self._generations = background.submit_many(
                [
                    (prompt, one, partial(self._deliver, index))
                    for index, (prompt, one) in enumerate(wanted)
                ]
            )
        except ModelwrightError:
            if account is not None:
                account.give_back(self._prompt_tokens + self._reserved)
            raise

    def __len__(self) -> int:
        return len(self._generations)

    async def __aiter__(self) -> AsyncIterator[tuple[int, Update]]:
        """Yield (number of the choice, update) until all have ended."""
        unfinished = len(self)
        while unfinished:
            index, update = await self._updates.get()
            if update.finish_reason == "abort":
                raise self._given_up()
            self._tokens[index] = update.tokens
            unfinished -= update.finish_reason is not None
            yield index, update

    def _given_up(self) -> EngineStoppedError:
        if self._background.is_running:
            return EngineStoppedError("the text was given up before it was complete")
        return EngineStoppedError("the server was stopped before the text was complete")

    async def collect(self, request: Request) -> list[Answer] | None:
        """Each choice, or None if the client has gone away."""
        collecting = asyncio.ensure_future(self._collect())
        leaving = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({collecting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return collecting.result() if collecting.done() else None
        finally:
            collecting.cancel()
            leaving.cancel()
            self.cancel()

    def cancel(self) -> None:
        """Stop generating what is not finished."""
        for generation in self._generations:
            generation.cancel()
        if self._account is not None:
            self._account.give_back(self._reserved - sum(self._tokens))
            self._account = None  # once is enough

    @property
    def usage(self) -> Usage:
        """Tokens so far; a prompt with several choices counts once."""
        completion = sum(self._tokens)
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=completion,
            total_tokens=self._prompt_tokens + completion,
        )

    def prompt_alternatives(self, number: int) -> list[TokenLogProbability]:
        """Those of a choice's prompt, once its first update is there."""
        return self._generations[number].sequence.prompt_alternatives

    async def _collect(self) -> list[Answer]:
        updates: list[list[Update]] = [[] for _ in range(len(self))]
        async for index, update in self:
            updates[index].append(update)
        return [_answer(of_one) for of_one in updates]

    def _deliver(self, index: int, update: Update) -> None:
        # A loop that has been closed has nobody left who waits for this.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._updates.put_nowait, (index, update))


def _answer(updates: list[Update]) -> Answer:
    return Answer(
        "".join(update.text for update in updates),
        updates[-1].finish_reason or "abort",
        [one for update in updates for one in update.alternatives],
    )


async def _disconnected(request: Request) -> None:
    """Return when the client has gone away; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
