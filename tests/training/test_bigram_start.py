"""The start from bigrams: pairs are counted exactly, and the tables come to know them."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.progress import SilentProgress
from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.tokens.shards import TokenShards
from modelwright.training import bigram_start, cross_entropy
from modelwright.training.bigram_start import Pairs, count_pairs, draw_chances, fit_tables

SIZE = 40
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


class Tokens(TokenShards):
    """Shards in memory."""

    def __init__(self, tokens: npt.NDArray[np.int64]):
        self.tokens, self.vocabulary_size = len(tokens), SIZE
        self._all = tokens

    def read(self, start: int, length: int) -> npt.NDArray[np.int64]:
        assert start + length <= self.tokens
        return self._all[start : start + length]


def counted(tokens: npt.NDArray[np.int64]) -> Pairs:
    return count_pairs(Tokens(tokens), SilentProgress())


def table_of(tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """How often which follows which, counted one by one."""
    table = np.zeros((SIZE, SIZE))
    for first, second in pairwise(tokens.tolist()):
        table[first, second] += 1
    return table


@given(st.lists(st.integers(0, SIZE - 1), min_size=2, max_size=200), st.integers(1, 50))
def test_every_pair_is_counted_once(tokens: list[int], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bigram_start, "PIECE", piece)
        pairs = counted(np.array(tokens))
    table = table_of(np.array(tokens))
    assert (pairs.first_counts() == table.sum(1)).all()
    wanted = np.array([7, 3, 39, 0, 11])
    rows, followers, counts = pairs.after(wanted)
    found = np.zeros((len(wanted), SIZE))
    found[rows, followers] += counts
    assert (found == table[wanted]).all()
    assert len(rows) == np.count_nonzero(table[wanted])


def test_no_more_than_the_first_tokens_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bigram_start, "MOST_TOKENS", 11)
    monkeypatch.setattr(bigram_start, "PIECE", 4)
    assert counted(np.arange(40)).counts.sum() == 10


@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=60).filter(any), st.integers(1, 80))
def test_chances_sum_up_to_what_is_wanted(numbers: list[int], wanted: int) -> None:
    counts = torch.tensor(numbers, dtype=torch.float64)
    chances = draw_chances(counts, wanted)
    there = int((counts > 0).sum())
    assert float(chances.sum()) == pytest.approx(min(wanted, there), rel=1e-6)
    assert ((chances > 0) == (counts > 0)).all()
    by_root = (chances / counts.sqrt())[(chances > 0) & (chances < 1)]
    assert by_root.numel() == 0 or by_root.max() <= by_root.min() * (1 + 1e-6)


def test_gradients_are_those_of_pairs_and_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "CHUNK_ELEMENTS", 9 * 64)  # several parts
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, SIZE, 3000)
    model, reference = small_model(), small_model()
    with torch.no_grad():
        model.lm_head.weight.mul_(50)
    reference.load_state_dict(model.state_dict())
    taken = torch.tensor([5, 1, 30, 39, 2])
    worth = torch.rand(SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    usual = torch.from_numpy(np.pad(generator.dirichlet(np.ones(SIZE)), (0, 24))).float()
    loss = bigram_start._backward(model, taken, counted(tokens), worth, usual)
    logs = reference(taken[:, None]).squeeze(1).log_softmax(-1)
    table = torch.from_numpy(np.pad(table_of(tokens), ((0, 0), (0, 24)))).float()[taken]
    by_pairs = -(worth[taken].float() @ (table * logs).sum(1))
    by_prior = -(worth[taken].float() @ (30.0 * usual * logs).sum(1))
    (by_pairs + by_prior).backward()
    assert loss == pytest.approx(by_pairs.item(), rel=1e-5)
    for name in (EMBEDDING, HEAD):
        expected = reference.get_parameter(name).grad
        torch.testing.assert_close(
            model.get_parameter(name).grad, expected, rtol=1e-4, atol=1e-4 * float(expected.max())
        )


def test_the_tables_come_to_know_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bigram_start, "TOKENS_PER_STEP", SIZE // 2)
    generator = np.random.default_rng(0)
    chances = generator.dirichlet(np.full(SIZE, 0.1), SIZE)
    tokens = [0]
    for _ in range(20_000):
        tokens.append(int(generator.choice(SIZE, p=chances[tokens[-1]])))
    table = table_of(np.array(tokens))
    pairs = counted(np.array(tokens))
    model = small_model()
    fit_tables(model, pairs, 0, SilentProgress())
    assert mean_loss(model, table) == pytest.approx(entropy(table), rel=0.02)
    assert mean_loss(small_model(), table) > 2 * entropy(table)


def test_what_is_rare_is_taken_to_be_like_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    tokens = generator.choice(SIZE, 400, p=generator.dirichlet(np.full(SIZE, 0.5)))
    held_out = table_of(generator.permutation(tokens))
    reached = []
    for prior in (0.0, 30.0):
        monkeypatch.setattr(bigram_start, "PRIOR", prior)
        model = small_model()
        fit_tables(model, counted(tokens), 0, SilentProgress())
        reached.append(mean_loss(model, held_out))
    # In this text each token is as likely after any other.
    shares = held_out.sum(0) / held_out.sum()
    floor = -float((shares * np.log(np.where(shares > 0, shares, 1))).sum())
    assert floor < reached[1] < floor + 0.2 < reached[0]


def test_only_the_tables_change_and_always_alike() -> None:
    pairs = counted(np.random.default_rng(0).integers(0, 30, 500))
    models = [small_model() for _ in range(2)]
    untouched = small_model().state_dict()
    for model in models:
        fit_tables(model, pairs, 3, SilentProgress())
        for name, value in model.state_dict().items():
            assert torch.equal(value, untouched[name]) != (name in (EMBEDDING, HEAD)), name
        assert all(parameter.grad is None for parameter in model.parameters())
        sizes = model.model.embed_tokens.weight.square().mean(1).sqrt()
        torch.testing.assert_close(sizes[:30], torch.full((30,), 3.0), rtol=0.01, atol=0)
        assert (sizes[30:] < 0.1).all()  # do not occur
    assert torch.equal(models[0].lm_head.weight, models[1].lm_head.weight)


def small_model() -> CausalLM:
    """Its vocabulary has more rows than the shards have tokens."""
    model = CausalLM(TransformerConfig(64, 64, 128, 1, 1, 1, tie_word_embeddings=False))
    initialise(model, 0)
    return model


def mean_loss(model: CausalLM, table: npt.NDArray[np.float64]) -> float:
    """Of the second tokens, predicted by the whole model from the first alone."""
    with torch.no_grad():
        logs = model(torch.arange(SIZE)[:, None]).squeeze(1).log_softmax(-1)[:, :SIZE]
    return -float((table * logs.double().numpy()).sum() / table.sum())


def entropy(table: npt.NDArray[np.float64]) -> float:
    """Of the second tokens, given the first: the least loss that is possible."""
    shares = table / table.sum(1, keepdims=True).clip(1)
    return -float((table * np.log(np.where(shares > 0, shares, 1))).sum() / table.sum())
