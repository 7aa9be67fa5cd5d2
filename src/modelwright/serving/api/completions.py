"""``POST /v1/completions``."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from fastapi import Request, Response

from modelwright.inference.background import Update
from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.inference.sequence import FinishReason
from modelwright.serving.api.choices import Answer, Choices
from modelwright.serving.api.event_stream import EventStream, event
from modelwright.serving.api.logprobs import TextLogprobs, TextLogprobsWriter, joined
from modelwright.serving.api.requests import DEFAULT_COMPLETION_TOKENS, CompletionRequest
from modelwright.serving.api.responses import TextChoice, TextCompletion, Usage
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.server_sent_events import DONE
from modelwright.serving.trace import trace_of
from modelwright.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class _Prompt:
    """A prompt, and how it is repeated before its completions."""

    ids: list[int]
    text: str
    is_given_as_ids: bool

    def logprobs(
        self, writer: TextLogprobsWriter, found: Sequence[TokenLogProbability]
    ) -> TextLogprobs:
        """Of its own tokens; what we put before a text is none of them."""
        first = [writer.first(self.ids[0])] if self.is_given_as_ids else []
        return joined([*first, writer.of(found)])


class _Writer:
    """Puts together what is sent of one completion, piece by piece.

    Parameters
    ----------
    body : CompletionRequest
        What is wanted.
    tokenizer : Tokenizer
        The model's own.
    prompt : _Prompt
        What it continues.
    choices : Choices
        Where it comes from.
    number : int
        Which of them it is.
    """

    def __init__(
        self,
        body: CompletionRequest,
        tokenizer: Tokenizer,
        prompt: _Prompt,
        choices: Choices,
        number: int,
    ):
        self._body, self._prompt = body, prompt
        self._choices, self._number = choices, number
        self._writes_prompt = body.echo
        self._logprobs = TextLogprobsWriter(tokenizer)

    def write(self, index: int, part: Answer | Update) -> TextChoice:
        """The next piece as choice ``index``, behind the prompt where that is wanted."""
        texts, logprobs = list[str](), list[TextLogprobs]()
        if self._writes_prompt:
            self._writes_prompt = False
            texts.append(self._prompt.text)
            known = self._choices.prompt_alternatives(self._number)
            logprobs.append(self._prompt.logprobs(self._logprobs, known))
        if not self._body.is_only_echo:
            texts.append(part.text)
            logprobs.append(self._logprobs.of(part.alternatives))
        return TextChoice(
            index=index,
            text="".join(texts),
            logprobs=None if self._body.logprobs is None else joined(logprobs),
            finish_reason=self._reason(part.finish_reason),
        )

    def _reason(self, given: FinishReason | None) -> FinishReason | None:
        # What follows a prompt that is only repeated is no part of the answer.
        return "length" if given is not None and self._body.is_only_echo else given


async def complete_text(
    served: ServedModel, body: CompletionRequest, request: Request
) -> TextCompletion | Response:
    """Continue one or more texts, at once or as a stream."""
    served.check_number(len(body.prompt) * body.candidates())
    prompts = [await _prompt(served, prompt) for prompt in body.prompt]
    # A prompt that is only repeated is run all the same, for its log-probabilities.
    limit = body.max_tokens if body.max_tokens is not None else DEFAULT_COMPLETION_TOKENS
    params = body.sampling(max(1, limit))
    ids = [prompt.ids for prompt in prompts]
    trace_of(request).asked = [prompt.text for prompt in prompts]
    choices = await served.start(ids, params, request)
    writers = [
        _Writer(body, served.tokenizer, prompts[number // len(params)], choices, number)
        for number in range(len(choices))
    ]
    empty = TextCompletion(
        id="cmpl-" + secrets.token_hex(12),
        created=int(time.time()),
        model=served.name,
        choices=[],
    )
    if body.stream:
        return EventStream(_events(body, choices, writers, empty), choices, served.limits)
    answers = await choices.collect(request)
    kept = _best(answers, len(params), body.n or 1)
    texts = [writers[number].write(index, answers[number]) for index, number in enumerate(kept)]
    return empty.model_copy(update={"choices": texts, "usage": _usage(body, choices)})


async def _prompt(served: ServedModel, prompt: str | list[int]) -> _Prompt:
    ids = await served.text_prompt(prompt)
    # Read back from the tokens, for which a tokenizer may have normalised the text.
    return _Prompt(ids, served.tokenizer.decode(ids), not isinstance(prompt, str))


def _best(answers: Sequence[Answer], of: int, n: int) -> list[int]:
    """The numbers of the ``n`` answers to each prompt that are likeliest by the mean token."""
    if of == n:
        return list(range(len(answers)))

    def likelihood(number: int) -> float:
        return fmean(one.value for one in answers[number].alternatives)

    kept = list[int]()
    for start in range(0, len(answers), of):
        kept += sorted(range(start, start + of), key=likelihood, reverse=True)[:n]
    return kept


def _usage(body: CompletionRequest, choices: Choices) -> Usage:
    usage = choices.usage
    if not body.is_only_echo:
        return usage
    return Usage(
        prompt_tokens=usage.prompt_tokens, completion_tokens=0, total_tokens=usage.prompt_tokens
    )


async def _events(
    body: CompletionRequest, choices: Choices, writers: Sequence[_Writer], chunk: TextCompletion
) -> AsyncIterator[str]:
    """Text as it comes, then (if wanted) usage."""
    async for index, update in choices:
        if update.text or update.alternatives or update.finish_reason:
            part = writers[index].write(index, update)
            yield event(chunk.model_copy(update={"choices": [part]}), body.include_usage)
    if body.include_usage:
        usage = _usage(body, choices)
        yield event(chunk.model_copy(update={"usage": usage}), body.include_usage)
    yield DONE
