import random

import pytest
import torch

from modelwright.tokens.shards import ShardWriter, TokenShards, write_index
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.batches import WindowBatches, supervised_batches
from modelwright.training.examples import TokenizedExample
from modelwright.training.sequences import Layout


@pytest.fixture(scope="module")
def shards(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    folder = tmp_path_factory.mktemp("shards")
    digits = random.Random(0)
    texts = [str(digits.getrandbits(60)) for _ in range(300)]
    *_, totals = ShardWriter(folder, "train", tokenizer, 1 << 20).write(texts)
    write_index(folder, tokenizer, "digest", {"train": totals, "validation": totals})
    return TokenShards(folder, "train")


def test_an_epoch_sees_every_window_once(shards: TokenShards) -> None:
    batches = WindowBatches(shards, length=16, rows=1, micro_rows=1, seed=3)
    for epoch in range(3):
        starts = set()
        for step in range(batches.windows):
            (batch,) = batches.at(epoch * batches.windows + step)
            assert torch.equal(batch.tokens[0, 1:], batch.targets[0, :-1])
            starts.add(tuple(batch.tokens[0].tolist()))
        assert len(starts) == batches.windows


def test_batches_are_a_function_of_the_step(shards: TokenShards) -> None:
    one = WindowBatches(shards, 16, rows=8, micro_rows=3, seed=3)
    two = WindowBatches(shards, 16, rows=8, micro_rows=3, seed=3)
    for step in (0, 5, 999):
        for a, b in zip(one.at(step), two.at(step), strict=True):
            assert torch.equal(a.tokens, b.tokens)
    assert [batch.tokens.shape[0] for batch in one.at(0)] == [3, 3, 2]


def test_micro_batches_hold_the_same_rows(shards: TokenShards) -> None:
    whole = WindowBatches(shards, 16, rows=8, micro_rows=8, seed=3).at(4)
    parts = WindowBatches(shards, 16, rows=8, micro_rows=2, seed=3).at(4)
    assert torch.equal(whole[0].tokens, torch.cat([part.tokens for part in parts]))


def test_documents_begin_with_the_end_of_text(shards: TokenShards) -> None:
    plain = WindowBatches(shards, 40, rows=4, micro_rows=4, seed=3).at(1)[0]
    (batch,) = WindowBatches(shards, 40, 4, 4, seed=3, mask_documents=True).at(1)
    assert plain.documents is None
    assert batch.documents is not None
    assert torch.equal(batch.tokens, plain.tokens)
    for tokens, documents in zip(batch.tokens, batch.documents, strict=True):
        for place in range(1, 40):
            begins = bool(tokens[place] == shards.end_of_text)
            assert bool(documents[place] != documents[place - 1]) == begins
    assert int(batch.documents.max()) > 1


def examples() -> list[TokenizedExample]:
    return [
        TokenizedExample.of(
            list(range(number, number + 3 + number % 7)),
            [False] * 2 + [True] * (1 + number % 7),
            True,
        )
        for number in range(50)
    ]


def test_examples_come_once_an_epoch_and_padding_has_no_weight() -> None:
    batches = supervised_batches(examples(), rows=8, micro_rows=4, seed=0, layout=Layout(499))
    assert batches.steps_per_epoch == 6
    for epoch in range(2):
        seen = []
        for step in range(6):
            for batch in batches.at(epoch * 6 + step):
                for tokens, targets, weights in zip(
                    batch.tokens, batch.targets, batch.weights, strict=True
                ):
                    seen.append(int(tokens[0]))
                    assert weights[targets == 499].sum() == 0
                    assert weights.sum() == 1 + int(tokens[0]) % 7
        assert len(set(seen)) == len(seen) == 48


def test_fewer_examples_than_a_batch() -> None:
    batches = supervised_batches(examples()[:3], rows=32, micro_rows=32, seed=0, layout=Layout(0))
    assert sum(batch.tokens.shape[0] for batch in batches.at(17)) == 3
