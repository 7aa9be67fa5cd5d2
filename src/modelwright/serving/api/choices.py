"""Several generations of one request as one asynchronous stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from fastapi import Request

from modelwright.core.errors import ModelwrightError
from modelwright.inference.backend import Backend
from modelwright.inference.background import (
    EngineStoppedError,
    Generation,
    Update,
)
from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.sequence import FinishReason
from modelwright.serving.access.rate_limits import Account
from modelwright.serving.api.limits import Limits
from modelwright.serving.api.responses import Usage
from modelwright.serving.api.waiting import unless_gone
from modelwright.serving.errors import DeadlineError, SlowReaderError


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
    background : Backend
        Generates.
    prompts : list of list of int
        Token ids.
    params : list of SamplingParams
        One for each choice of a prompt; choices are numbered prompt by prompt.
    limits : Limits
        How long it may take, and how much of it may wait to be read.
    account : Account, optional
        Pays for the most tokens that there can be, and gets back at the end what was not used.
    adapter : str, optional
        The engine's that speaks.

    Raises
    ------
    LimitReachedError
        If the account has nothing left.
    InputError, QueueFullError, ShareReachedError, EngineStoppedError
        As :meth:`BackgroundEngine.submit`, before anything is generated.
    """

    def __init__(
        self,
        background: Backend,
        prompts: list[list[int]],
        params: list[SamplingParams],
        limits: Limits,
        account: Account | None = None,
        adapter: str | None = None,
    ):
        self._loop = asyncio.get_running_loop()
        self._updates = deque[tuple[int, Update]]()
        self._news = asyncio.Event()
        self._failure: ModelwrightError | None = None
        self._prompt_tokens = sum(map(len, prompts))
        wanted = [(prompt, one) for prompt in prompts for one in params]
        self._tokens = [0] * len(wanted)
        self._most_unread = limits.most_unread * len(wanted)
        length = background.context_length
        self._reserved = sum(min(one.max_tokens, length - len(prompt)) for prompt, one in wanted)
        self._background, self._account = background, account
        if account is not None:
            account.take_tokens(self._prompt_tokens + self._reserved)
        try:
            self.generations: list[Generation] = background.submit_many(
                [
                    (prompt, one, partial(self._deliver, index))
                    for index, (prompt, one) in enumerate(wanted)
                ],
                None if account is None else account.key.name,
                adapter,
            )
        except ModelwrightError:
            if account is not None:
                account.give_back(self._prompt_tokens + self._reserved)
            raise
        self._alarm = None
        if limits.deadline is not None:
            self._alarm = self._loop.call_later(
                limits.deadline, self._give_up, DeadlineError(limits.deadline)
            )

    def __len__(self) -> int:
        return len(self.generations)

    async def begun(self) -> None:
        """Wait until something was said.

        Raises
        ------
        DeadlineError, EngineStoppedError
            If nothing will be.
        """
        await self._wait()
        if self._updates and self._updates[0][1].finish_reason == "abort":
            raise self._given_up(self._updates[0][1])

    async def __aiter__(self) -> AsyncIterator[tuple[int, Update]]:
        """Yield (number of the choice, update) until all have ended."""
        unfinished = len(self)
        while unfinished:
            await self._wait()
            index, update = self._updates.popleft()
            if update.finish_reason == "abort":
                raise self._given_up(update)
            self._tokens[index] = update.tokens
            unfinished -= update.finish_reason is not None
            yield index, update

    async def collect(self, request: Request) -> list[Answer]:
        """Each choice; raises ClientGoneError if nobody waits for them any more."""
        try:
            return await unless_gone(request.receive, self._collect())
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Stop generating what is not finished."""
        if self._alarm is not None:
            self._alarm.cancel()
        for generation in self.generations:
            generation.cancel()
        if self._account is not None:
            # What was generated, read or not: leaving early must not make it free.
            used = sum(len(one.sequence.generated) for one in self.generations)
            # Behind a prompt that fills the context, one is drawn which nothing was reserved for.
            self._account.give_back(max(0, self._reserved - used))
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
        return self.generations[number].sequence.prompt_alternatives

    async def _collect(self) -> list[Answer]:
        updates: list[list[Update]] = [[] for _ in range(len(self))]
        async for index, update in self:
            updates[index].append(update)
        return [_answer(of_one) for of_one in updates]

    def _deliver(self, index: int, update: Update) -> None:
        """Take an update, in the engine's thread."""
        # A loop that has been closed has nobody left who waits for this.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._receive, index, update)

    def _receive(self, index: int, update: Update) -> None:
        if self._failure is not None:
            return
        if len(self._updates) >= self._most_unread:
            self._give_up(SlowReaderError("the answer was not read as fast as it was written"))
            return
        self._updates.append((index, update))
        self._news.set()

    async def _wait(self) -> None:
        """Wait for an update; raises what ends the answer early once all before it are read."""
        if self._updates:
            # A backlog must not keep others, or the news that the client has left, from the loop.
            await asyncio.sleep(0)
        while not self._updates:
            if self._failure is not None:
                raise self._failure
            self._news.clear()
            await self._news.wait()

    def _give_up(self, why: ModelwrightError) -> None:
        self._failure = why
        for generation in self.generations:
            generation.cancel()
        self._news.set()

    def _given_up(self, last: Update) -> ModelwrightError:
        if last.error is not None:
            return last.error
        if self._background.is_running:
            return EngineStoppedError("the text was given up before it was complete")
        return EngineStoppedError("the server was stopped before the text was complete")


def _answer(updates: list[Update]) -> Answer:
    return Answer(
        "".join(update.text for update in updates),
        updates[-1].finish_reason or "abort",
        [one for update in updates for one in update.alternatives],
    )
