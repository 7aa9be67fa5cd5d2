"""Requests of the OpenAI-shaped API.

A field is either honoured or refused: nothing that a client sends is ignored in silence. Fields
that are not honoured yet are accepted with the value that asks for nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from modelwright.inference.sampling import (
    MAX_SEED,
    MAX_STOP_STRINGS,
    MOST_ALTERNATIVES,
    MOST_KEPT,
    SamplingParams,
)
from modelwright.inference.structured import Structure
from modelwright.serving.api.chat_messages import ChatMessage
from modelwright.serving.api.neutral import Absent, Off
from modelwright.serving.api.response_format import (
    ResponseFormat,
    StructuredOutputs,
    structure_of_format,
)
from modelwright.serving.api.strict_request import StrictRequest, Text, together_error
from modelwright.serving.api.tools import (
    MOST_TOOLS,
    Mode,
    NamedTool,
    Toolbox,
    ToolChoice,
    ToolDefinition,
)

MOST_CHOICES = 8
DEFAULT_COMPLETION_TOKENS = 16
"""OpenAI's default for ``/v1/completions``; chat answers may fill the context."""

DEFAULT_TEMPERATURE = 0.7


Alternatives = Annotated[int, Field(ge=0, le=MOST_ALTERNATIVES)]
StopString = Annotated[Text, Field(min_length=1)]
StopStrings = Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


def _stop_strings(stop: Any) -> Any:
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, list) else stop


def _bias_by_token(bias: Any) -> Any:
    """Token ids as numbers; JSON only has texts for keys."""
    if not isinstance(bias, dict):
        return bias
    for token in bias:
        if not (isinstance(token, str) and token.isascii() and token.isdigit()):
            raise ValueError(f"'{token}' is no token id")
    return {int(token): value for token, value in bias.items()}


def prompt_list(prompt: Any) -> Any:
    """Bring the four forms of a prompt to one: a list of texts and lists of token ids."""
    prompts = prompt if isinstance(prompt, list) and not _is_ids(prompt) else [prompt]
    for index, one in enumerate(prompts):
        if not (isinstance(one, str) or _is_ids(one)):
            raise ValueError(f"prompt {index} is neither a text nor a list of token ids")
    if not prompts:
        raise ValueError("the list of prompts is empty")
    return prompts


def _is_ids(value: Any) -> bool:
    # bool is a kind of int to Python, and no token id.
    return isinstance(value, list) and bool(value) and all(type(id) is int for id in value)


class StreamOptions(StrictRequest):
    """What to put into a stream besides the text."""

    include_usage: bool = False
    include_obfuscation: Off = None


class GenerationRequest(StrictRequest):
    """What both kinds of completion have in common."""

    model: Text
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=MOST_KEPT)] | None = Field(
        None, description="an extension: draw from this many likeliest tokens; 0 or -1 for all"
    )
    min_p: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="an extension: draw from tokens at least this many times as likely as "
        "the likeliest",
    )  # fmt: skip
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] | None = Field(
        None, description="an extension: divides the logits of tokens that came before; 1 for none"
    )
    min_tokens: Annotated[int, Field(ge=0)] | None = Field(
        None, description="an extension: tokens before which the text does not end by itself"
    )
    ignore_eos: bool | None = Field(
        None, description="an extension: go on behind tokens that end a text"
    )
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    stop: Annotated[
        tuple[StopString, ...],
        Field(max_length=MAX_STOP_STRINGS),
        BeforeValidator(_stop_strings, json_schema_input_type=StopString | StopStrings | None),
    ] = ()
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    structured_outputs: StructuredOutputs | None = None
    user: Text | None = Field(None, description="accepted for the client's own use; has no effect")
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[int, Annotated[float, Field(ge=-100, le=100)]] | None,
        BeforeValidator(_bias_by_token, json_schema_input_type=dict[str, float] | None)
    ] = None  # fmt: skip

    @model_validator(mode="after")
    def _check_stream_options(self) -> GenerationRequest:
        if self.stream_options is not None and not self.stream:
            raise together_error(
                "stream_options", "stream_options is only allowed with stream: true"
            )
        return self

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with the token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self, max_tokens: int) -> list[SamplingParams]:
        """The parameters of each choice; choice i draws from seed + i.

        Raises
        ------
        InputError
            If the text would have to be longer than it may be.
        """
        whole = SamplingParams(
            max_tokens=max_tokens,
            temperature=DEFAULT_TEMPERATURE if self.temperature is None else self.temperature,
            top_k=max(self.top_k or 0, 0),
            top_p=1.0 if self.top_p is None else self.top_p,
            min_p=self.min_p or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            repetition_penalty=self.repetition_penalty or 1.0,
            logit_bias=self.logit_bias or {},
            min_tokens=self.min_tokens or 0,
            ignores_end=bool(self.ignore_eos),
            structure=self._structure(),
            stop=self.stop,
        )
        whole = self._with_log_probabilities(whole)
        seeds = [
            None if self.seed is None else (self.seed + choice) % (MAX_SEED + 1)
            for choice in range(self.candidates())
        ]
        return [replace(whole, seed=seed) for seed in seeds]

    def candidates(self) -> int:
        """Texts to generate for each prompt."""
        return self.n or 1

    def _structure(self) -> Structure | None:
        """The form that is asked for."""
        return self.structured_outputs.structure() if self.structured_outputs else None

    def _with_log_probabilities(self, params: SamplingParams) -> SamplingParams:
        """With what is to be kept beside the tokens."""
        return params


class ChatCompletionRequest(GenerationRequest):
    """Body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Alternatives | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[ToolDefinition], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    store: Off = None

    @model_validator(mode="after")
    def _check_limits(self) -> ChatCompletionRequest:
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise together_error(
                "max_completion_tokens",
                "max_tokens and max_completion_tokens differ; give one of them",
            )
        if self.top_logprobs and not self.logprobs:
            raise together_error("top_logprobs", "top_logprobs is only allowed with logprobs: true")
        if self.structured_outputs and structure_of_format(self.response_format):
            raise together_error(
                "structured_outputs", "give response_format or structured_outputs, not both"
            )
        return self

    @model_validator(mode="after")
    def _check_tools(self) -> ChatCompletionRequest:
        names = [tool.function.name for tool in self.tools or []]
        if len(set(names)) < len(names):
            raise together_error("tools", "two tools have one name")
        if self.tool_choice == "required" and not names:
            raise together_error("tool_choice", "tool_choice: required needs tools")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            reason = f"tool_choice: no tool is called '{self.tool_choice.function.name}'"
            raise together_error("tool_choice", reason)
        others = {
            "response_format": structure_of_format(self.response_format),
            "structured_outputs": self.structured_outputs,
            "min_tokens": self.min_tokens,
            "ignore_eos": self.ignore_eos,
        }
        given = [name for name, value in others.items() if value]
        if self.toolbox is not None and given:
            clashing = " and ".join(given)
            reason = f"tools do not go with {clashing}: leave one out, or give tool_choice: none"
            raise together_error("tools", reason)
        return self

    @property
    def toolbox(self) -> Toolbox | None:
        """The tools that may be called; None if there are none."""
        if not self.tools or self.tool_choice == "none":
            return None
        if isinstance(self.tool_choice, NamedTool):
            name = self.tool_choice.function.name
            chosen = [tool for tool in self.tools if tool.function.name == name]
            return Toolbox(chosen, "named", calls_several=False)
        mode: Mode = "required" if self.tool_choice == "required" else "auto"
        return Toolbox(self.tools, mode, self.parallel_tool_calls is not False)

    def _structure(self) -> Structure | None:
        return structure_of_format(self.response_format) or super()._structure()

    def _with_log_probabilities(self, params: SamplingParams) -> SamplingParams:
        return replace(params, alternatives=(self.top_logprobs or 0) if self.logprobs else None)

    @property
    def token_limit(self) -> int | None:
        """Most tokens to generate, or None for as many as the context holds."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(GenerationRequest):
    """Body of ``POST /v1/completions``."""

    prompt: Annotated[
        list[Text | list[int]],
        BeforeValidator(
            prompt_list, json_schema_input_type=str | list[str] | list[int] | list[list[int]]
        ),
    ]
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    echo: bool | None = None
    best_of: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    logprobs: Alternatives | None = None
    suffix: Absent = None

    @model_validator(mode="after")
    def _check_choices(self) -> CompletionRequest:
        if self.max_tokens == 0 and not self.echo:
            raise together_error("max_tokens", "max_tokens: 0 is only allowed with echo: true")
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise together_error("best_of", "best_of must be at least n")
        if self.stream and self.candidates() > (self.n or 1):
            raise together_error(
                "best_of", "best_of cannot be streamed: the best is known at the end"
            )
        return self

    @property
    def is_only_echo(self) -> bool:
        """Whether nothing is wanted but the prompt, with its log-probabilities."""
        return self.max_tokens == 0

    def candidates(self) -> int:
        return self.best_of or self.n or 1

    def _with_log_probabilities(self, params: SamplingParams) -> SamplingParams:
        chooses = self.candidates() > (self.n or 1)  # by the likelihood of the tokens
        return replace(
            params,
            alternatives=0 if self.logprobs is None and chooses else self.logprobs,
            prompt_alternatives=self.logprobs if self.echo else None,
            only_prompt=self.is_only_echo,
        )
