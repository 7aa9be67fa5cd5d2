"""Log-probabilities of tokens in the two shapes of OpenAI's API."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from pydantic import BaseModel

from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.tokens.tokenizer import Tokenizer


class TopLogprob(BaseModel):
    """A token that could have been said; ``bytes`` as not every token is whole characters."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A token of a chat answer, with the likeliest ones in its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    """Log-probabilities of a chat answer, or of a chunk's part of it."""

    content: list[TokenLogprob]
    refusal: None = None


class TextLogprobs(BaseModel):
    r"""Log-probabilities of a completion, or of a chunk's part of it.

    Attributes
    ----------
    tokens : list of str
        The tokens' texts; one that is not whole characters is written ``bytes:\xe2\x82``.
    token_logprobs : list of float or None
        None for a first token, before which there is nothing.
    top_logprobs : list of dict or None
        The likeliest tokens in each place.
    text_offset : list of int
        Where each token begins in the text, in characters.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


def chat_logprobs(found: Sequence[TokenLogProbability], tokenizer: Tokenizer) -> ChatLogprobs:
    """In the shape of chat answers; tokens without text, as that which ends it, are left out."""

    def top(token: int, value: float) -> TopLogprob:
        data = _bytes_of(token, tokenizer)
        return TopLogprob(token=data.decode(errors="replace"), logprob=value, bytes=list(data))

    return ChatLogprobs(
        content=[
            TokenLogprob(
                **top(one.token, one.value).model_dump(),
                top_logprobs=[top(*other) for other in one.alternatives],
            )
            for one in found
            if tokenizer.token_bytes(one.token)
        ]
    )


class TextLogprobsWriter:
    """Writes the log-probabilities of one completion, piece by piece.

    Parameters
    ----------
    tokenizer : Tokenizer
        The model's own.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offset = 0

    def first(self, token: int) -> TextLogprobs:
        """A first token, which has no log-probability."""
        return TextLogprobs(
            tokens=[self._text(token)],
            token_logprobs=[None],
            top_logprobs=[None],
            text_offset=[self._place(token)],
        )

    def of(self, found: Sequence[TokenLogProbability]) -> TextLogprobs:
        """The next tokens."""
        return TextLogprobs(
            tokens=[self._text(one.token) for one in found],
            token_logprobs=[one.value for one in found],
            top_logprobs=[
                {self._text(token): value for token, value in one.alternatives} for one in found
            ],
            text_offset=[self._place(one.token) for one in found],
        )

    def _text(self, token: int) -> str:
        data = _bytes_of(token, self._tokenizer)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

    def _place(self, token: int) -> int:
        """Where a token begins; the next one is behind the characters that it completes."""
        place = self._offset
        self._offset += len(self._decoder.decode(self._tokenizer.token_bytes(token)))
        return place


def joined(parts: Sequence[TextLogprobs]) -> TextLogprobs:
    """Pieces one after the other."""
    return TextLogprobs(
        tokens=[one for part in parts for one in part.tokens],
        token_logprobs=[one for part in parts for one in part.token_logprobs],
        top_logprobs=[one for part in parts for one in part.top_logprobs],
        text_offset=[one for part in parts for one in part.text_offset],
    )


def _bytes_of(token: int, tokenizer: Tokenizer) -> bytes:
    """The bytes of a token; of a control token its name, so that alternatives can be told apart."""
    return tokenizer.token_bytes(token) or tokenizer.decode_special([token]).encode()
