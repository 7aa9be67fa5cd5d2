"""A tokenizer as llama.cpp wants it: tokens with their kinds, merges, the name of the splitter."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright.core.errors import InputError
from modelwright.tokens.chat_template import END_OF_TEXT
from modelwright.tokens.files import TOKENIZER, TOKENIZER_CONFIG
from modelwright.tokens.pre_tokenizers import GPT2_SINGLE_DIGITS, pattern_name
from modelwright.tokens.tokenizer import START, Tokenizer

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Kinds of tokens (``gguf.TokenType``)."""

SINGLE_DIGITS = "smollm"
"""The name of :data:`GPT2_SINGLE_DIGITS`, which tokenizers trained here do not use."""

_GENERATION = re.compile(r"(\{%-?)\s*(end)?generation\s*(-?%\})")


@dataclass(frozen=True)
class GGUFVocabulary:
    """What a GGUF file says of a tokenizer.

    Attributes
    ----------
    tokens : list of str
        By id, in the printable form of byte-level BPE; ids that no token has are ``[PADi]``.
    kinds : list of int
        Of each token: normal, control, user-defined (matched in any text) or unused.
    merges : list of str
        Pairs with a space between them, first to be merged first.
    splitter : str
        llama.cpp's name for the regular expression that splits text into words.
    begin, end, pad : int or None
        Ids of what begins a text, ends an answer, and fills up.
    adds_begin : bool
        Whether the first goes before every text.
    template : str
        Chat template, without tags that other engines do not know.
    """

    tokens: list[str]
    kinds: list[int]
    merges: list[str]
    splitter: str
    begin: int | None
    end: int | None
    pad: int | None
    adds_begin: bool
    template: str


def read_vocabulary(folder: Path, tokenizer: Tokenizer, size: int) -> GGUFVocabulary:
    """A model folder's tokenizer for a GGUF file.

    Parameters
    ----------
    folder : Path
        Holds ``tokenizer.json``.
    tokenizer : Tokenizer
        The same, opened.
    size : int
        Rows of the embedding, no fewer than tokens; every one needs a token.

    Raises
    ------
    InputError
        If llama.cpp has no splitter for it, or its merges are damaged.
    """
    content = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
    tokens = [f"[PAD{id}]" for id in range(size)]
    kinds = [UNUSED] * size
    for token, id in content["model"]["vocab"].items():
        tokens[id], kinds[id] = token, NORMAL
    for one in content["added_tokens"]:
        tokens[one["id"]] = one["content"]
        kinds[one["id"]] = CONTROL if one["special"] else USER_DEFINED
    special, stop = tokenizer.special_tokens, tokenizer.chat_format.stop
    begin = tokenizer.named.get(START) or END_OF_TEXT
    return GGUFVocabulary(
        tokens=tokens,
        kinds=kinds,
        merges=_merges(content["model"].get("merges"), folder),
        splitter=splitter_of(tokenizer, folder),
        begin=special.get(begin),
        end=special.get(stop) if stop else None,
        pad=special.get(END_OF_TEXT),
        adds_begin=added_begin(folder, tokenizer) is not None,
        template=plain_jinja(tokenizer.template),
    )


def _merges(stored: Any, folder: Path) -> list[str]:
    """Pairs with a space between them; newer files have lists of two."""
    if isinstance(stored, list):
        merges = [" ".join(one) if isinstance(one, list) else one for one in stored]
        if all(isinstance(one, str) and one.count(" ") == 1 for one in merges):
            return merges
    raise InputError("the tokenizer's merges are no pairs of tokens", where=folder / TOKENIZER)


def splitter_of(tokenizer: Tokenizer, where: Path) -> str:
    """llama.cpp's name for a tokenizer's regular expression.

    Raises
    ------
    InputError
        If it has none: it would split otherwise without saying so.
    """
    if tokenizer.pattern == GPT2_SINGLE_DIGITS:
        return SINGLE_DIGITS
    name = pattern_name(tokenizer.pattern)
    if name is None:
        raise InputError(
            "the tokenizer splits text by a regular expression that llama.cpp does not have: "
            f"{tokenizer.pattern}",
            where=where / TOKENIZER,
            fix="export to safetensors, or train a tokenizer with one of Modelwright's",
        )
    return name


def added_begin(folder: Path, tokenizer: Tokenizer) -> int | None:
    """The token that a folder's tokenizer puts before every text, as Llama 3's does; or None."""
    name = tokenizer.named.get(START)
    if name is None:
        return None
    begin = tokenizer.special_tokens[name]
    return begin if _adds(folder, begin) else None


def _adds(folder: Path, begin: int) -> bool:
    """Whether one of the files says that this token goes before every text."""
    content = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
    processor = content.get("post_processor") or {}
    for one in processor.get("processors", [processor]):
        first = (one.get("single") or [{}])[0].get("SpecialToken", {}).get("id")
        if first is not None and begin in one["special_tokens"][first]["ids"]:
            return True
    path = folder / TOKENIZER_CONFIG
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return config.get("add_bos_token") is True


def plain_jinja(template: str) -> str:
    """A template without ``generation`` tags: conditions that always hold trim the same space."""
    return _GENERATION.sub(
        lambda tag: f"{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}", template
    )
