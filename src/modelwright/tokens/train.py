"""Training a byte-level BPE tokenizer and writing it as Hugging Face files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as HuggingFaceTokenizer

from modelwright.core.errors import InputError
from modelwright.core.files import write_json, write_text
from modelwright.tokens.chat_template import (
    CHAT_TEMPLATE,
    END_OF_TEXT,
    MESSAGE_END,
    SPECIAL_TOKENS,
)
from modelwright.tokens.files import TEMPLATE, TOKENIZER, TOKENIZER_CONFIG
from modelwright.tokens.pre_tokenizers import PATTERNS
from modelwright.tokens.tokenizer import Tokenizer

BYTES = 256
MULTIPLE = 64
"""Vocabulary sizes are multiples of this: faster matrix products, and what exporters expect."""


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int, folder: Path, pre_tokenizer: str = "qwen2"
) -> Tokenizer:
    """Train byte-level BPE (Sennrich et al. 2016, on bytes as GPT-2) and write it.

    Parameters
    ----------
    texts : iterable of str
        What to learn the merges from.
    vocabulary_size : int
        Number of tokens, control tokens included; a text that is too short for so many
        merges gives fewer, and the rest of the ids stay unused.
    folder : Path
        Where to write ``tokenizer.json``, ``tokenizer_config.json``, ``chat_template.jinja``.
    pre_tokenizer : str
        Name in :data:`PATTERNS`.

    Raises
    ------
    InputError
        If the vocabulary is smaller than the bytes and control tokens.
    """
    smallest = BYTES + len(SPECIAL_TOKENS)
    if vocabulary_size < smallest:
        raise InputError(
            f"a vocabulary of {vocabulary_size} is too small",
            fix=f"give at least {smallest}: one token for each byte and the control tokens",
        )
    tokenizer = HuggingFaceTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERNS[pre_tokenizer]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # Added after training, so that they stand behind the merges and ranks stay contiguous.
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    write_text(folder / TOKENIZER, tokenizer.to_str(pretty=True))
    write_text(folder / TEMPLATE, CHAT_TEMPLATE)
    write_json(folder / TOKENIZER_CONFIG, tokenizer_config())
    return Tokenizer.load(folder)


def tokenizer_config() -> dict[str, object]:
    """Content of ``tokenizer_config.json``, in the form that old and new readers take."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": MESSAGE_END,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": list(SPECIAL_TOKENS),
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000,
        "chat_template": CHAT_TEMPLATE,
    }
