"""Near-duplicates: how many clusters of which size, and how the members of the largest differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import polars as pl

from modelwright.data.annotation.merge import CLUSTER
from modelwright.data.personal_data.redact import redact
from modelwright.data.survey.excerpts import CUT, SEARCHED, SNIPPET, Piece, cut, one_line

LARGEST = 10
MEMBERS = 6
SIZES = ((2, 2), (3, 3), (4, 5), (6, 10), (11, 100), (101, None))
SHARED_WORDS = 6
"""Words that are shown on either side of a difference."""

COMPARED = 300
"""Words of each text that are compared."""

MISSING = "(left out)"

_FRAMES_HELD = 64


@dataclass(frozen=True)
class SizeClass:
    """Clusters of some sizes: how many there are, and documents in them."""

    smallest: int
    largest: int | None
    clusters: int
    documents: int


@dataclass(frozen=True)
class Member:
    """One document of a cluster that is shown; ``reason`` is None if it is kept."""

    row: int
    reason: str | None


@dataclass(frozen=True)
class Cluster:
    """A cluster: its size and some of its members, the kept one first."""

    name: str
    size: int
    members: tuple[Member, ...]


class ClusterTally:
    """Counts the members of each cluster, frame by frame; holds one row a cluster."""

    def __init__(self) -> None:
        self._counts: list[pl.DataFrame] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Count the documents of a frame."""
        inside = frame.filter(pl.col(CLUSTER).is_not_null())
        if inside.height:
            self._counts.append(inside.group_by(CLUSTER).len())
        if len(self._counts) > _FRAMES_HELD:
            self._counts = [self.sizes()]

    def sizes(self) -> pl.DataFrame:
        """Columns ``cluster`` and ``len``, the largest first."""
        if not self._counts:
            return pl.DataFrame(schema={CLUSTER: pl.String, "len": pl.UInt32})
        counts = pl.concat(self._counts).group_by(CLUSTER).agg(pl.col("len").sum())
        return counts.sort("len", CLUSTER, descending=[True, False])


def size_classes(sizes: pl.DataFrame) -> list[SizeClass]:
    """Clusters by size; classes without any are left out."""
    classes = []
    for low, high in SIZES:
        inside = sizes.filter(
            (pl.col("len") >= low) & ((pl.col("len") <= high) if high else pl.lit(True))
        )
        if inside.height:
            classes.append(SizeClass(low, high, inside.height, int(inside["len"].sum())))
    return classes


def largest_clusters(sizes: pl.DataFrame, frames: Iterable[pl.DataFrame]) -> list[Cluster]:
    """The largest clusters with some members each.

    Parameters
    ----------
    sizes : polars.DataFrame
        From :meth:`ClusterTally.sizes`.
    frames : iterable of polars.DataFrame
        Columns ``row``, ``reason`` and ``cluster``.
    """
    largest = sizes.head(LARGEST)
    kept: dict[str, list[Member]] = {name: [] for name in largest[CLUSTER]}
    others: dict[str, list[Member]] = {name: [] for name in largest[CLUSTER]}
    for frame in frames if kept else ():
        inside = frame.filter(pl.col(CLUSTER).is_in(list(kept)))
        for row, reason, name in inside.select("row", "reason", CLUSTER).iter_rows():
            of = others if reason else kept
            if len(of[name]) < MEMBERS:
                of[name].append(Member(row, reason))
    return [
        Cluster(name, size, tuple([*kept[name], *others[name]][:MEMBERS]))
        for name, size in largest.iter_rows()
    ]


def words_of(text: str) -> list[str]:
    """The words that members are compared by: those of the beginning, personal data masked."""
    return one_line(redact(text[:SEARCHED]).text).split(" ")


def difference(first: Sequence[str], other: Sequence[str]) -> tuple[Piece, ...]:
    """What another text has where it differs from the first, marked, between shared words.

    Returns
    -------
    tuple of Piece
        Some hundred characters; empty if the words are the same.
    """
    if list(first) == list(other):
        return ()
    matcher = SequenceMatcher(None, first[:COMPARED], other[:COMPARED], autojunk=False)
    pieces, room = list[Piece](), SNIPPET
    for operation, _, _, start, end in matcher.get_opcodes():
        if room <= 0:
            break
        same = operation == "equal"
        words = _ends(other[start:end], not pieces) if same else list(other[start:end])
        text = cut(" ".join(words) or MISSING, max(room, 2))
        pieces.append(Piece(text, marked=not same))
        room -= len(text) + 1
    if not any(piece.marked for piece in pieces):
        return (Piece(f"differs after the first {COMPARED} words", marked=False),)
    return tuple(pieces)


def _ends(words: Sequence[str], is_first: bool) -> list[str]:
    """Shared words next to a difference; of many, those in the middle are left out."""
    if len(words) <= 2 * SHARED_WORDS + 1:
        return list(words)
    before = [] if is_first else list(words[:SHARED_WORDS])
    return [*before, CUT, *words[-SHARED_WORDS:]]
