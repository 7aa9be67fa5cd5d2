"""``/tokenize``, ``/detokenize`` and ``/tokenizer_info``, in vLLM's shape."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, model_validator

from modelwright.core.errors import InputError
from modelwright.serving.api.chat_messages import ChatMessage
from modelwright.serving.api.routes import ERRORS, require_json
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.served_models import ServedModels
from modelwright.serving.api.strict_request import StrictRequest, Text, together_error
from modelwright.tokens.tokenizer import Tokenizer


class TokenizeRequest(StrictRequest):
    """Body of ``POST /tokenize``: a text, or a conversation."""

    model: Text | None = None
    prompt: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    add_special_tokens: bool | None = Field(
        None, description="begin a text as documents do in training, as /v1/completions does"
    )
    parse_special: bool | None = Field(
        None,
        description="take names of control tokens in a text for these tokens; true if left out",
    )
    add_generation_prompt: bool | None = Field(
        None, description="end a conversation where the model answers; true if left out"
    )
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def _check_one(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise together_error("prompt", "give either prompt or messages")
        of_text = self.add_special_tokens is not None or self.parse_special is not None
        if self.messages is not None and of_text:
            raise together_error(
                "add_special_tokens" if self.parse_special is None else "parse_special",
                "add_special_tokens and parse_special go with prompt, not messages",
            )
        if self.prompt is not None and self.add_generation_prompt is not None:
            raise together_error(
                "add_generation_prompt", "add_generation_prompt goes with messages, not prompt"
            )
        return self


class Tokens(BaseModel):
    """Answer of ``POST /tokenize``."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(StrictRequest):
    """Body of ``POST /detokenize``."""

    model: Text | None = None
    tokens: list[int]


class DetokenizedText(BaseModel):
    """Answer of ``POST /detokenize``, control tokens written out."""

    prompt: str


class TokenizerInfo(BaseModel):
    """Answer of ``GET /tokenizer_info``: what evaluators need to know."""

    tokenizer_class: str = "PreTrainedTokenizerFast"
    vocab_size: int
    model_max_length: int
    bos_token: str
    eos_token: str
    pad_token: str
    chat_template: str


def tokenization_router(models: ServedModels) -> APIRouter:
    """The routes for all models; without a name the first one is meant."""
    router = APIRouter(responses=ERRORS)

    @router.post("/tokenize", dependencies=[Depends(require_json)])
    async def tokenize(body: TokenizeRequest, request: Request) -> Tokens:
        served = models.of(request, body.model)
        ids = await _ids_of(served, body)
        strings = None
        if body.return_token_strs:
            strings = await run_in_threadpool(_texts_of, served.tokenizer, ids)
        return Tokens(
            count=len(ids), max_model_len=served.context_length, tokens=ids, token_strs=strings
        )

    @router.post("/detokenize", dependencies=[Depends(require_json)])
    async def detokenize(body: DetokenizeRequest, request: Request) -> DetokenizedText:
        tokenizer = models.of(request, body.model).tokenizer
        unknown = next((id for id in body.tokens if not 0 <= id < tokenizer.vocabulary_size), None)
        if unknown is not None:
            raise InputError(
                f"'tokens' has {unknown}, which is unknown",
                fix=f"use ids from 0 to {tokenizer.vocabulary_size - 1}",
            )
        text = await run_in_threadpool(tokenizer.decode_special, body.tokens)
        return DetokenizedText(prompt=text)

    @router.get("/tokenizer_info")
    async def tokenizer_info(request: Request, model: str | None = None) -> TokenizerInfo:
        served = models.of(request, model)
        tokenizer = served.tokenizer
        end = tokenizer.decode_special([tokenizer.end_of_text])
        return TokenizerInfo(
            vocab_size=tokenizer.vocabulary_size,
            model_max_length=served.context_length,
            bos_token=end,  # it stands between documents, so it is before each and behind it
            eos_token=end,
            pad_token=end,
            chat_template=tokenizer.template,
        )

    return router


async def _ids_of(served: ServedModel, body: TokenizeRequest) -> list[int]:
    if body.messages is not None:
        messages = [message.for_template() for message in body.messages]
        return await served.chat_prompt(messages, body.add_generation_prompt is not False)
    tokenizer = served.tokenizer
    parses = body.parse_special is not False
    encode = tokenizer.encode_special if parses else tokenizer.encode
    ids = await run_in_threadpool(encode, body.prompt or "")
    return ids if body.add_special_tokens is False else [tokenizer.end_of_text, *ids]


def _texts_of(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    return [tokenizer.decode_special([id]) for id in ids]
