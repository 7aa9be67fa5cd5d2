"""Which items are held out: a pure function of a seed and each item's own hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def position(seed: int, key: str) -> float:
    """A fixed, evenly spread place of an item in [0, 1)."""
    digest = hashlib.sha256(f"{seed}\0{key}".encode()).digest()
    # 53 bits, all that a float can tell apart, so that nothing is rounded up to 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def hold_out(keys: Sequence[str], seed: int, fraction: float) -> list[bool]:
    """Decide for each item whether it is held out.

    An item's answer does not depend on the others, but for one case: where two or more different
    items would all fall on one side, the outermost is moved, so that neither side is empty.

    Parameters
    ----------
    keys : sequence of str
        Hashes of the items' contents; equal items get equal answers.
    seed : int
        Another seed holds out other items.
    fraction : float
        Share to hold out, in (0, 1); 0 holds out nothing.
    """
    return hold_out_at([position(seed, key) for key in keys], fraction)


def hold_out_at(positions: Sequence[float], fraction: float) -> list[bool]:
    """The same as :func:`hold_out`, for positions that were worked out before."""
    held_out = [place < fraction for place in positions]
    if fraction > 0 and len(set(positions)) > 1:
        if not any(held_out):
            lowest = min(positions)
            return [place == lowest for place in positions]
        if all(held_out):
            highest = max(positions)
            return [place < highest for place in positions]
    return held_out
