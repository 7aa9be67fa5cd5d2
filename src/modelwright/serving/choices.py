"""Several generations of one request as one asynchronous stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from fastapi import Request

from modelwright.inference.background import (
    BackgroundEngine,
    EngineStoppedError,
    Update,
)
from modelwright.inference.sampling import SamplingParams
from modelwright.serving.openai_responses import Usage


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

    Raises
    ------
    InputError, QueueFullError, EngineStoppedError
        As :meth:`BackgroundEngine.submit`, before anything is generated.
    """

    def __init__(
        self, background: BackgroundEngine, prompts: list[list[int]], params: list[SamplingParams]
    ):
        self._loop = asyncio.get_running_loop()
        self._updates: asyncio.Queue[tuple[int, Update]] = asyncio.Queue()
        self._prompt_tokens = sum(map(len, prompts))
        wanted = [(prompt, one) for prompt in prompts for one in params]
        self._tokens = [0] * len(wanted)
        self._generations = background.submit_many(
            [
                (prompt, one, partial(self._deliver, index))
                for index, (prompt, one) in enumerate(wanted)
            ]
        )

    def __len__(self) -> int:
        return len(self._generations)

    async def __aiter__(self) -> AsyncIterator[tuple[int, Update]]:
        """Yield (number of the choice, update) until all have ended."""
        unfinished = len(self)
        while unfinished:
            index, update = await self._updates.get()
            if update.finish_reason == "abort":
                raise EngineStoppedError("the server was stopped before the text was complete")
            self._tokens[index] = update.tokens
            unfinished -= update.finish_reason is not None
            yield index, update

    async def collect(self, request: Request) -> list[tuple[str, Update]] | None:
        """Each choice's whole text and last update, or None if the client has gone away."""
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

    @property
    def usage(self) -> Usage:
        """Tokens so far; a prompt with several choices counts once."""
        completion = sum(self._tokens)
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=completion,
            total_tokens=self._prompt_tokens + completion,
        )

    async def _collect(self) -> list[tuple[str, Update]]:
        texts = [""] * len(self)
        last: dict[int, Update] = {}
        async for index, update in self:
            texts[index] += update.text
            last[index] = update
        return [(text, last[index]) for index, text in enumerate(texts)]

    def _deliver(self, index: int, update: Update) -> None:
        # A loop that has been closed has nobody left who waits for this.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._updates.put_nowait, (index, update))


async def _disconnected(request: Request) -> None:
    """Return when the client has gone away; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
