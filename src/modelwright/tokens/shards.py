"""Token shards on disk: raw little-endian ids, document ends, and a JSON index.

``train-00000.bin`` holds token ids as ``<u2`` (or ``<u4`` for vocabularies above 65,536), the
layout that nanoGPT and datatrove read; ``train-00000.ends.npy`` the uint64 position behind each
document's last token; ``index.json`` the rest. Each document starts with the end-of-text token.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from modelwright.core.errors import InputError
from modelwright.core.files import atomic_open, write_json
from modelwright.tokens.tokenizer import Tokenizer

INDEX = "index.json"
SPLITS: tuple[Literal["train"], Literal["validation"]] = ("train", "validation")
BATCH_OF_TEXTS = 256


@dataclass(frozen=True)
class SplitTotals:
    """What was written for one split."""

    documents: int
    tokens: int
    text_bytes: int


def token_dtype(vocabulary_size: int) -> str:
    """The numpy dtype of ids on disk."""
    return "<u2" if vocabulary_size <= 1 << 16 else "<u4"


class ShardWriter:
    """Writes one split's shards.

    Parameters
    ----------
    folder : Path
        Where to write.
    split : str
        ``train`` or ``validation``.
    tokenizer : Tokenizer
        Encodes the texts.
    shard_tokens : int
        A shard is closed when it holds at least this many tokens.
    """

    def __init__(self, folder: Path, split: str, tokenizer: Tokenizer, shard_tokens: int):
        self.folder, self.split = folder, split
        self.tokenizer, self.shard_tokens = tokenizer, shard_tokens
        self.dtype = token_dtype(tokenizer.vocabulary_size)

    def write(self, texts: Iterable[str]) -> Iterator[SplitTotals]:
        """Encode and write all texts; yields the running totals after each batch."""
        texts = iter(texts)
        documents = tokens = text_bytes = shard = 0
        ids: list[npt.NDArray[np.generic]] = []
        in_shard, ends = 0, list[int]()
        while batch := list(islice(texts, BATCH_OF_TEXTS)):
            for text, encoded in zip(batch, self.tokenizer.encode_many(batch), strict=True):
                ids.append(np.array([self.tokenizer.end_of_text, *encoded], dtype=self.dtype))
                in_shard += len(encoded) + 1
                ends.append(in_shard)
                text_bytes += len(text.encode())
            documents += len(batch)
            if in_shard >= self.shard_tokens:
                self._close(shard, ids, ends)
                tokens, shard = tokens + in_shard, shard + 1
                ids, ends, in_shard = [], [], 0
            yield SplitTotals(documents, tokens + in_shard, text_bytes)
        if ids:
            self._close(shard, ids, ends)

    def _close(self, shard: int, ids: list[npt.NDArray[np.generic]], ends: list[int]) -> None:
        name = f"{self.split}-{shard:05d}"
        with atomic_open(self.folder / f"{name}.bin") as file:
            file.write(np.concatenate(ids).tobytes())
        with atomic_open(self.folder / f"{name}.ends.npy") as file:
            np.save(file, np.array(ends, dtype="<u8"))


def write_index(
    folder: Path, tokenizer: Tokenizer, tokenizer_digest: str, totals: dict[str, SplitTotals]
) -> None:
    """Write ``index.json``, which makes the folder readable."""
    write_json(
        folder / INDEX,
        {
            "format": 1,
            "dtype": token_dtype(tokenizer.vocabulary_size),
            "vocabulary_size": tokenizer.vocabulary_size,
            "end_of_text": tokenizer.end_of_text,
            "tokenizer_digest": tokenizer_digest,
            "splits": {
                split: {
                    "shards": [path.stem for path in sorted(folder.glob(f"{split}-*.bin"))],
                    "documents": total.documents,
                    "tokens": total.tokens,
                    "text_bytes": total.text_bytes,
                }
                for split, total in totals.items()
            },
        },
    )


class TokenShards:
    """One split of a shards folder, memory-mapped and seen as a single run of tokens.

    Raises
    ------
    InputError
        If the folder has no index, or a shard's size is not what the index says.
    """

    def __init__(self, folder: Path, split: str):
        path = folder / INDEX
        if not path.is_file():
            raise InputError("no token shards here: index.json is missing", where=folder)
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            entry, dtype = index["splits"][split], index["dtype"]
            self.tokens: int = entry["tokens"]
            self.vocabulary_size: int = index["vocabulary_size"]
            self.end_of_text: int = index["end_of_text"]
            files = [folder / f"{name}.bin" for name in entry["shards"]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"the shards' index is damaged: {error!r}", where=path) from None
        self._maps = [np.memmap(file, dtype=dtype, mode="r") for file in files if file.is_file()]
        self._starts = np.cumsum([0, *(len(part) for part in self._maps)])
        if self._starts[-1] != self.tokens:
            raise InputError(
                f"the {split} shards hold {self._starts[-1]:,} tokens, the index says "
                f"{self.tokens:,}",
                where=folder,
                fix="make the shards again",
            )

    def read(self, start: int, length: int) -> npt.NDArray[np.int64]:
        """Tokens ``start … start+length-1`` as int64, across shard borders."""
        pieces = []
        while length > 0:
            shard = int(np.searchsorted(self._starts, start, side="right")) - 1
            inside = start - int(self._starts[shard])
            piece = self._maps[shard][inside : inside + length]
            if len(piece) == 0:
                raise IndexError(start)
            pieces.append(piece.astype(np.int64))
            start, length = start + len(piece), length - len(piece)
        return np.concatenate(pieces)
