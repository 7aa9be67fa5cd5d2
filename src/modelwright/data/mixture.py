"""How often the documents of each source are used."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase


def weight_of(source: str, weights: Mapping[str, float]) -> float:
    """The weight of a source: that of its name, else of the first pattern that fits, else 1."""
    if source in weights:
        return weights[source]
    return next((value for name, value in weights.items() if fnmatchcase(source, name)), 1.0)


def repeats(
    sizes: Mapping[str, int],
    weights: Mapping[str, float],
    temperature: float,
    most: int,
) -> dict[str, float]:
    """How many times each source is used so that it has its share of the whole.

    Source i of size ``s_i`` gets the share ``w_i s_i^(1/T) / sum_j w_j s_j^(1/T)``; temperature T
    above 1 evens the sizes out (Arivazhagan et al. 2019, arXiv:1907.05019, section 4). The size of
    the whole stays, but for sources that would be used more often than ``most``: repeating text
    more than about four times brings little (Muennighoff et al. 2023, arXiv:2305.16264).

    Parameters
    ----------
    sizes : mapping of source to int
        Bytes of training text.
    weights : mapping of source, or pattern of sources, to float
        Those that are not named have 1.
    temperature : float
        Above 0.
    most : int
        Largest number of times.

    Returns
    -------
    dict of source to float
        1.5 means: every document once, and half of them twice.
    """
    used = {source: weight for source in sizes if (weight := weight_of(source, weights))}
    largest = max((sizes[source] for source in used), default=0)
    powers = {  # of parts of the largest, as no power of these is too large for a float
        source: weight * (sizes[source] / largest) ** (1 / temperature) if largest else 0.0
        for source, weight in used.items()
    }
    whole, total = sum(sizes.values()), sum(powers.values())
    if not total:
        return dict.fromkeys(sizes, 0.0)
    return {
        source: min(float(most), powers.get(source, 0.0) / total * whole / size) if size else 0.0
        for source, size in sizes.items()
    }


def copies(times: float, place: float) -> int:
    """How many copies of a document there are, if its source is used ``times`` times.

    Parameters
    ----------
    times : float
        From :func:`repeats`.
    place : float
        The document's own place in [0, 1): decides about the part of a copy that is left.
    """
    whole = int(times)
    return whole + (place < times - whole)
