"""A byte-level BPE tokenizer read from Hugging Face files and run by tiktoken."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import tiktoken

from modelwright.core.errors import InputError
from modelwright.tokens.byte_alphabet import character_to_byte
from modelwright.tokens.chat_template import (
    CHAT_TEMPLATE,
    END_OF_TEXT,
    MESSAGE_END,
    MESSAGE_START,
    Chat,
    ChatFormat,
    Span,
    plain_template,
    render_spans,
)
from modelwright.tokens.defusing import ControlTokens
from modelwright.tokens.files import MODEL_CONFIG, TEMPLATE, TOKENIZER, TOKENIZER_CONFIG
from modelwright.tokens.pre_tokenizers import GPT2_SINGLE_DIGITS, PATTERNS

END, START = "eos_token", "bos_token"
"""By these names ``tokenizer_config.json`` and templates call what ends and begins a text."""


class Tokenizer:
    """Turns text into token ids and back, without loss but for what NFC changes.

    Parameters
    ----------
    ranks : dict of bytes to int
        Merge ranks: the ids of all ordinary tokens.
    special_tokens : dict of str to int
        Ids of the control tokens.
    pattern : str
        The pre-tokenizer's regular expression.
    template : str
        The Jinja chat template.
    is_normalised : bool
        Whether text is brought into Unicode's form NFC before it is encoded, as Qwen's files ask.
    named : dict of str to str
        What the folder calls some control tokens, as ``eos_token``; where there are no tokens of
        ours to end texts and messages, that one does.
    visible : collection of str
        Special tokens that are part of what is said, as ``<think>`` and ``<tool_call>`` in Qwen3:
        their names are their text.

    Notes
    -----
    tiktoken gives the same ids as the ``tokenizers`` library for the same file, about five times
    faster; the tests hold the two against each other.
    """

    def __init__(
        self,
        ranks: dict[bytes, int],
        special_tokens: dict[str, int],
        pattern: str,
        template: str = CHAT_TEMPLATE,
        is_normalised: bool = False,
        named: Mapping[str, str] | None = None,
        visible: Collection[str] = (),
    ):
        self._encoding = tiktoken.Encoding(
            "modelwright", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special_tokens
        )
        self._bytes = {id: token for token, id in ranks.items()}
        self._bytes |= {special_tokens[token]: token.encode() for token in visible}
        self.special_tokens = dict(special_tokens)
        self._control_bytes = {id: token.encode() for token, id in special_tokens.items()}
        self._control_tokens = ControlTokens.of(list(special_tokens))
        self._control = self._control_tokens.pattern
        self.pattern = pattern
        self.template = template
        self.is_normalised = is_normalised
        self.named = dict(named or {})

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Open a folder with ``tokenizer.json`` (and, if there is one, a chat template).

        Raises
        ------
        InputError
            If the files are missing, damaged or describe no byte-level BPE.
        """
        path = folder / TOKENIZER
        if not path.is_file():
            raise InputError("no tokenizer here: tokenizer.json is missing", where=folder)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            ranks, special, pattern, is_normalised = _read_byte_level_bpe(content)
            visible = [one["content"] for one in content["added_tokens"] if not one["special"]]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise InputError(
                f"not a byte-level BPE tokenizer that can be read here: {error!r}",
                where=path,
                fix="use one with a regex split and byte-level BPE, as Qwen's or Llama's",
            ) from None
        named = _read_named(folder, special)
        template = _read_template(folder)
        if template is None:
            has_ours = {MESSAGE_START, MESSAGE_END} <= special.keys()
            end = named.get(END)
            template = CHAT_TEMPLATE if has_ours or end is None else plain_template(end)
        return cls(ranks, special, pattern, template, is_normalised, named, visible)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids: one more than the highest."""
        return self._encoding.n_vocab

    @property
    def encoding(self) -> tiktoken.Encoding:
        """What splits and merges; it normalises nothing."""
        return self._encoding

    @property
    def end_of_text(self) -> int:
        """Id of the token that stands between documents."""
        return self._special(END_OF_TEXT)

    @property
    def message_end(self) -> int:
        """Id of the token that ends a message."""
        return self._special(MESSAGE_END)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; what looks like a control token in it is encoded as text."""
        return self._encoding.encode_ordinary(self._normalise(text))

    def encode_many(self, texts: Sequence[str], threads: int = 2) -> list[list[int]]:
        """Ids of many plain texts, in order, by several threads."""
        normalised = [self._normalise(text) for text in texts]
        return self._encoding.encode_ordinary_batch(normalised, num_threads=threads)

    def encode_special(self, text: str) -> list[int]:
        """Ids of trusted text in which control tokens are recognised."""
        if self.is_normalised:
            # Control tokens stand before normalising: what follows one must not combine with it.
            text = "".join(map(self._normalise, self._control.split(text)))
        return self._encoding.encode(text, allowed_special="all")

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, control tokens left out but visible ones, broken UTF-8 as U+FFFD."""
        return b"".join(self.token_bytes(id) for id in ids).decode("utf-8", errors="replace")

    def decode_special(self, ids: Sequence[int]) -> str:
        """Text of ids with the control tokens written out, for people to look at."""
        raw = (self._control_bytes.get(id) or self.token_bytes(id) for id in ids)
        return b"".join(raw).decode("utf-8", errors="replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes of one token; none for unused ids and control tokens but visible ones."""
        return self._bytes.get(id, b"")

    @property
    def chat_format(self) -> ChatFormat:
        """How conversations are written."""
        stop = MESSAGE_END if MESSAGE_END in self.special_tokens else self.named.get(END)
        return ChatFormat(self.template, self._control_tokens, stop, self.named)

    def chat_spans(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        arguments: Mapping[str, Any] | None = None,
        trained_from: int | None = None,
    ) -> list[Span]:
        """A conversation rendered by the template; see :func:`render_spans`."""
        chat = Chat(messages, tools, add_generation_prompt, arguments)
        try:
            return render_spans(self.chat_format, chat, trained_from)
        except RecursionError:
            raise InputError(
                "arguments of a call or a tool are nested too deeply", fix="make them flatter"
            ) from None

    def encode_spans(self, spans: Sequence[Span]) -> tuple[list[int], list[bool]]:
        """Ids of rendered spans, and for each id whether the template marks it as trained.

        Control tokens are recognised in the template's own text only. The text between two
        control tokens is encoded as one piece, as other readers of the template do.
        """
        ids: list[int] = []
        trained: list[bool] = []
        plain: list[tuple[str, bool]] = []
        for span in spans:
            pieces = [span.text] if span.is_plain else self._control.split(span.text)
            for piece in pieces:
                if span.is_plain or piece not in self.special_tokens:
                    plain.append((piece, span.is_trained))
                    continue
                self._encode_plain(plain, ids, trained)
                plain = []
                ids.append(self.special_tokens[piece])
                trained.append(span.is_trained)
        self._encode_plain(plain, ids, trained)
        return ids, trained

    def _encode_plain(
        self, pieces: list[tuple[str, bool]], ids: list[int], trained: list[bool]
    ) -> None:
        """Append the ids of adjacent pieces; a token is trained if any of its bytes is."""
        # Half a surrogate pair, which JSON can hold, is no text; tiktoken replaces it too.
        clean = [(text.encode("utf-8", "replace").decode(), flag) for text, flag in pieces]
        clean = self._normalise_pieces(clean)
        flags = b"".join(bytes([flag]) * len(text.encode()) for text, flag in clean)
        start = 0
        for id in self.encode("".join(text for text, _ in clean)):
            end = start + len(self._bytes[id])
            ids.append(id)
            trained.append(1 in flags[start:end])
            start = end

    def _normalise(self, text: str) -> str:
        return unicodedata.normalize("NFC", text) if self.is_normalised else text

    def _normalise_pieces(self, pieces: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
        """Normalise adjacent pieces as one text, and cut it again where they meet.

        A character that is composed across a cut belongs to the later piece.
        """
        texts = [text for text, _ in pieces]
        whole = self._normalise("".join(texts))
        if whole == "".join(texts):
            return pieces
        normalised, start = [], 0
        for count, (_, flag) in enumerate(pieces, start=1):
            end = len(whole)
            if count < len(pieces):
                before = self._normalise("".join(texts[:count]))
                end = max(start, _common_start(before, whole))
            normalised.append((whole[start:end], flag))
            start = end
        return normalised

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Ids of a conversation.

        Parameters
        ----------
        messages : sequence of mappings
            With ``role`` and ``content``, as ``core/conversation.py`` describes them.
        add_generation_prompt : bool
            Whether to end with the opening of an answer.
        tools : sequence of mappings, optional
            Definitions of tools that may be called.
        arguments : mapping, optional
            More variables for the template, as ``enable_thinking``.

        Raises
        ------
        InputError
            If a message has an unknown role or no text, or does not fit the template.
        """
        return self.encode_spans(
            self.chat_spans(messages, add_generation_prompt, tools, arguments)
        )[0]

    def _special(self, token: str) -> int:
        found = token if token in self.special_tokens else self.named.get(END)
        if found is None:
            raise InputError(
                f"the tokenizer has no token {token}, and its folder names no '{END}' that it has",
                fix=f"name one in {TOKENIZER_CONFIG}, or train a tokenizer with Modelwright",
            )
        return self.special_tokens[found]


def _common_start(first: str, second: str) -> int:
    """How many characters two texts have in common before they differ."""
    pairs = enumerate(zip(first, second, strict=False))
    shorter = min(len(first), len(second))
    return next((index for index, (one, other) in pairs if one != other), shorter)


def _read_byte_level_bpe(
    content: dict[str, Any],
) -> tuple[dict[bytes, int], dict[str, int], str, bool]:
    """Ranks, special tokens, pattern and whether NFC is asked for, from ``tokenizer.json``."""
    model = content["model"]
    normalizer = content.get("normalizer")
    if model["type"] != "BPE" or normalizer not in (None, {"type": "NFC"}):
        raise ValueError("the model is no plain BPE, or normalises text other than by NFC")
    special = {token["content"]: token["id"] for token in content["added_tokens"]}
    to_byte = character_to_byte()
    ranks = {
        bytes(to_byte[character] for character in token): id
        for token, id in model["vocab"].items()
        if token not in special
    }
    return ranks, special, _read_pattern(content["pre_tokenizer"]), normalizer is not None


def _read_pattern(pre_tokenizer: dict[str, Any]) -> str:
    """One regular expression that splits text as the pre-tokenizer does."""
    parts = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    if parts[-1]["type"] == "ByteLevel" and not parts[-1].get("add_prefix_space", True):
        split_by_bytes = parts[-1].get("use_regex", True)
        match parts[:-1]:
            case [{"type": "Split", "pattern": {"Regex": regex}} as split] if (
                not split_by_bytes and _keeps_all(split)
            ):
                return str(regex)
            case [] if split_by_bytes:
                return PATTERNS["gpt-2"]
            case [{"type": "Digits", "individual_digits": True}] if split_by_bytes:
                return GPT2_SINGLE_DIGITS
    raise ValueError("no pre-tokenizer that is one split by a regular expression, then bytes")


def _keeps_all(split: dict[str, Any]) -> bool:
    """Whether matches are the pieces: isolated, or (where they cover all) the rest removed."""
    kind = (str(split.get("behavior")).lower(), bool(split.get("invert")))
    return kind in (("isolated", False), ("removed", True))


def _read_named(folder: Path, special: Mapping[str, int]) -> dict[str, str]:
    """The control tokens that a folder calls by name, as far as the tokenizer has them."""
    content = _read_object(folder / TOKENIZER_CONFIG)
    found = dict[str, str]()
    for name in (END, START):
        token = content.get(name)
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str) and text in special:
            found[name] = text
    if END not in found:
        ids = _read_object(folder / MODEL_CONFIG).get(f"{END}_id")
        first = ids[0] if isinstance(ids, list) and ids else ids
        texts = [text for text, id in special.items() if id == first]
        found |= {END: texts[0]} if texts else {}
    return found


def _read_object(path: Path) -> dict[str, Any]:
    """The content of a JSON file; nothing if there is none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    if not isinstance(content, dict):
        raise _damaged(path, "no object")
    return content


def _read_template(folder: Path) -> str | None:
    """The folder's chat template; None if it has none.

    Raises
    ------
    InputError
        If the file that should hold it is damaged.
    """
    path = folder / TEMPLATE
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except ValueError as error:
            raise _damaged(path, error) from None
    template = _read_object(folder / TOKENIZER_CONFIG).get("chat_template")
    return template if isinstance(template, str) else None


def _damaged(path: Path, why: object) -> InputError:
    return InputError(
        f"the file cannot be read: {why}",
        where=path,
        fix="get it anew from where the model came from",
    )
