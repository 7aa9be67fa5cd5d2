from __future__ import annotations

import random

import pytest

from modelwright.experiments.paired import MAX_PAIRS, T_975, compare_pairs


def test_against_the_paired_t_test_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    chance = random.Random(1)
    for pairs in range(2, MAX_PAIRS + 1):
        first = [chance.gauss(2, 0.5) for _ in range(pairs)]
        second = [value + chance.gauss(0.1, 0.1) for value in first]
        ours = compare_pairs(first, second)
        interval = stats.ttest_rel(second, first).confidence_interval(0.95)
        assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=1e-3)
        assert ours.is_certain == (stats.ttest_rel(second, first).pvalue < 0.05)
    for degrees, quantile in T_975.items():
        assert quantile == pytest.approx(stats.t.ppf(0.975, degrees), abs=5e-4)


def test_what_pairs_have_in_common_does_not_count():
    comparison = compare_pairs([1.0, 5.0, 9.0], [1.11, 5.10, 9.12])
    assert comparison.difference == pytest.approx(0.11)
    assert comparison.is_certain
    assert not compare_pairs([1.0, 5.0, 9.0], [1.2, 4.8, 9.1]).is_certain


def test_one_pair_is_never_certain():
    comparison = compare_pairs([1.0], [2.0])
    assert (comparison.difference, comparison.low, comparison.high) == (1.0, None, None)
    assert not comparison.is_certain


def test_no_difference_at_all_is_not_certain():
    assert not compare_pairs([1.0, 2.0], [1.0, 2.0]).is_certain


def test_as_many_each():
    with pytest.raises(ValueError, match="zip"):
        compare_pairs([1.0], [1.0, 2.0])
