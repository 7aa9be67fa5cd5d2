import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.tokens.order import Permutation

GOLDEN = [5, 9, 2, 8, 7, 6, 4, 0, 3, 1]


@given(size=st.integers(1, 600), seed=st.integers(0, 2**40), epoch=st.integers(-5, 100))
def test_every_number_comes_once(size: int, seed: int, epoch: int) -> None:
    permutation = Permutation(size, seed, epoch)
    assert sorted(permutation[index] for index in range(size)) == list(range(size))


def test_seed_and_epoch_change_the_order() -> None:
    orders = {
        tuple(Permutation(1000, seed, epoch)[index] for index in range(1000))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_the_order_never_changes_between_versions() -> None:
    assert [Permutation(10, seed=7, epoch=1)[index] for index in range(10)] == GOLDEN


def test_a_huge_size_needs_no_memory() -> None:
    assert 0 <= Permutation(10**15, 1, 0)[10**14] < 10**15
    with pytest.raises(IndexError):
        Permutation(5, 0, 0)[5]
