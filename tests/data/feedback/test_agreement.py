import gzip
import json
import math
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.data.feedback.agreement import cohen_kappa, fleiss_kappa, share

# Fourteen people put each of ten things into one of five classes. A common worked example:
# P = 0.378, P_e = 0.213, kappa = 0.210.
EXAMPLE = (
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
)  # fmt: skip

CATEGORIES = st.sampled_from(["first", "second", "tie"])


@settings(max_examples=40)
@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_is_scipy_s(counts: tuple[int, int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    count, total = counts
    ours = share(count, total)
    theirs = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert ours is not None
    assert ours.value == count / total
    assert ours.low == pytest.approx(theirs.low, abs=1e-12)
    assert ours.high == pytest.approx(theirs.high, abs=1e-12)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_nothing_has_no_share() -> None:
    assert share(0, 0) is None


@settings(max_examples=40)
@given(st.lists(st.tuples(CATEGORIES, CATEGORIES), min_size=1, max_size=40))
def test_cohen_s_kappa_is_scikit_learn_s(judged: list[tuple[str, str]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    first, second = zip(*judged, strict=True)
    ours = cohen_kappa(first, second)
    if len({*first, *second}) == 1:  # 0 / 0, of which scikit-learn warns
        assert ours is None
        return
    assert ours == pytest.approx(metrics.cohen_kappa_score(first, second), abs=1e-12)


def test_kappas_at_their_ends() -> None:
    assert cohen_kappa([], []) is None
    assert cohen_kappa("ab", "ab") == 1
    assert cohen_kappa("ab", "ba") == -1
    assert cohen_kappa("aabb", "abab") == 0
    assert fleiss_kappa([]) is None
    assert fleiss_kappa([["a"], ["b"]]) is None
    assert fleiss_kappa([["a", "a"], ["a", "a"]]) is None
    assert fleiss_kappa([["a", "a", "a"], ["b", "b"]]) == 1
    assert fleiss_kappa([["a", "b"], ["a", "b"]]) == -1


def test_fleiss_kappa_of_the_worked_example() -> None:
    items = [[str(one) for one in range(5) for _ in range(row[one])] for row in EXAMPLE]
    assert fleiss_kappa(items) == pytest.approx(0.210, abs=5e-4)


@given(st.lists(st.lists(CATEGORIES, min_size=2, max_size=6), min_size=1, max_size=20))
def test_fleiss_kappa_by_counting_pairs(items: list[list[str]]) -> None:
    agreed = [
        sum(a == b for a, b in combinations(item, 2)) / math.comb(len(item), 2) for item in items
    ]
    everything = [category for item in items for category in item]
    by_chance = sum((everything.count(one) / len(everything)) ** 2 for one in set(everything))
    ours = fleiss_kappa(items)
    if len(set(everything)) == 1:
        assert ours is None
    else:
        expected = (sum(agreed) / len(agreed) - by_chance) / (1 - by_chance)
        assert ours == pytest.approx(expected, abs=1e-12)


def test_people_who_are_known_to_agree(shared_data: Path) -> None:
    """PandaLM's test set, whose makers report kappas of 0.85 to 0.88 between its annotators."""
    packed = (shared_data / "pandalm" / "pairs.jsonl.gz").read_bytes()
    votes = [json.loads(line)["votes"] for line in gzip.decompress(packed).splitlines()]
    named = [[str(vote) for vote in row] for row in votes]
    between = [
        cohen_kappa([row[first] for row in named], [row[second] for row in named])
        for first, second in combinations(range(3), 2)
    ]
    assert all(kappa is not None and 0.8 < kappa < 0.95 for kappa in between)
    together = fleiss_kappa(named)
    assert together is not None
    assert min(between) - 0.01 < together < max(between) + 0.01
