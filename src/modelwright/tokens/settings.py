"""Settings of the tokenizer and shards stages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelwright.core.settings import Settings

PreTokenizerName = Literal["qwen2", "llama-bpe", "gpt-2"]


class TokenizerSettings(Settings):
    """How to train a tokenizer."""

    vocabulary_size: int | None = Field(
        None, ge=320, le=262_144, description="number of tokens; by default the dial decides"
    )
    pre_tokenizer: PreTokenizerName = Field(
        "qwen2", description="how text is split into words first, by the name GGUF readers know"
    )
    training_megabytes: float = Field(
        16.0, gt=0, description="train on an even sample of at most this much text"
    )


class ShardsSettings(Settings):
    """How to write token shards."""

    shard_tokens: int = Field(
        67_108_864, ge=1024, description="largest number of tokens in one shard file"
    )
