"""A model of a server, as requests see it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from modelwright.core.errors import InputError
from modelwright.inference.backend import Backend
from modelwright.inference.sampling import SamplingParams
from modelwright.serving.access.authentication import account_of
from modelwright.serving.api.choices import Choices
from modelwright.serving.api.limits import DEFAULT_LIMITS, Limits
from modelwright.serving.api.responses import ModelCard
from modelwright.serving.api.tools import Toolbox, knows_calls
from modelwright.serving.trace import trace_of
from modelwright.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class ServedModel:
    """One name under which a server answers.

    Attributes
    ----------
    background : Backend
        Generates; several names may share it, as adapters on one base do.
    name : str
        What clients call it.
    is_chat : bool
        Whether it was fine-tuned to answer.
    parent : str or None
        Name of the model that it is an adapter of.
    adapter : str or None
        What the engine calls that adapter.
    limits : Limits
        Of its requests.
    created : int
        Since when it is served, in seconds since 1970.
    """

    background: Backend
    name: str
    is_chat: bool = True
    parent: str | None = None
    adapter: str | None = None
    limits: Limits = DEFAULT_LIMITS
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own."""
        return self.background.tokenizer

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and answer."""
        return self.background.context_length

    def card(self, id: str) -> ModelCard:
        """The model as the list of models shows it, under its name or another one."""
        return ModelCard(
            id=id,
            created=self.created,
            max_model_len=self.context_length,
            root=self.name,
            parent=self.parent,
            chat=self.is_chat,
        )

    async def chat_prompt(
        self,
        messages: list[dict[str, Any]],
        add_generation_prompt: bool = True,
        toolbox: Toolbox | None = None,
    ) -> list[int]:
        """Token ids of a conversation, by default up to where the model answers."""
        tools = None
        if toolbox is not None:
            if not knows_calls(self.tokenizer):
                raise InputError(
                    "this model's chat template does not write calls of tools in a form that is "
                    "known here",
                    fix="leave out 'tools'",
                )
            tools = toolbox.for_template()
        # In a thread: a body of megabytes must not hold up everybody's streams.
        return await run_in_threadpool(
            self.tokenizer.encode_chat,
            messages,
            add_generation_prompt=add_generation_prompt,
            tools=tools,
        )

    def check_number(self, wanted: int) -> None:
        """Refuse more texts than can ever be generated at once."""
        most = self.background.places
        if wanted > most:
            raise InputError(f"{wanted} texts at once are too many", fix=f"ask for at most {most}")

    async def text_prompt(self, prompt: str | list[int]) -> list[int]:
        """Token ids of a text to continue; it begins as documents do in training."""
        if isinstance(prompt, list):
            return prompt
        tokens = await run_in_threadpool(self.tokenizer.encode, prompt)
        return [self.tokenizer.end_of_text, *tokens]

    async def start(
        self,
        prompts: list[list[int]],
        params: list[SamplingParams],
        request: Request,
    ) -> Choices:
        """Begin to generate; raises as :class:`Choices`, and if it is more than can ever run."""
        self.check_number(len(prompts) * len(params))
        trace = trace_of(request)
        trace.wanted, trace.most_tokens = len(params), params[0].max_tokens
        structure = params[0].structure
        if structure is not None:  # compiled where it holds up nobody, then known to the engine
            await run_in_threadpool(self.background.structures.matcher, structure)
        account = account_of(request)
        choices = Choices(self.background, prompts, params, self.limits, account, self.adapter)
        trace.generations = choices.generations
        return choices
