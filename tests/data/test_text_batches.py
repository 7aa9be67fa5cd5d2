from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.text_batches import text_batches


@given(st.lists(st.text(max_size=12), max_size=20), st.integers(1, 30))
def test_batches_hold_all_texts_in_order_and_stay_within_the_limit(
    texts: list[str], limit: int
) -> None:
    batches = list(text_batches(pl.Series(texts, dtype=pl.String), limit))
    assert [text for batch in batches for text in batch] == texts
    for batch in batches:
        assert len(batch) > 0
        assert len(batch) == 1 or sum(len(text.encode()) for text in batch) <= limit
