"""The three word-splitting patterns that GGUF readers know by name.

llama.cpp picks its splitter by the name in ``tokenizer.ggml.pre``; a tokenizer trained with any
other pattern would give other ids there without any error.
"""

from __future__ import annotations

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"

PATTERNS = {
    "qwen2": (
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "llama-bpe": (
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
}
"""Pattern by the name GGUF readers use, in a dialect that tiktoken and tokenizers both read."""

GPT2_SINGLE_DIGITS = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
)
"""GPT-2's on what lies between digits, each of which stands alone, as in SmolLM's files."""


def pattern_name(pattern: str) -> str | None:
    """The GGUF name of a pattern, or None if no reader knows it."""
    return next((name for name, known in PATTERNS.items() if known == pattern), None)
