"""What a survey found, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelwright.data.survey.clusters import Cluster, SizeClass
from modelwright.data.survey.criteria import Criterion
from modelwright.data.survey.excerpts import Excerpt, Piece
from modelwright.data.survey.histograms import Histogram
from modelwright.data.survey.tally import Group


@dataclass(frozen=True)
class Shown:
    """A document that is shown, with the score that it was chosen by."""

    excerpt: Excerpt
    score: float | None = None


@dataclass(frozen=True)
class Reason:
    """Documents that were dropped for one reason, and some of them."""

    name: str
    documents: int
    criterion: Criterion | None
    examples: tuple[Shown, ...]


@dataclass(frozen=True)
class CriterionFigures:
    """One criterion over all documents.

    Attributes
    ----------
    criterion : Criterion
    histogram : Histogram
        Of all documents, by side of the threshold.
    dropped : int
        Counted under this reason: it was the first that spoke against them.
    fails, fails_kept : int
        On the wrong side of the threshold: of all documents, and of those that are kept.
    near_passing, near_failing : tuple of Shown
        Nearest to the threshold.
    """

    criterion: Criterion
    histogram: Histogram
    dropped: int
    fails: int
    fails_kept: int
    near_passing: tuple[Shown, ...]
    near_failing: tuple[Shown, ...]


@dataclass(frozen=True)
class LeftOut:
    """What the collect stage left out for one reason, and the first places."""

    reason: str
    number: int
    places: tuple[str, ...]


@dataclass(frozen=True)
class MemberShown:
    """A document of a cluster; ``difference`` to the first one is empty if there is none."""

    excerpt: Excerpt
    reason: str | None
    difference: tuple[Piece, ...]


@dataclass(frozen=True)
class ClusterShown:
    """A cluster with some of its members."""

    cluster: Cluster
    members: tuple[MemberShown, ...]


@dataclass(frozen=True)
class PersonalExample:
    """Where personal data stands, the value masked; ``pieces`` is empty if it is not shown."""

    excerpt: Excerpt
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class PersonalFigures:
    """One kind of personal data or secrets."""

    name: str
    group: str
    placeholder: str
    description: str
    treatment: str
    found: int
    documents: int
    redacted: int
    examples: tuple[PersonalExample, ...]


@dataclass(frozen=True)
class Overlapping:
    """A document that shares words with an evaluation set."""

    shown: Shown
    words: tuple[tuple[str, str], ...]
    """Evaluation set and the words."""


@dataclass(frozen=True)
class Survey:
    """All figures of the data report.

    Attributes
    ----------
    artifacts : tuple of str
        Ids of the corpora, in the order in which they were made.
    whole : Group
        All documents.
    groups : mapping of str to mapping of str to Group
        By source, licence and language.
    share_alike : frozenset of str
        Licences among them that ask for the same licence on what is derived.
    replaced, replaced_in : int
        Unreadable characters, and documents that have any.
    written : mapping
        Counts of the prepare stage.
    left_out_by_mixture : int
        Kept documents that the mixture took no copy of.
    """

    artifacts: tuple[str, ...]
    whole: Group
    characters: int
    groups: Mapping[str, Mapping[str, Group]]
    share_alike: frozenset[str]
    replaced: int
    replaced_in: int
    lengths: Histogram
    collected: tuple[LeftOut, ...] | None
    reasons: tuple[Reason, ...]
    criteria: tuple[CriterionFigures, ...]
    size_classes: tuple[SizeClass, ...]
    clusters: tuple[ClusterShown, ...]
    personal: tuple[PersonalFigures, ...]
    overlapping: tuple[Overlapping, ...]
    written: Mapping[str, int]
    left_out_by_mixture: int
    words: str
    edits: str
