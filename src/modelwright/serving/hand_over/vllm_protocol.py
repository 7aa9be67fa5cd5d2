"""How vLLM's ``/v1/completions`` is asked for tokens, and how its answers are read.

Prompts and answers go as token ids: chat templates, stop strings and texts are ours, so that a
model says the same behind our server whichever engine runs it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.structured import SPACING, Structure

MODEL = "model"
"""What the model is called between us and vLLM."""

NEVER = -100.0
"""As bias: the least that vLLM takes."""

_ID = "token_id:"
_FINISH_REASONS = {"stop", "length"}


class UnreadableAnswerError(ValueError):
    """An answer that is not vLLM's."""


@dataclass(frozen=True)
class Piece:
    """New tokens of a text.

    Attributes
    ----------
    tokens : list of int
        Their ids, that which ends the text included.
    alternatives, prompt_alternatives : list of TokenLogProbability
        Of these tokens, and of the prompt's from the second on, where they were asked for.
    finish_reason : str or None
        Why it ended.
    """

    tokens: list[int]
    alternatives: list[TokenLogProbability]
    prompt_alternatives: list[TokenLogProbability]
    finish_reason: str | None


def is_streamed(params: SamplingParams) -> bool:
    """Whether the answer can come piece by piece; vLLM has a prompt's figures at the end only."""
    return params.prompt_alternatives is None


def body_of(
    prompt: list[int],
    params: SamplingParams,
    room: int,
    end_tokens: Sequence[int],
    unknown_tokens: Sequence[int] = (),
) -> dict[str, Any]:
    """The body of a request.

    Parameters
    ----------
    prompt : list of int
        Token ids.
    params : SamplingParams
        How to go on.
    room : int
        Tokens that the context has left.
    end_tokens : sequence of int
        Those that end a text.
    unknown_tokens : sequence of int
        Those that the model has room for and the tokenizer does not know; none may be drawn.
    """
    most = min(params.max_tokens, room)
    body: dict[str, Any] = {
        "model": MODEL,
        "prompt": prompt,
        "max_tokens": most,
        "min_tokens": min(params.min_tokens, most),
        "temperature": params.temperature,
        "top_k": params.top_k or -1,
        "top_p": params.top_p,
        "min_p": params.min_p,
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        "repetition_penalty": params.repetition_penalty,
        "stop": list(params.stop),
        "stop_token_ids": [] if params.ignores_end else list(end_tokens),
        "ignore_eos": params.ignores_end,
        "stream": is_streamed(params),
        "return_token_ids": True,
    }
    if params.seed is not None:
        body["seed"] = params.seed
    biases = {**params.logit_bias, **dict.fromkeys(unknown_tokens, NEVER)}
    if biases:
        body["logit_bias"] = {str(token): bias for token, bias in biases.items()}
    if params.alternatives is not None:
        body |= {"logprobs": params.alternatives, "return_tokens_as_token_ids": True}
    if params.prompt_alternatives is not None:
        body["prompt_logprobs"] = params.prompt_alternatives
    if params.structure is not None:
        body["structured_outputs"] = structured_outputs(params.structure)
    return body


def structured_outputs(structure: Structure) -> dict[str, str]:
    """A form as vLLM's llguidance takes it.

    Schemas go as grammars, because vLLM would allow any white space in JSON.
    """
    if structure.form == "regex":
        return {"regex": structure.text}
    if structure.form == "grammar":
        return {"grammar": structure.text}
    value = json.loads(structure.text)
    if structure.form == "choice":
        return {"grammar": "start: " + " | ".join(json.dumps(one) for one in value)}
    schema = {**value, "x-guidance": SPACING}  # others than objects are refused before
    return {"grammar": f"start: %json {json.dumps(schema)}"}


def piece_of(content: Any, params: SamplingParams) -> Piece | None:
    """Read an event of a stream, or a whole answer; None if no text goes on with it.

    Raises
    ------
    UnreadableAnswerError
        If it is none of vLLM's.
    """
    try:
        if not content["choices"]:
            return None
        choice = content["choices"][0]
        reason = choice["finish_reason"]
        if reason is not None and reason not in _FINISH_REASONS:
            raise UnreadableAnswerError(f"it ended with '{reason}'")
        tokens = list(choice["token_ids"] or [])
        if not all(type(token) is int for token in tokens):
            raise UnreadableAnswerError("token ids that are no numbers")
        return Piece(
            tokens=tokens,
            alternatives=_of_answer(choice["logprobs"], params.alternatives),
            prompt_alternatives=_of_prompt(choice, params.prompt_alternatives),
            finish_reason=reason,
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise UnreadableAnswerError(f"{type(error).__name__}: {error}") from None


def error_message(body: bytes) -> str:
    """What an error says, on one line."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace")
    return " ".join(str(message).split())[:300]


def _of_answer(found: Any, wanted: int | None) -> list[TokenLogProbability]:
    if wanted is None or found is None:
        return []
    tops = found["top_logprobs"] or [{}] * len(found["tokens"])
    return [
        _with_likeliest(_id(token), value, {_id(one): log for one, log in top.items()}, wanted)
        for token, value, top in zip(found["tokens"], found["token_logprobs"], tops, strict=True)
    ]


def _of_prompt(choice: Any, wanted: int | None) -> list[TokenLogProbability]:
    if wanted is None:
        return []
    ids = choice["prompt_token_ids"][1:]
    return [
        _with_likeliest(
            token,
            place[str(token)]["logprob"],
            {int(one): entry["logprob"] for one, entry in place.items()},
            wanted,
        )
        for token, place in zip(ids, choice["prompt_logprobs"][1:], strict=True)
    ]


def _with_likeliest(
    token: int, value: float, places: Mapping[int, float], wanted: int
) -> TokenLogProbability:
    # vLLM adds the token itself where it is not among the likeliest.
    falling = sorted(places.items(), key=lambda one: -one[1])
    return TokenLogProbability(token, value, tuple(falling[:wanted]))


def _id(text: str) -> int:
    if not text.startswith(_ID):
        raise UnreadableAnswerError(f"'{text}' is no token id")
    return int(text.removeprefix(_ID))
