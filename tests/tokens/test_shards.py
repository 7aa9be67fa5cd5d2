import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.tokens.shards import ShardWriter, TokenShards, write_index
from modelwright.tokens.tokenizer import Tokenizer

TEXTS = ["The quick brown fox", "jumps", "", "over the lazy dog 你好"] * 400


@pytest.fixture(scope="module")
def folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    *_, train = ShardWriter(folder, "train", tokenizer, shard_tokens=1500).write(TEXTS)
    *_, validation = ShardWriter(folder, "validation", tokenizer, 1500).write(TEXTS[:3])
    write_index(folder, tokenizer, "digest", {"train": train, "validation": validation})
    return folder


def all_tokens(tokenizer: Tokenizer) -> list[int]:
    return [id for text in TEXTS for id in (tokenizer.end_of_text, *tokenizer.encode(text))]


def test_there_are_several_shards_and_the_layout_is_plain(
    folder: Path, tokenizer: Tokenizer
) -> None:
    files = sorted(folder.glob("train-*.bin"))
    assert len(files) > 2
    raw = np.concatenate([np.fromfile(file, dtype="<u2") for file in files])
    assert raw.tolist() == all_tokens(tokenizer)
    for file in files:
        ends = np.load(file.with_suffix("").with_suffix(".ends.npy"))
        assert ends.dtype == np.dtype("<u8")
        assert ends[-1] == file.stat().st_size // 2


@given(data=st.data())
def test_reading_crosses_shard_borders(
    folder: Path, tokenizer: Tokenizer, data: st.DataObject
) -> None:
    expected = all_tokens(tokenizer)
    shards = TokenShards(folder, "train")
    assert shards.tokens == len(expected)
    start = data.draw(st.integers(0, len(expected) - 1))
    length = data.draw(st.integers(1, len(expected) - start))
    assert shards.read(start, length).tolist() == expected[start : start + length]


def test_a_shard_that_lost_bytes_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = next(iter(sorted(tmp_path.glob("train-*.bin"))))
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match="the index says"):
        TokenShards(tmp_path, "train")


@pytest.mark.parametrize("index", ["", "{}", "[]", json.dumps({"splits": {}})])
def test_a_damaged_index_is_refused(tmp_path: Path, index: str) -> None:
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(InputError, match="damaged"):
        TokenShards(tmp_path, "train")
