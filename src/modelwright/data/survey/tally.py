"""The first pass: everything that can be counted, and which documents are worth showing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from modelwright.data.annotation.scores import BYTES, CHARACTERS
from modelwright.data.parquet import Columns, ColumnType
from modelwright.data.personal_data.kinds import KINDS, Kind
from modelwright.data.survey.criteria import EVALUATION, Criterion
from modelwright.data.survey.histograms import Histogram, log_bins

EXAMPLES = 3
HIGHEST = 10
LARGEST_SEARCHED = 2**20
"""Bytes of the largest text in which personal data is looked for again, to be shown masked."""

GROUPED = ("source", "licence", "language")


@dataclass(frozen=True)
class Chosen:
    """A document to show.

    Attributes
    ----------
    row : int
        In the annotated corpus.
    score : float or None
        What it was chosen by.
    """

    row: int
    score: float | None = None


@dataclass
class CriterionTally:
    """What one criterion says of all documents.

    ``fails`` counts all documents on its wrong side, ``fails_kept`` those of them that are kept;
    ``near`` holds the documents nearest to the threshold that pass, and those that fail;
    ``highest`` those with the highest scores, for overlaps alone.
    """

    criterion: Criterion
    histogram: Histogram
    fails: int = 0
    fails_kept: int = 0
    near: tuple[pl.DataFrame, pl.DataFrame] | None = None
    highest: pl.DataFrame | None = None

    def add(self, frame: pl.DataFrame) -> None:
        """Count the documents of a frame."""
        of, kept = self.criterion, pl.col("reason").is_null()
        scored = frame.select(
            "row", of.score.cast(pl.Float64).alias("score"), of.test.alias("fails"), kept=kept
        )
        self.histogram.add(scored["score"], scored["fails"])
        self.fails += int(scored["fails"].sum())
        self.fails_kept += int((scored["fails"] & scored["kept"]).sum())
        if of.threshold is None:
            return
        sides = tuple(_nearest(scored, fails, of.threshold) for fails in (False, True))
        if self.near is not None:
            pairs = zip(self.near, sides, strict=True)
            sides = tuple(_first(pl.concat(pair)) for pair in pairs)
        self.near = (sides[0], sides[1])
        if of.family == EVALUATION:
            highest = [scored.select("row", "score").filter(pl.col("score") > 0)]
            highest += [] if self.highest is None else [self.highest]
            order = pl.concat(highest).sort("score", "row", descending=[True, False])
            self.highest = order.head(HIGHEST)


def _nearest(scored: pl.DataFrame, fails: bool, threshold: float) -> pl.DataFrame:
    """The documents of one side that are nearest to the threshold."""
    away = (pl.col("score") - threshold).abs().alias("away")
    side = scored.filter((pl.col("fails") == fails) & pl.col("score").is_finite())
    # A selection without a sort of everything: what is farther than the third is left out first.
    near = side.select("row", "score", away)
    if near.height > EXAMPLES:
        farthest = near["away"].bottom_k(EXAMPLES).max()
        near = near.filter(pl.col("away") <= farthest)
    return _first(near)


def _first(near: pl.DataFrame) -> pl.DataFrame:
    return near.sort("away", "row").head(EXAMPLES)


@dataclass
class PersonalTally:
    """How often one kind was found, in how many documents, and some of them."""

    kind: Kind
    found: int = 0
    documents: int = 0
    examples: list[Chosen] = field(default_factory=list)


@dataclass
class Group:
    """Documents and bytes of one source, licence or language."""

    documents: int = 0
    bytes: int = 0
    kept_documents: int = 0
    kept_bytes: int = 0


@dataclass
class Tally:
    """Counts of all documents.

    Parameters
    ----------
    criteria : list of Criterion
        What is held against thresholds.
    available : collection of str
        The columns that the corpus has.
    """

    criteria: list[Criterion]
    available: frozenset[str]

    def __post_init__(self) -> None:
        self.whole = Group()
        self.characters = 0
        self.replaced = self.replaced_in = 0
        self.lengths = Histogram(log_bins())
        self.groups: dict[str, dict[str, Group]] = {
            name: {} for name in GROUPED if name in self.available
        }
        self.reasons = Counter[str]()
        self.examples: dict[str, list[Chosen]] = {}
        self.by_criterion = [CriterionTally(one, Histogram(one.bins)) for one in self.criteria]
        self.personal = [PersonalTally(kind) for kind in KINDS if kind.column in self.available]
        self._scores = {one.name: one.score for one in self.criteria}

    @property
    def columns(self) -> Columns:
        """What has to be read."""
        columns: dict[str, ColumnType] = dict.fromkeys(self.groups, "text")
        columns |= dict.fromkeys((CHARACTERS, BYTES, "replaced"), "integer")
        for criterion in self.criteria:
            columns |= criterion.columns
        return columns | dict.fromkeys([one.kind.column for one in self.personal], "integer")

    def add(self, frame: pl.DataFrame) -> None:
        """Count the documents of a frame of :meth:`Judged.frames`."""
        dropped = frame["reason"].is_not_null()
        _add(self.whole, frame.select(_TOTALS).row(0))
        self.characters += int(frame[CHARACTERS].sum())
        self.replaced += int(frame["replaced"].sum())
        self.replaced_in += int((frame["replaced"] > 0).sum())
        self.lengths.add(frame[CHARACTERS], dropped)
        for name, groups in self.groups.items():
            for value, *figures in frame.group_by(name).agg(_TOTALS).sort(name).iter_rows():
                _add(groups.setdefault(value or "", Group()), tuple(figures))
        self._add_reasons(frame.filter(dropped))
        for tally in self.by_criterion:
            tally.add(frame)
        for kind in self.personal:
            _add_personal(kind, frame)

    def _add_reasons(self, frame: pl.DataFrame) -> None:
        for reason, documents in frame.group_by("reason").len().sort("reason").iter_rows():
            self.reasons[reason] += documents
            examples = self.examples.setdefault(reason, [])
            if len(examples) < EXAMPLES:
                score = self._scores.get(reason, pl.lit(None)).cast(pl.Float64)
                these = frame.filter(pl.col("reason") == reason).head(EXAMPLES - len(examples))
                examples += [Chosen(*row) for row in these.select("row", score).iter_rows()]


_KEPT = pl.col("reason").is_null()
_TOTALS = (
    pl.len().alias("documents"),
    pl.col(BYTES).sum().alias("all_bytes"),
    _KEPT.sum().alias("kept_documents"),
    pl.col(BYTES).filter(_KEPT).sum().alias("kept_bytes"),
)


def _add(group: Group, figures: tuple[int, ...]) -> None:
    group.documents += figures[0]
    group.bytes += figures[1]
    group.kept_documents += figures[2]
    group.kept_bytes += figures[3]


def _add_personal(tally: PersonalTally, frame: pl.DataFrame) -> None:
    column = pl.col(tally.kind.column)
    found = frame.filter(column > 0)
    tally.found += int(found[tally.kind.column].sum())
    tally.documents += found.height
    wanted = EXAMPLES - len(tally.examples)
    if wanted:
        small = found.filter(pl.col(BYTES) <= LARGEST_SEARCHED).head(wanted)
        tally.examples += [Chosen(row, count) for row, count in small.select("row", column).rows()]
