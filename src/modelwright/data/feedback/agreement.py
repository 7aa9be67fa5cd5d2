"""How sure a share is, and how far people agree beyond chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Share:
    """A share with its interval of 95 % confidence.

    Attributes
    ----------
    count, total : int
        How many of how many.
    low, high : float
        Wilson's score interval.
    """

    count: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.count / self.total


def share(count: int, total: int) -> Share | None:
    """A share with Wilson's interval; None of nothing.

    Unlike the usual ± it does not leave 0 to 1, and says something of few cases: E. B. Wilson,
    Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if total == 0:
        return None
    p, z2 = count / total, _Z**2
    middle = (p + z2 / (2 * total)) / (1 + z2 / total)
    reach = _Z / (1 + z2 / total) * math.sqrt(p * (1 - p) / total + z2 / (4 * total**2))
    # Where all or none were counted the formula gives 1 or 0 but for rounding.
    low = 0.0 if count == 0 else middle - reach
    high = 1.0 if count == total else middle + reach
    return Share(count, total, low, high)


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Agreement of two people beyond what their habits alone would give.

    1 is full agreement, 0 chance, below 0 worse than chance. (p_o - p_e) / (1 - p_e), where p_e is
    the sum over categories of the product of both people's shares: J. Cohen, A coefficient of
    agreement for nominal scales, Educational and Psychological Measurement 20 (1960).

    Parameters
    ----------
    first, second : sequence of str
        The categories that each gave the same items, of equal length.

    Returns
    -------
    float or None
        None where it is not defined: no items, or both gave all items one and the same category.
    """
    items = len(first)
    if items == 0:
        return None
    agreed = sum(a == b for a, b in zip(first, second, strict=True))
    mine, theirs = Counter(first), Counter(second)
    # In whole numbers, so that "always the same category" is found exactly.
    by_chance = sum(count * theirs[category] for category, count in mine.items())
    if by_chance == items**2:
        return None
    return (agreed * items - by_chance) / (items**2 - by_chance)


def fleiss_kappa(items: Sequence[Sequence[str]]) -> float | None:
    """Agreement of any number of people, not the same ones for each item, beyond chance.

    (P - P_e) / (1 - P_e): P is the mean over items of the share of pairs of people who agree, P_e
    the sum of the squared shares of the categories over all judgements: J. L. Fleiss, Measuring
    nominal scale agreement among many raters, Psychological Bulletin 76 (1971), there for an equal
    number of people for each item.

    Parameters
    ----------
    items : sequence of sequences of str
        The categories that each item got; those with fewer than two are left out.

    Returns
    -------
    float or None
        None where it is not defined: no such items, or one and the same category everywhere.
    """
    judged = [Counter(item) for item in items if len(item) > 1]
    totals = sum(judged, Counter[str]())
    if len(totals) < 2:
        return None
    observed = sum(map(_agreeing_pairs, judged)) / len(judged)
    by_chance = sum((count / totals.total()) ** 2 for count in totals.values())
    return (observed - by_chance) / (1 - by_chance)


def _agreeing_pairs(categories: Counter[str]) -> float:
    """Share of the pairs of judgements of an item that are equal."""
    people = categories.total()
    agreeing = sum(count * (count - 1) for count in categories.values())
    return agreeing / (people * (people - 1))
