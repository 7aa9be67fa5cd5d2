from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.evaluation.selection import random_order, sample_texts

TEXTS = st.lists(st.text(max_size=30), max_size=30)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 200), st.integers(0, 3))
def test_sample_fills_the_limit_and_accounts_for_every_byte(
    texts: list[str], limit: int, seed: int
) -> None:
    documents = [(str(index), text) for index, text in enumerate(texts)]
    sample = sample_texts(documents, limit, seed)
    total = sum(len(text.encode()) for text in texts)
    assert sample.text_bytes == sum(len(text.encode()) for text in sample.texts)
    assert sample.text_bytes <= limit
    assert sample.text_bytes > min(total, limit) - 4  # at most one character short
    assert len(sample.texts) + sample.documents_left_out == len(texts)
    assert sample == sample_texts(documents, limit, seed)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 3))
def test_all_is_taken_in_order_if_it_fits(texts: list[str], seed: int) -> None:
    sample = sample_texts([(str(index), text) for index, text in enumerate(texts)], 10_000, seed)
    assert sample.texts == texts
    assert (sample.documents_left_out, sample.bytes_cut) == (0, 0)


def test_the_choice_does_not_depend_on_the_order_of_the_corpus() -> None:
    documents = [(str(index), f"{index:03d} " * 10) for index in range(50)]
    forward = sample_texts(documents, 400, seed=1).texts
    backward = sample_texts(documents[::-1], 400, seed=1).texts
    assert forward == backward[::-1]
    assert len(forward) == 10
    assert forward != sample_texts(documents, 400, seed=2).texts


def test_a_single_huge_document_is_cut_at_a_character() -> None:
    sample = sample_texts([("only", "é" * 100)], 51, seed=0)
    assert sample.texts == ["é" * 25]
    assert (sample.text_bytes, sample.bytes_cut, sample.documents_left_out) == (50, 150, 0)


def test_the_order_is_a_pure_function_of_the_seed() -> None:
    order = random_order(1000, seed=3)
    assert sorted(order) == list(range(1000))
    assert order == random_order(1000, seed=3)
    assert order[:50] != random_order(1000, seed=4)[:50]
    assert order != sorted(order)
